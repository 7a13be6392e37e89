"""The luma of a plain, intact HEIC by FFmpeg's HEVC decoder: no colour conversion, and two thirds of libheif's time.

Where its rows can be read apart it is read twice, and takes libheif's time.

Rules
- One picture of 8 bits in YCbCr by the matrix that luma is defined by (ITU-R BT.601), as phones write it: one image, or
  a grid of tiles (ISO 23008-12, 6.6.2.3), turned by right angles (`irot`) or not.
- None for whatever is not that: libheif then reads it. What a property says that must be understood and is not known
  here is not guessed at.
- libheif makes up what is bad or missing in a picture and says nothing; this decoder is told to say it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.demuxing import packet_of
from scanner.decoding.heif_boxes import MOST_ITEMS, MOST_META_BYTES, Fields, boxes, entries, places, references
from scanner.decoding.hevc_parameters import brings_its_own, rows_stand_apart
from scanner.decoding.reading import MediaFile

_BYTES_PER_PIXEL = 6  # the tile that is decoded, its references and what was put together of it
_MOST_ENCODED_BYTES = 64 * 1024 * 1024
_KNOWN = frozenset({b"hvcC", b"ispe", b"colr", b"pixi", b"pasp", b"irot"})
_PLAIN_FORMATS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray"})
_BT601 = frozenset({5, 6})  # ITU-T H.273, MatrixCoefficients
_FULL = 2  # FFmpeg's AVCOL_RANGE_JPEG; 1 is limited


class DamagedPicture(Exception):
    """What is there of the picture is not all good."""


class _NotPlain(Exception):
    """libheif is to read it."""


@dataclass(frozen=True, slots=True)
class HeifLuma:
    """(height, width) luma as shown, and whether black is 16 and white 235."""

    pixels: NDArray[np.uint8]
    limited: bool


@dataclass(slots=True)
class _Image:
    """What the properties of one coded image, or of a grid, say. `turns` are by 90 degrees, anti-clockwise."""

    size: tuple[int, int] = (0, 0)
    configuration: bytes = b""
    matrix: int | None = None
    full: bool | None = None
    turns: int = 0


@dataclass(slots=True)
class _Meta:
    """The meta box, opened: the primary item, and of each item its kind, its bytes' place and its properties."""

    primary: int
    kinds: dict[int, bytes]
    places: dict[int, tuple[tuple[int, int], ...]]
    properties: dict[int, list[tuple[bytes, int, int]]]
    tiles: dict[int, tuple[int, ...]] = field(default_factory=dict)
    premultiplied: bool = False


def heif_luma(file: MediaFile, size: tuple[int, int], budget: Budget) -> HeifLuma | None:
    """The primary picture of a file that is to show `size` (height, width). Raises OverBudget, DamagedPicture."""
    try:
        return _luma(file, size, budget)
    except av.error.InvalidDataError as error:
        raise DamagedPicture from error
    except (_NotPlain, struct.error, IndexError, ValueError, av.error.FFmpegError):
        return None


def _luma(file: MediaFile, size: tuple[int, int], budget: Budget) -> HeifLuma:
    meta = _meta(file)
    whole = _image(file, meta, meta.primary)
    kind = meta.kinds.get(meta.primary)
    if kind not in (b"hvc1", b"grid"):
        raise _NotPlain
    tiles, across, shown = _grid(file, meta) if kind == b"grid" else ((meta.primary,), 1, whole.size)
    if whole.size != shown or (shown[::-1] if whole.turns % 2 else shown) != size:
        raise _NotPlain
    budget.charge(size[0] * size[1] * _BYTES_PER_PIXEL)
    pixels, limited = _put_together(file, meta, tiles, across, whole, budget)
    if rows_stand_apart(_image(file, meta, tiles[0]).configuration):
        # Read one after the other, all rows behind a bad one are lost, mostly in silence; read apart, other parts are.
        # Intact, they show the same.
        budget.charge(pixels.size)
        if not np.array_equal(pixels, _put_together(file, meta, tiles, across, whole, budget, threads=2)[0]):
            raise DamagedPicture
    return HeifLuma(np.ascontiguousarray(np.rot90(pixels, whole.turns)), limited)


