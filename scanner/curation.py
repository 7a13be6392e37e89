"""What a person decides about hash sets: approve, roll back, retire, mute. Each brings reports in line before it ends.

Rules
- What is listed lies in one database and what was said in another: each step leaves both so that nothing leaves which
  should not, and the same call again goes on from there.
- A version is joined before it is approved, so that a person decides about figures, not about hopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashsets import refresh
from hashsets.errors import UsageError
from hashsets.limits import is_ref
from hashsets.store import Store
from hashsets.types import HashSet, Mode, Version
from scanner.clock import Clock, utc_day
from scanner.ledger import Ledger
from scanner.ledger.outbox import Occasion
from scanner.ledger.speech import Mute
from scanner.report_fields import is_day
from scanner.types import Trigger

if TYPE_CHECKING:
    from scanner.api import Scanner

MAX_REASON_LETTERS = 500


@dataclass(frozen=True, slots=True)
class Approved:
    """Which version of a set may speak now, and how many of its matches, of how many contents, were new by it."""

    version: int
    matches: int
    contents: int


class Curation:
    """Decisions about the sets of one home. `rescan` brings every content up to every set."""

    def __init__(self, store: Store, ledger: Ledger, clock: Clock, rescan: Callable[[], object]) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._rescan = rescan

    @classmethod
    def of(cls, scanner: Scanner) -> Curation:
        """Decisions about the sets of an open home."""
        return cls(scanner.store, scanner.ledger, scanner.clock, scanner.rescan)

    def _occasion(self) -> Occasion:
        return Occasion(Trigger.RESCAN, utc_day(self._clock))

    def approve(self, name: str, version: int | None = None) -> Approved:
        """Join a set, then let it speak up to a version (its present one): a shadow set is active from then on."""
        hash_set = self._store.hash_set(name)
        target = hash_set.version if version is None else version
        if not 1 <= target <= hash_set.version:
            raise UsageError("the hash set has no such version: `hashward hashset history` shows them")
        if hash_set.mode is Mode.RETIRED:
            hash_set = self._store.set_mode(name, Mode.SHADOW)
        self._rescan()
        matches, contents = self._new_by(hash_set)
        self._let_speak(hash_set, target)
        return Approved(target, matches, contents)

    def approve_at_once(self, name: str) -> None:
        """Let the present version of a set speak as soon as it is joined, whatever it brings."""
        hash_set = self._store.hash_set(name)
        if hash_set.version:
            self._ledger.probation.approve(hash_set, hash_set.version, self._occasion())
        if hash_set.mode is not Mode.ACTIVE:
            self._store.set_mode(name, Mode.ACTIVE)

    def _new_by(self, hash_set: HashSet) -> tuple[int, int]:
        """What waits for a word: of a set in shadow all its matches, else what its unsettled versions brought."""
        if hash_set.mode is Mode.ACTIVE:
            return self._ledger.probation.brought(hash_set.uid)
        return self._ledger.probation.would_bring(hash_set.uid)

    def _let_speak(self, hash_set: HashSet, version: int) -> None:
        known = self._ledger.probation.of(hash_set.uid)
        if hash_set.mode is not Mode.ACTIVE or known is None or known.version < version:
            self._ledger.probation.approve(hash_set, version, self._occasion())
        if hash_set.mode is not Mode.ACTIVE:
            self._store.set_mode(hash_set.name, Mode.ACTIVE)
        self._rescan()

    def roll_back(
        self, name: str, to_version: int, progress: Callable[[int], None] = lambda entries: None
    ) -> tuple[Version, bool]:
        """List again what an earlier version listed, as a new version, and withdraw what came since.

        Going back to a version that was let speak is approved by that; to another, the new version is on probation as
        any is. Returns the version, and whether it differs from the one before.
        """
        before = self._store.hash_set(name)
        known = self._ledger.probation.of(before.uid)
        version = refresh.roll_back(self._store, name, to_version, day=utc_day(self._clock), progress=progress)
        after = self._store.hash_set(name)
        last = self._store.history(name)[-1]
        if known is not None and to_version <= known.version and last.rollback_to == to_version:
            self._ledger.probation.approve(after, after.version, self._occasion())
        self._rescan()  # what came since is withdrawn before anything speaks
        return version, after.version != before.version

    def retire(self, name: str) -> None:
        """Match nothing with a set any more and withdraw its matches; what it listed stays, and its history."""
        self._store.set_mode(name, Mode.RETIRED)
        self._rescan()

    def mute(self, name: str, ref: str, until: str, reason: str) -> int:
        """Say nothing of a ref's entries until a UTC day is over, and withdraw what was said; of how many contents."""
        hash_set = self._store.hash_set(name)
        today = utc_day(self._clock)
        if not is_day(until) or until < today:
            raise UsageError("--until takes the last day, from today on, as YYYY-MM-DD")
        if not 1 <= len(reason) <= MAX_REASON_LETTERS or not reason.isprintable():
            raise UsageError(f"a reason has 1 to {MAX_REASON_LETTERS} printable characters")
        if not is_ref(ref) or not self._store.lists_ref(hash_set.uid, ref):
            raise UsageError("the hash set has no entry of that ref: `hashward hashset show` has those that match most")
        self._rescan()  # so that the ledger knows the set
        return self._ledger.probation.mute(hash_set.uid, Mute(ref, until, reason, today), self._occasion())

    def unmute(self, name: str, ref: str) -> None:
        """Let the entries of a ref be spoken of again."""
        if not self._ledger.probation.unmute(self._store.hash_set(name).uid, ref, self._occasion()):
            raise UsageError("no entry of that ref is muted: `hashward hashset mute NAME` lists them")
