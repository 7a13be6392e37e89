"""OpenCV's reading of a still that Pillow refuses. Bytes in memory only: its file functions take paths."""

from __future__ import annotations

import os

# Read by the library when it is loaded: without these it prints decoder complaints and opens enormous pictures.
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.reading import MediaFile

cv2.setNumThreads(1)  # workers are forked and counted; a thread pool would be neither

_BYTES_PER_PIXEL = 12  # the decoder's rows, the BGR copy and the RGB view made from it


def opencv_pixels(file: MediaFile, budget: Budget) -> NDArray[np.uint8] | None:
    """(height, width, 3) RGB of the first picture, in stored orientation; None where OpenCV refuses it too."""
    budget.charge(file.size_bytes * 2)
    encoded = np.frombuffer(file.at(0, file.size_bytes), dtype=np.uint8)
    try:
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if decoded is None or decoded.dtype != np.uint8 or decoded.ndim != 3:
        return None
    budget.charge(decoded.shape[0] * decoded.shape[1] * _BYTES_PER_PIXEL)
    return np.ascontiguousarray(decoded[:, :, ::-1])
