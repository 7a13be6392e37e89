"""The weights of PDQ's operator along one axis.

The reference blurs the luma plane twice with a box along each axis and then samples 64 points. So row k of the operator
is the row of "box applied twice" at the k-th sampling point: a tent of about n/64 weights. Strides and supports are
both about n/64, so bands hardly overlap and every pixel is read about once.

Rules
- Weights are whole numbers of 2**-WEIGHT_BITS that sum to one exactly; turning and scaling move and add them, no more.
- A mirrored picture is met by the mirrored operator: 0 bits from the hash of really turned pixels.
- Pixels decoded at 1/2, 1/4 or 1/8 are met by the tent of the original size, summed over each block.
- A window is met as if it were the whole picture, in place; beyond the picture, the pixels at its edge go on.
- native/bands.c takes the same steps in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # the grid's side, as published
WEIGHT_BITS = 22


class Bands(NamedTuple):
    """The operator of one axis: row k has `weights[k]` over the samples from `starts[k]` to before `stops[k]`.

    Weights are zero-padded on the right.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """What is hashed of an axis: `length` samples from `first` on of `total`, all before scaling.

    It may begin before 0 and end beyond `total`.
    """

    total: int
    first: int
    length: int


@lru_cache(maxsize=128)
def bands(axis: int | Span, reverse: bool = False, scale: int = 1) -> Bands:
    """The operator of an axis of original samples (all of them, or a span), over samples decoded at 1/`scale`.

    `reverse` gives the operator whose product with the picture is that of the unreversed one with the mirrored picture.
    """
    span = axis if isinstance(axis, Span) else Span(axis, 0, axis)
    starts, stops, weights = _whole(*_tents(span.length), span.length)
    if reverse:
        starts, stops = span.length - stops, span.length - starts
        columns = (stops - starts)[:, None] - 1 - np.arange(weights.shape[1])
        weights = np.where(columns >= 0, np.take_along_axis(weights, np.maximum(columns, 0), axis=1), 0.0)
    return _per_block(span, starts, stops, weights, scale)


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


def _whole(starts: NDArray[np.int64], weights: NDArray[np.float64], n: int) -> Bands:
    """Tents without zeros at either end, in whole numbers; what rounding leaves goes to the first of the largest."""
    used = weights > 0
    lead = used.argmax(axis=1)
    lengths = weights.shape[1] - used[:, ::-1].argmax(axis=1) - lead
    columns = lead[:, None] + np.arange(int(lengths.max()))
    kept = np.take_along_axis(weights, np.minimum(columns, weights.shape[1] - 1), axis=1)
    kept = np.where(np.arange(kept.shape[1]) < lengths[:, None], kept, 0.0)
    firsts = starts + lead
    assert firsts.min() >= 0
    assert (firsts + lengths).max() <= n
    whole = np.rint(kept * (1 << WEIGHT_BITS))
    whole[np.arange(SIDE), kept.argmax(axis=1)] += (1 << WEIGHT_BITS) - whole.sum(axis=1)
    return Bands(firsts, firsts + lengths, whole)


def _per_block(
    span: Span, starts: NDArray[np.int64], stops: NDArray[np.int64], weights: NDArray[np.float64], scale: int
) -> Bands:
    """The weights summed over each block of `scale` samples that a scaled decoder averages into one."""
    columns = np.minimum(starts[:, None] + np.arange(weights.shape[1]), stops[:, None] - 1)
    blocks = np.clip(span.first + columns, 0, span.total - 1) // scale
    first = blocks[:, 0]
    summed = np.zeros((SIDE, int((blocks[:, -1] - first).max()) + 1))
    rows = np.broadcast_to(np.arange(SIDE)[:, None], blocks.shape)
    np.add.at(summed, (rows, blocks - first[:, None]), weights)
    return Bands(first, blocks[:, -1] + 1, summed)
