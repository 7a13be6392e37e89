"""Rows that share a value: a matcher knows each value once, and the postings say which rows list it.

Rules
- A value that very many rows list costs a search once, not once a row: lists are not ours.
- What the postings give comes in pieces, so that no caller holds more pairs than it has room for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError
from hashsets.types import Hits


@dataclass(frozen=True, slots=True)
class Postings:
    """Value `v` of the matcher stands on the rows `order[starts[v] : starts[v + 1]]`, which rise."""

    order: NDArray[np.uint32]
    starts: NDArray[np.uint32]

    def check(self, values: int) -> None:
        """Raise MatchingError unless every row stands under one of so many values: files are not believed."""
        starts = self.starts
        if starts.shape != (values + 1,) or starts[0] != 0 or starts[-1] != len(self.order):
            raise MatchingError("the rows of equal values do not fit their values; build the index again")
        if (starts[1:] < starts[:-1]).any():
            raise MatchingError("the rows of equal values contradict themselves; build the index again")

    def expanded(self, hits: Hits, most: int) -> Iterator[Hits]:
        """Hits of values as hits of rows, at most so many at a time."""
        first = self.starts[hits.listed_rows].astype(np.int64)
        counts = self.starts[hits.listed_rows + 1].astype(np.int64) - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        first -= ends - counts
        for at in range(0, total, most):
            places = np.arange(at, min(at + most, total))
            hit = np.searchsorted(ends, places, "right")
            rows = np.minimum(self.order[first[hit] + places], len(self.order) - 1)  # damaged: yet nothing outside
            yield Hits(hits.query_rows[hit], rows.astype(np.int64), hits.distances[hit])


def whole(hits: Hits, most: int) -> Iterator[Hits]:
    """Hits that need no postings, at most so many at a time."""
    for at in range(0, len(hits), most):
        part = slice(at, at + most)
        yield Hits(hits.query_rows[part], hits.listed_rows[part], hits.distances[part])


def of(values: NDArray[np.uint8]) -> tuple[Postings, NDArray[np.int64]] | None:
    """The rows of each distinct value, and one row of each in the same order; None where no value stands twice."""
    keys = _sort_keys(values)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    alike = np.flatnonzero(keys[1:] == keys[:-1])
    equal = alike[(values[order[alike]] == values[order[alike + 1]]).all(axis=1)]
    if not len(equal):
        return None
    first = np.ones(len(order), np.bool_)
    first[equal + 1] = False
    starts = np.flatnonzero(first)
    postings = Postings(order.astype(np.uint32), np.append(starts, len(order)).astype(np.uint32))
    return postings, order[starts]


def _sort_keys(values: NDArray[Any]) -> NDArray[np.uint64]:
    """A number a value, equal for equal ones: sorting numbers takes a tenth of sorting strings.

    Unequal values may share one. Then equal ones may stand apart and be indexed twice, which costs memory alone.
    """
    width = values.shape[1]
    words = values
    if width % 8:
        words = np.zeros((len(values), -(-width // 8) * 8), np.uint8)
        words[:, :width] = values
    keys = np.zeros(len(values), np.uint64)
    for word in np.ascontiguousarray(words).view(np.uint64).T:
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= word
    return keys
