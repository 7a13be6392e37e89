"""Versions are joined before they may speak: settling, holding, approving; and muting. One method, one transaction.

Rules
- A version of an active set is on probation until every content has met it. Then it is *settled*, or, past the set's
  bounds, *held* until a person approves it, rolls it back, or a later version is within the bounds again. Meanwhile
  what it brought and what it withdrew waits, of contents that come meanwhile too; so neither leaves a report.
- What is measured is what all versions since the one settled last would bring together.
- Nothing is measured of a set in shadow (nothing of it leaves), of a known-good set (nothing is ever said of it), nor
  of the versions with which an active set began: whoever made it active said so of them.
- Whether a version is held follows from the sets and the ledger alone: a kill anywhere changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hashsets.sqlite import Database
from hashsets.types import HashSet, Mode, Role
from scanner.ledger import contents, coverage, matches, outbox, speech, tallies
from scanner.ledger.coverage import Met
from scanner.ledger.outbox import Occasion
from scanner.ledger.speech import Held, Mute, Speech
from scanner.reports import Cause

# On a small home one entry may meet a few copies of a picture: no storm, though a large share of what there is.
FEW_CONTENTS = 5
# Small lists grow by leaps.
FEW_ENTRIES = 1000


class Probation:
    """The part of the ledger that decides which versions may speak."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, set_uid: bytes) -> Speech | None:
        """How a set stands; None where no version was ever settled or held."""
        return speech.of(self._db, set_uid)

    def held(self, hash_set: HashSet) -> Held | None:
        """The set's present version as held; None where it is not."""
        known = self.of(hash_set.uid)
        held = None if known is None or hash_set.mode is not Mode.ACTIVE else known.held
        return held if held is not None and held.version == hash_set.version else None

    def settle(self, hash_set: HashSet, occasion: Occasion, is_current: Callable[[], bool]) -> Held | None:
        """Let the set's version speak, or hold it, where every content has met it; what is held, if anything newly is.

        `is_current` tells inside the transaction whether the set still stands so; if not, nothing is done.
        """
        with self._db.read():
            if not needs_settling(self._db, hash_set):
                return None
        with self._db.write():
            return settle(self._db, hash_set, occasion) if is_current() else None

    def approve(self, hash_set: HashSet, version: int, occasion: Occasion) -> None:
        """Let the versions up to one speak, whatever they bring: now, or as soon as every content has met the set.

        What a version would withdraw must not speak before it was withdrawn.
        """
        with self._db.write():
            speech.approve(self._db, hash_set.uid, version)
            if _all_have_met(self._db, hash_set):
                _settle_at(self._db, hash_set, version, occasion)

    def brought(self, set_uid: bytes) -> tuple[int, int]:
        """How many matches wait, of how many contents."""
        with self._db.read():
            return speech.brought(self._db, set_uid, speech.version(self._db, set_uid))

    def would_bring(self, set_uid: bytes) -> tuple[int, int]:
        """How many matches a set has, of how many contents, whatever may be said of them."""
        with self._db.read():
            return speech.brought(self._db, set_uid, -1)

    def mutes(self, set_uid: bytes) -> Iterable[Mute]:
        """The mutes of a set, by ref."""
        return speech.mutes(self._db, set_uid)

    def mute(self, set_uid: bytes, mute: Mute, occasion: Occasion) -> int:
        """Say nothing more of a ref, and withdraw what was said; how many contents match it."""
        with self._db.write():
            speech.put_mute(self._db, set_uid, mute)
            return _reconcile_ref(self._db, set_uid, mute.ref, occasion)

    def unmute(self, set_uid: bytes, ref: str, occasion: Occasion) -> bool:
        """Let a ref be spoken of again; False where it was not muted."""
        with self._db.write():
            was_muted = speech.drop_mute(self._db, set_uid, ref)
            _reconcile_ref(self._db, set_uid, ref, occasion)
            return was_muted

    def end_mutes(self, occasion: Occasion) -> int:
        """End the mutes whose last day is over; how many."""
        ended = speech.ended_mutes(self._db, occasion.day)
        return sum(self.unmute(set_uid, ref, occasion) for set_uid, ref in ended)


def needs_settling(db: Database, hash_set: HashSet) -> bool:
    """Whether the set's version is neither settled nor on the way there."""
    known = speech.of(db, hash_set.uid)
    if known is not None and known.version == hash_set.version and known.held is None:
        return False
    return _all_have_met(db, hash_set)


def _all_have_met(db: Database, hash_set: HashSet) -> bool:
    top = contents.top_seq(db)
    return coverage.first_behind(db, hash_set.uid, Met(hash_set.rule_revision, hash_set.version), top) is None


def settle(db: Database, hash_set: HashSet, occasion: Occasion, *, rejudge: bool = True) -> Held | None:
    """`Probation.settle`, inside the caller's transaction, of a set that still stands so.

    Without `rejudge` a version that is held stays so.
    """
    known = speech.of(db, hash_set.uid)
    if not rejudge and known is not None and known.held is not None and known.held.version == hash_set.version:
        return None
    if not needs_settling(db, hash_set):
        return None
    held = None if known is None or not known.version else _judged(db, hash_set, known, occasion.day)
    if known is None or held is None:
        _settle_at(db, hash_set, hash_set.version, occasion)
        return None
    speech.hold(db, hash_set.uid, held)
    return held if known.held is None or known.held.version != held.version else None


def _judged(db: Database, hash_set: HashSet, known: Speech, day: str) -> Held | None:
    """The version as held, where it is past a bound."""
    if hash_set.mode is not Mode.ACTIVE or hash_set.role is Role.KNOWN_GOOD or hash_set.version <= known.version:
        return None
    if hash_set.version <= known.approved:
        return None
    bounds = hash_set.bounds
    new_matches, new_contents = speech.brought(db, hash_set.uid, known.version)
    reasons = []
    if new_matches > bounds.matches:
        reasons.append("matches")
    if new_contents > FEW_CONTENTS and new_contents > bounds.share * tallies.contents(db):
        reasons.append("share")
    more = hash_set.entries - known.entries
    if known.entries and more > FEW_ENTRIES and more > bounds.growth * known.entries:
        reasons.append("growth")
    return Held(hash_set.version, tuple(reasons), new_matches, new_contents, day) if reasons else None


def _settle_at(db: Database, hash_set: HashSet, version: int, occasion: Occasion) -> None:
    """Versions up to this one may speak: bring what is said of what they brought or withdrew in line."""
    before = speech.version(db, hash_set.uid)
    speech.settle(db, hash_set.uid, version, hash_set.entries, hash_set.version)
    waited = speech.waiting(db, hash_set.uid, before, version)
    _reconcile(db, hash_set.uid, waited, Occasion(occasion.trigger, occasion.day, Cause.RULE))


def _reconcile_ref(db: Database, set_uid: bytes, ref: str, occasion: Occasion) -> int:
    found = speech.of_ref(db, set_uid, ref)
    _reconcile(db, set_uid, found, Occasion(occasion.trigger, occasion.day, Cause.RULE))
    return len({seq for seq, _ in found})


def _reconcile(db: Database, set_uid: bytes, moved: Iterable[tuple[int, bytes]], occasion: Occasion) -> None:
    for seq, key in moved:
        match = matches.one(db, seq, set_uid, key)
        assert match is not None
        outbox.reconcile(db, match, outbox.belated(occasion, match))
