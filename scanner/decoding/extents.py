"""Where the bytes of a picture or film end by its own format, whatever follows in the file.

Rules
- Reads bytes only, decodes nothing. An end that comes too early costs a search of what follows; one that lies beyond
  the file, or that the format does not tell, is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from scanner.decoding.reading import MediaFile

BLOCK_BYTES = 256 * 1024  # larger ones are given back to the system after each use, and cost four times as much
_MOST_GIF_BYTES = 16 * 1024 * 1024  # whose blocks are followed
MOST_SEGMENTS = 1000
_MOST_BOXES = 10_000
_MOST_PACKETS = 100_000
_MOST_GIF_BLOCKS = 1_000_000
# What may follow 0xFF within a scan: a stuffed zero, a fill byte, a restart (T.81, B.1.1.2).
_IN_SCAN = np.isin(np.arange(256), (0x00, 0xFF, *range(0xD0, 0xD8)))
_PNG_END = b"IEND\xaeB`\x82"
# Boxes that may stand at the top of an ISO base media file (ISO 14496-12, 23008-12, 15444-1; `mpvd`, `sefd`: phones).
_KNOWN_BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra meta free skip wide uuid pdin sidx ssix prft emsg udta pnot idat mpvd sefd "
    b"jumb uinf imda jp2h jp2c jp2i Exif brob jxlc jxlp jxll jxli rreq dtbl ftbl jpch jplh comp copt inst asoc nlst "
    b"opct creg cgrp roid drep gtso chck mp7b".split()
) | {b"jP  ", b"JXL ", b"res ", b"xml ", b"lbl ", b"url "}
# One of which a film or picture has: a walk that met none of them stopped at a box it does not know.
_WITH_CONTENT = frozenset({b"moov", b"moof", b"mdat", b"meta", b"jp2c", b"jxlc", b"jxlp"})


def blocks(file: MediaFile, start: int, overlap: int) -> Iterator[tuple[int, bytes]]:
    """The bytes from `start` on, block by block, each with the offset it begins at."""
    while start < file.size_bytes:
        block = file.at(start, min(BLOCK_BYTES + overlap, file.size_bytes - start))
        if not block:
            return
        yield start, block
        start += BLOCK_BYTES


def padding_end(file: MediaFile, start: int) -> int:
    """Where the zeros end that lie at `start`; the end of the file where nothing else follows."""
    for offset, block in blocks(file, start, 0):
        if any_set(block):
            return offset + len(block) - len(block.lstrip(b"\0"))
    return file.size_bytes


def any_set(block: bytes) -> bool:
    """Whether not all bytes are zero."""
    return bool(np.frombuffer(block, dtype=np.uint8).any())


def find(file: MediaFile, needle: bytes, start: int) -> int | None:
    """The offset of the first `needle` from `start` on; None where there is none."""
    for offset, block in blocks(file, start, len(needle) - 1):
        at = block.find(needle)
        if at >= 0:
            return offset + at
    return None


def end_of(file: MediaFile, name: str) -> int | None:
    """The offset behind the last byte of the format `name` (as sniffed) that begins at 0; None where unknown."""
    match name:
        case "jpeg":
            return _jpeg_end(file)
        case "png":
            at = find(file, _PNG_END, 8)
            return None if at is None else at + len(_PNG_END)
        case "gif":
            return _gif_end(file)
        case "webp" | "ani":
            return _inside(file, 8 + int.from_bytes(file.at(4, 4), "little"))
        case "avi":
            return _avi_end(file)
        case "matroska":
            return _matroska_end(file)
        case "mpeg-ps":
            return _program_stream_end(file)
        case "icns":
            return _inside(file, int.from_bytes(file.at(4, 4), "big"))
        case "ico" | "cur":
            return _icons_end(file)
        case "heif" | "avif" | "mp4":
            return _boxes_end(file)
        case "jpeg2000" | "jxl":
            return _boxes_end(file) if file.at(0, 3) == b"\0\0\0" else None
        case _:
            return None


def _inside(file: MediaFile, end: int) -> int | None:
    return end if end <= file.size_bytes else None


def _jpeg_end(file: MediaFile) -> int | None:
    """Behind the end marker, or where the segments and scans stop making sense (T.81, B.1)."""
    offset = 2
    for _ in range(MOST_SEGMENTS):
        header = file.at(offset, 4)
        if len(header) < 2 or header[0] != 0xFF:
            return min(offset, file.size_bytes)
        marker = header[1]
        if marker == 0xD9:
            return offset + 2
        if marker == 0xFF:  # fill
            offset += 1
        elif marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            return offset
        else:
            offset += 2 + int.from_bytes(header[2:], "big")
            if marker == 0xDA:
                offset = _scan_end(file, offset)
    return None


def stands_alone(file: MediaFile) -> bool:
    """Whether a JPEG has a frame with a size, and tables for it: strips of a TIFF have none, and nothing shows them."""
    offset, framed, tables = 2, False, False
    for _ in range(MOST_SEGMENTS):
        header = file.at(offset, 9)
        if len(header) < 9 or header[0] != 0xFF:
            return False
        if header[1] == 0xDA:
            return framed and tables
        if header[1] == 0xDB:
            tables = True
        if 0xC0 <= header[1] <= 0xCF and header[1] not in (0xC4, 0xC8, 0xCC):
            framed = header[7:9] != b"\0\0"
            tables |= header[1] & 3 == 3  # lossless
        offset += 1 if header[1] == 0xFF else 2 + int.from_bytes(header[2:4], "big")
    return False


def _scan_end(file: MediaFile, start: int) -> int:
    """The offset of the first marker in entropy-coded bytes that does not belong there; the end where there is none."""
    for offset, block in blocks(file, start, 1):
        at = first_marker(block)
        if at >= 0:
            return offset + at
    return file.size_bytes


def marker_by_numpy(block: bytes) -> int:
    """Where in entropy-coded bytes the first marker is that does not belong there (T.81, B.1.1.2), or -1."""
    scan = np.frombuffer(block, dtype=np.uint8)
    escapes = np.flatnonzero(scan[:-1] == 0xFF)
    markers = escapes[~_IN_SCAN[scan[escapes + 1]]]
    return int(markers[0]) if len(markers) else -1


try:
    from scanner.decoding._native import first_marker
except ImportError:  # no compiler when the package was installed
    first_marker = marker_by_numpy


def _avi_end(file: MediaFile) -> int | None:
    """Behind the last of the chunks that make one film (OpenDML AVI 1.02, 3)."""
    offset = 0
    for _ in range(MOST_SEGMENTS):
        header = file.at(offset, 12)
        if header[:4] != b"RIFF" or (offset and header[8:] != b"AVIX"):
            return _inside(file, offset)
        size = int.from_bytes(header[4:8], "little")
        offset += 8 + size + size % 2
    return None


def _matroska_end(file: MediaFile) -> int | None:
    """Behind the first segment (RFC 8794): None where it does not tell its size, as of a live stream."""
    at = 4 + sum(_vint(file, 4))
    if file.at(at, 4) != b"\x18\x53\x80\x67":
        return None
    width, size = _vint(file, at + 4)
    unknown = (1 << 7 * width) - 1
    return None if size == unknown or not width else _inside(file, at + 4 + width + size)


def _vint(file: MediaFile, at: int) -> tuple[int, int]:
    """The width and value of a variable-size integer."""
    head = file.at(at, 8)
    width = 9 - head[0].bit_length() if head and head[0] else 0
    return width, int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1) if width else 0


def _program_stream_end(file: MediaFile) -> int | None:
    """Behind the last packet in a row (ISO 13818-1, 2.5.3)."""
    offset = 0
    for _ in range(_MOST_PACKETS):
        head = file.at(offset, 14)
        if len(head) < 6 or head[:3] != b"\0\0\1" or head[3] < 0xB9:
            return offset
        if head[3] == 0xB9:
            offset += 4
        elif head[3] == 0xBA:
            offset += 14 + (head[13] & 7) if head[4] & 0xC0 == 0x40 and len(head) > 13 else 12
        else:
            offset += 6 + int.from_bytes(head[4:6], "big")
    return None


def _icons_end(file: MediaFile) -> int | None:
    """Behind the last picture of the directory, each entry of which ends with its size and offset."""
    entries = file.at(6, 16 * int.from_bytes(file.at(4, 2), "little"))
    ends = [
        int.from_bytes(entries[at + 8 : at + 12], "little") + int.from_bytes(entries[at + 12 : at + 16], "little")
        for at in range(0, len(entries) - 15, 16)
    ]
    return _inside(file, max(ends, default=0))


def _gif_end(file: MediaFile) -> int | None:
    """Behind the trailer (GIF89a, 27); None where the blocks do not lead to one."""
    content = file.at(0, min(file.size_bytes, _MOST_GIF_BYTES))
    if len(content) < 13:
        return None
    at = 13 + _table_bytes(content[10])
    try:
        for _ in range(_MOST_GIF_BLOCKS):
            kind = content[at]
            if kind == 0x3B:
                return at + 1
            if kind == 0x21:
                at += 2
            elif kind == 0x2C:
                at += 11 + _table_bytes(content[at + 9])
            else:
                return None
            while content[at]:
                at += 1 + content[at]
            at += 1
    except IndexError:
        pass
    return None


def _table_bytes(flags: int) -> int:
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0


def boxes(file: MediaFile) -> Iterator[tuple[bytes, int, int]]:
    """The kind, offset and end of each box at the top of an ISO base media file, as long as they make sense."""
    offset = 0
    for _ in range(_MOST_BOXES):
        header = file.at(offset, 16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:
            size = file.size_bytes - offset
        if kind not in _KNOWN_BOXES or size < 8:
            return
        yield kind, offset, offset + size
        offset += size


def _boxes_end(file: MediaFile) -> int | None:
    end, typed, met = 0, False, False
    for kind, offset, box_end in boxes(file):
        if (kind == b"ftyp" and typed) or (kind in (b"jP  ", b"JXL ") and offset):
            break  # another file begins
        end, typed, met = box_end, typed or kind == b"ftyp", met or kind in _WITH_CONTENT
    return end if met and 0 < end <= file.size_bytes else None


_MPF = b"MPF\0"


def multi_pictures(file: MediaFile) -> list[tuple[int, int]]:
    """(offset, bytes) of each picture in a JPEG's Multi-Picture Format index; the first is the JPEG itself."""
    offset = 2
    for _ in range(MOST_SEGMENTS):
        header = file.at(offset, 8)
        if len(header) < 8 or header[0] != 0xFF or header[1] in (0xDA, 0xD9):
            return []
        size = int.from_bytes(header[2:4], "big")
        if header[1] == 0xE2 and header[4:8] == _MPF:
            return _entries(file.at(offset + 8, max(0, size - 6)), offset + 8)
        offset += 2 + size
    return []


