"""Appeals and reports of abuse: what opens a case again. One public method, one transaction.

Rules
- Whoever complains knows a ref, the opaque name they were shown, a report or a case; each leads to the same cases.
- An appeal against a decision is a new round, one level above whoever decided; against what nobody has decided yet, the
  case itself goes up. A report of abuse reopens a decided case at the level it would begin at.
- Every complaint counts once: a ticket that was named before opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from hashsets.sqlite import Database
from scanner.accountability import cases
from scanner.accountability.audit import Event, due
from scanner.accountability.cases import Case, Subject
from scanner.accountability.levels import Complexity, Finding, Level, Origin, Urgency, begins_at, highest, is_ticket
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError


class Channel(StrEnum):
    """Where a complaint was made: with the provider, or with a judicial authority."""

    INTERNAL = "internal"
    COURT = "court"


class Appeals:
    """Takes complaints."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def of_content(self, seqs: Sequence[int], origin: Origin, **how: object) -> list[Case]:
        """A complaint about whatever stands against contents. Raises UsageError where nothing does."""
        with self._db.write():
            found: list[Subject] = []
            for seq in seqs:
                found += cases.subjects(self._db, seq, overturned_too=origin is Origin.ABUSE_REPORT)
            if not found and origin is Origin.ABUSE_REPORT:
                found = [Subject(seq) for seq in seqs]
            if not found:
                raise UsageError("Nothing stands against that: it is not known here, or matches nothing.")
            return [self._open(self._ensure(each, origin), origin, **how) for each in found]  # type: ignore[arg-type]

    def of_report(self, report_id: str, origin: Origin, **how: object) -> list[Case]:
        """A complaint about what a report told. Raises UsageError."""
        with self._db.write():
            subject = cases.of_report(self._db, report_id)
            return [self._open(self._ensure(subject, origin), origin, **how)]  # type: ignore[arg-type]

    def of_case(self, case_id: str, origin: Origin, **how: object) -> list[Case]:
        """A complaint about a case. Raises UsageError."""
        with self._db.write():
            return [self._open(cases.by_id(self._db, case_id), origin, **how)]  # type: ignore[arg-type]

    def _ensure(self, subject: Subject, origin: Origin) -> Case:
        return cases.ensure(self._db, subject, origin, utc_day(self._clock))

    def _open(
        self,
        case: Case,
        origin: Origin,
        *,
        channel: Channel = Channel.INTERNAL,
        ticket: str | None = None,
        urgency: Urgency = Urgency.ROUTINE,
    ) -> Case:
        if ticket is not None:
            if not is_ticket(ticket):
                raise UsageError("A ticket is 1 to 128 letters, digits and . _ : / -")
            known = self._db.execute(
                "SELECT 1 FROM case_word WHERE case_id = ? AND ticket = ?", (case.id, ticket)
            ).fetchone()
            if known is not None:
                return case
        if case.content_seq is None:
            raise UsageError("What that case was about has been erased: retention took it.")
        if origin is Origin.APPEAL and case.state == "decided" and case.outcome is Finding.NOT_CONFIRMED:
            raise UsageError("The case is decided in favour of whoever complains: nothing stands any more.")
        day = utc_day(self._clock)
        kind = "appealed" if origin is Origin.APPEAL else "told"
        opened = self._reopened(case, origin, urgency, day)
        cases.say(self._db, opened, kind, day, channel=channel, ticket=ticket)
        due(
            self._db,
            Event.CASE_APPEAL,
            {"case": case.id, "kind": origin.value, "round": opened.round, "level": opened.level.value},
            at_ns=self._clock.now_ns(),
        )
        return cases.by_id(self._db, case.id)

    def _reopened(self, case: Case, origin: Origin, urgency: Urgency, day: str) -> Case:
        """The case, open, at the level where it is heard."""
        appeal = origin is Origin.APPEAL
        least = begins_at(origin, urgency, Complexity.SIMPLE)
        if case.state == "decided":
            level = highest(least, self._decided_at(case).above) if appeal else least
            self._db.execute(
                "UPDATE case_file SET state = 'open', round = round + 1, contested = ?, level = ? WHERE case_id = ?",
                (int(appeal), level, case.id),
            )
        else:
            if least.rank > case.level.rank:
                cases.move(self._db, case, least, day, "raised")
            if appeal:
                self._db.execute("UPDATE case_file SET contested = 1 WHERE case_id = ?", (case.id,))
        return cases.by_id(self._db, case.id)

    def _decided_at(self, case: Case) -> Level:
        row = self._db.execute(
            "SELECT level FROM case_word WHERE case_id = ? AND kind = 'decided' ORDER BY id DESC LIMIT 1", (case.id,)
        ).fetchone()
        return Level(row[0])
