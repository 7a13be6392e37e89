"""A decoded frame as the pixels to hash: its luma plane as it is, without colour conversion where it has one."""

from __future__ import annotations

from typing import Any

import numpy as np
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
