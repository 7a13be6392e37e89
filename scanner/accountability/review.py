"""Outcomes: what people found, who may say so, and what follows of it. One public method, one transaction.

Rules
- A decision takes two people at one level who found the same. What the first says is a proposal; the same again from
  the same person changes nothing, another finding takes the first one's place.
- Undecided, or two who differ: the case goes one level up, and what was proposed is done with.
- Not confirmed: the match counts for nothing from now on, and what was reported of it is withdrawn with the cause
  `appeal`, all in the transaction of the decision; so is the line the audit log is owed.
- Nobody decides again, after an appeal, what they have decided before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashsets.sqlite import Database
from hashsets.types import Role
from scanner.accountability import cases, reviewers
from scanner.accountability.audit import Event, due
from scanner.accountability.cases import Case
from scanner.accountability.levels import MAY_OVERTURN_EXACT, NEEDS_SIGHT, REASONS, Finding, Level, Reason
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.ledger import flags, matches, outbox, overturned
from scanner.ledger.outbox import Occasion
from scanner.reports import Cause
from scanner.types import Trigger

if TYPE_CHECKING:
    from scanner.api import Scanner


class NotAllowed(UsageError):
    """Who says it may not decide this."""


class Conflict(UsageError):
    """The case is decided, so that only a complaint opens it again; or a key was used for something else."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person found. `viewed`: they have seen the picture itself. `key`: by which a repetition is known."""

    finding: Finding
    reason: Reason
    who: str
    viewed: bool = False
    key: str | None = None

    def __post_init__(self) -> None:
        if self.reason not in REASONS[self.finding]:
            allowed = ", ".join(REASONS[self.finding])
            raise UsageError(f"The reasons for {self.finding.value} are {allowed}.")
        if self.reason in NEEDS_SIGHT and not self.viewed:
            raise UsageError(f"The reason {self.reason.value} is for whoever has seen the picture: say so (viewed).")

    def digest(self, case_id: str) -> bytes:
        """What a key stands for."""
        said = [case_id, self.key, self.finding, self.reason, self.who, self.viewed]
        return hashlib.sha256(json.dumps(said).encode()).digest()


