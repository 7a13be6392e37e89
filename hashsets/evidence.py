"""The join of one hash type: listed rows of several sets, a matcher over them, and which pairs meet the sets' rules.

Arrays in, arrays out; reads no store. See DESIGN.md, "The join, exactly", for every condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.hashtypes import HashType
from hashsets.matching import build
from hashsets.store import SignalColumns
from hashsets.types import Queries, Rule

# Queries looked up at once: their hits are reduced to one row an entry before the next block, which bounds memory by
# the hits of a block. 100,000 queries make 25 blocks: the matcher's set-up cost is not felt.
BLOCK_QUERIES = 4_096

NO_FRAME = -1


@dataclass(frozen=True, slots=True)
class Evidence:
    """Pairs that meet the rule, aligned: owner, entry id, set number, rank of the hash type, distance in bits, and a
    mask of the ranks of all types that agreed."""

    owners: NDArray[np.int64]
    entries: NDArray[np.int64]
    sets: NDArray[np.int64]
    ranks: NDArray[np.int64]
    distances: NDArray[np.int64]
    masks: NDArray[np.int64]

    def rows(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The rows as Python integers."""
        columns = (self.owners, self.entries, self.sets, self.ranks, self.distances, self.masks)
        return zip(*(column.tolist() for column in columns), strict=True)

    def where(self, chosen: NDArray[np.bool_]) -> Evidence:
        """The chosen rows."""
        return Evidence(
            self.owners[chosen], self.entries[chosen], self.sets[chosen],
            self.ranks[chosen], self.distances[chosen], self.masks[chosen],
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.owners)


def merge_evidence(parts: Sequence[Evidence]) -> Evidence:
    """One row per (owner, entry): the best one (exact before Hamming, then smaller distance), masks united."""
    if not parts:
        nothing = np.empty(0, np.int64)
        return Evidence(nothing, nothing, nothing, nothing, nothing, nothing)
    owners, entries, sets, ranks, distances, masks = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("owners", "entries", "sets", "ranks", "distances", "masks")
    )
    # Exact types come before Hamming types at equal distance by rank, and their own distance is 0.
    order = np.lexsort((ranks, distances, entries, owners))
    owners, entries, sets, ranks, distances, masks = (
        column[order] for column in (owners, entries, sets, ranks, distances, masks)
    )
    first = np.ones(len(owners), np.bool_)
    first[1:] = (owners[1:] != owners[:-1]) | (entries[1:] != entries[:-1])
    if len(masks):
        masks = np.bitwise_or.reduceat(masks, np.flatnonzero(first))
    return Evidence(owners[first], entries[first], sets[first], ranks[first], distances[first], masks)


