"""The boxes of a HEIF or AVIF file (ISO 14496-12, 8.11): its items, how they are tied, and where their bytes lie.

What makes no sense ends a listing, or raises ValueError, IndexError or struct.error.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.decoding.reading import MediaFile

MOST_META_BYTES = 4 * 1024 * 1024
MOST_ITEMS = 4096


def boxes(file: MediaFile, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box between two offsets, and where what it holds begins and ends."""
    while start + 8 <= end:
        header = file.at(start, 16)
        size, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16], "big"), start + 16
        elif size == 0:
            size = end - start
        if size < 8 or start + size > end:
            return
        yield kind, body, start + size
        start += size


def entries(file: MediaFile, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
    """The number of each item, its kind, and where its flags lie and what they are (`infe` of version 2 and 3)."""
    first = at + (8 if file.at(at, 1)[0] else 6)
    for count, (kind, body, _) in enumerate(boxes(file, first, end)):
        if count == MOST_ITEMS:
            return
        entry = file.at(body, 16)
        if kind == b"infe" and entry[0] in (2, 3):
            width = 2 * (entry[0] - 1)
            yield int.from_bytes(entry[4 : 4 + width], "big"), entry[6 + width : 10 + width], body + 3, entry[3]


def references(file: MediaFile, at: int, end: int) -> Iterator[tuple[bytes, int, tuple[int, ...], int]]:
    """The kind of each reference between items, from which item, to which, and where its kind is said."""
    width = 4 if file.at(at, 1)[0] else 2
    for kind, body, behind in boxes(file, at + 4, end):
        numbers = file.at(body, min(behind - body, 2 + width * (MOST_ITEMS + 1)))
        to = (numbers[place : place + width] for place in range(width + 2, len(numbers), width))
        yield kind, int.from_bytes(numbers[:width], "big"), tuple(int.from_bytes(each, "big") for each in to), body - 4


def places(
    file: MediaFile, at: int, end: int, data_at: int | None = None
) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """Where in the file the bytes of each item lie (`iloc`); items built in another way are left out.

    `data_at` is where the meta box's own data (`idat`) begins, in which some may lie.
    """
    fields = Fields(file.at(at, end - at))
    version = fields.take(1)
    fields.take(3)
    sizes = fields.take(2)
    offset_width, length_width, base_width, index_width = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(fields.take(4 if version == 2 else 2), MOST_ITEMS)):
        number = fields.take(4 if version == 2 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)
        base = fields.take(base_width)
        stretches = []
        for _ in range(min(fields.take(2), MOST_ITEMS)):
            fields.take(index_width if version else 0)
            stretches.append((base + fields.take(offset_width), fields.take(length_width)))
        if method == 1 and data_at is not None:
            stretches = [(data_at + offset, count) for offset, count in stretches]
        if not method or (method == 1 and data_at is not None):
            yield number, tuple(stretch for stretch in stretches if stretch[1])


class Fields:
    """Whole numbers one behind the other. Raises ValueError behind the last."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, width: int) -> int:
        """The next number, of so many bytes."""
        if self._at + width > len(self._content):
            raise ValueError("ends too soon")
        value = int.from_bytes(self._content[self._at : self._at + width], "big")
        self._at += width
        return value
