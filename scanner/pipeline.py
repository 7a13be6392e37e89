"""The one sequence from bytes to outcome: identify -> fingerprint -> match -> record. Every door calls it.

Rules
- Takes its fingerprinter, sets and ledger as arguments; opens no file and walks no tree.
- A content is compared with the sets as pinned and recorded only while they still stand so; else it is compared again.
- Known content is not decoded again unless it is owed a look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from hashsets.indexes import Indexes
from hashsets.snapshots import Snapshot, current
from hashsets.store import Store
from hashsets.types import EntryHit, HashSet, Mode, Role
from scanner.clock import Clock, utc_day
from scanner.hashing.digests import digest_fd
from scanner.ledger.claims import of_contents
from scanner.ledger.contents import MAX_LOOKS, NEVER_LOOKED, Basis, folded
from scanner.ledger.ledger import Ledger, Pinned, Place, Recorded, Recording, Stale
from scanner.ledger.outbox import Occasion
from scanner.ledger.packing import QueryBuilder, pack
from scanner.opening import as_file
from scanner.types import (
    Digests,
    Fingerprint,
    Fingerprinter,
    MediaKind,
    Reason,
    Source,
    Stop,
    Trigger,
    digests_only,
    never,
)

# Each retry follows a change of the sets; a catalogue that moves this often within one comparison is a fault.
_MAX_PINS = 100


@dataclass(frozen=True, slots=True)
class Look:
    """A content that was read: its digests, and its fingerprint unless it was known and not decoded again.

    `region` is the label of whoever took it in, and `counts` whether it is counted (see `Recording`). `is_new`: nobody
    knew the content just before it was looked at. `shared`: the fingerprint is of another's look, which is on record or
    will be, or of none, for want of time.
    """

    digests: Digests
    fingerprint: Fingerprint | None
    region: str = ""
    counts: bool | None = None
    is_new: bool = False
    shared: bool = False


class SetsInForce:
    """The hash sets as they stand, with the snapshot over them, rebuilt when the catalogue moves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indexes = Indexes(store)
        self._lock = threading.Lock()
        self._pinned: tuple[Pinned, Snapshot] | None = None

    def pin(self) -> tuple[Pinned, Snapshot]:
        """The sets and their snapshot at the present catalogue number. Safe to call from several threads."""
        with self._lock:
            while self._pinned is None or self._pinned[0].catalogue != self._store.catalogue():
                before = self._store.catalogue()
                sets = tuple(self._store.hash_sets())
                snapshot = current(self._store, indexes=self._indexes)
                if snapshot.catalogue == before == self._store.catalogue():
                    self._pinned = Pinned(before, sets), snapshot
            return self._pinned

    def as_pinned(self) -> tuple[Pinned, Snapshot]:
        """As `pin` found them last: for who makes sure afterwards that they still stand so."""
        return self._pinned or self.pin()

    def in_force(self) -> Pinned | None:
        """The sets as last pinned, while they still stand so; None where `pin` has to read them anew. Never waits."""
        pinned = self._pinned
        return pinned[0] if pinned is not None and pinned[0].catalogue == self._store.catalogue() else None

    def catalogue(self) -> int:
        """The catalogue number just now."""
        return self._store.catalogue()


def may_act(hash_set: HashSet) -> bool:
    """Whether a match with a set may have consequences: it neither vouches nor is it in shadow."""
    return hash_set.role is not Role.KNOWN_GOOD and hash_set.mode is Mode.ACTIVE