class TypeIndex:
    """Everything listed of one hash type in several sets, with each set's rule beside it."""

    def __init__(self, hash_type: HashType, rules: Sequence[Rule], listed: Sequence[SignalColumns | None]) -> None:
        self._type = hash_type
        self._hamming = hash_type.comparison == "hamming"
        self._radius = np.array([self._radius_of(rule) for rule in rules], np.int64)
        self._floor = np.array([self._floor_of(rule) for rule in rules], np.int64)
        self._shares = np.array([(rule.frame_shares.query, rule.frame_shares.listed) for rule in rules], np.float64)
        present = [(number, columns) for number, columns in enumerate(listed) if columns is not None]
        kept = [columns_kept(hash_type, columns, int(self._floor[number])) for number, columns in present]
        self._sets = np.repeat(
            np.array([number for number, _ in present], np.int32), [len(columns) for columns in kept]
        )
        self._entries = np.concatenate([columns.entry_ids for columns in kept])
        self._frames = np.concatenate([columns.frames for columns in kept]) & self._hamming
        self._frame_totals = _group_sizes(self._entries, self._frames)
        self._matcher = build(hash_type, np.concatenate([columns.values for columns in kept]))
        # Sets that list nothing here must not widen the search.
        listing_sets = np.unique(self._sets)
        self._reach = int(self._radius[listing_sets].max()) if len(listing_sets) else 0

    def _radius_of(self, rule: Rule) -> int:
        return rule.radius_bits.get(self._type.name, self._type.default_radius_bits) if self._hamming else 0

    def _floor_of(self, rule: Rule) -> int:
        if not self._type.has_quality:
            return 0
        return rule.quality_floor.get(self._type.name, self._type.default_quality_floor)

    def __len__(self) -> int:
        return len(self._entries)

    # -- under the sets' rules ---------------------------------------------------------------------------------------

    def match(self, asked: Queries) -> Evidence:
        """The pairs of owner and entry that meet the set's rule."""
        queries = _Distinct(self._type, asked)
        items: list[Evidence] = []
        frames: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        for rows, listed, distances in self._blocks(queries.values, self._reach):
            sets = self._sets[listed]
            near = distances <= self._radius[sets]
            of_frames = self._frames[listed]
            item = near & ~of_frames & (queries.quality[rows] >= self._floor[sets])
            items.append(self._evidence(queries.owners[rows[item]], listed[item], distances[item]))
            frame = near & of_frames & (queries.frame_quality[rows] >= self._floor[sets])
            if frame.any():
                frames.append((rows[frame], listed[frame], distances[frame]))
        if frames:
            items.append(self._frame_matches(queries, *(np.concatenate(part) for part in zip(*frames, strict=True))))
        return merge_evidence(items)

    def _blocks(
        self, values: NDArray[np.uint8], radius: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        if not len(self):
            return
        for start in range(0, len(values), BLOCK_QUERIES):
            hits = self._matcher.query(values[start : start + BLOCK_QUERIES], radius)
            if len(hits):
                yield hits.query_rows + start, hits.listed_rows, hits.distances.astype(np.int64)

    def _evidence(self, owners: NDArray[np.int64], listed: NDArray[np.int64], distances: NDArray[np.int64]) -> Evidence:
        rank = hashtypes.rank(self._type.name)
        ranks = np.full(len(owners), rank, np.int64)
        every = Evidence(
            owners, self._entries[listed], self._sets[listed].astype(np.int64), ranks, distances, 1 << ranks
        )
        return merge_evidence([every])

    def _frame_matches(
        self,
        queries: _Distinct,
        rows: NDArray[np.int64],
        listed: NDArray[np.int64],
        distances: NDArray[np.int64],
    ) -> Evidence:
        """Entries of which, and of the owner's frames, enough found a partner. Rows are distinct frames of an owner."""
        pairs = _Pairs(queries.owners[rows], self._entries[listed])
        best = self._evidence(queries.owners[rows], listed, distances)
        assert len(best) == len(pairs.starts)  # both are ordered by owner, then entry
        query_totals = queries.frame_totals(best.owners, self._floor[best.sets])
        listed_totals = self._frame_totals[listed][pairs.order][pairs.starts]
        shares = self._shares[best.sets]
        enough = (pairs.distinct(rows) / query_totals >= shares[:, 0]) & (
            pairs.distinct(listed) / listed_totals >= shares[:, 1]
        )
        return best.where(enough)

    # -- whatever the rules ------------------------------------------------------------------------------------------

    def near(self, values: NDArray[np.uint8], radius_bits: int) -> Evidence:
        """The entries within a radius of each value; the owner is the value's row."""
        found = [
            self._evidence(rows, listed, distances) for rows, listed, distances in self._blocks(values, radius_bits)
        ]
        return merge_evidence(found)


class _Distinct:
    """The distinct values of each owner that can match at all, with the best quality they came with.

    `frame_quality` is that of the rows that are frames, NO_FRAME where none is. Sorted by owner.
    """

    def __init__(self, hash_type: HashType, asked: Queries) -> None:
        useful = ~degenerate_rows(hash_type, asked.values)
        values, owners = asked.values[useful], asked.owners[useful]
        quality = asked.quality[useful].astype(np.int64)
        if not hash_type.has_quality:
            quality = np.full(len(owners), 100, np.int64)
        frame_quality = np.where(asked.is_frame[useful], quality, NO_FRAME)
        by_value = np.ascontiguousarray(values).view(f"S{hash_type.size_bytes}").reshape(len(values))
        order = np.lexsort((by_value, owners))
        by_value, owners = by_value[order], owners[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (owners[1:] != owners[:-1]) | (by_value[1:] != by_value[:-1])
        starts = np.flatnonzero(first)
        self.values = values[order][first]
        self.owners = owners[first]
        self.quality = np.maximum.reduceat(quality[order], starts) if len(starts) else quality
        self.frame_quality = np.maximum.reduceat(frame_quality[order], starts) if len(starts) else frame_quality

    def frame_totals(self, owners: NDArray[np.int64], floors: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many distinct frames each owner has at or above each floor."""
        totals = np.zeros(len(owners), np.int64)
        for floor in np.unique(floors).tolist():
            good = self.owners[self.frame_quality >= floor]  # sorted, so that two searches count
            chosen = floors == floor
            asked = owners[chosen]
            totals[chosen] = np.searchsorted(good, asked, "right") - np.searchsorted(good, asked, "left")
        return totals


def degenerate_rows(hash_type: HashType, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`hashtypes.is_degenerate` of each row."""
    if hash_type.comparison == "exact":
        empty = np.frombuffer(hashtypes.empty_file_digest(hash_type), np.uint8)
        return np.asarray((values == empty).all(axis=1))
    fewest, most = hashtypes.degenerate_bits(hash_type)
    bits = np.bitwise_count(np.ascontiguousarray(values).view(np.uint64)).sum(axis=1, dtype=np.int64)
    return np.asarray((bits < fewest) | (bits > most))


def columns_kept(hash_type: HashType, columns: SignalColumns, floor: int) -> SignalColumns:
    """The rows that can match: neither degenerate nor of a quality the list itself puts under the floor."""
    kept = ~degenerate_rows(hash_type, columns.values) & (columns.quality >= floor)
    if kept.all():
        return columns
    return SignalColumns(columns.values[kept], columns.entry_ids[kept], columns.frames[kept], columns.quality[kept])


def _group_sizes(entries: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each chosen row, how many chosen rows its entry has; 0 elsewhere."""
    sizes = np.zeros(len(entries) if chosen.any() else 0, np.int64)
    if len(sizes):
        _, inverse, counts = np.unique(entries[chosen], return_inverse=True, return_counts=True)
        sizes[chosen] = counts[inverse]
    return sizes


class _Pairs:
    """Rows grouped by (owner, entry), in that order."""

    def __init__(self, owners: NDArray[np.int64], entries: NDArray[np.int64]) -> None:
        self.order = np.lexsort((entries, owners))
        owners, entries = owners[self.order], entries[self.order]
        first = np.ones(len(owners), np.bool_)
        first[1:] = (owners[1:] != owners[:-1]) | (entries[1:] != entries[:-1])
        self.starts = np.flatnonzero(first)
        self._group = np.cumsum(first)

    def distinct(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many distinct numbers of `rows` each group has."""
        rows = rows[self.order]
        order = np.lexsort((rows, self._group))
        rows, group = rows[order], self._group[order]
        new = np.ones(len(rows), np.bool_)
        new[1:] = (rows[1:] != rows[:-1]) | (group[1:] != group[:-1])
        return np.add.reduceat(new.astype(np.int64), self.starts)
