"""pHash, dHash, aHash and wHash, equal to ImageHash 4.3's defaults, 64 bits each.

Rules
- Computed only when asked for: PDQ and the digests are what every content gets.
- pHash, dHash and aHash need Pillow's resize and numpy alone (importing scipy for one 32x32 DCT costs 370 ms);
  wHash is ImageHash's own, whose wavelet rounding decides ties.
- Bits are row by row, the first one most significant, as ImageHash prints them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashsets.hashtypes import PLUGINS
from hashsets.plugins import Plugin

_PHASH_SIDE = 32  # 8 bits a side times ImageHash's highfreq_factor of 4


def _phash(grey: Image.Image) -> bytes:
    """Low frequencies (the constant included) above their median."""
    pixels = _resized(grey, _PHASH_SIDE, _PHASH_SIDE)
    low = (_DCT @ pixels @ _DCT.T)[:8, :8]
    return _packed(low > np.median(low))


def _dhash(grey: Image.Image) -> bytes:
    """Pixels brighter than their left neighbour."""
    pixels = _resized(grey, 9, 8)
    return _packed(pixels[:, 1:] > pixels[:, :-1])


def _ahash(grey: Image.Image) -> bytes:
    """Pixels brighter than the mean."""
    pixels = _resized(grey, 8, 8)
    return _packed(pixels > pixels.mean())


def _whash(grey: Image.Image) -> bytes:
    """Haar wavelet averages above their median."""
    import imagehash  # here because PyWavelets costs 137 ms, which only those who list wHash should pay

    return _packed(imagehash.whash(grey).hash)


def _resized(grey: Image.Image, width: int, height: int) -> NDArray[np.float64]:
    return np.asarray(grey.resize((width, height), Image.Resampling.LANCZOS), dtype=np.float64)


def _packed(bits: NDArray[np.bool_]) -> bytes:
    return np.packbits(bits.reshape(-1)).tobytes()


def _dct() -> NDArray[np.float64]:
    rows = np.arange(_PHASH_SIDE)[:, None]
    columns = 2 * np.arange(_PHASH_SIDE)[None, :] + 1
    return 2.0 * np.cos(np.pi * rows * columns / (2 * _PHASH_SIDE))


_DCT = _dct()
_FUNCTIONS: dict[str, Callable[[Image.Image], bytes]] = {
    "phash": _phash,
    "dhash": _dhash,
    "ahash": _ahash,
    "whash": _whash,
}
PERCEPTUAL_TYPES = frozenset(_FUNCTIONS) | PLUGINS.plugins.keys()


def perceptual(pixels: NDArray[np.uint8], hash_types: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """The asked hashes of (height, width) grey or (height, width, 3) RGB pixels, as (hash type, value).

    One that a plug-in cannot give of this picture is left out. Raises PluginFault for a value of another size.
    """
    grey = Image.fromarray(pixels).convert("L")
    made = []
    for name in hash_types:
        value = _FUNCTIONS[name](grey) if name in _FUNCTIONS else _by_plugin(PLUGINS.plugins[name], pixels)
        if value is not None:
            made.append((name, value))
    return made


class PluginFault(Exception):
    """A plug-in gave what it cannot have meant."""


def _by_plugin(plugin: Plugin, pixels: NDArray[np.uint8]) -> bytes | None:
    value = plugin.compute(pixels)
    if value is not None and (type(value) is not bytes or len(value) != plugin.size_bytes):
        raise PluginFault("a plug-in gave a value of another type or size than it says")
    return value
