"""PDQ as a linear operator: the 64x64 grid is A_H . L . A_W^T, banded, in one pass over the pixels.

Source: facebook/ThreatExchange `pdq/`, README and reference C++ (BSD). The reference blurs the luma plane twice with a
box along each axis and then samples 64x64 points. Both steps are linear and separable, so row k of the operator is the
row of "box applied twice" at the k-th sampling point: a tent of about n/64 weights. Strides and supports are both about
n/64, so bands hardly overlap and every pixel is read about once.

Rules
- Full-resolution flavour: no resizing before the operator (what pip `pdqhash` and vPDQ compute).
- Luma is 0.299 R + 0.587 G + 0.114 B, unrounded, and applied after the vertical pass: it is linear too.
- A turned picture is hashed by reversing the operator's columns and transposing the grid: 0 bits from the hash of
  really turned pixels, where the published sign-flip shortcut is up to 120 bits away.
- Pixels decoded at 1/2, 1/4 or 1/8 are hashed with the tent of the original size, summed over each block.
- Fixed point throughout, each sum below 2**53 and so exact in float64: the value depends on no processor, library,
  thread count or order of summation. In float32, regular pictures (logos, tiles, frames) have so many equal
  coefficients that rounding alone moved up to 58 bits between two BLAS kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]
SIDE = 64  # the grid's side, and with the next two the published definition
FREQUENCIES = 16
LEAST_SIDE = 5  # the reference gives pictures below this the zero hash and quality 0
# Fractional bits of each stage. 8-bit pixels and weights of 22 bits sum below 2**30, luma of 20 bits brings that to
# 2**50; rounded to 20 fractional bits, the next weights bring it to 2**50 again. The grid (15) times the waves (24)
# sums below 2**51, and those sums (12) times the waves below 2**52.
WEIGHT_BITS, LUMA_BITS, ROW_BITS, GRID_BITS, WAVE_BITS, HALF_BITS = 22, 20, 20, 15, 24, 12
LUMA = np.rint(np.array([0.299, 0.587, 0.114]) * (1 << LUMA_BITS))
# Rows are handed to BLAS in strips of about this many float64 samples: they stay in the second-level cache.
STRIP_SAMPLES = 64 * 1024


class Rows(Protocol):
    """Pixels that can be read by rows: (height, width) or (height, width, 3) uint8, RGB order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, 3)."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """The rows of one slice."""
        ...


@dataclass(frozen=True, slots=True)
class PdqHash:
    """One PDQ value: 32 bytes, the most significant bit first, and its quality 0..100."""

    value: bytes
    quality: int


class Bands(NamedTuple):
    """The operator of one axis: row k has `weights[k]` over the samples from `starts[k]` to before `stops[k]`.

    Weights are whole numbers of 2**-WEIGHT_BITS that sum to one exactly, zero-padded on the right.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    weights: NDArray[np.float64]


@lru_cache(maxsize=128)
def bands(samples: int, reverse: bool = False, scale: int = 1) -> Bands:
    """The operator of an axis of `samples` original samples, over samples decoded at 1/`scale`.

    `reverse` gives the operator whose product with the picture is that of the unreversed one with the mirrored picture.
    """
    starts, weights = _tents(samples)
    if reverse:
        starts = samples - starts - weights.shape[1]
        weights = weights[:, ::-1]
    if scale > 1:
        starts, weights = _per_block(samples, starts, weights, scale)
    return _trimmed(math.ceil(samples / scale), starts, weights)


