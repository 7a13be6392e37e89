"""The register of authorities' requests: what came, what the check said, what people decided, and who is to be told.

It discloses nothing: a grant is a note that people elsewhere gave data out. One public method, one transaction.

Rules
- An entry is never changed: a revised request is another entry, a changed decision another outcome.
- To grant against the check takes a word of its own, and is counted.
- Ids are random. The audit log hears of every entry and decision, without any text that people wrote.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

from hashsets.sqlite import Database
from scanner.accountability.audit import Event, due
from scanner.accountability.request_form import reread, written
from scanner.accountability.request_rules import HOLD_DAYS, Answer, Checked, Hold, Notice, binds, check, covered, notice
from scanner.accountability.request_words import Ask, Data, Request
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.transparency_config import RequestsConfig

_ALPHABET: Final = "23456789bcdfghjkmnpqrstvwxz"
_ID_LETTERS: Final = 10


class RequestOutcome(StrEnum):
    """What was decided. `taken_back`: whoever asked does so no more."""

    GRANTED = "granted"
    GRANTED_IN_PART = "granted_in_part"
    CHALLENGED = "challenged"
    REFUSED = "refused"
    NOTHING_HELD = "nothing_held"
    TAKEN_BACK = "taken_back"


GRANTS: Final = (RequestOutcome.GRANTED, RequestOutcome.GRANTED_IN_PART)


class Why(StrEnum):
    """The reason of a decision."""

    VALID_PROCESS = "valid_process"
    EMERGENCY = "emergency"
    TOO_BROAD = "too_broad"
    WRONG_INSTRUMENT = "wrong_instrument"
    INCOMPLETE = "incomplete"
    NOT_COMPETENT = "not_competent"
    NO_TREATY_ROUTE = "no_treaty_route"
    NOT_LAWFUL = "not_lawful"
    RIGHTS_OF_USERS = "rights_of_users"
    NO_EMERGENCY = "no_emergency"
    NO_SUCH_DATA = "no_such_data"
    BY_REQUESTER = "by_requester"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a request: what, why, which classes of data were given, by whom, and their own words."""

    outcome: RequestOutcome
    why: Why
    data: frozenset[Data]
    by: str
    because: str
    against_check: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A request as the register has it. `request` None: what people wrote was erased."""

    id: str
    received: str
    recorded: str
    ask: Ask
    category: str
    jurisdiction: str
    answer: Answer
    findings: tuple[tuple[str, str, str], ...]
    outcome: RequestOutcome | None
    decided: str | None
    notice_due: str | None
    notice_why: str | None
    told: str | None
    request: Request | None

    @property
    def final(self) -> bool:
        """Whether nothing more is to be decided."""
        return self.outcome not in (None, RequestOutcome.CHALLENGED)


def category_of(request: Request) -> str:
    """Under what a request is counted."""
    if request.ask is Ask.DISCLOSURE:
        return request.subject.value
    return Ask.PRESERVATION.value if request.ask is Ask.EXTENSION else request.ask.value


_ENTRIES: Final = """
SELECT r.id, r.received, r.recorded, r.ask, r.category, r.jurisdiction, r.answer, r.findings, o.outcome, o.day, n.due,
    n.why, n.told, r.particulars
