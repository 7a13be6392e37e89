"""What a ZIP file holds, each entry opened or why not.

Rules
- Each byte of the file is unpacked once: entries that overlap others are a bomb, and closed. Entries of the very same
  bytes are one.
- Stored, deflate, bzip2, LZMA, xz and zstd are unpacked; other methods (deflate64, PPMd, ...) stay closed.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator

from scanner.decoding.containers.files import MemberFile, Unpacked, Window
from scanner.decoding.containers.limits import ContainerLimits
from scanner.decoding.containers.members import Closed, Held, Member
from scanner.decoding.containers.streams import Stream, bzipped, deflated, lzma_of_zip, xzipped, zstandard
from scanner.decoding.containers.zip_directory import (
    ODF_MARKS,
    Entry,
    end_of_central_directory,
    listed,
    local_entry,
    walked,
    with_hidden,
)
from scanner.decoding.reading import MediaFile
from scanner.types import Reason

_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000  # traditional or AES, strong, masked local headers
_STORED, _DEFLATED, _BZIP2, _LZMA, _OLD_ZSTD, _ZSTD, _XZ, _AES = 0, 8, 12, 14, 20, 93, 95, 99
_METHODS = frozenset({_STORED, _DEFLATED, _BZIP2, _LZMA, _OLD_ZSTD, _ZSTD, _XZ})
_MOST_MARK_BYTES = 1024 * 1024
_FONT_OBFUSCATION = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")
_MOST_READINGS = 2  # of the same bytes: the directory's and the local header's


def zip_members(file: MediaFile, limits: ContainerLimits, tick: Callable[[], None]) -> Iterator[Held]:
    """Everything the archive holds; `tick` is called now and then, and may raise."""
    directory = end_of_central_directory(file)
    if directory is None:
        yield from _held(file, walked(file, 0, set(), tick), limits, tick)
        yield Closed(Reason.TRUNCATED)  # an archive of this kind ends in a directory
        return
    entries, whole = listed(file, directory, limits.members, tick)
    yield from _held(file, with_hidden(file, entries, tick), limits, tick)
    if not whole:
        yield Closed(Reason.LIMIT if len(entries) >= limits.members else Reason.TRUNCATED)


def _held(
    file: MediaFile, entries: Iterable[Entry], limits: ContainerLimits, tick: Callable[[], None]
) -> Iterator[Held]:
    """Each entry opened, or why not."""
    taken = _Ground()
    for entry in entries:
        if not entry.packed_bytes:
            continue  # a folder, or an empty file
        local, behind = local_entry(file, entry.header)
        if local is None or not taken.again(behind, behind + entry.packed_bytes, entry.method):
            yield _hold(file, entry, local, behind, taken, limits, tick)


def _hold(
    file: MediaFile,
    entry: Entry,
    local: Entry | None,
    behind: int,
    taken: _Ground,
    limits: ContainerLimits,
    tick: Callable[[], None],
) -> Held:
    if entry.disk or local is None:
        return Closed(Reason.UNOPENED if entry.disk else Reason.TRUNCATED)
    if (entry.flags | local.flags) & _ENCRYPTED_FLAGS or entry.method == _AES:
        return Closed(Reason.ENCRYPTED)
    if entry.method not in _METHODS:
        return Closed(Reason.UNOPENED)
    if not taken.take(behind, behind + entry.packed_bytes, entry.method):
        return Closed(Reason.LIMIT)

    def opened() -> MemberFile:
        return _open(file, entry, behind, limits, tick)

    if entry.marks and _tells_encryption(opened(), entry.marks):
        return Closed(Reason.ENCRYPTED)
    return Member(opened)


def _tells_encryption(member: MemberFile, marks: bytes) -> bool:
    """Whether a manifest says that members are encrypted; obscured fonts do not count."""
    text = member.at(0, _MOST_MARK_BYTES)
    if marks == ODF_MARKS:
        return b"encryption-data" in text
    fonts = sum(text.count(algorithm) for algorithm in _FONT_OBFUSCATION)
    return text.count(b"EncryptedData>") // 2 > fonts


def _open(file: MediaFile, entry: Entry, behind: int, limits: ContainerLimits, tick: Callable[[], None]) -> MemberFile:
    if entry.method == _STORED:
        return Window(file, behind, entry.packed_bytes)
    end = min(behind + entry.packed_bytes, file.size_bytes)

    def stream() -> Stream:
        return _stream(file, entry, behind, end)

    return Unpacked(stream, entry.packed_bytes, limits, tick)


def _stream(file: MediaFile, entry: Entry, behind: int, end: int) -> Stream:
    if entry.method == _LZMA:
        return lzma_of_zip(file, behind, end, None if entry.flags & 2 else entry.size_bytes)
    begin = {_DEFLATED: deflated, _BZIP2: bzipped, _XZ: xzipped}.get(entry.method, zstandard)
    return begin(file, behind, end)


class _Ground:
    """Which stretches of the file belong to entries already seen."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._readings: dict[int, list[tuple[int, int]]] = {}

    def again(self, start: int, end: int, method: int) -> bool:
        """Whether these bytes were already read in this way."""
        return (end, method) in self._readings.get(start, ())

    def take(self, start: int, end: int, method: int) -> bool:
        """Whether the stretch is nobody's yet, or another reading of one that is; it is taken then."""
        readings = self._readings.setdefault(start, [])
        place = bisect.bisect_left(self._starts, start)
        if not readings:
            overlaps = place and self._ends[place - 1] > start
            overlaps = overlaps or (place < len(self._starts) and self._starts[place] < end)
            if overlaps:
                return False
            self._starts.insert(place, start)
            self._ends.insert(place, end)
        elif len(readings) >= _MOST_READINGS or (place + 1 < len(self._starts) and self._starts[place + 1] < end):
            return False
        readings.append((end, method))
        return True
