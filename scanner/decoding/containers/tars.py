"""What a tar archive holds, and what a compressed file holds: a tar archive, or a single file.

Rules
- Headers are read here, 512 bytes at a time (POSIX 1003.1-2001, ustar and pax; GNU tar manual, "Basic Tar Format"), so
  that no header can ask for memory. Names and links are passed over; nothing is followed.
- A compressed archive is read forward, each member from where unpacking stands.
- An archive that ends without its two empty blocks, or whose headers stop making sense, is truncated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scanner.decoding.containers.files import MemberFile, Unpacked, Window
from scanner.decoding.containers.limits import ContainerLimits
from scanner.decoding.containers.members import Closed, Held, Member
from scanner.decoding.containers.streams import Stream, bzipped, gzipped, xzipped, zstandard
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import is_tar_header
from scanner.types import Reason

_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_MOST_PAX_BYTES = 1024 * 1024
_REGULAR = frozenset(b"0\x007")
_GNU_SPARSE = ord("S")
_PAX, _PAX_GLOBAL, _PAX_SUN = ord("x"), ord("g"), ord("X")
_WITHOUT_DATA = frozenset(b"123456")  # links, devices, folders, FIFOs: their size, if any, counts for nothing
_STREAMS: dict[str, Callable[[MediaFile, int, int], Stream]] = {
    "gzip": gzipped,
    "bzip2": bzipped,
    "xz": xzipped,
    "zstd": zstandard,
}


def compressed_members(file: MediaFile, name: str, limits: ContainerLimits, tick: Callable[[], None]) -> Iterator[Held]:
    """What a file compressed as `name` holds."""

    def opened() -> Unpacked:
        return Unpacked(
            lambda: _STREAMS[name](file, 0, file.size_bytes),
            file.size_bytes,
            limits._replace(member_bytes=limits.total_bytes),
            tick,
        )

    inner = opened()
    if is_tar_header(inner.at(0, _BLOCK)):
        yield from tar_members(inner, tick)
    else:
        yield Member(opened)


def tar_members(file: MediaFile, tick: Callable[[], None]) -> Iterator[Held]:
    """The files of a tar archive."""
    at, size_before, sparse = 0, None, False
    while True:
        tick()
        header = file.at(at, _BLOCK)
        if header == _EMPTY:
            return
        if not is_tar_header(header):
            yield Closed(_cut(file) or Reason.TRUNCATED)
            return
        kind, size = header[156], _number(header[124:136])
        at += _BLOCK
        if kind in (_PAX, _PAX_SUN, _PAX_GLOBAL):
            wide, holes = _pax(file.at(at, min(size, _MOST_PAX_BYTES)))
            if kind != _PAX_GLOBAL:
                size_before, sparse = wide, holes
        elif kind in _WITHOUT_DATA:
            size, size_before, sparse = 0, None, False
        elif kind in _REGULAR or kind == _GNU_SPARSE:
            size = size if size_before is None else size_before
            if kind == _GNU_SPARSE or sparse:
                yield Closed(Reason.UNOPENED)
            elif size:
                yield _member(file, at, size)
            at += _BLOCK * _extension_blocks(file, at, header) if kind == _GNU_SPARSE else 0
            size_before, sparse = None, False
        at += -(-size // _BLOCK) * _BLOCK


def _member(file: MediaFile, at: int, size: int) -> Member:
    def opened() -> MemberFile:
        return Window(file, at, size)

    return Member(opened)


def _cut(file: MediaFile) -> Reason | None:
    return file.cut if isinstance(file, MemberFile) else None


def _number(field: bytes) -> int:
    """A size: octal text, or binary where its first bit is set (GNU). Nonsense and what is below zero count as 0."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else 0
    text = field.split(b"\0")[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        return 0


def _pax(records: bytes) -> tuple[int | None, bool]:
    """The size that extended records give the next file, and whether they say that it is sparse."""
    size, sparse, at = None, False, 0
    while at < len(records):
        space = records.find(b" ", at, at + 20)
        length = records[at:space] if space > at else b""
        if not length.isdigit() or int(length) <= 0:
            break
        key, _, value = records[space + 1 : at + int(length) - 1].partition(b"=")
        if key == b"size" and value.isdigit() and len(value) < 20:
            size = int(value)
        sparse |= key.startswith(b"GNU.sparse.")
        at += int(length)
    return size, sparse


def _extension_blocks(file: MediaFile, at: int, header: bytes) -> int:
    """How many blocks of a sparse map follow an old GNU header."""
    count, more = 0, header[482]
    while more and count < 1_000_000:
        block = file.at(at + count * _BLOCK, _BLOCK)
        count += 1
        more = block[504] if len(block) == _BLOCK else 0
    return count
