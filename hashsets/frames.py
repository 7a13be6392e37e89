"""Frames of a video against entries of frames: which entries share enough of them.

Owns how frames are counted: distinct values on both sides, at or above the floor, and apart for each reading of an
owner: a film as stored and as turned, or one stream and another. Arrays in, arrays out.

Rules
- Pairs come in blocks of any order; what is kept of them is one row a (frame, entry) and one a (reading, listed frame),
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
        self._listed: list[tuple[Column, Column, Column]] = []  # reading, entry, listed row

    def add(self, pairs: Pairs, readings: Column) -> None:
        """Take pairs of frames, whose ids are entries; `readings` is aligned with them."""
        entries = pairs.ids
        order = np.lexsort((pairs.distances, entries, pairs.rows))
        rows, met = pairs.rows[order], entries[order]
        first = firsts(rows, met)
        self._met.append((rows[first], met[first], pairs.distances[order][first]))
        order = np.lexsort((pairs.listed, entries, readings))
        columns = readings[order], entries[order], pairs.listed[order]
        first = firsts(*columns)
        self._listed.append((columns[0][first], columns[1][first], columns[2][first]))

    def __bool__(self) -> bool:
        return bool(self._met)

    def groups(self, asked: Queries, readings: Readings, useful: NDArray[np.bool_]) -> FrameGroups:
        """Everything taken, by (reading, entry). `useful` are the rows of `asked` that count: frames that can match."""
        rows, entries, distances = (np.concatenate(column) for column in zip(*self._met, strict=True))
        of_listed = tuple(np.concatenate(column) for column in zip(*self._listed, strict=True))
        numbers = readings.numbers
        distinct = DistinctFrames(asked, numbers, useful & np.isin(numbers, numbers[rows]))
        return FrameGroups(distinct, numbers[rows], rows, entries, distances, of_listed)


class FrameGroups:
    """Aligned, one row a (reading, entry), in that order: least distance, and how many distinct frames of either side
    met."""

    def __init__(
        self,
        distinct: DistinctFrames,
        readings: Column,
        rows: Column,
        entries: Column,
        distances: Column,
        of_listed: tuple[Column, ...],
    ) -> None:
        self.distinct = distinct
        frames = distinct.number[rows]
        order = np.lexsort((frames, entries, readings))
        readings, entries, frames, distances = (column[order] for column in (readings, entries, frames, distances))
        starts = np.flatnonzero(firsts(readings, entries))
        self.readings, self.entries = readings[starts], entries[starts]
        self.distances = np.minimum.reduceat(distances, starts)
        self.query_frames = np.add.reduceat(firsts(readings, entries, frames).astype(np.int64), starts)
        order = np.lexsort(of_listed[::-1])
        readings, entries, listed = (column[order] for column in of_listed)
        starts = np.flatnonzero(firsts(readings, entries))
        self.listed_frames = np.add.reduceat(firsts(readings, entries, listed).astype(np.int64), starts)


class Readings:
    """The readings of all rows asked, numbered in the order of their owners."""

    def __init__(self, asked: Queries) -> None:
        order = np.lexsort((asked.readings, asked.owners))
        first = firsts(asked.owners[order], asked.readings[order])
        self.numbers = np.empty(len(asked), np.int64)
        self.numbers[order] = np.cumsum(first) - 1
        self.owners = asked.owners[order][first]


class DistinctFrames:
    """The distinct frames of some readings, with the best quality each came with."""

    def __init__(self, asked: Queries, readings: Column, chosen: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(chosen)
        of, quality = readings[rows], asked.quality[rows].astype(np.int64)
        values = np.ascontiguousarray(asked.values[rows])
        by_value = values.view(f"S{values.shape[1]}").reshape(len(rows))
        order = np.lexsort((by_value, of))
        first = firsts(of[order], by_value[order])
        self.number = np.zeros(len(asked), np.int64)  # of the frame that each chosen row is
        self.number[rows[order]] = np.cumsum(first)
        starts = np.flatnonzero(first)
        self._readings = of[order][starts]
        self._quality = np.maximum.reduceat(quality[order], starts) if len(starts) else quality

    def totals(self, readings: Column, floors: Column) -> Column:
        """How many distinct frames each reading has at or above each floor."""
        totals = np.zeros(len(readings), np.int64)
        for floor in np.unique(floors).tolist():
            good = self._readings[self._quality >= floor]  # sorted, so that two searches count
            chosen = floors == floor
            asked = readings[chosen]
            totals[chosen] = np.searchsorted(good, asked, "right") - np.searchsorted(good, asked)
        return totals


def firsts(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Of aligned columns in order, which rows differ from the one before."""
    first = np.ones(len(columns[0]), np.bool_)
    first[1:] = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        first[1:] |= column[1:] != column[:-1]
    return first
