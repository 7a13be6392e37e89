"""The items of a HEIF or AVIF file (ISO 14496-12, 8.11; ISO 23008-12): which are pictures, and where the others lie.

Decoders show the primary item, some of them the others at the top too. A file in which another item is the primary one,
and all the others are hidden, is the same file but for a few bytes: so each picture in it is shown by the same decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from scanner.decoding.reading import MediaFile, Virtual

_PICTURES = frozenset({b"hvc1", b"av01", b"grid", b"iovl", b"iden", b"avc1", b"jpeg", b"j2k1", b"unci", b"vvc1"})
_NO_TIE = b"none"
_OF_ANOTHER = frozenset({b"thmb", b"auxl"})
_OTHERS = frozenset({b"Exif", b"mime", b"uri "})
_MOST_META_BYTES = 4 * 1024 * 1024
_MOST_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its number, and where its bytes lie in the file, (offset, bytes) each; none for what lies elsewhere."""

    number: int
    stretches: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Items:
    """The `primary` one, `pictures` that are not it nor tiles of another, and `others` that have bytes: EXIF, XMP.

    `aside` are the pictures that are not at the top: hidden ones, thumbnails, depth and gain maps of another. `flags`
    are where an item says that it is hidden, and what it says; `ties_at` where it says that one is of another.
    """

    primary: int = 0
    primary_at: int = 0
    primary_bytes: int = 0
    flags: dict[int, tuple[int, int]] = field(default_factory=dict)
    ties_at: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    aside: list[int] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)


class Alone(Virtual):
    """The same file with another item as its primary and only one."""

    def __init__(self, outer: MediaFile, items: Items, number: int) -> None:
        super().__init__(outer, outer.size_bytes)
        self._changed = {items.primary_at: number.to_bytes(items.primary_bytes, "big")}
        for each, (at, flags) in items.flags.items():
            self._changed[at] = bytes([flags & ~1 if each == number else flags | 1])
        self._changed |= dict.fromkeys(items.ties_at, _NO_TIE)

    def _bytes_at(self, offset: int, count: int) -> bytes:
        block = bytearray(self._outer.at(offset, count))
        for at, changed in self._changed.items():
            for place, byte in enumerate(changed, at - offset):
                if 0 <= place < len(block):
                    block[place] = byte
        return bytes(block)


def heif_items(file: MediaFile) -> Items:
    """The items of a file; none where its boxes make no sense."""
    try:
        return _items(file)
    except (struct.error, IndexError, ValueError):
        return Items()


def _items(file: MediaFile) -> Items:
    found = Items()
    meta = next(((at, end) for kind, at, end in _boxes(file, 0, file.size_bytes) if kind == b"meta"), None)
    if meta is None or meta[1] - meta[0] > _MOST_META_BYTES:
        return found
    boxes = {kind: (at, end) for kind, at, end in _boxes(file, meta[0] + 4, meta[1])}
    if not {b"pitm", b"iinf"} <= boxes.keys():
        return found
    at, _ = boxes[b"pitm"]
    found.primary_at, found.primary_bytes = at + 4, 4 if file.at(at, 1)[0] else 2
    found.primary = int.from_bytes(file.at(found.primary_at, found.primary_bytes), "big")
    entries = list(_entries(file, *boxes[b"iinf"]))
    kinds = {number: kind for number, kind, _, _ in entries}
    found.flags = {number: (place, flags) for number, _, place, flags in entries}
    references = list(_references(file, *boxes[b"iref"])) if b"iref" in boxes else []
    tiles = {number for kind, _, to, _ in references if kind == b"dimg" for number in to}
    places = dict(_places(file, *boxes[b"iloc"])) if b"iloc" in boxes else {}
    unfit = tiles | {found.primary}
    found.pictures = [n for n, kind in kinds.items() if kind in _PICTURES and n not in unfit]
    if any(number >> 8 * found.primary_bytes for number in found.pictures):
        found.pictures = []
    of_another = {number for kind, number, _, _ in references if kind in _OF_ANOTHER}
    found.ties_at = [place for kind, _, _, place in references if kind in _OF_ANOTHER]
    found.aside = [n for n in found.pictures if n in of_another or found.flags[n][1] & 1]
    found.others = [Item(n, places[n]) for n, kind in kinds.items() if kind in _OTHERS and places.get(n)]
    return found


def _boxes(file: MediaFile, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
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


def _entries(file: MediaFile, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
    """The number of each item, its kind, and where its flags lie and what they are (`infe` of version 2 and 3)."""
    first = at + (8 if file.at(at, 1)[0] else 6)
    for count, (kind, body, _) in enumerate(_boxes(file, first, end)):
        if count == _MOST_ITEMS:
            return
        entry = file.at(body, 16)
        if kind == b"infe" and entry[0] in (2, 3):
            width = 2 * (entry[0] - 1)
            yield int.from_bytes(entry[4 : 4 + width], "big"), entry[6 + width : 10 + width], body + 3, entry[3]


def _references(file: MediaFile, at: int, end: int) -> Iterator[tuple[bytes, int, tuple[int, ...], int]]:
    """The kind of each reference between items, from which item, to which, and where its kind is said."""
    width = 4 if file.at(at, 1)[0] else 2
    for kind, body, behind in _boxes(file, at + 4, end):
        numbers = file.at(body, min(behind - body, 2 + width * (_MOST_ITEMS + 1)))
        to = (numbers[place : place + width] for place in range(width + 2, len(numbers), width))
        yield kind, int.from_bytes(numbers[:width], "big"), tuple(int.from_bytes(each, "big") for each in to), body - 4


def _places(file: MediaFile, at: int, end: int) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """Where in the file the bytes of each item lie (`iloc`); items built in another way are left out."""
    fields = _Fields(file.at(at, end - at))
    version = fields.take(1)
    fields.take(3)
    sizes = fields.take(2)
    offset_width, length_width, base_width, index_width = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(fields.take(4 if version == 2 else 2), _MOST_ITEMS)):
        number = fields.take(4 if version == 2 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)
        base = fields.take(base_width)
        stretches = []
        for _ in range(min(fields.take(2), _MOST_ITEMS)):
            fields.take(index_width if version else 0)
            stretches.append((base + fields.take(offset_width), fields.take(length_width)))
        if not method:
            yield number, tuple(stretch for stretch in stretches if stretch[1])


class _Fields:
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