class _LooksInHand:
    """Looks under way or not yet recorded: equal contents met at the same time are decoded once.

    A look is shared only once its file was seen unchanged after it: else a file that changes between its digest and
    its decoding could lend the content of another file a fingerprint that is not its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[bytes, Future[Fingerprint | None]] = {}

    def share(
        self,
        sha256: bytes,
        decode: Callable[[], Fingerprint | None],
        unchanged: Callable[[], bool],
        left_s: Callable[[], float | None],
    ) -> Fingerprint | None:
        """What another lane saw in this content, waiting for it as long as there is time; else what `decode` gives."""
        while True:
            with self._lock:
                theirs = self._looks.get(sha256)
                if theirs is None:
                    ours = self._looks[sha256] = Future()
                    break
            try:
                seen = theirs.result(left_s())
            except TimeoutError:
                return Fingerprint(MediaKind.OTHER, digests_only(Reason.TIMEOUT), ())
            if seen is not None:
                return seen
        shared: Fingerprint | None = None
        try:
            fingerprint = decode()
            if unchanged():
                shared = fingerprint
            return fingerprint
        finally:
            if shared is None:
                self.drop([sha256])
            ours.set_result(shared)

    def drop(self, contents: Iterable[bytes]) -> None:
        """Forget looks: they are recorded, or were of no use."""
        with self._lock:
            for sha256 in contents:
                self._looks.pop(sha256, None)


class Pipeline:
    """scan_one and its two halves: `look` may run in several threads, `settle` in one at a time."""

    def __init__(self, sets: SetsInForce, ledger: Ledger, fingerprinter: Fingerprinter, clock: Clock) -> None:
        self._sets = sets
        self._ledger = ledger
        self._fingerprinter = fingerprinter
        self._clock = clock
        self._in_hand = _LooksInHand()

    def scan_one(
        self,
        fd: int,
        place: Place | None,
        trigger: Trigger,
        size_bytes: int | None = None,
        *,
        within_s: float | None = None,
    ) -> Recorded:
        """Scan the file open on `fd` and record it at `place`. Raises OSError where it cannot be read."""
        return self.settle([(place, self.look(fd, size_bytes, within_s=within_s))], trigger)[0]

    def look(
        self,
        source: Source,
        size_bytes: int | None = None,
        *,
        again: bool = False,
        unchanged: Callable[[], bool] = lambda: True,
        stop: Stop = never,
        within_s: float | None = None,
        digests: Digests | None = None,
    ) -> Look:
        """Identify and fingerprint; `again` looks at what is owed however often that was tried, for recipes too.

        `unchanged` tells after the look whether the file still is what was digested. `within_s` is for who waits: the
        time on the clock that digests and look may take together; the digests are made whole in any case, and what was
        not seen for want of time is owed. `digests` are those of the same bytes, where they were made as these came.
        Raises OSError (ShortRead among them) where the bytes cannot be read, and Stopped soon after `stop` is true.
        """
        until = None if within_s is None else time.monotonic() + within_s

        def left_s() -> float | None:
            return None if until is None else max(0.0, until - time.monotonic())

        made = _digests(source, size_bytes, stop) if digests is None else digests

        is_new, shared = False, True

        def decode() -> Fingerprint | None:
            nonlocal is_new, shared
            shared = False
            known = self._ledger.known(made.sha256)  # it may have waited for another look at the same
            is_new = known is None
            if known is None:
                return self._fingerprinter.fingerprint(source, None, stop, left_s())
            if known.owed and (again or known.attempts < MAX_LOOKS):
                return self._fingerprinter.fingerprint(source, known.resume, stop, left_s())
            if again and self.owes_recipes(known.seq):
                return self._fingerprinter.fingerprint(source, None, stop, left_s())
            return None

        seen = self._in_hand.share(made.sha256, decode, unchanged, left_s)
        return Look(made, seen, is_new=is_new, shared=shared)

    def see(self, source: Source, within_s: float | None = None) -> Fingerprint:
        """What a look at a content sees; nothing is compared or recorded."""
        return self._fingerprinter.fingerprint(source, within_s=within_s)

    def listed(self, digests: Digests) -> bool:
        """Whether a set in force that may be acted on lists one of these digests: known before anything is decoded."""
        pinned, snapshot = self._sets.pin()
        acting = {known.uid for known in pinned.sets if may_act(known)}
        if not acting:
            return False
        builder = QueryBuilder()
        builder.add(0, digests.signals(), pack(()))
        return any(hit.set_uid in acting for hit in snapshot.match(builder.queries()))

    def owes_recipes(self, seq: int) -> bool:
        """Whether a content was looked at before a recipe was wanted that it lacks."""
        return self._ledger.owes_recipes(seq, self._fingerprinter.wanted)

    def settle(self, looks: Sequence[tuple[Place | None, Look]], trigger: Trigger) -> list[Recorded]:
        """Match and record some looked-at contents in one transaction."""
        for attempt in range(_MAX_PINS):
            # What was seen a moment ago is gone by first: recording finds out where it stands so no more.
            pinned, snapshot = self._sets.pin() if attempt else self._sets.as_pinned()
            if attempt:
                looks = [(place, replace(look, is_new=False)) for place, look in looks]
            recordings = self._compare(looks, pinned, snapshot)
            occasion = Occasion(trigger, self.today())
            try:
                recorded = self._ledger.record(recordings, pinned, occasion, self._sets.catalogue)
            except Stale:
                continue
            self.recorded(look for _, look in looks)
            return recorded
        raise Stale("the sets keep changing")

    def today(self) -> str:
        """The UTC day under which it is recorded."""
        return utc_day(self._clock)

    def recorded(self, looks: Iterable[Look]) -> None:
        """These looks are on record, or will never be: equal contents are looked up from now on."""
        self._in_hand.drop(look.digests.sha256 for look in looks)

    def _compare(
        self, looks: Sequence[tuple[Place | None, Look]], pinned: Pinned, snapshot: Snapshot
    ) -> list[Recording]:
        builder = QueryBuilder()
        prepared: list[tuple[Place | None, Look, bool, Basis | None, bytes | None]] = []
        together: dict[bytes, Fingerprint] = {}
        for index, (place, look) in enumerate(looks):
            look = self._still_known(look, together)
            fingerprint, compare, basis = self._basis(look, pinned, together)
            seen = replace(look, fingerprint=None if look.fingerprint is None else fingerprint)
            packed = None
            if compare:
                packed = pack(() if fingerprint is None else fingerprint.signals)
                builder.add(index, look.digests.signals(), packed)
            prepared.append((place, seen, compare, basis, packed))
        found: dict[int, list[EntryHit]] = {}
        for hit in of_contents(snapshot.match(builder.queries()), snapshot.hash_sets):
            found.setdefault(hit.owner, []).append(hit)
        return [
            Recording(
                place,
                look.digests,
                look.fingerprint,
                tuple(found.get(index, ())) if compare else None,
                look.region,
                look.counts,
                basis,
                packed,
                look.shared,
            )
            for index, (place, look, compare, basis, packed) in enumerate(prepared)
        ]

    def _still_known(self, look: Look, together: Mapping[bytes, Fingerprint]) -> Look:
        """The look; one that is owed where it was spared, as the content was known, and retention took that since."""
        sha256 = look.digests.sha256
        if look.fingerprint is not None or sha256 in together or self._ledger.known(sha256) is not None:
            return look
        return replace(look, fingerprint=NEVER_LOOKED)

    def _basis(
        self, look: Look, pinned: Pinned, together: dict[bytes, Fingerprint]
    ) -> tuple[Fingerprint | None, bool, Basis | None]:
        """The fingerprint to compare (what is on record folded in), whether a comparison is needed at all, and what was
        folded in.

        `together` holds what the contents recorded in the same transaction come to: one content may lie in several
        places and be looked at in each, and one of these looks may see less than another.
        """
        sha256 = look.digests.sha256
        known = None if look.is_new else self._ledger.known(sha256)
        if look.fingerprint is not None:
            basis = None
            if sha256 in together or known is None:
                together[sha256] = folded(together.get(sha256, NEVER_LOOKED), look.fingerprint)
            else:
                together[sha256], basis = self._ledger.folded(known.seq, look.fingerprint)
            return together[sha256], True, basis
        if sha256 in together:
            return None, False, None  # compared with the look before it
        if known is None:
            return None, True, None  # recording it will say that it is gone
        if self._ledger.is_current(known.seq, pinned):
            return None, False, None
        return Fingerprint(known.media, known.looked, self._ledger.signals(known.seq)), True, None


def _digests(source: Source, size_bytes: int | None, stop: Stop) -> Digests:
    with as_file(source) as fd:
        return digest_fd(fd, size_bytes, stop=stop)
