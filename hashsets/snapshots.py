"""Snapshots: the sets at their versions, with matchers over them, and the join of DESIGN.md applied to what they find.

Owns the rule of a match: radius, quality floor, degenerate values, shares of frames, best evidence. Knows no content.

Rules
- Immutable. Listed values are arrays, mapped where a set is large; no entry is a Python object until it is hit.
- Degenerate values match on neither side. Neither do values whose own quality is under the set's floor.
- The shape `frames` governs Hamming types. A digest of the whole file counts as an item whatever the entry's shape.
- Details of hits are read from the store when needed, as of the snapshot's version; an entry whose rows are gone
  (purged, or its set removed) is no hit any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.errors import MatchingError, NoSuchSet
from hashsets.evidence import Evidence, TypeIndex, listed_rows, merge_evidence, types_listed
from hashsets.hashtypes import HashType
from hashsets.indexes import Indexes
from hashsets.matching.changeable import View, view_of
from hashsets.store import EntryDetails, SignalColumns, Store
from hashsets.types import EntryHit, HashSet, Queries


@dataclass(frozen=True, slots=True)
class NearHit:
    """One listed value near one asked for, whatever the set's rule says: what `lookup` prints."""

    row: int
    set_uid: bytes
    entry_key: bytes
    ref: str
    distance: int


class Snapshot:
    """An immutable view of sets at their versions. Build it with `current` or `changes_since`."""

    def __init__(
        self,
        store: Store,
        hash_sets: Sequence[HashSet],
        listed: Sequence[Mapping[str, View]],
        catalogue: int,
    ) -> None:
        self._store = store
        self._sets = tuple(hash_sets)
        self.catalogue = catalogue
        self.hash_sets: Mapping[bytes, HashSet] = MappingProxyType({known.uid: known for known in hash_sets})
        self.versions: Mapping[bytes, int] = MappingProxyType({known.uid: known.version for known in hash_sets})
        self.rule_revisions: Mapping[bytes, int] = MappingProxyType(
            {known.uid: known.rule_revision for known in hash_sets}
        )
        rules = [known.rule for known in hash_sets]
        self._indexes = {
            name: TypeIndex(hashtypes.get(name), rules, [views.get(name) for views in listed])
            for name in hashtypes.names()
            if any(views.get(name) for views in listed)
        }

    @property
    def hash_types(self) -> frozenset[str]:
        """The hash types of which anything is listed: queries of others find nothing."""
        return frozenset(self._indexes)

    @property
    def edits(self) -> frozenset[str]:
        """The edits that some set here asks to be undone."""
        return frozenset(edit for known in self._sets for edit in known.rule.edits)

    def __len__(self) -> int:
        """How many values can be matched."""
        return sum(len(index) for index in self._indexes.values())

    def match(self, queries: Sequence[Queries]) -> list[EntryHit]:
        """Every (owner, set, entry) that meets the set's rule, once, with the best evidence.

        Sorted by owner, set uid, entry key. Raises MatchingError for arrays of the wrong shape, type or length.
        """
        found: list[Evidence] = []
        for asked in _by_type(queries):
            index = self._indexes.get(asked.hash_type)
            if index is not None:
                found.append(index.match(asked))
        return sorted(self._hits(merge_evidence(found)), key=lambda hit: (hit.owner, hit.set_uid, hit.entry_key))

    def _hits(self, evidence: Evidence) -> Iterator[EntryHit]:
        if not len(evidence):
            return
        details = self._details(evidence)
        demands = self._demands(evidence)
        for owner, entry, set_number, rank, distance, mask in evidence.rows():
            known, hash_set = details.get(entry), self._sets[set_number]
            if known is None or not hash_set.rule.takes(known.classifications):
                continue
            if mask.bit_count() >= demands.get(entry, hash_set.rule.agreeing):
                yield EntryHit(
                    owner, hash_set.uid, known.key, known.ref, known.classifications, known.first_version,
                    hashtypes.by_rank(rank).name, distance, _exact_types(mask),
                    known.changed_under(hash_set.rule),
                )  # fmt: skip

    def _demands(self, evidence: Evidence) -> dict[int, int]:
        """How many hash types must agree, by entry, where a set asks for more than one and is still there."""
        demands: dict[int, int] = {}
        for number in np.unique(evidence.sets).tolist():
            known = self._sets[number]
            if known.rule.agreeing > 1:
                ids = np.unique(evidence.entries[evidence.sets == number]).tolist()
                with contextlib.suppress(NoSuchSet):
                    listed = types_listed(known.rule, self._store.columns(known.uid, known.version, ids))
                    demands |= {entry: min(known.rule.agreeing, types) for entry, types in listed.items()}
        return demands

    def _details(self, evidence: Evidence) -> dict[int, EntryDetails]:
        details: dict[int, EntryDetails] = {}
        for number in np.unique(evidence.sets).tolist():
            known = self._sets[number]
            ids = np.unique(evidence.entries[evidence.sets == number]).tolist()
            details |= self._store.details(known.uid, known.version, ids)
        return details

    def near(self, hash_type: str, values: NDArray[np.uint8], radius_bits: int) -> list[NearHit]:
        """Every listed value within a radius of each asked for, by row, set and entry; sets' own rules do not apply.

        The smallest distance where an entry lists several. Raises MatchingError.
        """
        index = self._indexes.get(hashtypes.get(hash_type).name)
        if index is None:
            return []
        evidence = index.near(values, radius_bits)
        details = self._details(evidence)
        sets = [known.uid for known in self._sets]
        hits = [
            NearHit(row, sets[set_number], known.key, known.ref, distance)
            for row, entry, set_number, _, distance, _ in evidence.rows()
            if (known := details.get(entry)) is not None
        ]
        return sorted(hits, key=lambda hit: (hit.row, hit.distance, hit.set_uid, hit.entry_key))


