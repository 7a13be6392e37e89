"""The join of one hash type: listed rows of several sets, a matcher over them, and which pairs meet the sets' rules.

Arrays in, arrays out; reads no store. See DESIGN.md, "The join, exactly", for every condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.frames import FrameTally, firsts
from hashsets.hashtypes import HashType
from hashsets.lookups import Lookup, Pairs
from hashsets.store import SignalColumns
from hashsets.types import Queries, Rule


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
    first = firsts(owners, entries)
    if len(masks):
        masks = np.bitwise_or.reduceat(masks, np.flatnonzero(first))
    return Evidence(owners[first], entries[first], sets[first], ranks[first], distances[first], masks)


class TypeIndex:
    """Everything listed of one hash type in several sets, with each set's rule beside it."""

    def __init__(
        self,
        hash_type: HashType,
        rules: Sequence[Rule],
        listed: Sequence[SignalColumns | None],
        *,
        streamed: bool = False,
    ) -> None:
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
        self._lookup = Lookup(hash_type, np.concatenate([columns.values for columns in kept]), streamed=streamed)
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
        asked = _without_repeats(asked)
        items: list[Evidence] = []
        frames = FrameTally()
        for found in self._pairs(asked.values, self._reach):
            pairs = _chosen(found, ~degenerate_rows(self._type, asked.values[found.rows]))
            sets = self._sets[pairs.listed]
            good = (pairs.distances <= self._radius[sets]) & (self._quality(asked, pairs.rows) >= self._floor[sets])
            of_frames = self._frames[pairs.listed]
            item = _chosen(pairs, good & ~of_frames)
            items.append(self._evidence(asked.owners[item.rows], item.listed, item.distances))
            frame = _chosen(pairs, good & of_frames & asked.is_frame[pairs.rows])
            if len(frame.rows):
                frames.add(frame, asked.owners[frame.rows], self._entries[frame.listed])
        if frames:
            items.append(self._frame_matches(asked, frames))
        return merge_evidence(items)

    def _pairs(self, values: NDArray[np.uint8], radius: int) -> Iterator[Pairs]:
        return self._lookup.blocks(values, radius) if len(self) else iter(())

    def _quality(self, asked: Queries, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return asked.quality[rows] if self._type.has_quality else np.full(len(rows), 100, np.uint8)

    def _evidence(self, owners: NDArray[np.int64], listed: NDArray[np.int64], distances: NDArray[np.int64]) -> Evidence:
        rank = hashtypes.rank(self._type.name)
        ranks = np.full(len(owners), rank, np.int64)
        every = Evidence(
            owners, self._entries[listed], self._sets[listed].astype(np.int64), ranks, distances, 1 << ranks
        )
        return merge_evidence([every])

    def _frame_matches(self, asked: Queries, frames: FrameTally) -> Evidence:
        """Entries of which, and of the owner's frames, enough found a partner."""
        useful = asked.is_frame.copy()
        useful[useful] = ~degenerate_rows(self._type, asked.values[useful])
        groups = frames.groups(asked, useful)
        best = self._evidence(groups.owners, groups.listed, groups.distances)
        assert len(best) == len(groups.owners)  # both are ordered by owner, then entry, each once
        floors = self._floor[best.sets]
        query_totals = groups.distinct.totals(best.owners, floors)
        listed_totals = self._frame_totals[groups.listed]
        shares = self._shares[best.sets]
        enough = (groups.query_frames / query_totals >= shares[:, 0]) & (
            groups.listed_frames / listed_totals >= shares[:, 1]
        )
        return best.where(enough)

    # -- whatever the rules ------------------------------------------------------------------------------------------

    def near(self, values: NDArray[np.uint8], radius_bits: int) -> Evidence:
        """The entries within a radius of each value; the owner is the value's row."""
        found = [
            self._evidence(rows, listed, distances) for rows, listed, distances in self._pairs(values, radius_bits)
        ]
        return merge_evidence(found)


def _chosen(pairs: Pairs, chosen: NDArray[np.bool_]) -> Pairs:
    return pairs if chosen.all() else Pairs(pairs.rows[chosen], pairs.listed[chosen], pairs.distances[chosen])


def _without_repeats(asked: Queries) -> Queries:
    """Without rows that say again what the row before them said, as the frames of a still video do by the thousand."""
    again = np.flatnonzero(asked.owners[1:] == asked.owners[:-1])
    for column in (asked.is_frame, asked.quality):
        again = again[column[again] == column[again + 1]]
    again = again[(asked.values[again] == asked.values[again + 1]).all(axis=1)]
    if not len(again):
        return asked
    kept = np.ones(len(asked), np.bool_)
    kept[again + 1] = False
    return Queries(asked.hash_type, asked.values[kept], asked.owners[kept], asked.quality[kept], asked.is_frame[kept])


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
