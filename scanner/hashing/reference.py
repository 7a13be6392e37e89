"""PDQ's operator in NumPy: what every kernel equals bit for bit, and what serves where none was built.

Fixed point throughout, each sum below 2**53 and so exact in float64: the value depends on no processor, library, thread
count or order of summation. In float32, regular pictures (logos, tiles, frames) have so many equal coefficients that
rounding alone moved up to 58 bits between two BLAS kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scanner.hashing.bands import SIDE, WEIGHT_BITS, Bands, Span, bands
from scanner.hashing.readings import FLIPS, PdqHash, Reading, Rows, Window

Grid = NDArray[np.float64]
FREQUENCIES = 16
# Fractional bits of each stage. 8-bit pixels and weights of 22 bits sum below 2**30, luma of 20 bits brings that to
# 2**50; rounded to 20 fractional bits, the next weights bring it to 2**50 again. The grid (15) times the waves (24)
# sums below 2**51, and those sums (12) times the waves below 2**52.
LUMA_BITS, ROW_BITS, GRID_BITS, WAVE_BITS, HALF_BITS = 20, 20, 15, 24, 12
LUMA = np.rint(np.array([0.299, 0.587, 0.114]) * (1 << LUMA_BITS))
# Rows are handed to BLAS in strips of about this many float64 samples: they stay in the second-level cache.
STRIP_SAMPLES = 64 * 1024


def grids(pixels: Rows, readings: Sequence[Reading], size: tuple[int, int], scale: int = 1) -> list[Grid]:
    """The 64x64 luma grid of each reading; `size` is (height, width) before a decoder scaled by 1/`scale`."""
    passes: dict[tuple[Span, bool], Grid] = {}
    made = []
    for reading in readings:
        upside_down, mirrored, transposed = FLIPS[reading.turn]
        window = reading.window or Window(0, 0, *size)
        rows, columns = Span(size[0], window.top, window.height), Span(size[1], window.left, window.width)
        key = rows, upside_down
        if key not in passes:
            passes[key] = _rows_pass(pixels, bands(rows, upside_down, scale))
        one = _columns_pass(passes[key], bands(columns, mirrored, scale))
        made.append(np.ascontiguousarray(one.T) if transposed else one)
    return made


def _rows_pass(pixels: Rows, axis: Bands) -> Grid:
    """A_H . L as (64, width) in units of 2**-ROW_BITS, luma applied after the sum over rows."""
    width = pixels.shape[1]
    channels = pixels.shape[2] if len(pixels.shape) == 3 else 1
    out = np.empty((SIDE, width * channels))
    for first, last in _strips(axis, width * channels):
        low, high = int(axis.starts[first:last].min()), int(axis.stops[first:last].max())
        strip = pixels[low:high].reshape(high - low, width * channels).astype(np.float64)
        for k in range(first, last):
            start, stop = int(axis.starts[k]), int(axis.stops[k])
            np.dot(axis.weights[k, : stop - start], strip[start - low : stop - low], out=out[k])
    if channels == 1:
        return np.rint(out / (1 << (WEIGHT_BITS - ROW_BITS)))
    greyed: Grid = out.reshape(SIDE, width, channels) @ LUMA
    return np.rint(greyed / (1 << (WEIGHT_BITS + LUMA_BITS - ROW_BITS)))


def _strips(axis: Bands, row_samples: int) -> list[tuple[int, int]]:
    """Runs of consecutive bands whose rows together hold about `STRIP_SAMPLES` samples, one band at least."""
    runs: list[tuple[int, int]] = []
    first = 0
    for k in range(1, SIDE + 1):
        full = k < SIDE and abs(int(axis.stops[k] - axis.starts[first])) * row_samples > STRIP_SAMPLES
        if k == SIDE or full:
            runs.append((first, k))
            first = k
    return runs


def _columns_pass(rows: Grid, axis: Bands) -> Grid:
    """(A_H . L) . A_W^T as (64, 64), rounded to GRID_BITS."""
    out = np.empty((SIDE, SIDE))
    for k in range(SIDE):
        start, stop = int(axis.starts[k]), int(axis.stops[k])
        out[:, k] = rows[:, start:stop] @ axis.weights[k, : stop - start]
    return _rounded(out / (1 << (WEIGHT_BITS + ROW_BITS)), GRID_BITS)


def _rounded(values: Grid, bits: int) -> Grid:
    """Values to the nearest multiple of 2**-bits."""
    return np.rint(values * (1 << bits)) / (1 << bits)


def full_range(limited: Grid) -> Grid:
    """A grid of limited-range luma (16..235) stretched to 0..255 and clipped, as the colour conversion would."""
    return _rounded(np.clip((limited - 16) * (255 / 219), 0, 255), GRID_BITS)


def hash_of_grid(one: Grid) -> PdqHash:
    """The 256 bits and the quality of a 64x64 luma grid."""
    coefficients = _rounded(WAVES @ one, HALF_BITS) @ WAVES.T
    flat = coefficients.reshape(-1)
    median = np.partition(flat, 127)[127]
    bits = np.packbits((flat > median)[::-1])
    return PdqHash(bits.tobytes(), _quality(one))


def _quality(one: Grid) -> int:
    """The published gradient measure: neighbour differences in whole percents, truncated toward zero."""
    down = np.trunc((one[:-1] - one[1:]) * 100 / 255)
    across = np.trunc((one[:, :-1] - one[:, 1:]) * 100 / 255)
    return min(100, int(np.abs(down).sum() + np.abs(across).sum()) // 90)


def _waves() -> Grid:
    """The 16x64 DCT-II rows 1..16 (no constant row)."""
    rows = np.arange(1, FREQUENCIES + 1)[:, None]
    columns = 2 * np.arange(SIDE)[None, :] + 1
    return _rounded(math.sqrt(2 / SIDE) * np.cos(math.pi / (2 * SIDE) * rows * columns), WAVE_BITS)


WAVES = _waves()
