"""The items of a HEIF or AVIF file (ISO 14496-12, 8.11; ISO 23008-12): which are pictures, and where the others lie.

Decoders show the primary item, some of them the others at the top too. A file in which another item is the primary one,
and all the others are hidden, is the same file but for a few bytes: so each picture in it is shown by the same decoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from scanner.decoding.heif_boxes import MOST_META_BYTES, boxes, entries, places, references
from scanner.decoding.reading import MediaFile, Virtual

_PICTURES = frozenset({b"hvc1", b"av01", b"grid", b"iovl", b"iden", b"avc1", b"jpeg", b"j2k1", b"unci", b"vvc1"})
_NO_TIE = b"none"
_OF_ANOTHER = frozenset({b"thmb", b"auxl"})
_OTHERS = frozenset({b"Exif", b"mime", b"uri "})


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
    meta = next(((at, end) for kind, at, end in boxes(file, 0, file.size_bytes) if kind == b"meta"), None)
    if meta is None or meta[1] - meta[0] > MOST_META_BYTES:
        return found
    inner = {kind: (at, end) for kind, at, end in boxes(file, meta[0] + 4, meta[1])}
    if not {b"pitm", b"iinf"} <= inner.keys():
        return found
    at, _ = inner[b"pitm"]
    found.primary_at, found.primary_bytes = at + 4, 4 if file.at(at, 1)[0] else 2
    found.primary = int.from_bytes(file.at(found.primary_at, found.primary_bytes), "big")
    listed = list(entries(file, *inner[b"iinf"]))
    kinds = {number: kind for number, kind, _, _ in listed}
    found.flags = {number: (place, flags) for number, _, place, flags in listed}
    ties = list(references(file, *inner[b"iref"])) if b"iref" in inner else []
    tiles = {number for kind, _, to, _ in ties if kind == b"dimg" for number in to}
    data_at = inner[b"idat"][0] if b"idat" in inner else None
    where = dict(places(file, *inner[b"iloc"], data_at)) if b"iloc" in inner else {}
    unfit = tiles | {found.primary}
    found.pictures = [n for n, kind in kinds.items() if kind in _PICTURES and n not in unfit]
    if any(number >> 8 * found.primary_bytes for number in found.pictures):
        found.pictures = []
    of_another = {number for kind, number, _, _ in ties if kind in _OF_ANOTHER}
    found.ties_at = [place for kind, _, _, place in ties if kind in _OF_ANOTHER]
    found.aside = [n for n in found.pictures if n in of_another or found.flags[n][1] & 1]
    found.others = [Item(n, where[n]) for n, kind in kinds.items() if kind in _OTHERS and where.get(n)]
    return found
