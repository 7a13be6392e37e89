"""Lists that come packed: gzip, and ZIP of one file, are unpacked as they are read; anything else is named.

Rules
- Nothing is unpacked ahead of its reader, and no more than a list can be packed: hex digits shrink to a half, JSON with
  its repeated names to a tenth or so.
- A packed list that ends early, or whose checksum does not agree, is refused like any list that was cut off.
- The name of the file within is not looked at, but to tell a spreadsheet.

Source: RFC 1952 (gzip), PKWARE's APPNOTE 4.3 (ZIP).
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

from hashsets.errors import ListError

MOST_TIMES = 200
GRACE_BYTES = 64 * 1024 * 1024  # unpacked, before the share is looked at
_CHUNK_BYTES = 64 * 1024

# What is handed over in place of a list by mistake, by its first bytes, and what to do with it.
_NO_TEXT = (
    (b"BZh", "is compressed (bzip2): unpack it first, as with `bunzip2`"),
    (b"\xfd7zXZ\x00", "is compressed (xz): unpack it first, as with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd): unpack it first, as with `unzstd`"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"),
    (b"Rar!\x1a\x07", "is a RAR archive: unpack it first"),
    (b"PK\x05\x06", "is a ZIP archive without a file"),
    (b"%PDF-", "is a PDF document: ask its sender for CSV"),
)
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_LOCAL = struct.Struct("<4s5HIIIHH")
_END = struct.Struct("<4s4HIIH")
_CENTRAL, _END_MARK = b"PK\x01\x02", b"PK\x05\x06"
_SPREADSHEETS = (b"[Content_Types].xml", b"mimetype")
_MOST_TAIL_BYTES = 256 * 1024  # what follows the one file of a ZIP: its entry, its end and a comment


def unpacked(head: bytes, stream: BinaryIO) -> BinaryIO | None:
    """The list within, where a stream that goes on after `head` is packed; None where it is not.

    Raises ListError for what is neither a list nor unpacked here.
    """
    for beginning, what in _NO_TEXT:
        if head.startswith(beginning):
            raise ListError(f"the list {what}")
    if head.startswith(_GZIP):
        return io.BufferedReader(_Gzip(head, stream), 256 * 1024)
    if head.startswith(_ZIP):
        return io.BufferedReader(_Zip(_past_local_header(head), stream), 256 * 1024)
    return None


class _Inflating(io.RawIOBase):
    """A deflated stream, inflated as it is read."""

    def __init__(self, head: bytes, stream: BinaryIO, window_bits: int) -> None:
        self._stream = stream
        self._packed = head
        self._window_bits = window_bits
        self._inflater = zlib.decompressobj(window_bits)
        self._taken = self._given = 0
        self._finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        size = len(buffer)
        part = b""
        while not part and not self._finished:
            part = self._inflate(size)
            self._given += len(part)
            if self._given > GRACE_BYTES and self._given > MOST_TIMES * self._taken:
                raise ListError(f"the list unpacks to over {MOST_TIMES} times its size: that is no list")
        buffer[: len(part)] = part
        return len(part)

    def _inflate(self, most: int) -> bytes:
        packed = self._packed or self._stream.read(_CHUNK_BYTES)
        if not packed:
            raise ListError("the packed list ends too early: it was cut off; fetch it again")
        try:
            part = self._inflater.decompress(packed, most)
        except zlib.error:
            raise ListError("the packed list is damaged: fetch it again") from None
        rest = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        self._taken += len(packed) - len(rest)
        self._packed = rest
        self._part_made(part)
        if self._inflater.eof:
            self._member_ended()
        return part

    def _part_made(self, part: bytes) -> None:
        """Hears every part."""

    def _member_ended(self) -> None:
        """Decides what follows the deflated stream: sets `_finished`, or goes on."""
        raise NotImplementedError

    def _rest(self, most: int) -> bytes:
        """What follows, up to one byte too many."""
        parts, left = [self._packed], most + 1 - len(self._packed)
        while left > 0 and (part := self._stream.read(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


class _Gzip(_Inflating):
    """One gzip member after another, as `cat a.gz b.gz` makes them."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__(head, stream, 16 + zlib.MAX_WBITS)

    def _member_ended(self) -> None:
        self._packed = self._packed or self._stream.read(_CHUNK_BYTES)
        stripped = self._packed.lstrip(b"\0")  # tapes and pipes pad with zeros
        if not stripped:
            self._finished = not self._packed or not self._rest(_MOST_TAIL_BYTES).strip(b"\0")
            self._packed = b""
        if self._finished:
            return
        if not stripped.startswith(_GZIP[:1]):
            raise ListError("something else follows the packed list: it is damaged; fetch it again")
        self._packed = stripped
        self._inflater = zlib.decompressobj(self._window_bits)


class _Zip(_Inflating):
    """The only file of a ZIP archive."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__(head, stream, -zlib.MAX_WBITS)
        self._checksum = 0

    def _part_made(self, part: bytes) -> None:
        self._checksum = zlib.crc32(part, self._checksum)

    def _member_ended(self) -> None:
        rest = self._rest(_MOST_TAIL_BYTES)
        entry, end = rest.find(_CENTRAL), rest.rfind(_END_MARK)
        if 0 <= rest.find(_ZIP) < (entry if entry >= 0 else len(rest)):
            raise ListError("the list is a ZIP archive of several files: unpack it, and import them one by one")
        if entry < 0 or end < entry or len(rest) < end + _END.size:
            raise ListError("the packed list ends too early: it was cut off; fetch it again")
        if _END.unpack_from(rest, end)[4] != 1:
            raise ListError("the list is a ZIP archive of several files: unpack it, and import them one by one")
        if struct.unpack_from("<I", rest, entry + 16)[0] != self._checksum:
            raise ListError("the packed list is damaged: fetch it again")
        self._finished = True


def _past_local_header(head: bytes) -> bytes:
    """What follows the first file's header."""
    if len(head) < _LOCAL.size:
        raise ListError("the packed list ends too early: it was cut off; fetch it again")
    _, _, flags, method, _, _, _, _, _, name_bytes, extra_bytes = _LOCAL.unpack_from(head)
    name = head[_LOCAL.size : _LOCAL.size + name_bytes]
    if name in _SPREADSHEETS:
        raise ListError("the list is a spreadsheet: save the sheet as CSV")
    if flags & 1:
        raise ListError("the list is an encrypted ZIP archive: unpack it first")
    if method != zlib.DEFLATED or name.endswith(b"/"):
        raise ListError("the list is a ZIP archive that is not one deflated file: unpack it first")
    return head[_LOCAL.size + name_bytes + extra_bytes :]
