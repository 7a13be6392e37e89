"""Stills that neither Pillow nor FFmpeg reads: JPEG XL (ISO 18181) and JPEG XR (ISO 29199-2), through imagecodecs.

Rules
- The size in the header is charged before anything is decoded; without a size there is no attempt.
- One thread, bytes in memory, pictures one by one: an animation of JPEG XL is decoded up to each frame anew, which its
  library offers, so that no more than one frame is in memory.
- Without the library both formats end as undecodable, never as clear.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.reading import MediaFile

AVAILABLE = importlib.util.find_spec("imagecodecs") is not None  # there is no wheel for every platform
if AVAILABLE:
    from imagecodecs import jpegxl_decode, jpegxr_decode

MOST_ENCODED_BYTES = 64 * 1024 * 1024
# Measured: 6 lossy, 4 lossless at 12 megapixels; progressive files keep their coefficients too.
_BYTES_PER_PIXEL = 16
_BOX = b"\0\0\0\x0cJXL "
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def newer_pixels(file: MediaFile, name: str, budget: Budget) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a JPEG XL or JPEG XR; none of anything else. Raises whatever its library raises."""
    if name not in ("jxl", "jxr") or not AVAILABLE:
        return
    size = jxl_size(file) if name == "jxl" else jxr_size(file)
    if size is None:
        return
    budget.charge(size[0] * size[1] * _BYTES_PER_PIXEL)
    encoded = file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))
    if name == "jxr":
        yield shown(jpegxr_decode(encoded))
        return
    yield from _frames(encoded, budget)


def _frames(encoded: bytes, budget: Budget) -> Iterator[NDArray[np.uint8]]:
    first: NDArray[Any] = jpegxl_decode(encoded, index=0, numthreads=1)
    yield shown(first)
    for index in itertools.count(1):
        budget.check()
        if not _decoded_into(first, encoded, index):
            return
        yield shown(first)


def _decoded_into(room: NDArray[Any], encoded: bytes, index: int) -> bool:
    """Whether there is a frame `index`, which is then in `room`: behind the last, the library leaves it untouched."""
    for untouched in (0, 1):
        room.fill(untouched)
        jpegxl_decode(encoded, index=index, numthreads=1, out=room)
        if (room != untouched).any():
            return True
    return False


def shown(decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Decoded samples as 8-bit grey or RGB, alpha dropped; integers come in the depth they were made in."""
    if decoded.ndim == 3 and decoded.shape[2] != 3:
        decoded = decoded[:, :, 0] if decoded.shape[2] < 3 else decoded[:, :, :3]
    if decoded.dtype.kind == "f":
        decoded = np.clip(np.nan_to_num(decoded.astype(np.float32)) * 255, 0, 255)
    elif decoded.dtype == np.uint16:
        decoded = decoded >> max(0, int(decoded.max()).bit_length() - 8)
    elif decoded.max() < 16:
        decoded = decoded * (255 // max(1, (1 << int(decoded.max()).bit_length()) - 1))
    return np.ascontiguousarray(decoded.astype(np.uint8, copy=False))


def jxl_size(file: MediaFile) -> tuple[int, int] | None:
    """(width, height) of a JPEG XL code stream, bare or in its container (ISO 18181-1, size header)."""
    head = file.at(0, 4096)
    start = head.find(b"\xff\x0a") if head.startswith(_BOX) else 0
    if start < 0 or head[start : start + 2] != b"\xff\x0a":
        return None
    bits = _Bits(int.from_bytes(head[start + 2 : start + 18], "little"))
    small = bits.take(1)
    height = 8 * (1 + bits.take(5)) if small else bits.size()
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio]
        return height * over // under, height
    return 8 * (1 + bits.take(5)) if small else bits.size(), height


class _Bits:
    """Fields packed from the least significant bit on."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        """The next `count` bits."""
        field = self._value & ((1 << count) - 1)
        self._value >>= count
        return field

    def size(self) -> int:
        """A dimension of 9, 13, 18 or 30 bits."""
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


_JXR_WIDTH, _JXR_HEIGHT = 0xBC80, 0xBC81


def jxr_size(file: MediaFile) -> tuple[int, int] | None:
    """(width, height) by the directory of a JPEG XR file, which is laid out like TIFF."""
    directory = int.from_bytes(file.at(4, 4), "little")
    count = int.from_bytes(file.at(directory, 2), "little")
    entries = file.at(directory + 2, 12 * min(count, 100))
    found = {}
    for at in range(0, len(entries) - 11, 12):
        tag, kind = (int.from_bytes(entries[at + n : at + n + 2], "little") for n in (0, 2))
        found[tag] = int.from_bytes(entries[at + 8 : at + (10 if kind == 3 else 12)], "little")
    if _JXR_WIDTH in found and _JXR_HEIGHT in found:
        return found[_JXR_WIDTH], found[_JXR_HEIGHT]
    return None
