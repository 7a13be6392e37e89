"""PDQ as a linear operator: the 64x64 grid is A_H . L . A_W^T, banded, in one pass over the pixels.

Source: facebook/ThreatExchange `pdq/`, README and reference C++ (BSD). Its two box passes along each axis and its
sampling of 64x64 points are linear and separable (bands.py); luma is linear too, and applied after the sum over rows.

Rules
- Full-resolution flavour: no resizing before the operator (what pip `pdqhash` and vPDQ compute).
- Luma is 0.299 R + 0.587 G + 0.114 B, unrounded; grey is used as it is.
- Turnings and windows of one picture share the pass: no second decode, rarely a second look at a row.
- The C kernels and the NumPy reference give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.hashing import kernel, reference
from scanner.hashing.readings import PdqHash, Reading, Rows, Window

LEAST_SIDE = 5  # the reference gives pictures below this the zero hash and quality 0
TOO_SMALL = PdqHash(bytes(reference.FREQUENCIES**2 // 8), 0)
_AS_STORED = (Reading(),)
_LUMA = tuple(int(weight) for weight in reference.LUMA)
# Strips of rows that are not in memory yet: few enough calls, and small enough for the second-level cache.
_STRIP_BYTES = 512 * 1024


def pdq(
    pixels: Rows,
    readings: Sequence[Reading] = _AS_STORED,
    *,
    limited: bool = False,
    original: tuple[int, int] | None = None,
    scale: int = 1,
    using: str | None = None,
) -> list[PdqHash]:
    """The PDQ of each reading of `pixels`, in that order.

    `limited` says that a luma plane runs from 16 to 235. `original` is (height, width) before a decoder scaled by
    1/`scale`; the default is the size of `pixels`. `using` names a kernel, or "numpy". Pictures and windows under 5
    pixels on a side get the zero hash and quality 0, as the reference gives them: a degenerate value, matching nothing.
    """
    size = original or (pixels.shape[0], pixels.shape[1])
    able = [each for each in readings if min(_size(each, size)) >= LEAST_SIDE]
    if able and using != "numpy" and kernel.available():
        made = iter(_compiled(pixels, able, size, scale, limited, using))
    else:
        made = iter(_by_numpy(pixels, able, size, scale, limited))
    return [next(made) if min(_size(each, size)) >= LEAST_SIDE else TOO_SMALL for each in readings]


def _size(reading: Reading, size: tuple[int, int]) -> tuple[int, int]:
    return size if reading.window is None else (reading.window.height, reading.window.width)


def _by_numpy(
    pixels: Rows, readings: Sequence[Reading], size: tuple[int, int], scale: int, limited: bool
) -> list[PdqHash]:
    grids = reference.grids(pixels, readings, size, scale)
    return [reference.hash_of_grid(reference.full_range(one) if limited else one) for one in grids]


def _compiled(
    pixels: Rows, readings: Sequence[Reading], size: tuple[int, int], scale: int, limited: bool, using: str | None
) -> list[PdqHash]:
    return [PdqHash(*one) for one in begun(pixels, readings, size, scale, using).hashes(limited)]


def begun(
    pixels: Rows, readings: Sequence[Reading], size: tuple[int, int], scale: int = 1, using: str | None = None
) -> kernel.Pass:
    """The compiled pass over `pixels`, all of them fed."""
    asked = tuple((each.turn, *_rectangle(each.window or Window(0, 0, *size))) for each in readings)
    one: kernel.Pass = kernel.native.Pass(using, size[0], size[1], scale, asked)
    for strip in _strips(pixels):
        one.feed(strip, _LUMA)
    return one


def _rectangle(window: Window) -> tuple[int, int, int, int]:
    return window.top, window.left, window.height, window.width


def _strips(pixels: Rows) -> Iterator[NDArray[np.uint8]]:
    """The rows in the form the kernels read: an array as it lies, other pixels strip by strip."""
    if isinstance(pixels, np.ndarray):
        yield _readable(pixels)
        return
    height, row_bytes = pixels.shape[0], int(np.prod(pixels.shape[1:]))
    rows = max(8, _STRIP_BYTES // max(1, row_bytes) // 8 * 8)
    for top in range(0, height, rows):
        yield _readable(pixels[top : min(height, top + rows)])


def _readable(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows whose samples lie side by side, or whose pixels are three channels in RGB or BGR order in three or four
    bytes: as they are; others as a copy."""
    if rows.ndim == 2:
        return rows if rows.strides[1] == 1 else np.ascontiguousarray(rows)
    plain = rows.strides[1] in (3, 4) and rows.strides[2] in (1, -1) and rows.strides[0] > 0
    return rows if plain else np.ascontiguousarray(rows)
