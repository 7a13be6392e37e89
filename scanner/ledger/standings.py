"""How the ledger takes note of sets before it records what was compared with them: met, and settled or held.

Runs inside the caller's transaction. What was noted in one is not read again in the next, unless anybody else wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hashsets.sessions import Turn
from hashsets.sqlite import Database
from hashsets.types import HashSet
from scanner.ledger import ages, matches, outbox, probation, speech
from scanner.ledger.outbox import Occasion
from scanner.reports import Cause


@dataclass(frozen=True, slots=True)
class _Noted:
    """That the day was noted, and all sets at a catalogue number met and settled, in a transaction."""

    turn: Turn
    catalogue: int
    day: str

    def follows(self, before: _Noted | None) -> bool:
        """Whether what held in `before` holds still."""
        if before is None or (self.catalogue, self.day) != (before.catalogue, before.day):
            return False
        return self.turn.follows(before.turn)


class Standings:
    """See the module."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: _Noted | None = None

    def note(self, catalogue: int, sets: Sequence[HashSet], occasion: Occasion) -> bool:
        """Note the day and how all sets of a catalogue stand; whether all was noted already, each version settled.

        Then nothing is left to `settle` in this transaction, which must not change how sets stand.
        """
        noted = _Noted(self._db.turn(), catalogue, occasion.day)
        stands = noted.follows(self._noted) or self._read(sets, occasion)
        # What was written here is not remembered: the transaction may fail yet.
        self._noted = noted if stands else None
        return stands

    def _read(self, sets: Sequence[HashSet], occasion: Occasion) -> bool:
        is_marked = ages.mark(self._db, occasion.day)
        met_before = outbox.met_sets(self._db)
        news = [hash_set for hash_set in sets if self._meet(hash_set, met_before, occasion)]
        return self.settle(sets, occasion) and is_marked and not news

    def settle(self, sets: Sequence[HashSet], occasion: Occasion) -> bool:
        """Let speak, or hold, what all contents have met; whether every set was settled before."""
        settled = speech.settled(self._db)
        unsettled = [known for known in sets if known.in_force and settled.get(known.uid) != known.version]
        for hash_set in unsettled:
            probation.settle(self._db, hash_set, occasion, rejudge=False)
        return not unsettled

    def meet(self, hash_set: HashSet, occasion: Occasion) -> None:
        """Take note of how a set stands; where role or mode changed, bring what is said of its matches in line."""
        self._meet(hash_set, outbox.met_sets(self._db), occasion)

    def greet(self, hash_set: HashSet, occasion: Occasion) -> None:
        """`meet` in a transaction of its own, where there is anything to note."""
        if outbox.met_sets(self._db).get(hash_set.uid) != (hash_set.name, hash_set.role, hash_set.mode):
            with self._db.write():
                self.meet(hash_set, occasion)

    def _meet(self, hash_set: HashSet, met_before: Mapping[bytes, outbox.Standing], occasion: Occasion) -> bool:
        """False where it stood so before."""
        standing = (hash_set.name, hash_set.role, hash_set.mode)
        before = met_before.get(hash_set.uid)
        if before == standing:
            return False
        outbox.meet_set(self._db, hash_set.uid, *standing)
        if before is None or before[1:] == standing[1:]:
            return True
        for seq, key in list(matches.of_set(self._db, hash_set.uid)):
            for moved in matches.settle(self._db, seq):
                outbox.reconcile(self._db, moved, Occasion(occasion.trigger, occasion.day, Cause.KNOWN_GOOD))
            match = matches.one(self._db, seq, hash_set.uid, key)
            if match is not None:
                why = Occasion(occasion.trigger, occasion.day, Cause.RULE)
                outbox.reconcile(self._db, match, outbox.belated(why, match))
        return True