FROM request r
LEFT JOIN request_outcome o ON o.id = (SELECT max(id) FROM request_outcome WHERE request_id = r.id)
LEFT JOIN request_notice n ON n.request_id = r.id
"""


class Requests:
    """The register."""

    def __init__(self, db: Database, clock: Clock, config: RequestsConfig) -> None:
        self._db = db
        self._clock = clock
        self._config = config

    def check(self, request: Request) -> Checked:
        """What the rules and the register say of a request. Raises UsageError where it names an entry there is not."""
        for name in (request.extends, request.revises):
            if name and self._one(name) is None:
                raise UsageError("There is no request of the id that this one names: `hashward request list`.")
        if request.received.isoformat() > utc_day(self._clock):
            raise UsageError("The request came on a day that is yet to come.")
        return check(request, self._config, self._hold(request.extends))

    def add(self, request: Request) -> Entry:
        """Put a request on record, valid or not: every request that came is counted. Raises UsageError."""
        with self._db.write():
            checked = self.check(request)
            new = "req-" + "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LETTERS))
            until = request.confidential_until if binds(request) else None
            self._insert(
                "request",
                id=new,
                received=request.received.isoformat(),
                recorded=utc_day(self._clock),
                requester=request.requester.value,
                ask=request.ask.value,
                category=category_of(request),
                data=_words(request.data),
                instrument=request.instrument.value,
                route=request.route.value,
                jurisdiction=request.jurisdiction,
                identifiers=request.identifiers,
                confidential=int(request.confidential),
                confidential_until=None if until is None else until.isoformat(),
                revises=request.revises or None,
                extends=request.extends or None,
                answer=checked.answer.value,
                findings=json.dumps([[each.code, each.weight.value, each.field] for each in checked.findings]),
                particulars=json.dumps(written(request)),
            )
            self._record(Event.REQUEST_RECORDED, new, answer=checked.answer.value, category=category_of(request))
            return self.entry(new)

    def decide(self, request_id: str, decision: Decision) -> Entry:
        """Note what was decided. Raises UsageError where that cannot be."""
        with self._db.write():
            entry = self.entry(request_id)
            request = _readable(entry)
            self._refuse(entry, request, decision)
            today = utc_day(self._clock)
            self._insert(
                "request_outcome",
                request_id=request_id,
                day=today,
                outcome=decision.outcome.value,
                reason=decision.why.value,
                data=_words(decision.data),
                against_check=int(_is_against(entry, decision)),
                decided_by=decision.by,
                because=decision.because,
            )
            told = notice(request, date.fromisoformat(today), _gives(request, decision), self._config)
            self._put_notice(request_id, told)
            self._record(Event.REQUEST_DECIDED, request_id, outcome=decision.outcome.value, reason=decision.why.value)
            return self.entry(request_id)

    def notified(self, request_id: str) -> Entry:
        """The person affected has been told. Raises UsageError."""
        with self._db.write():
            entry = self.entry(request_id)
            if entry.notice_due is None or entry.told is not None:
                raise UsageError("Nobody is to be told of this request, or they were told already.")
            if entry.notice_why == "after_confidentiality_ends" and entry.notice_due > utc_day(self._clock):
                raise UsageError("The order to keep quiet about this request still binds.")
            self._db.execute(
                "UPDATE request_notice SET told = ? WHERE request_id = ?", (utc_day(self._clock), request_id)
            )
            self._record(Event.REQUEST_NOTIFIED, request_id)
            return self.entry(request_id)

    # -- reading -----------------------------------------------------------------------------------------------------

    def entry(self, request_id: str) -> Entry:
        """One entry. Raises UsageError."""
        found = self._one(request_id)
        if found is None:
            raise UsageError("There is no request of that id: `hashward request list` shows them.")
        return found

    def listed(self) -> list[Entry]:
        """Every entry, the latest received last."""
        return [_entry(row) for row in self._db.execute(_ENTRIES + " ORDER BY r.received, r.id")]

    def due(self, within_days: int = 0) -> list[tuple[str, str, str]]:
        """(day, id, what) of what is to be done by then: people to tell, answers that are owed, holds that end."""
        last = (date.fromisoformat(utc_day(self._clock)) + timedelta(days=within_days)).isoformat()
        found = []
        for entry in self.listed():
            if entry.notice_due is not None and entry.told is None:
                found.append((entry.notice_due, entry.id, "tell the person affected"))
            if entry.request is not None and entry.request.respond_by is not None and not entry.final:
                found.append((entry.request.respond_by.isoformat(), entry.id, "answer"))
            hold = self._hold(entry.id) if entry.outcome in GRANTS and entry.ask is Ask.PRESERVATION else None
            if hold is not None:
                found.append((hold.until.isoformat(), entry.id, "the hold ends"))
        return sorted(each for each in found if each[0] <= last)

    def _hold(self, request_id: str) -> Hold | None:
        """The hold that a request to preserve led to; None: it was not granted, or is none."""
        entry = self._one(request_id) if request_id else None
        if entry is None or entry.ask is not Ask.PRESERVATION or entry.outcome not in GRANTS or entry.decided is None:
            return None
        (extensions,) = self._db.execute(
            "SELECT count(*) FROM request r WHERE r.extends = ? AND (SELECT outcome FROM request_outcome"
            " WHERE request_id = r.id ORDER BY id DESC LIMIT 1) IN ('granted', 'granted_in_part')",
            (request_id,),
        ).fetchone()
        days = HOLD_DAYS * (1 + bool(extensions))
        return Hold(date.fromisoformat(entry.decided) + timedelta(days=days), bool(extensions))

    # -- retention ---------------------------------------------------------------------------------------------------

    def erase(self, before: str) -> int:
        """Erase what people wrote in entries that were settled before a UTC day; how many. They stay counted."""
        with self._db.write():
            ids = [
                entry.id
                for entry in self.listed()
                if entry.final
                and entry.request is not None
                and max(entry.decided or "", entry.told or entry.notice_due or "") < before
                and (entry.notice_due is None or entry.told is not None)
            ]
            for each in ids:
                self._db.execute("UPDATE request SET particulars = NULL WHERE id = ?", (each,))
                self._db.execute(
                    "UPDATE request_outcome SET decided_by = NULL, because = NULL WHERE request_id = ?", (each,)
                )
            return len(ids)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _one(self, request_id: str) -> Entry | None:
        row = self._db.execute(_ENTRIES + " WHERE r.id = ?", (request_id,)).fetchone()
        return None if row is None else _entry(row)

    def _insert(self, table: str, **values: Any) -> None:
        holes = ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({holes})", tuple(values.values()))

    def _put_notice(self, request_id: str, told: Notice) -> None:
        self._db.execute(
            "INSERT INTO request_notice (request_id, due, why) VALUES (?, ?, ?) ON CONFLICT (request_id)"
            " DO UPDATE SET due = excluded.due, why = excluded.why WHERE told IS NULL",
            (request_id, None if told.due is None else told.due.isoformat(), told.why),
        )

    def _record(self, event: Event, request_id: str, **particulars: str) -> None:
        due(self._db, event, {"request": request_id, **particulars}, at_ns=self._clock.now_ns())

    def _refuse(self, entry: Entry, request: Request, decision: Decision) -> None:
        """Raise UsageError where a decision cannot be."""
        if entry.final:
            raise UsageError("This request is decided; a revised request is another entry.")
        if decision.outcome not in GRANTS:
            if decision.data or decision.against_check:
                raise UsageError("Only what is granted gives data.")
            return
        wants_data = request.ask in (Ask.DISCLOSURE, Ask.EMERGENCY)
        if wants_data != bool(decision.data):
            raise UsageError("Say which classes of data were given, of a request for data and of no other.")
        if wants_data and decision.outcome is RequestOutcome.GRANTED and decision.data < request.data:
            raise UsageError("Less than what was asked for is granted_in_part.")
        if not decision.data <= request.data:
            raise UsageError("Data that were not asked for cannot be given.")
        if _is_against(entry, decision) and not decision.against_check:
            raise UsageError(
                "The check says that this may not be granted so (`hashward request show`); --against-check does it all"
                " the same, and is counted in what is published."
            )


def _is_against(entry: Entry, decision: Decision) -> bool:
    """Whether more is granted than the check covers."""
    if decision.outcome not in GRANTS:
        return False
    if entry.answer is Answer.VALID_IN_PART:
        return decision.outcome is RequestOutcome.GRANTED or not decision.data <= covered(_readable(entry))
    return entry.answer is not Answer.VALID


def _gives(request: Request, decision: Decision) -> bool:
    """Whether somebody is affected: data went out, or access was restricted."""
    return decision.outcome in GRANTS and (bool(decision.data) or request.ask is Ask.RESTRICTION)


def _readable(entry: Entry) -> Request:
    if entry.request is None:
        raise UsageError("What this request said was erased: nothing more can be decided of it.")
    return entry.request


def _words(data: Iterable[Data]) -> str:
    return " ".join(sorted(data))


def _entry(row: tuple[Any, ...]) -> Entry:
    (
        id_,
        received,
        recorded,
        ask,
        category,
        country,
        answer,
        findings,
        outcome,
        decided,
        notice_due,
        notice_why,
        told,
        said,
    ) = row
    return Entry(
        id_,
        received,
        recorded,
        Ask(ask),
        category,
        country,
        Answer(answer),
        tuple((code, weight, name) for code, weight, name in json.loads(findings)),
        None if outcome is None else RequestOutcome(outcome),
        decided,
        notice_due,
        notice_why,
        told,
        None if said is None else reread(json.loads(said)),
    )
