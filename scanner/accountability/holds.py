"""Holds: what must not be erased, until when. One public method of `Holds`, one transaction.

Rules
- A preservation request holds for 90 days and may be extended once by 90, upon a formal request (18 U.S.C. 2703(f) and
  providers' practice). What was reported to NCMEC is held for a year from the report (18 U.S.C. 2258A(h)).
- A hold keeps what the ledger knows. It preserves no file: that is the platform's, whose receipt is put on record here.
- Where a hold lasts longer than the EU ceiling allows (12 months from identification), nothing is decided: it holds,
  for what is erased is gone, and everybody who lists holds or runs retention is told of the conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hashsets.sqlite import Database
from scanner.accountability import cases
from scanner.accountability.audit import Event, due
from scanner.accountability.levels import days_after, is_ticket
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.ledger import ages
from scanner.ledger.locations import Locations
from scanner.report_fields import is_day

PRESERVATION_DAYS: Final = 90
NCMEC_DAYS: Final = 365
EU_CEILING_DAYS: Final = 365


class HoldKind(StrEnum):
    """What asks for it."""

    PRESERVATION = "preservation"
    NCMEC_REPORT = "ncmec_report"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold. `until` is the first UTC day on which it holds no more; `ceiling` the EU's, where the day is known."""

    id: str
    content_seq: int | None
    kind: HoldKind
    placed_day: str
    until: str
    request: str | None
    extended_day: str | None
    receipt: str | None
    receipt_day: str | None
    ended_day: str | None
    ended_for: str | None
    ceiling: str | None

    @property
    def over_ceiling(self) -> bool:
        """Whether it holds longer than the EU ceiling allows."""
        return self.ended_day is None and self.ceiling is not None and self.until > self.ceiling


_COLUMNS: Final = (
    "h.hold_id, h.content_seq, h.kind, h.placed_day, h.until, h.request, h.extended_day, h.receipt, h.receipt_day,"
    " h.ended_day, h.ended_for, i.day FROM hold h LEFT JOIN identified i USING (content_seq)"
)


