"""Re-scan: bring every content up to every set's version and rule, from stored signals. Opens no file.

Signals come from the ledger's mapped inventory. Where only entries changed, the delta is joined: contents x changed
entries. Where the set is new to some contents, or its rule changed, those contents meet all its entries. Either way a
stretch of contents is compared, then committed with its coverage in one transaction; a kill loses at most the stretch
in hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hashsets.errors import NoSuchSet, UsageError
from hashsets.snapshots import Snapshot, changes_since, current
from hashsets.store import Store
from hashsets.types import HashSet, Mode, Role
from scanner.clock import Clock, utc_day
from scanner.ledger.claims import of_contents
from scanner.ledger.coverage import Interval, Met
from scanner.ledger.ledger import Change, Ledger, Stale
from scanner.ledger.matches import Grounds, Scope
from scanner.ledger.outbox import Occasion
from scanner.ledger.speech import Held
from scanner.reports import Cause
from scanner.types import Trigger

_ACCEPTED_AT_ONCE = 100  # some 10 ms, so that uploads need not wait


# Versions to which a set can go back: a bad one is noticed within days, and providers change daily at most.
KEPT_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class RescanSummary:
    """What a re-scan did: contents compared (once per set counted once), and how matches changed.

    `held` are the versions it found to bring too much, by the set's name.
    """

    contents: int
    change: Change
    held: Mapping[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Basis:
    """What contents that stand at one `Met` are to be compared with, and which entries of the set that is about."""

    scope: Scope
    snapshot: Snapshot


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
        self._judged: set[tuple[bytes, int]] = set()  # sets all have met, at a catalogue number
        self._held: dict[str, Held] = {}

    def run(self) -> RescanSummary:
        """Sweep until nothing is behind. Safe beside scans, uploads and other re-scans."""
        self._ledger.inventory.keep_up()
        self._ledger.probation.end_mutes(self._occasion(Cause.RULE))
        change = self._withdraw_removed()
        while behind := self._next():
            try:
                change += self._sweep(*behind)
            except (Stale, NoSuchSet):  # something moved: look again what is behind
                change += self._withdraw_removed()
        self._tell_accepted()
        if self._touched:
            self._purge()
        return RescanSummary(self._touched, change, self._held)

    def _tell_accepted(self) -> None:
        """Everything has met everything: say what follows of the places that accepted uploads came to."""
        while accepted := self._ledger.uploads.accepted(_ACCEPTED_AT_ONCE):
            occasion = Occasion(Trigger.UPLOAD, utc_day(self._clock))
            self._ledger.uploads.tell([item.id for item in accepted], occasion)

    def _withdraw_removed(self) -> Change:
        change = Change()
        for set_uid in self._store.removed():
            change += self._ledger.withdraw_set(set_uid, self._occasion(Cause.SET))
        for hash_set in self._store.hash_sets():
            if hash_set.mode is Mode.RETIRED:
                change += self._ledger.withdraw_set(hash_set.uid, self._occasion(Cause.SET), removed=False)
        return change

    def _occasion(self, cause: Cause) -> Occasion:
        return Occasion(Trigger.RESCAN, utc_day(self._clock), cause)

    def _next(self) -> tuple[HashSet, Interval, int] | None:
        catalogue = self._store.catalogue()
        # Known-good sets first: what they suppress is then never about to be reported.
        for hash_set in sorted(self._store.hash_sets(), key=lambda known: known.role is not Role.KNOWN_GOOD):
            self._ledger.greet(hash_set, self._occasion(Cause.RULE))
            if hash_set.in_force:
                interval = self._ledger.first_behind(hash_set)
                if interval is not None:
                    return hash_set, interval, catalogue
                self._settle(hash_set, catalogue)
        return None

    def _settle(self, hash_set: HashSet, catalogue: int) -> None:
        """All have met this version: it may speak from now on, or is held."""
        if (hash_set.uid, catalogue) in self._judged:
            return
        self._judged.add((hash_set.uid, catalogue))
        held = self._ledger.probation.settle(
            hash_set, self._occasion(Cause.ENTRY), lambda: self._store.catalogue() == catalogue
        )
        if held is not None:
            self._held[hash_set.name] = held

    def _sweep(self, hash_set: HashSet, interval: Interval, catalogue: int) -> Change:
        basis = self._basis(hash_set, interval.met, catalogue)
        signals = self._ledger.inventory.stretch(interval.seq_lo, interval.seq_hi, basis.snapshot.hash_types)
        stretch = Interval(interval.seq_lo, signals.seq_hi, interval.met)
        hits = of_contents(basis.snapshot.match(signals.queries), basis.snapshot.hash_sets)
        change = self._ledger.sweep(
            hash_set, stretch, basis.scope, hits, self._occasion(basis.scope.otherwise.cause),
            self._store.catalogue, catalogue,
        )  # fmt: skip
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
                return _Basis(self._scope(hash_set, changes.keys), changes.snapshot)
            except NoSuchSet:
                raise
            except UsageError:  # purged that far back, as after ledger.db was restored from an older copy
                pass
        snapshot = current(self._store, uids=[hash_set.uid], streamed=True)
        if snapshot.versions.get(hash_set.uid) != hash_set.version:
            raise Stale("the set has changed meanwhile")
        cause = Cause.ENTRY if same_rule or not met.version else Cause.RULE
        version = 0 if met.version == hash_set.version else hash_set.version
        return _Basis(Scope(Grounds(cause, version)), snapshot)

    def _scope(self, hash_set: HashSet, keys: Mapping[bytes, int]) -> Scope:
        """What a version took back, the list's provider has not withdrawn: the set itself has changed its mind."""
        taken_back = {each.version for each in self._store.history(hash_set.name) if each.rollback_to is not None}
        return Scope(
            Grounds(Cause.ENTRY, hash_set.version),
            {key: Grounds(Cause.SET if at in taken_back else Cause.ENTRY, at) for key, at in keys.items()},
        )

    def _purge(self) -> None:
        """Let go of withdrawn rows that every content has passed and no rollback can ask for."""
        for hash_set in self._store.hash_sets():
            known = self._ledger.probation.of(hash_set.uid)
            settled = 0 if known is None else known.version
            passed = min(self._ledger.passed_version(hash_set.uid), settled, hash_set.version - KEPT_VERSIONS)
            if passed > 0:
                with contextlib.suppress(NoSuchSet):  # removed meanwhile
                    self._store.purge_withdrawn(hash_set.uid, passed)
