"""Re-scan: bring every content up to every set's version and rule, from stored signals. Opens no file.

Signals come from the ledger's mapped inventory. Where only entries changed, the delta is joined: contents x changed
entries. Where the set is new to some contents, or its rule changed, those contents meet all its entries. Either way a
stretch of contents is compared, then committed with its coverage in one transaction; a kill loses at most the stretch
in hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from hashsets.errors import NoSuchSet, UsageError
from hashsets.snapshots import Snapshot, changes_since, current
from hashsets.store import Store
from hashsets.types import HashSet, Role
from scanner.clock import Clock, utc_day
from scanner.ledger.claims import of_contents
from scanner.ledger.coverage import Interval, Met
from scanner.ledger.ledger import Change, Ledger, Stale
from scanner.ledger.outbox import Occasion
from scanner.reports import Cause
from scanner.types import Trigger

_ACCEPTED_AT_ONCE = 100  # some 10 ms, so that uploads need not wait


@dataclass(frozen=True, slots=True)
class RescanSummary:
    """What a re-scan did: contents compared (once per set counted once), and how matches changed."""

    contents: int
    change: Change


@dataclass(frozen=True, slots=True)
class _Basis:
    """What contents that stand at one `Met` are to be compared with; `keys` None: all entries of the set."""

    keys: frozenset[bytes] | None
    snapshot: Snapshot
    cause: Cause


class Rescan:
    """One re-scan over all enabled sets."""

    def __init__(
        self, store: Store, ledger: Ledger, clock: Clock, progress: Callable[[int], None] = lambda contents: None
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._progress = progress
        self._bases: dict[tuple[bytes, Met, int], _Basis] = {}  # by set, where from, and catalogue
        self._touched = 0

    def run(self) -> RescanSummary:
        """Sweep until nothing is behind. Safe beside scans, uploads and other re-scans."""
        self._ledger.inventory.keep_up()
        change = self._withdraw_removed()
        while behind := self._next():
            try:
                change += self._sweep(*behind)
            except (Stale, NoSuchSet):  # something moved: look again what is behind
                change += self._withdraw_removed()
        self._tell_accepted()
        if self._touched:
            self._purge()
        return RescanSummary(self._touched, change)

    def _tell_accepted(self) -> None:
        """Everything has met everything: say what follows of the places that accepted uploads came to."""
        while accepted := self._ledger.uploads.accepted(_ACCEPTED_AT_ONCE):
            occasion = Occasion(Trigger.UPLOAD, utc_day(self._clock))
            self._ledger.uploads.tell([item.id for item in accepted], occasion)

    def _withdraw_removed(self) -> Change:
        change = Change()
        for set_uid in self._store.removed():
            change += self._ledger.withdraw_set(set_uid, self._occasion(Cause.SET))
        return change

    def _occasion(self, cause: Cause) -> Occasion:
        return Occasion(Trigger.RESCAN, utc_day(self._clock), cause)

    def _next(self) -> tuple[HashSet, Interval, int] | None:
        catalogue = self._store.catalogue()
        # Known-good sets first: what they suppress is then never about to be reported.
        for hash_set in sorted(self._store.hash_sets(), key=lambda known: known.role is not Role.KNOWN_GOOD):
            self._ledger.greet(hash_set, self._occasion(Cause.RULE))
            if hash_set.enabled:
                interval = self._ledger.first_behind(hash_set)
                if interval is not None:
                    return hash_set, interval, catalogue
        return None

    def _sweep(self, hash_set: HashSet, interval: Interval, catalogue: int) -> Change:
        basis = self._basis(hash_set, interval.met, catalogue)
        signals = self._ledger.inventory.stretch(interval.seq_lo, interval.seq_hi, basis.snapshot.hash_types)
        stretch = Interval(interval.seq_lo, signals.seq_hi, interval.met)
        hits = of_contents(basis.snapshot.match(signals.queries), basis.snapshot.hash_sets)
        change = self._ledger.sweep(
            hash_set, stretch, basis.keys, hits, self._occasion(basis.cause), self._store.catalogue, catalogue
        )
        self._touched += signals.contents
        self._progress(signals.contents)
        return change

    def _basis(self, hash_set: HashSet, met: Met, catalogue: int) -> _Basis:
        """What is committed under one catalogue number was compared under it: version and rule are in it."""
        key = (hash_set.uid, met, catalogue)
        if key not in self._bases:
            self._bases.clear()  # one at a time: a snapshot of a large set is not small
            self._bases[key] = self._build(hash_set, met)
        return self._bases[key]

    def _build(self, hash_set: HashSet, met: Met) -> _Basis:
        same_rule = met.rule_revision == hash_set.rule_revision
        # A version above the set's own was met before hashsets.db was restored from an older copy.
        if same_rule and 0 < met.version < hash_set.version:
            try:
                changes = changes_since(self._store, hash_set.uid, met.version, hash_set.version)
                return _Basis(changes.keys, changes.snapshot, Cause.ENTRY)
            except NoSuchSet:
                raise
            except UsageError:  # purged that far back, as after ledger.db was restored from an older copy
                pass
        snapshot = current(self._store, uids=[hash_set.uid], streamed=True)
        if snapshot.versions.get(hash_set.uid) != hash_set.version:
            raise Stale("the set has changed meanwhile")
        return _Basis(None, snapshot, Cause.ENTRY if same_rule or not met.version else Cause.RULE)

    def _purge(self) -> None:
        """Let go of withdrawn rows that every content has passed."""
        for hash_set in self._store.hash_sets():
            passed = self._ledger.passed_version(hash_set.uid)
            if passed:
                with contextlib.suppress(NoSuchSet):  # removed meanwhile
                    self._store.purge_withdrawn(hash_set.uid, passed)