class Reviews:
    """Takes what people found. `vouches`: contents that are not what a near match said join a known-good set."""

    def __init__(self, db: Database, clock: Clock, *, vouches: bool = False) -> None:
        self._db = db
        self._clock = clock
        self._vouches = vouches

    @classmethod
    def of(cls, scanner: Scanner) -> Reviews:
        """Those of an open home."""
        return cls(scanner.ledger.db, scanner.clock, vouches=scanner.config.cases.known_good is not None)

    def give(self, case_id: str, said: Statement) -> Case:
        """Put a finding on record and do what follows; the case as it stands then. Raises UsageError."""
        with self._db.write():
            case = cases.by_id(self._db, case_id)
            if self._is_repeated(case, said):
                return case
            self._check(case, said)
            self._take(case, said)
            return cases.by_id(self._db, case_id)

    def _is_repeated(self, case: Case, said: Statement) -> bool:
        """Whether this is on record already. Raises UsageError where its key stands for something else."""
        if said.key is not None:
            prefix = hashlib.sha256(said.key.encode()).digest()[:8]
            rows = self._db.execute(
                "SELECT request_key FROM case_word WHERE case_id = ? AND request_key IS NOT NULL", (case.id,)
            ).fetchall()
            known = {bytes(key) for (key,) in rows}
            if prefix + said.digest(case.id) in known:
                return True
            if any(key.startswith(prefix) for key in known):
                raise Conflict("That idempotency key was used for another outcome of this case.")
        last = self._last_words(case).get(said.who)
        return last == (said.finding, said.reason, said.viewed)

    def _last_words(self, case: Case) -> dict[str, tuple[Finding, Reason, bool]]:
        """What each person last proposed in this round at the level the case stands at."""
        rows = self._db.execute(
            "SELECT kind, who, outcome, reason, viewed FROM case_word WHERE case_id = ? AND round = ? AND level = ?"
            " ORDER BY id",
            (case.id, case.round, case.level),
        )
        said: dict[str, tuple[Finding, Reason, bool]] = {}
        for kind, who, outcome, reason, viewed in rows:
            if kind in ("raised", "escalated"):  # it came (back) to this level: nothing said before counts
                said.clear()
            elif kind == "proposed" and who is not None:
                said[who] = (Finding(outcome), Reason(reason), bool(viewed))
        return said

    def _check(self, case: Case, said: Statement) -> None:
        if case.state == "decided":
            raise Conflict("The case is decided: an appeal or an abuse report opens it again.")
        person = reviewers.of(self._db, said.who, utc_day(self._clock))
        if person is None or not person.may_decide(case.level):
            raise NotAllowed(
                f"The case is for the level {case.level.value}, and whoever says it is no such reviewer:"
                " `hashward case reviewer list` shows who is."
            )
        earlier = self._db.execute(
            "SELECT 1 FROM case_word WHERE case_id = ? AND round < ? AND who = ? AND kind = 'proposed' LIMIT 1",
            (case.id, case.round, said.who),
        )
        if case.contested and earlier.fetchone() is not None:
            raise NotAllowed("Whoever had a part in the decision does not hear the appeal against it.")

    def _take(self, case: Case, said: Statement) -> None:
        day = utc_day(self._clock)
        others = {who: found for who, found in self._last_words(case).items() if who != said.who}
        key = None
        if said.key is not None:
            key = hashlib.sha256(said.key.encode()).digest()[:8] + said.digest(case.id)
        cases.say(
            self._db, case, "proposed", day, who=said.who, outcome=said.finding, reason=said.reason,
            viewed=said.viewed, request_key=key,
        )  # fmt: skip
        agree = any(found[0] is said.finding for found in others.values())
        if agree and said.finding is Finding.NOT_CONFIRMED and self._too_low(case):
            self._escalate(case, MAY_OVERTURN_EXACT, said, day)
        elif agree and (said.finding is not Finding.UNDECIDED or case.level is Level.PANEL):
            viewed = said.viewed or any(found[2] for found in others.values() if found[0] is said.finding)
            self._decide(case, said, viewed, day)
        elif (said.finding is Finding.UNDECIDED or others) and case.level is not Level.PANEL:
            self._escalate(case, case.level.above, said, day)
        else:
            self._db.execute("UPDATE case_file SET state = 'proposed' WHERE case_id = ?", (case.id,))
            self._tell(case, said, "proposed", said.viewed)

    def _too_low(self, case: Case) -> bool:
        """Whether the match is supported by a digest, and the level may not say that the list is wrong."""
        if case.level.rank >= MAY_OVERTURN_EXACT.rank or case.content_seq is None:
            return False
        if case.set_uid is None or case.entry_key is None:
            return False
        match = matches.one(self._db, case.content_seq, case.set_uid, case.entry_key)
        return match is not None and bool(match.hit.exact_types)

    def _escalate(self, case: Case, to: Level, said: Statement, day: str) -> None:
        cases.move(self._db, case, to, day, "escalated")
        self._tell(case, said, "escalated", said.viewed)

    def _decide(self, case: Case, said: Statement, viewed: bool, day: str) -> None:
        cases.say(self._db, case, "decided", day, outcome=said.finding, reason=said.reason, viewed=viewed)
        self._db.execute(
            "UPDATE case_file SET state = 'decided', outcome = ?, decided_day = ? WHERE case_id = ?",
            (said.finding, day, case.id),
        )
        if case.content_seq is not None and case.set_uid is not None and case.entry_key is not None:
            self._follow(case, case.content_seq, case.set_uid, case.entry_key, said.finding, day)
            flags.reviewed(
                self._db, case.content_seq, said.finding, day, set_uid=case.set_uid, upon_appeal=case.contested
            )
        self._tell(case, said, "decided", viewed)

    def _follow(self, case: Case, seq: int, set_uid: bytes, entry_key: bytes, found: Finding, day: str) -> None:
        """Let the match count, or count for nothing, and bring what is said of it in line."""
        if found is Finding.UNDECIDED:
            return
        match = matches.one(self._db, seq, set_uid, entry_key)
        if match is None or match.role is Role.KNOWN_GOOD:
            return
        if found is Finding.NOT_CONFIRMED:
            overturned.put(self._db, seq, set_uid, entry_key, day)
        else:
            overturned.take_back(self._db, seq, set_uid, entry_key)
        if not match.hit.exact_types:
            self._vouch(seq, wanted=found is Finding.NOT_CONFIRMED)
        cause = Cause.APPEAL if found is Finding.NOT_CONFIRMED else Cause.RULE
        for moved in matches.settle(self._db, seq):
            outbox.reconcile(self._db, moved, outbox.belated(Occasion(Trigger.RESCAN, day, cause), moved))

    def _vouch(self, seq: int, *, wanted: bool) -> None:
        """Owe the local known-good set a digest, or its withdrawal."""
        if not self._vouches:
            return
        self._db.execute(
            "INSERT INTO vouching_due (sha256, wanted) SELECT sha256, ?1 FROM content WHERE seq = ?2"
            " ON CONFLICT DO UPDATE SET wanted = ?1",
            (int(wanted), seq),
        )

    def _tell(self, case: Case, said: Statement, step: str, viewed: bool) -> None:
        due(
            self._db,
            Event.CASE_OUTCOME,
            {
                "case": case.id, "step": step, "outcome": said.finding.value, "reason": said.reason.value,
                "by": said.who, "level": case.level.value, "round": case.round, "viewed_by_person": viewed,
            },
            at_ns=self._clock.now_ns(),
        )  # fmt: skip
