"""Pillow images as rows of 8-bit grey or RGB, whatever their mode.

Rules (each with a test; evidence in the PDQ literature's implementations)
- CMYK, palette, YCbCr, HSV and LAB become RGB: hashing inks or palette indices misses every copy.
- Alpha is dropped, not composited: what the reference, Pillow and OpenCV do. Premultiplied colours are divided first.
- 16-bit grey is scaled (>> 8). Pillow's own conversion clips to white, which is what the published I16 vector shows:
  that reading is offered beside it.
- 32-bit integers and floats are scaled by what their values can be: 0..1, 0..255 or 0..65535. Integers below zero are
  large ones without a sign, which Pillow has no mode for.
- Colour profiles and gamma are not applied: no reference does.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_GREY = frozenset({"1", "L", "LA", "La"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
_UNSIGNED = float(1 << 24)  # what divides 32 bits without a sign
# Below this many pixels one conversion of the whole picture is cheaper than one a strip.
WHOLE_PIXELS = 1_000_000


class ImageRows:
    """The rows of a loaded Pillow image, converted strip by strip, so that no second full copy is made."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        grey = image.mode in _GREY or image.mode in _DEEP
        self.shape: tuple[int, ...] = (image.height, image.width) if grey else (image.height, image.width, 3)
        self._divisor = _divisor(image) if image.mode in _DEEP else 1.0

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        low, high, _ = rows.indices(self._image.height)
        strip = self._image.crop((0, low, self._image.width, high))
        if strip.mode in _DEEP:
            return _scaled(strip, self._divisor)
        return np.asarray(_plain(strip))


def rows_of(image: Image.Image) -> ImageRows | NDArray[np.uint8]:
    """The rows of a loaded image: an array where it is small, else a view that converts strips."""
    rows = ImageRows(image)
    if image.width * image.height <= WHOLE_PIXELS:
        return rows[:]
    return rows


def clipped(image: Image.Image) -> NDArray[np.uint8] | None:
    """A 16-bit grey picture as implementations show it that clip instead of scaling; None for any other."""
    if not image.mode.startswith("I;16"):
        return None
    values: NDArray[np.uint16] = np.asarray(image)
    return np.minimum(values, 255).astype(np.uint8)


def _plain(strip: Image.Image) -> Image.Image:
    """The strip in mode L or RGB, alpha dropped."""
    match strip.mode:
        case "L" | "RGB":
            return strip
        case "1":
            return strip.convert("L")
        case "LA":
            return strip.getchannel(0)
        case "La":
            return strip.convert("LA").getchannel(0)
        case "RGBa":
            return strip.convert("RGBA").convert("RGB")
        case "LAB":
            converted = ImageCms.applyTransform(strip, _lab_to_rgb())
            assert converted is not None
            return converted
        case _:
            return strip.convert("RGB")


@lru_cache(maxsize=1)
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _divisor(image: Image.Image) -> float:
    """What the values of a deep grey image are divided by to reach 0..255."""
    if image.mode.startswith("I;16"):
        return 256.0
    low, high = _extrema(image)
    if image.mode == "I" and low < 0:
        return _UNSIGNED
    if image.mode == "F" and high <= 1.0 and low >= 0.0:
        return 1.0 / 255.0
    if high <= 255.0:
        return 1.0
    return 256.0 if high <= 65535.0 else high / 255.0


def _extrema(image: Image.Image) -> tuple[float, float]:
    """Least and greatest finite value."""
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _scaled(strip: Image.Image, divisor: float) -> NDArray[np.uint8]:
    values = np.asarray(strip)
    if divisor == _UNSIGNED:
        return (values.view(np.uint32) >> 24).astype(np.uint8)
    if divisor == 256.0 and values.dtype.kind == "u":
        return (values >> 8).astype(np.uint8)
    scaled = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=255.0 * divisor, neginf=0.0) / divisor
    return np.clip(scaled, 0, 255).astype(np.uint8)