def _put_together(
    file: MediaFile, meta: _Meta, tiles: tuple[int, ...], across: int, whole: _Image, budget: Budget, threads: int = 1
) -> tuple[NDArray[np.uint8], bool]:
    """The tiles at their places in a picture of the whole's size, and whether their range is limited."""
    height, width = whole.size
    pixels = np.empty((height, width), np.uint8)
    first = _image(file, meta, tiles[0])
    down = len(tiles) // across
    if not (0 < height <= down * first.size[0] and 0 < width <= across * first.size[1]):
        raise _NotPlain
    ranges = set()
    count = 0
    for count, frame in enumerate(_decoded(file, meta, tiles, first, budget, threads), 1):
        ranges.add(_is_full(frame, whole, first))
        if count > len(tiles) or (frame.height, frame.width) != first.size:
            raise _NotPlain
        row, column = divmod(count - 1, across)
        room = pixels[row * frame.height : (row + 1) * frame.height, column * frame.width : (column + 1) * frame.width]
        plane = frame.planes[0]
        samples: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        room[:] = samples[: room.shape[0], : room.shape[1]]
    if count != len(tiles) or len(ranges) != 1:
        raise _NotPlain
    return pixels, not ranges.pop()


def _decoded(
    file: MediaFile, meta: _Meta, tiles: tuple[int, ...], first: _Image, budget: Budget, threads: int
) -> Iterator[VideoFrame]:
    """Each tile's picture, in their order: none is decoded by what another shows."""
    context = av.CodecContext.create("hevc", "r")
    context.extradata = first.configuration
    most_pixels = (first.size[0] + 64) * (first.size[1] + 64)  # as coded, in blocks of up to 64
    # Without the first, what is bad or missing is made up in silence.
    context.options = {"err_detect": "explode", "max_pixels": str(most_pixels)}
    context.thread_type, context.thread_count = "SLICE", threads
    for tile in tiles:
        if tile != meta.primary and _image(file, meta, tile) != first:
            raise _NotPlain
        budget.check()
        encoded = _bytes_of(file, meta, tile)
        if brings_its_own(first.configuration, encoded):
            raise _NotPlain
        yield from context.decode(packet_of(encoded))
    yield from context.decode(None)


def _is_full(frame: VideoFrame, *said: _Image) -> bool:
    """Whether luma goes from 0 to 255. What the container says counts before what the stream says."""
    matrices = {each.matrix for each in said} - {None} or {int(frame.colorspace)}
    ranges = {each.full for each in said} - {None} or {{1: False, _FULL: True}.get(int(frame.color_range))}
    if frame.is_corrupt or frame.format.name not in _PLAIN_FORMATS or len(ranges) != 1 or None in ranges:
        raise _NotPlain
    if frame.format.name != "gray" and not matrices <= _BT601:
        raise _NotPlain
    return bool(ranges.pop())


def _bytes_of(file: MediaFile, meta: _Meta, item: int) -> bytes:
    stretches = meta.places.get(item, ())
    if not stretches or sum(count for _, count in stretches) > _MOST_ENCODED_BYTES:
        raise _NotPlain
    if any(offset + count > file.size_bytes for offset, count in stretches):
        raise _NotPlain
    return b"".join(file.at(offset, count) for offset, count in stretches)


# -- the boxes ---------------------------------------------------------------------------------------------------------


