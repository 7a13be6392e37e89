"""The composite of PSD and PSB files in the depths, modes and sizes that Pillow has no mode for.

Source: Adobe Photoshop File Formats Specification (2019). Alpha and spot colours are dropped, gamma is not applied.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.reading import MediaFile

_GREY, _INDEXED, _RGB, _CMYK, _DUOTONE = 1, 2, 3, 4, 8
_CHANNELS = {_GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1}
_BYTES_PER_SAMPLE = 6  # as stored, unpacked, and as bytes
_MERGED, _MOST_RESOURCES = 1057, 5000


def photoshop_pixels(file: MediaFile, name: str, budget: Budget) -> list[NDArray[np.uint8]]:
    """The composite, (height, width) or (height, width, 3); nothing of other formats. ValueError if damaged."""
    head = file.at(0, 26)
    if name != "psd" or len(head) < 26:
        return []
    large = head[5] == 2
    stored, height, width, depth, mode = (
        int.from_bytes(head[at : at + size], "big") for at, size in ((12, 2), (14, 4), (18, 4), (22, 2), (24, 2))
    )
    channels = _CHANNELS.get(mode, 0)
    if not 0 < channels <= stored or depth not in (8, 16, 32):
        return []
    width_bytes = depth // 8
    budget.charge(height * width * channels * width_bytes * _BYTES_PER_SAMPLE)
    palette_at, at = 30, _sections_end(file, large)
    packing = int.from_bytes(file.at(at, 2), "big")
    rows = _unpacked(file, at + 2, packing, stored * height, channels * height, width * width_bytes, large)
    samples = np.frombuffer(rows, {1: ">u1", 2: ">u2", 4: ">f4"}[width_bytes]).reshape(channels, height, width)
    return [_shown(_in_bytes(samples), mode, file.at(palette_at, 768))]


def lacks_composite(file: MediaFile) -> bool:
    """Whether the file says that it was saved without one: then what viewers show is white, and the layers are not."""
    at = 26 + 4 + int.from_bytes(file.at(26, 4), "big")
    end = at + 4 + int.from_bytes(file.at(at, 4), "big")
    at += 4
    for _ in range(_MOST_RESOURCES):
        head = file.at(at, 7)
        if at >= end or head[:4] != b"8BIM":
            return False
        named = at + 6 + (1 + head[6] + 1) // 2 * 2
        size = int.from_bytes(file.at(named, 4), "big")
        if int.from_bytes(head[4:6], "big") == _MERGED:
            return file.at(named + 8, 1) == b"\0"
        at = named + 4 + size + size % 2
    return False


def _sections_end(file: MediaFile, large: bool) -> int:
    """Where the composite begins: behind palette, resources and layers."""
    at = 26
    for width in (4, 4, 8 if large else 4):
        at += width + int.from_bytes(file.at(at, width), "big")
    return at


def _unpacked(file: MediaFile, at: int, packing: int, stored: int, wanted: int, row_bytes: int, large: bool) -> bytes:
    """The first `wanted` of the `stored` rows."""
    if packing == 0:
        rows = file.at(at, wanted * row_bytes)
    elif packing == 1:
        width = 4 if large else 2
        counts = np.frombuffer(file.at(at, stored * width), f">u{width}")[:wanted].astype(np.int64)
        packed = memoryview(file.at(at + stored * width, int(counts.sum())))
        ends = np.cumsum(counts).tolist()
        rows = b"".join(_packbits(packed[start:end], row_bytes) for start, end in zip([0, *ends], ends, strict=False))
    else:
        left = max(0, file.size_bytes - at)
        rows = zlib.decompressobj().decompress(file.at(at, left), wanted * row_bytes)
    if packing > 2 or len(rows) < wanted * row_bytes:
        raise ValueError("ends too soon, or is packed in another way")
    return rows


def _packbits(packed: memoryview, most: int) -> bytes:
    """One row in runs (TIFF 6.0, section 9)."""
    row, at = bytearray(), 0
    while at < len(packed) and len(row) < most:
        count = packed[at]
        if count < 128:
            row += packed[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            row += bytes(packed[at + 1 : at + 2]) * (257 - count if count > 128 else 0)
            at += 2 if count > 128 else 1
    return bytes(row[:most])


def _in_bytes(samples: NDArray[Any]) -> NDArray[np.uint8]:
    if samples.dtype.kind == "f":
        return np.clip(np.nan_to_num(samples.astype(np.float32)) * 255, 0, 255).astype(np.uint8)
    return (samples >> 8).astype(np.uint8) if samples.dtype.itemsize == 2 else samples.astype(np.uint8)


def _shown(planes: NDArray[np.uint8], mode: int, palette: bytes) -> NDArray[np.uint8]:
    if mode == _INDEXED:
        colours = np.frombuffer(palette.ljust(768, b"\0"), np.uint8).reshape(3, 256)
        return np.ascontiguousarray(np.moveaxis(colours[:, planes[0]], 0, 2))
    if mode == _CMYK:  # stored as how much of the paper is left
        planes = (planes[:3].astype(np.uint16) * planes[3] // 255).astype(np.uint8)
    return planes[0] if len(planes) == 1 else np.ascontiguousarray(np.moveaxis(planes, 0, 2))
