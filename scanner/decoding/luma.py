"""A decoded frame as the pixels to hash: its luma plane as it is, without colour conversion where it has one.

How a player turns and mirrors it comes beside the pixels, as the EXIF orientation that says the same.
"""

from __future__ import annotations

import struct
from typing import Any, cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray


def luma(frame: VideoFrame) -> tuple[NDArray[np.uint8], bool]:
    """The pixels to hash, and whether they are limited-range luma: the Y plane, or RGB where there is none."""
    name = frame.format.name
    full = name.startswith("yuvj") or frame.color_range == 2
    if name.startswith(("yuv", "nv")) and frame.format.is_planar:
        depth = frame.format.components[0].bits
        if depth == 8:
            return _plane(frame, np.uint8), not full
        if not frame.format.is_big_endian:
            deep: NDArray[Any] = _plane(frame, np.uint16)
            return (deep >> (depth - 8)).astype(np.uint8), not full
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), False


def _plane(frame: VideoFrame, sample: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """Plane 0 without its padding."""
    plane = frame.planes[0]
    samples: NDArray[Any] = np.frombuffer(memoryview(plane), dtype=sample)
    return samples.reshape(-1, plane.line_size // np.dtype(sample).itemsize)[: frame.height, : frame.width]


# The signs of a, b, c and d of a display matrix (ISO 14496-12, 8.5.2: x' = ax + cy, y' = bx + dy) -> EXIF orientation.
_EXIF_OF_SIGNS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_MATRIX = struct.Struct("=9i")


def exif_of(frame: VideoFrame) -> int:
    """The EXIF orientation of the stored pixels; 1 where there is none, or none by right angles."""
    # Not `frame.side_data`: that keeps the container in the frame, a cycle that holds every frame until the collector
    # comes by, which counts objects and not their megabytes.
    side = cast(Any, SideDataContainer)(frame).get(Type.DISPLAYMATRIX)
    if side is None or side.buffer_size < _MATRIX.size:
        return 1
    a, b, _, c, d, *_ = _MATRIX.unpack_from(memoryview(side))
    return _EXIF_OF_SIGNS.get((_sign(a), _sign(b), _sign(c), _sign(d)), 1)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