def _tents(n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The 64 sampled rows of the squared box matrix: first sample of each, and (64, 2w + 1) weights, zero outside."""
    width = (n + 127) // 128
    ahead = (width + 2) // 2
    points = (2 * np.arange(SIDE, dtype=np.int64) + 1) * n // (2 * SIDE)
    through = points[:, None] + (ahead - width) + np.arange(width)
    inside = (through >= 0) & (through < n)
    low = np.maximum(0, through + ahead - width)
    high = np.minimum(n, through + ahead)
    share = np.where(inside, 1.0 / np.maximum(1, high - low), 0.0) / inside.sum(axis=1, keepdims=True)
    starts = points + 2 * (ahead - width)
    steps = np.zeros((SIDE, 2 * width + 1))
    rows = np.broadcast_to(np.arange(SIDE)[:, None], through.shape)
    np.add.at(steps, (rows[inside], (low - starts[:, None])[inside]), share[inside])
    np.subtract.at(steps, (rows[inside], (high - starts[:, None])[inside]), share[inside])
    weights = np.cumsum(steps, axis=1)
    columns = starts[:, None] + np.arange(weights.shape[1])
    weights[(columns < 0) | (columns >= n) | (weights < 1e-15)] = 0.0  # what cancellation leaves beside the tent
    return starts, weights


def _per_block(
    n: int, starts: NDArray[np.int64], weights: NDArray[np.float64], scale: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The weights summed over each block of `scale` samples that a scaled decoder averages into one."""
    last = math.ceil(n / scale) - 1
    columns = np.clip(starts[:, None] + np.arange(weights.shape[1]), 0, n - 1)
    blocks = np.minimum(columns // scale, last)
    first = blocks[:, 0]
    summed = np.zeros((SIDE, int((blocks[:, -1] - first).max()) + 1))
    rows = np.broadcast_to(np.arange(SIDE)[:, None], blocks.shape)
    np.add.at(summed, (rows, blocks - first[:, None]), weights)
    return first, summed


def _trimmed(n: int, starts: NDArray[np.int64], weights: NDArray[np.float64]) -> Bands:
    """Bands without the zero weights at either end, so that none reaches outside the axis of `n` samples."""
    used = weights > 0
    lead = used.argmax(axis=1)
    lengths = weights.shape[1] - used[:, ::-1].argmax(axis=1) - lead
    columns = lead[:, None] + np.arange(int(lengths.max()))
    kept = np.take_along_axis(weights, np.minimum(columns, weights.shape[1] - 1), axis=1)
    kept = np.where(np.arange(kept.shape[1]) < lengths[:, None], kept, 0.0)
    firsts = starts + lead
    stops = firsts + lengths
    assert firsts.min() >= 0
    assert stops.max() <= n
    return Bands(firsts, stops, _fixed_point(kept))


def _fixed_point(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights in units of 2**-WEIGHT_BITS; what rounding leaves over goes to the largest of each row."""
    whole = np.rint(weights * (1 << WEIGHT_BITS))
    whole[np.arange(SIDE), weights.argmax(axis=1)] += (1 << WEIGHT_BITS) - whole.sum(axis=1)
    return np.ascontiguousarray(whole)


def grid(
    pixels: Rows, *, original: tuple[int, int] | None = None, scale: int = 1, turns: tuple[int, ...] = (1,)
) -> list[Grid]:
    """The 64x64 luma grid of `pixels` for each EXIF orientation in `turns`, in that order, one pass over the rows.

    `original` is (height, width) before a decoder scaled by 1/`scale`; the default is the size of `pixels`.
    """
    height, width = original or (pixels.shape[0], pixels.shape[1])
    flips = [_FLIPS[turn] for turn in turns]
    verticals = sorted({mirrored for mirrored, _, _ in flips})
    passes = {key: _rows_pass(pixels, bands(height, key, scale)) for key in verticals}
    grids = []
    for upside_down, mirrored, transposed in flips:
        one = _columns_pass(passes[upside_down], bands(width, mirrored, scale))
        grids.append(np.ascontiguousarray(one.T) if transposed else one)
    return grids


# EXIF orientation of the stored pixels -> (reverse A_H, reverse A_W, transpose the grid).
_FLIPS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


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
        full = k < SIDE and int(axis.stops[k] - axis.starts[first]) * row_samples > STRIP_SAMPLES
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
    coefficients = _rounded(_DCT @ one, HALF_BITS) @ _DCT.T
    flat = coefficients.reshape(-1)
    median = np.partition(flat, 127)[127]
    bits = np.packbits((flat > median)[::-1])
    return PdqHash(bits.tobytes(), _quality(one))


def _quality(one: Grid) -> int:
    """The published gradient measure: neighbour differences in whole percents, truncated toward zero."""
    down = np.trunc((one[:-1] - one[1:]) * 100 / 255)
    across = np.trunc((one[:, :-1] - one[:, 1:]) * 100 / 255)
    return min(100, int(np.abs(down).sum() + np.abs(across).sum()) // 90)


def _dct() -> Grid:
    """The 16x64 DCT-II rows 1..16 (no constant row)."""
    rows = np.arange(1, FREQUENCIES + 1)[:, None]
    columns = 2 * np.arange(SIDE)[None, :] + 1
    return _rounded(math.sqrt(2 / SIDE) * np.cos(math.pi / (2 * SIDE) * rows * columns), WAVE_BITS)


_DCT = _dct()
TOO_SMALL = PdqHash(bytes(FREQUENCIES * FREQUENCIES // 8), 0)


def pdq(
    pixels: Rows,
    *,
    limited: bool = False,
    original: tuple[int, int] | None = None,
    scale: int = 1,
    turns: tuple[int, ...] = (1,),
) -> list[PdqHash]:
    """The PDQ of `pixels` for each EXIF orientation in `turns` (1 is "as stored").

    `limited` says that a luma plane runs from 16 to 235. Pictures under 5 pixels on a side get the zero hash and
    quality 0, as the reference gives them: a degenerate value that matches nothing.
    """
    height, width = original or (pixels.shape[0], pixels.shape[1])
    if height < LEAST_SIDE or width < LEAST_SIDE:
        return [TOO_SMALL] * len(turns)
    grids = grid(pixels, original=original, scale=scale, turns=turns)
    return [hash_of_grid(full_range(one) if limited else one) for one in grids]
