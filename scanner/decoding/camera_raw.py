"""Whether a TIFF is a camera's raw file: its previews are pictures, what its sensor saw is none until developed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from scanner.decoding.reading import MediaFile

# TIFF 6.0, TIFF/EP (ISO 12234-2) and DNG 1.7: tags, and how a sensor's values are said to be coloured.
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706
_COLOUR_FILTERS, _LINEAR_RAW = 32803, 34892
_CANON_2 = b"CR\2\0"  # at 8, where TIFF has its first directory
_MOST_DIRECTORIES = 50
_MOST_FIELDS = 500


def is_raw(file: MediaFile) -> bool:
    """Whether some directory of a TIFF holds, or is said to hold, values of a sensor. Reads directories only."""
    head = file.at(0, 12)
    if head[8:12] == _CANON_2:
        return True
    order = order_of(head)
    todo, done = [int.from_bytes(head[4:8], order)], set[int]()
    while todo and len(done) < _MOST_DIRECTORIES:
        offset = todo.pop()
        if not offset or offset in done:
            continue
        done.add(offset)
        fields = dict(fields_of(file, offset, order))
        if _DNG_VERSION in fields or fields.get(_PHOTOMETRIC, [0])[0] in (_COLOUR_FILTERS, _LINEAR_RAW):
            return True
        todo += fields.get(_SUB_DIRECTORIES, []) + fields.get(-1, [])
    return False


def order_of(head: bytes) -> Literal["little", "big"]:
    """The byte order of a TIFF, by its first bytes."""
    return "little" if head[:2] == b"II" else "big"


def fields_of(file: MediaFile, offset: int, order: Literal["little", "big"]) -> Iterator[tuple[int, list[int]]]:
    """The tags of one directory with their whole numbers, and under -1 the next directory's offset."""
    count = min(int.from_bytes(file.at(offset, 2), order), _MOST_FIELDS)
    block = file.at(offset + 2, 12 * count + 4)
    for at in range(0, 12 * count, 12):
        tag, kind = (int.from_bytes(block[at + n : at + n + 2], order) for n in (0, 2))
        many = min(int.from_bytes(block[at + 4 : at + 8], order), _MOST_DIRECTORIES)
        width = 2 if kind == 3 else 4
        values = block[at + 8 : at + 12]
        if many * width > 4:
            values = file.at(int.from_bytes(values, order), many * width)
        yield tag, [int.from_bytes(values[n : n + width], order) for n in range(0, many * width, width)] or [0]
    yield -1, [int.from_bytes(block[12 * count :], order)]
