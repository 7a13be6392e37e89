"""Kinds of well-known formats that Pillow refuses or misreads: JPEG-LS, TIFF and SGI of other depths, PAM and PFM, QOI.

Rules
- What a decoder here goes through without complaint is whole: these are no readings of damaged files.
- The size in the header is charged before anything is decoded; without a size there is no attempt.
- Without imagecodecs, what it would read is left to the second opinions, and then never whole.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanner.decoding import extents
from scanner.decoding.budget import Budget
from scanner.decoding.camera_raw import fields_of, order_of
from scanner.decoding.newer_codecs import AVAILABLE, MOST_ENCODED_BYTES, shown
from scanner.decoding.photoshop import photoshop_pixels
from scanner.decoding.reading import MediaFile
from scanner.decoding.second_opinions import codec_pixels_by

if AVAILABLE:
    from imagecodecs import jpegls_decode, qoi_decode, tiff_decode

_BYTES_PER_PIXEL = 24  # three samples of eight bytes
_JPEG_LS, _LOSSLESS = 0xF7, 0xC3
_DEEP_BITS = 12
_QOI_END = bytes(7) + b"\1"
_WIDTH, _HEIGHT = 256, 257  # of TIFF 6.0
# Portable maps that Pillow has no reader for: arbitrary ones, and floats in colour.
_MAPS = {b"P7": "pam", b"PF": "pfm"}
_MAP_SIZE = re.compile(rb"P7\s(?:.*\n)*?WIDTH\s+(\d+)\s+HEIGHT\s+(\d+)|PF\s+(\d+)\s+(\d+)")


def quicker_pixels(file: MediaFile, name: str, budget: Budget) -> list[NDArray[np.uint8]]:
    """What is to be asked before Pillow: its own QOI decoder is Python, and takes minutes for a photograph.

    A file without its end mark is left to Pillow, for this decoder says nothing of what is missing.
    """
    if name != "qoi" or not AVAILABLE:
        return []
    head = file.at(0, 14)
    _charge(budget, int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big"))
    encoded = file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))
    return [shown(qoi_decode(encoded))] if _QOI_END in encoded else []


def deep_pixels(file: MediaFile, name: str, budget: Budget) -> Iterable[NDArray[np.uint8]]:
    """The picture of such a kind; nothing of any other. Raises whatever a decoder raises."""
    match name:
        case "jpeg":
            return _of_jpeg(file, budget)
        case "tiff" if AVAILABLE:
            return _of_tiff(file, budget)
        case "heif":
            return _of_heif(file, budget)
        case "psd":
            return photoshop_pixels(file, name, budget)
        case "sgi" if file.at(3, 1) == b"\2":
            return codec_pixels_by(name, file, budget)
        case "pnm" if file.at(0, 2) in _MAPS and (size := _MAP_SIZE.match(file.at(0, 4096))):
            width, height = (int(each) for each in size.groups() if each is not None)
            _charge(budget, width, height)
            return codec_pixels_by(_MAPS[file.at(0, 2)], file, budget)
    return []


def is_misread(file: MediaFile, name: str) -> bool:
    """Whether Pillow takes the file for another kind, and is not to be asked."""
    return name == "sgi" and file.at(3, 1) == b"\2"


def _charge(budget: Budget, width: int, height: int) -> None:
    if not width or not height:
        raise ValueError("no size")
    budget.charge(width * height * _BYTES_PER_PIXEL)


def _of_jpeg(file: MediaFile, budget: Budget) -> list[NDArray[np.uint8]]:
    """JPEG-LS (ISO 14495-1), lossless JPEG and JPEG of 12 bits (T.81), where the file has its end."""
    offset = 2
    for _ in range(extents.MOST_SEGMENTS):
        header = file.at(offset, 9)
        if len(header) < 9 or header[0] != 0xFF:
            return []
        if (0xC0 <= header[1] <= 0xCF and header[1] not in (0xC4, 0xC8, 0xCC)) or header[1] == _JPEG_LS:
            break
        offset += 1 if header[1] == 0xFF else 2 + int.from_bytes(header[2:4], "big")
    else:
        return []
    _charge(budget, int.from_bytes(header[7:9], "big"), int.from_bytes(header[5:7], "big"))
    if header[1] == _JPEG_LS:
        return [shown(jpegls_decode(file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))))] if AVAILABLE else []
    end = extents.end_of(file, "jpeg")
    if (header[1] == _LOSSLESS or header[4] == _DEEP_BITS) and end and file.at(end - 2, 2) == b"\xff\xd9":
        return codec_pixels_by("mjpeg", file, budget, intact=True)
    return []


def _of_heif(file: MediaFile, budget: Budget) -> list[NDArray[np.uint8]]:
    """HEIF of a brand that Pillow's plug-in has not heard of, which its library reads none the less."""
    try:
        import pillow_heif
    except ImportError:
        return []
    opened = pillow_heif.open_heif(BytesIO(file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))))
    _charge(budget, *opened.size)
    return [shown(np.asarray(opened))]


def _of_tiff(file: MediaFile, budget: Budget) -> Iterator[NDArray[np.uint8]]:
    """Pages with samples of half floats, doubles, floats in colour and the like."""
    head = file.at(0, 8)
    fields = dict(fields_of(file, int.from_bytes(head[4:8], order_of(head)), order_of(head)))
    _charge(budget, fields.get(_WIDTH, [0])[0], fields.get(_HEIGHT, [0])[0])
    encoded = file.at(0, min(file.size_bytes, MOST_ENCODED_BYTES))
    for index in itertools.count():
        budget.check()
        try:
            page: NDArray[Any] = tiff_decode(encoded, index=index)
        except IndexError:
            return
        if page.ndim == 3 and page.shape[0] in (2, 3, 4) and page.shape[2] > 4:
            page = np.moveaxis(page, 0, 2)
        if page.ndim not in (2, 3):
            raise ValueError("no picture")
        yield shown(_scaled(page))


def _scaled(page: NDArray[Any]) -> NDArray[Any]:
    """Floats as 0..1, whole numbers as bytes."""
    if page.dtype.kind == "f":
        most = float(np.nanmax(page)) if page.size else 0.0
        return page.astype(np.float32) / (1 if most <= 1 else 255 if most <= 255 else most)
    return page >> 8 * (page.dtype.itemsize - 1) if page.dtype.kind in "ui" else page.astype(np.uint8)
