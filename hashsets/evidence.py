"""The join of one hash type: what several sets list of it, as views, and which pairs meet the sets' rules.

Arrays in, arrays out; reads no store. See DESIGN.md, "The join, exactly", for every condition. A view's ids are entry
ids, and its marks say a row's quality and whether its entry is one of frames. What a rule can change is applied to what
was found, so that a changed rule leaves every index as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.frames import FrameTally, Readings, firsts
from hashsets.hashtypes import HashType
from hashsets.lookups import Pairs, pairs, rows_counted
from hashsets.matching.changeable import Change, View
from hashsets.store import SignalColumns
from hashsets.types import Queries, Rule

FRAME = 0x80  # of a mark: the entry's shape is frames; the other seven bits are the quality


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
    parts = [part for part in parts if len(part)]
    if not parts:  # by far the most: nothing was found
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
    masks = np.bitwise_or.reduceat(masks, np.flatnonzero(first))
    return Evidence(owners[first], entries[first], sets[first], ranks[first], distances[first], masks)


class TypeIndex:
    """Everything listed of one hash type in several sets, with each set's rule beside it."""

    def __init__(self, hash_type: HashType, rules: Sequence[Rule], views: Sequence[View | None]) -> None:
        self._type = hash_type
        self._near = hash_type.comparison != "exact"
        self._listed = [(number, view, rules[number]) for number, view in enumerate(views) if view]

    def _asks(self, rule: Rule, edit: str) -> bool:
        return rule.compares(self._type.name) and (not edit or edit in rule.edits)

    def _radius_of(self, rule: Rule) -> int:
        return rule.radius_bits.get(self._type.name, self._type.default_radius_bits) if self._near else 0

    def _floor_of(self, rule: Rule) -> int:
        return floor_of(self._type, rule)

    def __len__(self) -> int:
        return sum(len(view) for _, view, _ in self._listed)

    # -- under the sets' rules ---------------------------------------------------------------------------------------

    def match(self, asked: Queries) -> Evidence:
        """The pairs of owner and entry that meet the set's rule."""
        asked = _without_repeats(asked)
        readings = cache(lambda: Readings(asked))
        asking = [listed for listed in self._listed if self._asks(listed[2], asked.edit)]
        return merge_evidence([found for listed in asking for found in self._matches(asked, readings, *listed)])

    def _matches(
        self, asked: Queries, readings: Callable[[], Readings], number: int, view: View, rule: Rule
    ) -> Iterator[Evidence]:
        frames = FrameTally()
        for found in pairs(view, asked.values, self._radius_of(rule)):
            good = found.where(self._good(asked, found, self._floor_of(rule)))
            of_frames = good.marks >= FRAME if self._near else np.zeros(len(good.rows), np.bool_)
            item = good.where(~of_frames)
            yield self._evidence(number, asked.owners[item.rows], item.ids, item.distances)
            frame = good.where(of_frames & asked.is_frame[good.rows])
            if len(frame.rows):
                frames.add(frame, readings().numbers[frame.rows])
        if frames:
            yield self._frame_matches(asked, readings(), frames, number, view, rule)

    def _good(self, asked: Queries, found: Pairs, floor: int) -> NDArray[np.bool_]:
        """Which pairs have no degenerate value and are at or above the floor on both sides."""
        good = ~degenerate_rows(self._type, asked.values[found.rows])
        if self._type.has_quality:
            good &= (asked.quality[found.rows] >= floor) & (found.marks & ~np.uint8(FRAME) >= floor)
        return good

    def _evidence(
        self, number: int, owners: NDArray[np.int64], entries: NDArray[np.int64], distances: NDArray[np.int64]
    ) -> Evidence:
        ranks = np.full(len(owners), hashtypes.rank(self._type.name), np.int64)
        sets = np.full(len(owners), number, np.int64)
        return merge_evidence([Evidence(owners, entries, sets, ranks, distances, 1 << ranks)])

    def _frame_matches(
        self, asked: Queries, readings: Readings, frames: FrameTally, number: int, view: View, rule: Rule
    ) -> Evidence:
        """Entries of which, and of the frames of one of the owner's readings, enough found a partner."""
        useful = asked.is_frame
        useful[useful] = ~degenerate_rows(self._type, asked.values[useful])
        groups = frames.groups(asked, readings, useful)
        floor, shares = self._floor_of(rule), rule.frame_shares
        query_totals = groups.distinct.totals(groups.readings, np.full(len(groups.readings), floor))
        enough = groups.query_frames / query_totals >= shares.query
        if shares.listed:
            entries, place = np.unique(groups.entries, return_inverse=True)
            enough &= groups.listed_frames / rows_counted(view, entries, FRAME | floor, 0xFF)[place] >= shares.listed
        owners = readings.owners[groups.readings[enough]]
        return self._evidence(number, owners, groups.entries[enough], groups.distances[enough])

    # -- whatever the rules ------------------------------------------------------------------------------------------

    def near(self, values: NDArray[np.uint8], radius_bits: int) -> Evidence:
        """The entries within a radius of each value; the owner is the value's row."""
        return merge_evidence(
            [
                self._evidence(number, found.rows, found.ids, found.distances)
                for number, view, _ in self._listed
                for found in pairs(view, values, radius_bits)
            ]
        )