class Holds:
    """The holds of one ledger."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def place_on_case(self, case_id: str, kind: HoldKind, **how: Any) -> Hold:
        """Hold what a case is about. Raises UsageError."""
        with self._db.write():
            return self._place(cases.by_id(self._db, case_id).content_seq, kind, **how)

    def place_on_report(self, report_id: str, kind: HoldKind, **how: Any) -> Hold:
        """Hold what a report told of. Raises UsageError."""
        with self._db.write():
            return self._place(cases.of_report(self._db, report_id).content_seq, kind, **how)

    def place_on_ref(self, locations: Locations, ref: bytes, kind: HoldKind, **how: Any) -> Hold:
        """Hold what an upload holds. Raises UsageError."""
        with self._db.write():
            seqs = cases.of_ref(self._db, locations, ref)
            if not seqs:
                raise UsageError("No upload of that ref is known here: there is nothing to hold.")
            return self._place(seqs[0], kind, **how)

    def _place(
        self, seq: int | None, kind: HoldKind, *, request: str | None = None, reported_on: str | None = None
    ) -> Hold:
        if seq is None:
            raise UsageError("What that was about has been erased: there is nothing left to hold.")
        today = utc_day(self._clock)
        start = self._start(kind, reported_on, today)
        _check_ticket(request)
        until = days_after(start, PRESERVATION_DAYS if kind is HoldKind.PRESERVATION else NCMEC_DAYS)
        if until <= today:
            raise UsageError("That day lies so far back that the hold would be over already.")
        hold_id = cases.random_id("hold")
        self._db.execute(
            "INSERT INTO hold (hold_id, content_seq, kind, placed_day, until, request) VALUES (?, ?, ?, ?, ?, ?)",
            (hold_id, seq, kind.value, today, until, request),
        )
        ages.correct(self._db, today)
        self._tell(Event.HOLD_PLACED, hold_id, {"kind": kind.value, "until": until})
        return self._by_id(hold_id)

    def _start(self, kind: HoldKind, reported_on: str | None, today: str) -> str:
        """The day from which the hold counts."""
        if kind is HoldKind.PRESERVATION:
            if reported_on is not None:
                raise UsageError("Only a hold for a report to NCMEC counts from the day of that report.")
            return today
        if reported_on is None or not is_day(reported_on) or reported_on > today:
            raise UsageError("Say on which UTC day it was reported to NCMEC, as YYYY-MM-DD: not a day to come.")
        return reported_on

    def extend(self, hold_id: str, request: str) -> Hold:
        """Extend a preservation once, by 90 days, upon a formal request. Raises UsageError."""
        _check_ticket(request)
        with self._db.write():
            hold = self._standing(hold_id)
            if hold.kind is not HoldKind.PRESERVATION:
                raise UsageError("Only a preservation can be extended; a report to NCMEC has its year.")
            if hold.extended_day is not None:
                raise UsageError("It was extended once, and no second time is provided for.")
            until = days_after(hold.until, PRESERVATION_DAYS)
            self._db.execute(
                "UPDATE hold SET until = ?, extended_day = ?, extension = ? WHERE hold_id = ?",
                (until, utc_day(self._clock), request, hold_id),
            )
            self._tell(Event.HOLD_EXTENDED, hold_id, {"until": until})
            return self._by_id(hold_id)

    def receipt(self, hold_id: str, receipt: str) -> Hold:
        """Put on record that the platform preserves the file itself. Raises UsageError."""
        _check_ticket(receipt)
        with self._db.write():
            self._standing(hold_id)
            self._db.execute(
                "UPDATE hold SET receipt = ?, receipt_day = ? WHERE hold_id = ?",
                (receipt, utc_day(self._clock), hold_id),
            )
            self._tell(Event.HOLD_RECEIPT, hold_id, {})
            return self._by_id(hold_id)

    def release(self, hold_id: str) -> Hold:
        """End a hold before its time. Raises UsageError."""
        with self._db.write():
            self._standing(hold_id)
            self._end(hold_id, "released")
            return self._by_id(hold_id)

    def end_those_over(self) -> int:
        """End the holds whose last day is past; how many."""
        with self._db.write():
            rows = self._db.execute(
                "SELECT hold_id FROM hold WHERE ended_day IS NULL AND until <= ?", (utc_day(self._clock),)
            ).fetchall()
            for (hold_id,) in rows:
                self._end(hold_id, "over")
            return len(rows)

    def _end(self, hold_id: str, why: str) -> None:
        self._db.execute(
            "UPDATE hold SET ended_day = ?, ended_for = ? WHERE hold_id = ?", (utc_day(self._clock), why, hold_id)
        )
        self._tell(Event.HOLD_ENDED, hold_id, {"why": why})

    def listed(self, *, ended_too: bool = False) -> list[Hold]:
        """Holds, those that end first first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} WHERE ? OR h.ended_day IS NULL ORDER BY h.until, h.hold_id", (ended_too,)
        )
        return [_hold(row) for row in rows]

    def _by_id(self, hold_id: str) -> Hold:
        row = self._db.execute(f"SELECT {_COLUMNS} WHERE h.hold_id = ?", (hold_id,)).fetchone()
        if row is None:
            raise UsageError("There is no hold of that id: `hashward hold list` shows them.")
        return _hold(row)

    def _standing(self, hold_id: str) -> Hold:
        hold = self._by_id(hold_id)
        if hold.ended_day is not None or hold.until <= utc_day(self._clock):
            raise UsageError("That hold is over: place another.")
        return hold

    def _tell(self, event: Event, hold_id: str, more: dict[str, str]) -> None:
        due(self._db, event, {"hold": hold_id, **more}, at_ns=self._clock.now_ns())


def _hold(row: Sequence[Any]) -> Hold:
    ceiling = None if row[11] is None else days_after(row[11], EU_CEILING_DAYS)
    return Hold(
        id=row[0], content_seq=row[1], kind=HoldKind(row[2]), placed_day=row[3], until=row[4], request=row[5],
        extended_day=row[6], receipt=row[7], receipt_day=row[8], ended_day=row[9], ended_for=row[10], ceiling=ceiling,
    )  # fmt: skip


def _check_ticket(text: str | None) -> None:
    if text is not None and not is_ticket(text):
        raise UsageError("A number of a request or receipt is 1 to 128 letters, digits and . _ : / -")
