"""ledger.db: what we hold, what it met, and what was said. One public method, one transaction.

Rules
- The ledger stores what it is told; it reads no media, builds no index and knows no path beyond a root's.
- A record and a sweep say which version of which set they compared with. Both are refused (`Stale`) when the catalogue
  has moved since, a sweep also when its contents no longer stand where it started from. So every pair of content and
  entry is compared exactly once, whatever runs beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hashsets.ciphers import Key
from hashsets.sqlite import Database
from hashsets.types import EntryHit, HashSet, Signal
from scanner.errors import LedgerError
from scanner.ledger import (
    ages,
    assets,
    contents,
    coverage,
    locations,
    matches,
    outbox,
    recipes,
    resolutions,
    speech,
    volumes,
)
from scanner.ledger.actions import Actions
from scanner.ledger.contents import Basis, Content
from scanner.ledger.coverage import NOTHING, Interval, Met
from scanner.ledger.inventory import Inventory
from scanner.ledger.locations import Keys
from scanner.ledger.matches import Grounds, Scope
from scanner.ledger.migrations import MIGRATIONS
from scanner.ledger.outbox import Occasion
from scanner.ledger.places import Places
from scanner.ledger.probation import Probation
from scanner.ledger.refusals import Refusals
from scanner.ledger.resolutions import Resolution
from scanner.ledger.sealing import Sealing
from scanner.ledger.standings import Standings
from scanner.ledger.tokens import Tokens
from scanner.ledger.uploads import Uploads
from scanner.opening import FileStat
from scanner.reports import Cause
from scanner.types import Digests, Fingerprint, Outcome, Trigger

FILE_NAME = "ledger.db"
SEGMENTS = "segments"


class Stale(LedgerError):
    """What a comparison was based on has moved: pin anew and compare again. Never reaches a user."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content was found: a root and key (or uploads and the caller's ref), and the walk that found it.

    `settled` says that `stat` may be trusted to show a later change.
    """

    root_id: int
    key: bytes
    walk: int = 0
    stat: FileStat | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """One looked-at content to be recorded.

    `fingerprint` is None where the content was known and not decoded again; `hits` is None where its matches on record
    are known to be current, else what the pinned sets gave. `region` is the label of whoever took an upload in.
    `counts` None: it is counted as `volumes` says; else in any case, as content nobody had met, or not at all. `basis`
    and `packed` keep the transaction short: what the fingerprint was folded with, and its signals as they are stored.
    `shared`: the look was another's, and counts as his alone.
    """

    place: Place | None
    digests: Digests
    fingerprint: Fingerprint | None
    hits: tuple[EntryHit, ...] | None
    region: str = volumes.NO_REGION
    counts: bool | None = None
    basis: Basis | None = None
    packed: bytes | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Matches that a sweep added and withdrew, and the contents that gained one."""

    added: int = 0
    withdrawn: int = 0
    contents: frozenset[int] = frozenset()

    def __add__(self, other: Change) -> Change:
        return Change(self.added + other.added, self.withdrawn + other.withdrawn, self.contents | other.contents)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording done: the outcome, the asset it is for, whether the content is new, and what its matches did.

    `arrived` says that the asset did not hold this content before.
    """

    outcome: Outcome
    asset_id: int | None
    new: bool
    change: Change
    arrived: bool = True


@dataclass(frozen=True, slots=True)
class Pinned:
    """The sets a comparison used: all of them as they stood at one catalogue number."""

    catalogue: int
    sets: tuple[HashSet, ...]

    def targets(self) -> dict[bytes, Met]:
        """What a content has met once compared with all sets in force."""
        return {s.uid: Met(s.rule_revision, s.version) for s in self.sets if s.in_force}


class Ledger:
    """ledger.db, opened. Usable from several threads; several processes may hold it."""

    def __init__(self, db: Database, keys: Keys | None = None) -> None:
        self.db = db
        self.locations = locations.of(db, keys)
        self.places = Places(db, self.locations)
        self.inventory = Inventory(db, db.path.parent / SEGMENTS)
        self.sealing = Sealing(db)
        self.tokens = Tokens(db)
        self.uploads = Uploads(db, self.locations)
        self.actions = Actions(db)
        self.refusals = Refusals(db, self.locations)
        self.probation = Probation(db)
        self._standings = Standings(db)

    @classmethod
    def open(cls, home: Path, key: Key | None = None, keys: Keys | None = None) -> Ledger:
        """Open or create the ledger of a home, encrypted under a `key`; sealed places need keys. Raises StoreError."""
        db = Database.open(home / FILE_NAME, MIGRATIONS, key=key)
        (home / SEGMENTS).mkdir(mode=0o700, exist_ok=True)
        return cls(db, keys)

    def close(self) -> None:
        """Close every connection."""
        self.db.close()

    # -- contents ----------------------------------------------------------------------------------------------------

    def known(self, sha256: bytes) -> Content | None:
        """The content of that digest, if it is known."""
        return contents.find(self.db, sha256)

    def owes_recipes(self, seq: int, wanted: recipes.Wanted) -> bool:
        """Whether a content's signals lack a recipe that is wanted."""
        with self.db.read():
            return recipes.owes(self.db, seq, wanted)

    def is_current(self, seq: int, pinned: Pinned) -> bool:
        """Whether a content has met all enabled sets as pinned."""
        with self.db.read():
            return all(coverage.at(self.db, uid, seq) == met for uid, met in pinned.targets().items())

    def signals(self, seq: int) -> tuple[Signal, ...]:
        """The stored perceptual signals of a content."""
        return contents.signals(self.db, seq)

    def folded(self, seq: int, fingerprint: Fingerprint) -> tuple[Fingerprint, Basis]:
        """Another look at a known content with what is on record folded in, and its basis (see contents.fold)."""
        with self.db.read():
            return contents.fold(self.db, seq, fingerprint)

    def record(
        self, items: Sequence[Recording], pinned: Pinned, occasion: Occasion, catalogue_now: Callable[[], int]
    ) -> list[Recorded]:
        """Commit signals, assets, matches, coverage and outbox of some contents together. Raises Stale."""
        durable = any(item.hits for item in items) or occasion.trigger is Trigger.UPLOAD
        with self.db.write(durable=durable):
            if catalogue_now() != pinned.catalogue:
                raise Stale("the sets have changed meanwhile")
            # What all have met speaks, or is held, before others come.
            stands = self._standings.note(pinned.catalogue, pinned.sets, occasion)
            recorded = [self._record_one(item, pinned, occasion) for item in items]
            compared = {
                done.outcome.content_seq for item, done in zip(items, recorded, strict=True) if item.hits is not None
            }
            for seq_lo, seq_hi in _runs(sorted(compared)):
                for uid, met in pinned.targets().items():
                    coverage.assign(self.db, uid, seq_lo, seq_hi, met)
            if not stands:
                self._standings.settle(pinned.sets, occasion)  # these may have been the last
            self._tally(items, recorded, occasion)
            return recorded

    def _tally(self, items: Sequence[Recording], recorded: Sequence[Recorded], occasion: Occasion) -> None:
        tally = volumes.Tally(self.db)
        for item, done in zip(items, recorded, strict=True):
            tally.add_recorded(item, done)
        tally.write(occasion.day, occasion.trigger)

    def _record_one(self, item: Recording, pinned: Pinned, occasion: Occasion) -> Recorded:
        old, seq, changed = self._store_content(item)
        if old is None:
            volumes.label_upload(self.db, seq, item.region)
        asset_id, before = self._store_asset(item.place, seq, is_new=old is None)
        if old is None and not item.hits:  # by far the most: nothing to withdraw, settle or say
            assert item.fingerprint is not None
            outcome = Outcome(seq, item.fingerprint.media, item.fingerprint.looked, (), known=False)
            return Recorded(outcome, asset_id, True, Change())
        change = self._store_matches(seq, item.hits, pinned, changed=changed, occasion=occasion)
        if asset_id is not None and before != seq:
            outbox.reconcile_content(self.db, seq, occasion)
        content = contents.by_seq(self.db, seq)
        known = old is not None and item.fingerprint is None
        outcome = Outcome(seq, content.media, content.looked, matches.verdict(self.db, seq), known)
        return Recorded(outcome, asset_id, old is None, change, before != seq)

    def _store_content(self, item: Recording) -> tuple[Content | None, int, bool]:
        """What was known of the content, its number, and whether signals it had before have changed."""
        if item.fingerprint is not None and item.hits is None:
            raise Stale("signals without a comparison")
        if item.fingerprint is not None and item.basis is None:  # unknown when it was compared
            seq = contents.add(self.db, item.digests, item.fingerprint, item.packed)
            if seq is not None:
                return None, seq, False
        old = contents.find(self.db, item.digests.sha256)
        if old is None:
            raise Stale("a known content is gone")
        if item.fingerprint is None:
            return old, old.seq, False
        basis = contents.is_folded(self.db, old.seq, item.fingerprint, item.basis)
        if basis is None:
            raise Stale("another look was recorded meanwhile")
        if item.shared and not basis.changed:
            return old, old.seq, False
        return old, old.seq, contents.look_again(self.db, old.seq, item.fingerprint, basis, item.packed)

    def _store_asset(self, place: Place | None, seq: int, *, is_new: bool) -> tuple[int | None, int | None]:
        if place is None:
            return None, None
        at = locations.address(self.locations, place.root_id, place.key)
        return assets.put(
            self.db, at, walk=place.walk, content_seq=seq, stat=place.stat, settled=place.settled, is_new=is_new
        )

    def _store_matches(
        self, seq: int, hits: tuple[EntryHit, ...] | None, pinned: Pinned, *, changed: bool, occasion: Occasion
    ) -> Change:
        """Make the matches of a content with all enabled sets exactly `hits` (None: they are as they should be)."""
        change = Change()
        if hits is None:
            return change
        targets = pinned.targets()
        for uid in sorted(targets):
            met, target = coverage.at(self.db, uid, seq), targets[uid]
            same_rule = not changed and met.rule_revision in (NOTHING.rule_revision, target.rule_revision)
            version = 0 if met.version == target.version else target.version
            scope = Scope(Grounds(Cause.ENTRY if same_rule else Cause.RULE, version))
            own = [replace(hit, owner=seq) for hit in hits if hit.set_uid == uid]
            change += self._replace_matches(uid, seq, seq, scope, own, occasion)
        if changed:  # sets that are switched off have met what it was before
            for uid in coverage.sets(self.db):
                if uid not in targets and coverage.at(self.db, uid, seq) != NOTHING:
                    coverage.assign(self.db, uid, seq, seq, NOTHING)
        return change

    def _replace_matches(
        self,
        uid: bytes,
        lo: int,
        hi: int,
        scope: Scope,
        hits: Sequence[EntryHit],
        occasion: Occasion,
    ) -> Change:
        """Make the matches of lo..hi with a set (its entries in scope) exactly `hits`, and settle what follows."""
        fresh, stirred = matches.put(self.db, hits, occasion.trigger)
        ages.identify(self.db, {seq for seq, _, _ in fresh}, occasion.day)
        lost = matches.withdraw_unsupported(self.db, uid, lo, hi, scope, hits)
        for seq in sorted(stirred | {identity[0] for identity in (*fresh, *lost)}):
            for moved in matches.settle(self.db, seq):
                outbox.reconcile(self.db, moved, Occasion(occasion.trigger, occasion.day, Cause.KNOWN_GOOD))
        for seq, set_uid, key in (*fresh, *lost):
            match = matches.one(self.db, seq, set_uid, key)
            if match is not None:
                outbox.reconcile(self.db, match, occasion)
        return Change(len(fresh), len(lost), frozenset(identity[0] for identity in fresh))

    # -- sweeps ------------------------------------------------------------------------------------------------------

    def first_behind(self, hash_set: HashSet) -> Interval | None:
        """The first stretch of contents that has not met the set as it stands; None: all have."""
        with self.db.read():
            target = Met(hash_set.rule_revision, hash_set.version)
            return coverage.first_behind(self.db, hash_set.uid, target, contents.top_seq(self.db))

    def sweep(
        self,
        hash_set: HashSet,
        stretch: Interval,
        scope: Scope,
        hits: Sequence[EntryHit],
        occasion: Occasion,
        catalogue_now: Callable[[], int],
        catalogue: int,
    ) -> Change:
        """Commit a stretch of a re-scan: it stood at `stretch.met` and has now met the set. Raises Stale."""
        with self.db.write():
            if catalogue_now() != catalogue:
                raise Stale("the sets have changed meanwhile")
            if not coverage.all_at(self.db, hash_set.uid, stretch.seq_lo, stretch.seq_hi, stretch.met):
                raise Stale("another process has moved these contents")
            self._standings.meet(hash_set, occasion)
            change = self._replace_matches(hash_set.uid, stretch.seq_lo, stretch.seq_hi, scope, hits, occasion)
            target = Met(hash_set.rule_revision, hash_set.version)
            coverage.assign(self.db, hash_set.uid, stretch.seq_lo, stretch.seq_hi, target)
            return change

    def greet(self, hash_set: HashSet, occasion: Occasion) -> None:
        """Take note of a set's name, role and mode; where they changed, bring what is said of its matches in line."""
        self._standings.greet(hash_set, occasion)

    def resolve(self, set_uid: bytes, entry_key: bytes, decided: Resolution | None, occasion: Occasion) -> int:
        """Decide about an entry that is listed and known good at once (None: take it back); contents it concerns."""
        with self.db.write():
            resolutions.put(self.db, set_uid, entry_key, decided, occasion.day)
            seqs = matches.of_entry(self.db, set_uid, entry_key)
            for seq in seqs:
                for moved in matches.settle(self.db, seq):
                    outbox.reconcile(self.db, moved, Occasion(occasion.trigger, occasion.day, Cause.KNOWN_GOOD))
            return len(seqs)

    def withdraw_set(self, set_uid: bytes, occasion: Occasion, *, removed: bool = True) -> Change:
        """A set was removed or retired: withdraw its matches and forget its coverage; of a removed one all else too."""
        if set_uid not in coverage.sets(self.db):
            return Change()
        with self.db.write():
            why = Occasion(occasion.trigger, occasion.day, Cause.SET)
            waiting = matches.waiting_withdrawals(self.db, set_uid)
            matches.loosen(self.db, set_uid, Cause.SET)
            change = self._replace_matches(set_uid, 1, contents.top_seq(self.db), Scope(Grounds(Cause.SET)), (), why)
            for seq, uid, key in waiting:
                match = matches.one(self.db, seq, uid, key)
                assert match is not None
                outbox.reconcile(self.db, match, why)
            coverage.forget(self.db, set_uid)
            if removed:
                resolutions.forget(self.db, set_uid)
                speech.forget(self.db, set_uid)
            return change

    def passed_version(self, set_uid: bytes) -> int:
        """The version of a set that every content it has met has passed; 0: none.

        Nobody falls behind it later: a record at an older version would be of an older catalogue, and is refused.
        """
        with self.db.read():
            return coverage.least_version(self.db, set_uid)


def _runs(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as stretches without a gap."""
    start = 0
    for at in range(1, len(seqs) + 1):
        if at == len(seqs) or seqs[at] != seqs[at - 1] + 1:
            yield seqs[start], seqs[at - 1]
            start = at
