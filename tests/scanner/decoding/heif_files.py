"""HEIC files put together box by box (ISO 14496-12; ISO 23008-12) from pictures that libheif has encoded."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass, replace

import pillow_heif
from PIL import Image

from scanner.decoding import MediaFile
from scanner.decoding.heif_boxes import boxes, places


def encoded(image: Image.Image, **options: object) -> bytes:
    """The image as libheif's file of one picture."""
    pillow_heif.register_heif_opener(thumbnails=False)
    stream = io.BytesIO()
    image.save(stream, "HEIF", **{"quality": 70, **options})
    return stream.getvalue()


@dataclass(frozen=True)
class Coded:
    """One coded picture: its decoder's configuration, its bytes, and (width, height)."""

    configuration: bytes
    payload: bytes
    size: tuple[int, int]


def coded(image: Image.Image, **options: object) -> Coded:
    """The image, coded."""
    content = encoded(image, **options)
    fd = os.memfd_create("heic")
    try:
        os.write(fd, content)
        file = MediaFile(fd)
        at, end = next((at, end) for kind, at, end in boxes(file, 0, file.size_bytes) if kind == b"meta")
        inner = {kind: (at, end) for kind, at, end in boxes(file, at + 4, end)}
        ((offset, count),) = dict(places(file, *inner[b"iloc"]))[1]
        properties = {kind: (at, end) for kind, at, end in boxes(file, *inner[b"iprp"])}
        known = {kind: content[at:end] for kind, at, end in boxes(file, *properties[b"ipco"])}
    finally:
        os.close(fd)
    return Coded(known[b"hvcC"], content[offset : offset + count], image.size)


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box."""
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """One box with a version and flags."""
    return box(kind, bytes([version]) + flags.to_bytes(3, "big"), *parts)


NCLX = box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80))


@dataclass(frozen=True)
class Heic:
    """A grid of `tiles`, `across` in a row, that shows (width, height); or one picture. `more` are properties of it."""

    tiles: tuple[Coded, ...]
    across: int = 1
    shown: tuple[int, int] = (0, 0)
    turns: int | None = None
    colour: bytes = NCLX
    more: tuple[bytes, ...] = ()
    version: int = 0
    lost_tiles: int = 0
    cut_bytes: int = 0

    def written(self) -> bytes:
        """The file."""
        grid = len(self.tiles) > 1
        shown = self.shown if grid else self.tiles[0].size
        of_tile = [
            box(b"hvcC", self.tiles[0].configuration),
            full(b"ispe", 0, 0, struct.pack(">II", *self.tiles[0].size)),
        ]
        turned = () if self.turns is None else (box(b"irot", bytes([self.turns])),)
        of_whole = [full(b"ispe", 0, 0, struct.pack(">II", *shown)), self.colour, *turned, *self.more]
        numbers = list(range(2, 2 + len(self.tiles))) if grid else []
        listed = [(1, b"grid" if grid else b"hvc1"), *((number, b"hvc1") for number in numbers)]
        infe = [full(b"infe", 2, int(n > 1), struct.pack(">HH", n, 0), kind, b"\0") for n, kind in listed]
        down = len(self.tiles) // self.across
        described = struct.pack(">BBBBHH", self.version, 0, down - 1, self.across - 1, *shown)
        ties = numbers[: len(numbers) - self.lost_tiles]
        dimg = box(b"dimg", struct.pack(f">HH{len(ties)}H", 1, len(ties), *ties))
        whole = range(3, 3 + len(of_whole)) if grid else (1, *range(3, 3 + len(of_whole)))
        links = struct.pack(">HB", 1, len(whole)) + bytes(0x80 | index for index in whole)
        links += b"".join(struct.pack(">HBBB", number, 2, 0x81, 0x82) for number in numbers)
        made = [
            full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", 1)),
            full(b"iinf", 0, 0, struct.pack(">H", len(listed)), *infe),
            full(b"iref", 0, 0, dimg) if grid else b"",
            box(
                b"iprp",
                box(b"ipco", *of_tile, *of_whole),
                full(b"ipma", 0, 0, struct.pack(">I", 1 + len(numbers)), links),
            ),
            box(b"idat", described) if grid else b"",
        ]
        head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
        blank = self._places(grid, numbers, 0)
        start = len(head) + len(full(b"meta", 0, 0, *made, blank)) + 8
        meta = full(b"meta", 0, 0, *made, self._places(grid, numbers, start))
        content = head + meta + box(b"mdat", *(tile.payload for tile in self.tiles))
        return content[: len(content) - self.cut_bytes]

    def _places(self, grid: bool, numbers: list[int], start: int) -> bytes:
        rows = [struct.pack(">HHHHII", 1, 1, 0, 1, 0, 8)] if grid else []
        for number, tile in zip(numbers or [1], self.tiles, strict=True):
            rows.append(struct.pack(">HHHHII", number, 0, 0, 1, start, len(tile.payload)))
            start += len(tile.payload)
        return full(b"iloc", 1, 0, b"\x44\x00", struct.pack(">H", len(rows)), *rows)


def tiled(image: Image.Image, tile: int, **options: object) -> Heic:
    """The image cut into square tiles, those at the right and below filled up, as cameras write it."""
    across, down = -(-image.width // tile), -(-image.height // tile)
    cuts = [
        image.crop((x * tile, y * tile, (x + 1) * tile, (y + 1) * tile)) for y in range(down) for x in range(across)
    ]
    return Heic(tuple(coded(each, **options) for each in cuts), across, image.size)


def zeroed(tile: Coded, share: float) -> Coded:
    """The last share of its bytes lost, as a download that stopped leaves them."""
    kept = int(len(tile.payload) * (1 - share))
    return replace(tile, payload=tile.payload[:kept] + bytes(len(tile.payload) - kept))