def segments(file: MediaFile) -> Iterator[tuple[int, int, int]]:
    """(marker, offset, bytes) of what each application segment and comment in the header of a JPEG holds."""
    offset = 2
    for _ in range(MOST_SEGMENTS):
        header = file.at(offset, 4)
        if len(header) < 4 or header[0] != 0xFF or header[1] in (0xDA, 0xD9):
            return
        size = int.from_bytes(header[2:], "big")
        if (0xE1 <= header[1] <= 0xEF or header[1] == 0xFE) and size > 2:
            yield header[1], offset + 4, size - 2
        offset += 1 if header[1] == 0xFF else 2 + size


def _entries(index: bytes, base: int) -> list[tuple[int, int]]:
    """The entries of an index at `base`, from which its offsets count (CIPA DC-007, 5.2.3)."""
    order: Literal["little", "big"] = "little" if index[:2] == b"II" else "big"

    def number(at: int, width: int) -> int:
        return int.from_bytes(index[at : at + width], order)

    directory = number(4, 4)
    for field in range(directory + 2, directory + 2 + 12 * min(number(directory, 2), 100), 12):
        if number(field, 2) == 0xB002:
            at, count = number(field + 8, 4), number(field + 4, 4) // 16
            found = [(number(e + 8, 4), number(e + 4, 4)) for e in range(at, min(at + 16 * count, len(index)), 16)]
            return [(base + offset, size) for offset, size in found if offset]
    return []