@lru_cache(maxsize=1024)
def _exact_types(mask: int) -> frozenset[str]:
    return frozenset(
        name for name in hashtypes.names() if mask >> hashtypes.rank(name) & 1 and _is_exact(hashtypes.get(name))
    )


def _is_exact(hash_type: HashType) -> bool:
    return hash_type.comparison == "exact"


def _by_type(queries: Sequence[Queries]) -> list[Queries]:
    """One checked Queries a hash type and edit, so that the frames of one owner are counted together."""
    grouped: dict[tuple[str, str], list[Queries]] = {}
    for asked in queries:
        hash_type = hashtypes.find(asked.hash_type)
        if hash_type is None or not hash_type.matchable or hash_type.name != asked.hash_type:
            raise MatchingError("queries name a hash type that cannot be compared")
        _check(asked, hash_type)
        if len(asked):
            grouped.setdefault((asked.hash_type, asked.edit), []).append(asked)
    return [group[0] if len(group) == 1 else _joined(group) for group in grouped.values()]


def _check(asked: Queries, hash_type: HashType) -> None:
    count = len(asked.owners)
    for array, dtype, shape in (
        (asked.values, np.uint8, (count, hash_type.size_bytes)),
        (asked.owners, np.int64, (count,)),
        (asked.quality, np.uint8, (count,)),
        (asked.readings, np.uint8, (count,)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise MatchingError(f"queries of {hash_type.name} must be aligned arrays of the types `Queries` names")


def _joined(group: Sequence[Queries]) -> Queries:
    return Queries(
        group[0].hash_type,
        np.concatenate([asked.values for asked in group]),
        np.concatenate([asked.owners for asked in group]),
        np.concatenate([asked.quality for asked in group]),
        np.concatenate([asked.readings for asked in group]),
        group[0].edit,
    )


def current(
    store: Store,
    *,
    uids: Collection[bytes] | None = None,
    streamed: bool = False,
    indexes: Indexes | None = None,
) -> Snapshot:
    """Every set in force as it stands, or the named ones, in force or not; a uid that names no set is left out.

    With `streamed` in the form that a stream of contents is soonest compared with, not single uploads. `indexes` keeps
    what is open from one call to the next. Raises StoreError.
    """
    found = (indexes or Indexes(store)).current(None if uids is None else list(uids))
    views = [_streamed(each) for each in found.views] if streamed else found.views
    return Snapshot(store, found.hash_sets, views, found.number)


def _streamed(views: Mapping[str, View]) -> dict[str, View]:
    return {name: view.streamed() for name, view in views.items()}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a set's delta touched: the keys of changed entries, each with the last version that changed it, and a
    snapshot of just those that are still listed."""

    keys: Mapping[bytes, int]
    snapshot: Snapshot


def changes_since(store: Store, uid: bytes, from_version: int, to_version: int) -> Changes:
    """The entries whose signals changed over (from, to], with their signals in force at `to_version`.

    Where the set matches certain classifications only, also the entries that were classified otherwise.
    Keys include the wholly withdrawn and the re-listed; from version 0 that is every entry. Raises NoSuchSet, and
    UsageError where changes so far back were purged.
    """
    with store.read():
        hash_set = store.hash_set_by_uid(uid)
        if not 0 <= from_version <= to_version <= hash_set.version:
            raise NoSuchSet("the hash set has no such version")
        at_version = hash_set_at(hash_set, to_version)
        rule = hash_set.rule
        ids = store.changed_ids(uid, from_version, to_version, labels=bool(rule.codes))
        listed = store.columns(uid, to_version, ids)
        keys = {found.key: found.changed_under(rule) for found in store.details(uid, to_version, ids).values()}
        catalogue = store.catalogue()
    views = {name: _changed_view(hashtypes.get(name), columns) for name, columns in listed.items()}
    return Changes(keys, Snapshot(store, [at_version], [views], catalogue))


def _changed_view(hash_type: HashType, columns: SignalColumns) -> View:
    return view_of(hash_type, listed_rows(hash_type, columns), streamed=True)


def hash_set_at(hash_set: HashSet, version: int) -> HashSet:
    """The set as a snapshot at an earlier version names it; its rule is today's."""
    return replace(hash_set, version=version)