def floor_of(hash_type: HashType, rule: Rule) -> int:
    """The least quality that counts under a rule; 0 where the type has none."""
    return rule.quality_floor.get(hash_type.name, hash_type.default_quality_floor) if hash_type.has_quality else 0


def types_listed(rule: Rule, listed: Mapping[str, SignalColumns]) -> dict[int, int]:
    """By entry id, of how many of the hash types that a rule compares it lists a value that can match."""
    counted: Counter[int] = Counter()
    for name, columns in listed.items():
        hash_type = hashtypes.get(name)
        if rule.compares(name):
            good = ~degenerate_rows(hash_type, columns.values) & (columns.quality >= floor_of(hash_type, rule))
            counted.update(np.unique(columns.entry_ids[good]).tolist())
    return counted


def _without_repeats(asked: Queries) -> Queries:
    """Without rows that say again what the row before them said, as the frames of a still video do by the thousand."""
    if len(asked) < 2:
        return asked
    again = np.flatnonzero(asked.owners[1:] == asked.owners[:-1])
    for column in (asked.readings, asked.quality):
        again = again[column[again] == column[again + 1]]
    again = again[(asked.values[again] == asked.values[again + 1]).all(axis=1)]
    if not len(again):
        return asked
    kept = np.ones(len(asked), np.bool_)
    kept[again + 1] = False
    return Queries(
        asked.hash_type, asked.values[kept], asked.owners[kept], asked.quality[kept], asked.readings[kept], asked.edit
    )


def degenerate_rows(hash_type: HashType, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`hashtypes.is_degenerate` of each row."""
    if hash_type.comparison == "exact":
        empty = np.frombuffer(hashtypes.empty_file_digest(hash_type), np.uint8)
        return np.asarray((values == empty).all(axis=1))
    if hash_type.comparison == "plugin":  # what says nothing, a plug-in does not give
        return np.zeros(len(values), np.bool_)
    fewest, most = hashtypes.degenerate_bits(hash_type)
    bits = np.bitwise_count(np.ascontiguousarray(values).view(np.uint64)).sum(axis=1, dtype=np.int64)
    return np.asarray((bits < fewest) | (bits > most))


def listed_rows(hash_type: HashType, columns: SignalColumns) -> Change:
    """What a view takes of these signals: those that can match at all, by entry."""
    kept = np.flatnonzero(~degenerate_rows(hash_type, columns.values))
    kept = kept[np.argsort(columns.entry_ids[kept], kind="stable")]
    marks = np.minimum(columns.quality[kept], 100) | columns.frames[kept] * np.uint8(FRAME)
    return Change(columns.values[kept], columns.entry_ids[kept], marks)
