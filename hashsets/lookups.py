"""Looking up very many values in a view, in memory that what is found cannot exceed.

Owns the blocks that queries are asked in. Knows no entry and no rule: an id and a mark are what the caller put there.

Rules
- Every pair within the radius once, in no promised order between blocks.
- A block has at most `MOST_HITS` pairs. Near-identical lists meeting near-identical frames have as many pairs as one
  has rows times the other, and lists are not ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import TooManyHits
from hashsets.matching.changeable import Layer, View
from hashsets.types import Hits

# A stream past a small delta is soonest in blocks of a million rows (bench/runs): 32 MB of rows and as much of sorting.
BLOCK_QUERIES = 1 << 20
MOST_HITS = 1 << 20  # pairs held at once: about 100 MB while they are reduced to one row an entry


class Pairs(NamedTuple):
    """Aligned: query row, listed row (a number of its own through all layers), distance in bits, id and mark of the
    listed row. All (n,) int64 but `marks`, uint8."""

    rows: NDArray[np.int64]
    listed: NDArray[np.int64]
    distances: NDArray[np.int64]
    ids: NDArray[np.int64]
    marks: NDArray[np.uint8]

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        """The chosen pairs."""
        if chosen.all():
            return self
        rows, listed, distances, ids, marks = self
        return Pairs(rows[chosen], listed[chosen], distances[chosen], ids[chosen], marks[chosen])


def pairs(view: View, values: NDArray[np.uint8], radius: int) -> Iterator[Pairs]:
    """Every pair of a value's row and a listed row within the radius, in blocks. Raises MatchingError."""
    first_row = 0
    for layer in view.layers:
        for start, hits in _hits(layer, values, radius):
            for part in layer.rows(hits, MOST_HITS):
                if len(part):
                    yield Pairs(
                        part.query_rows + start,
                        part.listed_rows + first_row,
                        part.distances.astype(np.int64),
                        layer.segment.ids(part.listed_rows),
                        layer.segment.marks[part.listed_rows],
                    )
        first_row += len(layer.segment)


def _hits(layer: Layer, values: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, Hits]]:
    """Hits by block, with the first row of it; blocks are as long as their hits allow."""
    start, size = 0, BLOCK_QUERIES
    while start < len(values):
        try:
            # One value has no more hits than are listed: it is asked whatever comes.
            hits = layer.search(values[start : start + size], radius, MOST_HITS if size > 1 else 0)
        except TooManyHits:
            size = max(min(size, len(values) - start) // 8, 1)
            continue
        if len(hits):
            yield start, hits
        start += size
        size = min(2 * size, BLOCK_QUERIES)


def rows_counted(view: View, ids: NDArray[np.int64], least_mark: int, most_mark: int) -> NDArray[np.int64]:
    """How many listed rows with a mark in that range each id has; `ids` (n,) rise."""
    totals = np.zeros(len(ids), np.int64)
    for layer in view.layers:
        rows = layer.segment.rows_of(ids)
        marks = layer.segment.marks[rows]
        rows = rows[layer.are_alive(rows) & (marks >= least_mark) & (marks <= most_mark)]
        totals += np.bincount(np.searchsorted(ids, layer.segment.ids(rows)), minlength=len(ids))
    return totals
