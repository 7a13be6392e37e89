"""The pictures of an icon file, each as a file of its own: Pillow shows only the best of them.

Rules
- ICO and CUR hold PNG files and headless bitmaps, ICNS its own runs of bytes too: each is given the header it lacks.
- Of CUR the entries are rewritten as those of ICO, where depth stands in place of the hot spot.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.decoding.reading import Headed, MediaFile

_ENTRY_BYTES = 16
_ICO_HEADER = b"\0\0\1\0\1\0"
_PNG = b"\x89PNG"
# Elements that Pillow reads; the others are masks, names, or pictures of at most 32 pixels in a packing of their own.
_ICNS_PICTURES = frozenset(
    b"is32 il32 ih32 it32 icp4 icp5 icp6 ic07 ic08 ic09 ic10 ic11 ic12 ic13 ic14".split()
)  # fmt: skip
_MOST_ELEMENTS = 1000


def icons(file: MediaFile, name: str) -> Iterator[MediaFile]:
    """Every picture of an icon file of the sniffed format `name`, as a file of one picture."""
    if name == "icns":
        yield from _elements(file)
    elif name == "ani":
        for icon in _of_cursor(file):
            yield from _entries(icon)
    else:
        yield from _entries(file)


def _entries(file: MediaFile) -> Iterator[MediaFile]:
    count = int.from_bytes(file.at(4, 2), "little")
    directory = file.at(6, _ENTRY_BYTES * count)
    for at in range(0, len(directory) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        entry = directory[at : at + _ENTRY_BYTES]
        size, offset = int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:], "little")
        picture = file.within(offset, size)
        depth = b"\0\0" if picture.at(0, 4) == _PNG else picture.at(14, 2).ljust(2, b"\0")
        begins = (len(_ICO_HEADER) + _ENTRY_BYTES).to_bytes(4, "little")
        yield Headed(_ICO_HEADER + entry[:4] + b"\1\0" + depth + entry[8:12] + begins, picture)


def _of_cursor(file: MediaFile) -> Iterator[MediaFile]:
    """The icon files of an animated cursor: chunks `icon` in the list `fram` of a RIFF file."""
    offset = 12
    for _ in range(_MOST_ELEMENTS):
        head = file.at(offset, 12)
        size = int.from_bytes(head[4:8], "little")
        if len(head) < 8:
            return
        if head[:4] == b"icon":
            yield file.within(offset + 8, size)
        offset += 12 if head[:4] == b"LIST" and head[8:] == b"fram" else 8 + size + size % 2


def _elements(file: MediaFile) -> Iterator[MediaFile]:
    offset = 8
    for _ in range(_MOST_ELEMENTS):
        head = file.at(offset, 8)
        size = int.from_bytes(head[4:], "big")
        if size < 8:
            return
        if head[:4] in _ICNS_PICTURES:
            yield Headed(b"icns" + (8 + size).to_bytes(4, "big"), file.within(offset, size))
        offset += size