def _meta(file: MediaFile) -> _Meta:
    at, end = next(((at, end) for kind, at, end in boxes(file, 0, file.size_bytes) if kind == b"meta"), (0, 0))
    if not 0 < end - at <= MOST_META_BYTES:
        raise _NotPlain
    inner = {kind: (at, end) for kind, at, end in boxes(file, at + 4, end)}
    if not {b"pitm", b"iinf", b"iloc", b"iprp"} <= inner.keys():
        raise _NotPlain
    primary_at = inner[b"pitm"][0]
    width = 4 if file.at(primary_at, 1)[0] else 2
    data_at = inner[b"idat"][0] if b"idat" in inner else None
    meta = _Meta(
        int.from_bytes(file.at(primary_at + 4, width), "big"),
        {number: kind for number, kind, _, _ in entries(file, *inner[b"iinf"])},
        dict(places(file, *inner[b"iloc"], data_at)),
        _properties(file, *inner[b"iprp"]),
    )
    for kind, number, to, _ in references(file, *inner[b"iref"]) if b"iref" in inner else ():
        meta.premultiplied |= kind == b"prem"
        if kind == b"dimg":
            if number in meta.tiles:
                raise _NotPlain
            meta.tiles[number] = to
    if meta.premultiplied:
        raise _NotPlain
    return meta


def _properties(file: MediaFile, at: int, end: int) -> dict[int, list[tuple[bytes, int, int]]]:
    """The properties of each item, in their order: kind, and where what it holds begins and ends."""
    inner = {kind: (at, end) for kind, at, end in boxes(file, at, end)}
    known = list(boxes(file, *inner[b"ipco"])) if b"ipco" in inner else []
    found: dict[int, list[tuple[bytes, int, int]]] = {}
    if b"ipma" not in inner:
        return found
    start, stop = inner[b"ipma"]
    fields = Fields(file.at(start, stop - start))
    version, wide = fields.take(1), fields.take(3) & 1
    for _ in range(min(fields.take(4), MOST_ITEMS)):
        of_item = found.setdefault(fields.take(4 if version else 2), [])
        for _ in range(fields.take(1)):
            said = fields.take(2 if wide else 1)
            essential, index = bool(said >> (15 if wide else 7)), said & (0x7FFF if wide else 0x7F)
            if index:
                of_item.append(_property(known[index - 1], essential=essential))
    return found


def _property(box: tuple[bytes, int, int], *, essential: bool) -> tuple[bytes, int, int]:
    """The property, under no name where it may be passed over."""
    kind, at, end = box
    if kind in _KNOWN or essential or kind in (b"clap", b"imir"):
        return box
    return b"", at, end


def _image(file: MediaFile, meta: _Meta, item: int) -> _Image:
    """What the properties of an item say. Raises _NotPlain for one that is not known here."""
    found = _Image()
    for kind, at, end in meta.properties.get(item, ()):
        content = file.at(at, min(end - at, 64 * 1024))
        match kind:
            case b"ispe":
                found.size = int.from_bytes(content[8:12], "big"), int.from_bytes(content[4:8], "big")
            case b"hvcC":
                found.configuration = content
            case b"irot":
                found.turns = content[0] & 3
            case b"colr" if content[:4] == b"nclx":
                found.matrix, found.full = int.from_bytes(content[8:10], "big"), bool(content[10] >> 7)
            case b"pixi" if set(content[5:]) - {8}:
                raise _NotPlain
            case b"" | b"colr" | b"pixi" | b"pasp":
                pass
            case _:
                raise _NotPlain
    return found


def _grid(file: MediaFile, meta: _Meta) -> tuple[tuple[int, ...], int, tuple[int, int]]:
    """The tiles of the primary item row by row, how many a row has, and the (height, width) that is shown."""
    fields = Fields(_bytes_of(file, meta, meta.primary))
    version, flags, down, across = fields.take(1), fields.take(1), fields.take(1) + 1, fields.take(1) + 1
    wide = 4 if flags & 1 else 2
    width, height = fields.take(wide), fields.take(wide)
    tiles = meta.tiles.get(meta.primary, ())
    if version or len(tiles) != down * across or any(meta.kinds.get(tile) != b"hvc1" for tile in tiles):
        raise _NotPlain
    if any(_image(file, meta, tile).turns for tile in tiles):
        raise _NotPlain
    return tiles, across, (height, width)
