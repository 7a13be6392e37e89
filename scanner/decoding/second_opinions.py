"""Readings of a still that Pillow refuses: OpenCV, and FFmpeg's bare codec without a demuxer to probe the bytes first.

Bytes in memory only: OpenCV's file functions take paths. Both give (height, width, 3) RGB, or nothing.
"""

from __future__ import annotations

import os

# Read by the library when it is loaded: without these it prints decoder complaints and opens enormous pictures.
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))

from collections.abc import Callable, Iterable
from typing import cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.demuxing import packet_of
from scanner.decoding.reading import MediaFile

cv2.setNumThreads(1)  # workers are forked and counted; a thread pool would be neither

Opinion = Callable[[MediaFile, str, Budget], Iterable[NDArray[np.uint8]]]

MOST_ENCODED_BYTES = 64 * 1024 * 1024  # of a damaged still that is read into memory
_BYTES_PER_PIXEL = 12  # the decoder's rows, its picture and the RGB made from it

# Formats by sniffed name whose FFmpeg decoder takes the whole file as one packet.
_CODECS = {
    "jpeg": "mjpeg",
    "png": "png",
    "gif": "gif",
    "bmp": "bmp",
    "tiff": "tiff",
    "webp": "webp",
    "tga": "targa",
    "jpeg2000": "jpeg2000",
    "psd": "psd",
    "pcx": "pcx",
    "sgi": "sgi",
    "sunrast": "sunrast",
    "qoi": "qoi",
    "dds": "dds",
    "exr": "exr",
    "dpx": "dpx",
    "hdr": "hdr",
    "xbm": "xbm",
    "xpm": "xpm",
    "jxl": "libjxl",
}


def opencv_pixels(file: MediaFile, name: str, budget: Budget) -> list[NDArray[np.uint8]]:
    """What OpenCV reads, in stored orientation. Raises whatever it raises."""
    encoded = np.frombuffer(_padded(_bytes_of(file, budget)) if name == "webp" else _bytes_of(file, budget), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.dtype != np.uint8 or decoded.ndim != 3:
        return []
    return [np.ascontiguousarray(decoded[:, :, ::-1]).astype(np.uint8, copy=False)]


def codec_pixels(file: MediaFile, name: str, budget: Budget) -> list[NDArray[np.uint8]]:
    """What FFmpeg's decoder of the sniffed format makes of the bytes. Raises whatever it raises."""
    return codec_pixels_by(_CODECS[name], file, budget) if name in _CODECS else []


def codec_pixels_by(codec: str, file: MediaFile, budget: Budget, *, intact: bool = False) -> list[NDArray[np.uint8]]:
    """What that decoder of FFmpeg's makes of the bytes, if `intact` only without damage. Raises whatever it raises."""
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "r"))
    if intact:
        context.options = {"err_detect": "explode"}  # else what is bad or missing is made up in silence
    context.thread_count = 1
    packet = packet_of(_bytes_of(file, budget))
    for frame in (*context.decode(packet), *context.decode(None)):
        budget.charge(frame.width * frame.height * _BYTES_PER_PIXEL)
        return [frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)]
    return []


def _padded(encoded: bytes) -> bytes:
    """A WebP cut short, with zeros for what is missing: its decoder shows nothing of a file that is not all there."""
    stated = 8 + int.from_bytes(encoded[4:8], "little")
    return encoded.ljust(stated, b"\0") if stated <= MOST_ENCODED_BYTES else encoded


def _bytes_of(file: MediaFile, budget: Budget) -> bytes:
    """The encoded bytes: all of them, or the first `MOST_ENCODED_BYTES`."""
    budget.check()
    return file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))
