"""Frames of a video against entries of frames: which entries share enough of them.

Owns how frames are counted: distinct values on both sides, at or above the floor. Arrays in, arrays out.

Rules
- Pairs come in blocks of any order; what is kept of them is one row a (frame, entry) and one an (owner, listed frame),
  not one a pair.
- Only owners that met an entry of frames at all are counted, so that a stream of images costs nothing here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashsets.lookups import Pairs
from hashsets.types import Queries

Column = NDArray[np.int64]


class FrameTally:
    """What frames met what, over all blocks."""

    def __init__(self) -> None:
        self._met: list[tuple[Column, Column, Column]] = []  # query row, entry, distance
        self._listed: list[tuple[Column, Column, Column]] = []  # owner, entry, listed row

    def add(self, pairs: Pairs, owners: Column) -> None:
        """Take pairs of frames, whose ids are entries; `owners` is aligned with them."""
        entries = pairs.ids
        order = np.lexsort((pairs.distances, entries, pairs.rows))
        rows, met = pairs.rows[order], entries[order]
        first = firsts(rows, met)
        self._met.append((rows[first], met[first], pairs.distances[order][first]))
        order = np.lexsort((pairs.listed, entries, owners))
        columns = owners[order], entries[order], pairs.listed[order]
        first = firsts(*columns)
        self._listed.append((columns[0][first], columns[1][first], columns[2][first]))

    def __bool__(self) -> bool:
        return bool(self._met)

    def groups(self, asked: Queries, useful: NDArray[np.bool_]) -> FrameGroups:
        """Everything taken, by (owner, entry). `useful` are the rows of `asked` that count: frames that can match."""
        rows, entries, distances = (np.concatenate(column) for column in zip(*self._met, strict=True))
        of_listed = tuple(np.concatenate(column) for column in zip(*self._listed, strict=True))
        distinct = DistinctFrames(asked, useful & np.isin(asked.owners, asked.owners[rows]))
        return FrameGroups(distinct, asked.owners[rows], rows, entries, distances, of_listed)


class FrameGroups:
    """Aligned, one row an (owner, entry), in that order: least distance, and how many distinct frames of either side
    met."""

    def __init__(
        self,
        distinct: DistinctFrames,
        owners: Column,
        rows: Column,
        entries: Column,
        distances: Column,
        of_listed: tuple[Column, ...],
    ) -> None:
        self.distinct = distinct
        frames = distinct.number[rows]
        order = np.lexsort((frames, entries, owners))
        owners, entries, frames, distances = (column[order] for column in (owners, entries, frames, distances))
        starts = np.flatnonzero(firsts(owners, entries))
        self.owners, self.entries = owners[starts], entries[starts]
        self.distances = np.minimum.reduceat(distances, starts)
        self.query_frames = np.add.reduceat(firsts(owners, entries, frames).astype(np.int64), starts)
        order = np.lexsort(of_listed[::-1])
        owners, entries, listed = (column[order] for column in of_listed)
        starts = np.flatnonzero(firsts(owners, entries))
        self.listed_frames = np.add.reduceat(firsts(owners, entries, listed).astype(np.int64), starts)


class DistinctFrames:
    """The distinct frames of some owners, with the best quality each came with."""

    def __init__(self, asked: Queries, chosen: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(chosen)
        owners, quality = asked.owners[rows], asked.quality[rows].astype(np.int64)
        values = np.ascontiguousarray(asked.values[rows])
        by_value = values.view(f"S{values.shape[1]}").reshape(len(rows))
        order = np.lexsort((by_value, owners))
        first = firsts(owners[order], by_value[order])
        self.number = np.zeros(len(asked), np.int64)  # of the frame that each chosen row is
        self.number[rows[order]] = np.cumsum(first)
        starts = np.flatnonzero(first)
        self._owners = owners[order][starts]
        self._quality = np.maximum.reduceat(quality[order], starts) if len(starts) else quality

    def totals(self, owners: Column, floors: Column) -> Column:
        """How many distinct frames each owner has at or above each floor."""
        totals = np.zeros(len(owners), np.int64)
        for floor in np.unique(floors).tolist():
            good = self._owners[self._quality >= floor]  # sorted, so that two searches count
            chosen = floors == floor
            totals[chosen] = np.searchsorted(good, owners[chosen], "right") - np.searchsorted(good, owners[chosen])
        return totals


def firsts(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Of aligned columns in order, which rows differ from the one before."""
    first = np.ones(len(columns[0]), np.bool_)
    first[1:] = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        first[1:] |= column[1:] != column[:-1]
    return first
