"""Looking up very many values among those listed, in memory that what is found cannot exceed.

Owns the blocks that queries are asked in, and that equal listed values are indexed once. Knows no entry and no rule.

Rules
- Every pair within the radius once, in no promised order between blocks.
- A block has at most `MOST_HITS` pairs, or those of one value where these are more. Near-identical lists meeting
  near-identical frames have as many pairs as one has rows times the other, and lists are not ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import TooManyHits
from hashsets.hashtypes import HashType
from hashsets.matching import build
from hashsets.types import Hits

# A stream past a small delta is soonest in blocks of a million rows (bench/runs): 32 MB of rows and as much of sorting.
BLOCK_QUERIES = 1 << 20
MOST_HITS = 1 << 20  # pairs held at once: about 100 MB while they are reduced to one row an entry


class Pairs(NamedTuple):
    """Aligned: query row, listed row, distance in bits; each (n,) int64."""

    rows: NDArray[np.int64]
    listed: NDArray[np.int64]
    distances: NDArray[np.int64]


class Lookup:
    """Listed values (n, bits // 8) of one type; with `streamed` in the form for very many queries at once."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8], *, streamed: bool = False) -> None:
        self._postings = _postings(values)
        distinct = values if self._postings is None else values[self._postings.first_rows]
        self._matcher = build(hash_type, distinct, streamed=streamed)

    def blocks(self, values: NDArray[np.uint8], radius: int) -> Iterator[Pairs]:
        """Every pair of a value's row and a listed row within the radius, in blocks. Raises MatchingError."""
        for start, hits in self._hits(values, radius):
            rows, distances = hits.query_rows + start, hits.distances.astype(np.int64)
            if self._postings is None:
                yield Pairs(rows, hits.listed_rows, distances)
            else:
                yield from self._postings.pairs(rows, hits.listed_rows, distances)

    def _hits(self, values: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, Hits]]:
        """Hits by block, with the first row of it; blocks are as long as their hits allow."""
        start, size = 0, BLOCK_QUERIES
        while start < len(values):
            try:
                # One value has no more hits than are listed: it is asked whatever comes.
                hits = self._matcher.query(values[start : start + size], radius, most_hits=MOST_HITS if size > 1 else 0)
            except TooManyHits:
                size = max(min(size, len(values) - start) // 8, 1)
                continue
            if len(hits):
                yield start, hits
            start += size
            size = min(2 * size, BLOCK_QUERIES)


class _Postings:
    """The listed rows of each distinct value: `first_rows` one of each, in the order the matcher knows them."""

    def __init__(self, order: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        self._order = order
        self._starts = starts
        self._counts = np.diff(starts, append=len(order))
        self.first_rows = order[starts]

    def pairs(self, rows: NDArray[np.int64], found: NDArray[np.int64], distances: NDArray[np.int64]) -> Iterator[Pairs]:
        """Hits of distinct values as pairs with every row that lists them."""
        counts = self._counts[found]
        ends = np.cumsum(counts)
        first = self._starts[found] - (ends - counts)
        for at in range(0, int(ends[-1]), MOST_HITS):
            places = np.arange(at, min(at + MOST_HITS, int(ends[-1])))
            hit = np.searchsorted(ends, places, "right")
            yield Pairs(rows[hit], self._order[first[hit] + places], distances[hit])


def _postings(values: NDArray[np.uint8]) -> _Postings | None:
    """The rows of each distinct value; None where no value stands twice, as in most lists."""
    keys = _sort_keys(values)
    order = np.argsort(keys)
    keys = keys[order]
    alike = np.flatnonzero(keys[1:] == keys[:-1])
    equal = alike[(values[order[alike]] == values[order[alike + 1]]).all(axis=1)]
    if not len(equal):
        return None
    first = np.ones(len(order), np.bool_)
    first[equal + 1] = False
    return _Postings(order, np.flatnonzero(first))


def _sort_keys(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A number a value, equal for equal ones: sorting numbers takes a tenth of sorting strings.

    Unequal values may share one. Then equal ones may stand apart and be indexed twice, which costs memory alone.
    """
    width = values.shape[1]
    words = np.zeros((len(values), -(-width // 8) * 8), np.uint8) if width % 8 else values
    if words is not values:
        words[:, :width] = values
    keys = np.zeros(len(values), np.uint64)
    for word in np.ascontiguousarray(words).view(np.uint64).T:
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys ^= word
    return keys
