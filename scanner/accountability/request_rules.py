"""Whether what an authority asks for may be granted: rules over what a request says of itself. Pure; knows no table.

A check is advice to the person who decides, never a disclosure and never a decision.

Rules
- Substance is refused: who asks, by what instrument for which data, from where. Form is asked for again: particulars,
  signature, a document in place of a picture.
- Instruments are ordered: what suffices for content suffices for records, and that for subscriber data.
- An order to keep quiet binds where it has an end and a reason; the request is counted even so.
- Sources: providers' published policies (EZVIZ, Google, Discord), 18 U.S.C. 2703(f) (preservation), 2705(b) (an order
  not to tell has an end).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from scanner.accountability.countries import is_country
from scanner.accountability.request_words import Ask, Data, Form, Instrument, Matter, Request, Requester, Route
from scanner.transparency_config import RequestsConfig

HOLD_DAYS: Final = 90  # 18 U.S.C. 2703(f): 90 days, once 90 more upon a renewed request


_STRENGTH: Final = {
    Instrument.NONE: 0,
    Instrument.LETTER: 0,
    Instrument.SUBPOENA: 1,
    Instrument.SUMMONS: 1,
    Instrument.LOCAL_SUBPOENA: 1,
    Instrument.COURT_ORDER: 2,
    Instrument.LOCAL_ORDER: 2,
    Instrument.WARRANT: 3,
    Instrument.LOCAL_WARRANT: 3,
}
_NEEDS: Final = {Data.SUBSCRIBER: 1, Data.RECORDS: 2, Data.CONTENT: 3}
_LOCAL: Final = frozenset((Instrument.LOCAL_SUBPOENA, Instrument.LOCAL_ORDER, Instrument.LOCAL_WARRANT))


class Answer(StrEnum):
    """What the check comes to."""

    VALID = "valid"
    VALID_IN_PART = "valid_in_part"
    INCOMPLETE = "incomplete"
    REFUSE = "refuse"


class Weight(StrEnum):
    """What a finding does to the answer."""

    REFUSE = "refuse"
    ASK_AGAIN = "ask_again"
    IN_PART = "in_part"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the check found: a word of a closed list, perhaps the name of a field, and what it does."""

    code: str
    weight: Weight
    field: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """An earlier request to preserve, as the register knows it: its last day, and whether it was extended."""

    until: date
    extended: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer, the classes of data it covers, and why."""

    answer: Answer
    data: frozenset[Data]
    findings: tuple[Finding, ...]


def check(request: Request, config: RequestsConfig, extended: Hold | None = None) -> Checked:
    """Check a request. `extended` is the hold that an extension names, as far as the register knows one."""
    findings = tuple(_findings(request, config, extended))
    weights = {finding.weight for finding in findings}
    if Weight.REFUSE in weights:
        return Checked(Answer.REFUSE, frozenset(), findings)
    if Weight.ASK_AGAIN in weights:
        return Checked(Answer.INCOMPLETE, frozenset(), findings)
    return Checked(Answer.VALID_IN_PART if Weight.IN_PART in weights else Answer.VALID, covered(request), findings)


def _findings(request: Request, config: RequestsConfig, extended: Hold | None) -> Iterator[Finding]:
    yield from _who(request, config)
    yield from _from_where(request, config)
    yield from {
        Ask.DISCLOSURE: _disclosure,
        Ask.EMERGENCY: _emergency,
        Ask.PRESERVATION: _preservation,
        Ask.EXTENSION: _preservation,
        Ask.RESTRICTION: _restriction,
    }[request.ask](request)
    if request.ask is Ask.EXTENSION:
        yield from _extension(request, extended)
    yield from _form(request)
    yield from _days(request)
    yield from _quiet(request)


def _who(request: Request, config: RequestsConfig) -> Iterator[Finding]:
    if request.requester is Requester.INDIVIDUAL:
        yield Finding("individuals_are_not_answered", Weight.REFUSE)
    elif request.requester is Requester.BUSINESS:
        yield Finding("businesses_are_not_answered", Weight.REFUSE)
    elif request.requester is Requester.LAW_ENFORCEMENT and not request.certified:
        yield Finding("body_not_certified", Weight.REFUSE)
    elif not config.civil and (request.requester is Requester.CIVIL_PARTY or request.matter is Matter.CIVIL):
        yield Finding("civil_matter", Weight.REFUSE)


def _from_where(request: Request, config: RequestsConfig) -> Iterator[Finding]:
    if not is_country(request.jurisdiction):
        yield Finding("missing", Weight.ASK_AGAIN, "jurisdiction")
    elif request.route is Route.CLOUD_ACT and request.jurisdiction not in config.bilateral:
        yield Finding("no_agreement_with_that_country", Weight.REFUSE)
    elif request.route is Route.LETTERS_ROGATORY and request.requester not in (Requester.COURT, Requester.CIVIL_PARTY):
        yield Finding("letters_rogatory_come_from_courts", Weight.REFUSE)
    elif request.route is Route.DIRECT and request.jurisdiction not in config.home:
        # Lives are not made to wait for a treaty, and keeping is not disclosing.
        if request.ask is Ask.DISCLOSURE:
            yield Finding("foreign_without_treaty_route", Weight.REFUSE)
        elif request.ask is not Ask.RESTRICTION:
            yield Finding("foreign_without_treaty_route", Weight.NOTE)


def covered(request: Request) -> frozenset[Data]:
    """The classes of data that the instrument suffices for."""
    if request.ask is Ask.EMERGENCY:
        return request.data
    if request.ask is not Ask.DISCLOSURE:
        return frozenset()
    return frozenset(each for each in request.data if _STRENGTH[request.instrument] >= _NEEDS[each])


def _disclosure(request: Request) -> Iterator[Finding]:
    if not request.data:
        yield Finding("missing", Weight.ASK_AGAIN, "data")
    elif not _STRENGTH[request.instrument]:
        yield Finding("no_legal_instrument", Weight.REFUSE)
    elif not covered(request):
        yield Finding("instrument_too_weak_for_the_data", Weight.REFUSE)
    elif covered(request) != request.data:
        yield Finding("instrument_too_weak_for_part_of_the_data", Weight.IN_PART)
    yield from _missing(request, "agency", "agent", "badge", "email", "telephone", "postal_address", "respond_by")
    yield from _missing(request, "legal_basis", "data_wanted", "range_from", "range_to")
    if not request.signed:
        yield Finding("unsigned", Weight.ASK_AGAIN)


def _emergency(request: Request) -> Iterator[Finding]:
    if not request.life_at_risk:
        yield Finding("no_imminent_risk_of_death_or_serious_injury", Weight.REFUSE)
    if not request.data:
        yield Finding("missing", Weight.ASK_AGAIN, "data")
    yield from _missing(request, "agency", "agent", "badge", "email", "telephone")
    yield from _missing(request, "emergency_nature", "emergency_need", "data_wanted")
    yield Finding("disclose_only_what_is_necessary", Weight.NOTE)


def _preservation(request: Request) -> Iterator[Finding]:
    yield from _missing(request, "agency", "agent", "email", "data_wanted")


def _extension(request: Request, extended: Hold | None) -> Iterator[Finding]:
    if extended is None:
        yield Finding("nothing_to_extend", Weight.REFUSE)
    elif extended.extended:
        yield Finding("extended_once_already", Weight.REFUSE)
    elif request.received > extended.until:
        yield Finding("the_hold_is_over", Weight.REFUSE)
    if not request.signed:
        yield Finding("unsigned", Weight.ASK_AGAIN)


def _restriction(request: Request) -> Iterator[Finding]:
    if _STRENGTH[request.instrument] < _NEEDS[Data.RECORDS]:
        yield Finding("no_order_to_restrict", Weight.REFUSE)
    if not request.restricted_in:
        yield Finding("missing", Weight.ASK_AGAIN, "restricted_in")
    elif request.restricted_in != request.jurisdiction:
        yield Finding("restriction_beyond_its_jurisdiction", Weight.REFUSE)
    yield from _missing(request, "agency", "agent", "email", "legal_basis", "data_wanted")
    if not request.signed:
        yield Finding("unsigned", Weight.ASK_AGAIN)
    yield Finding("tell_the_person_affected", Weight.NOTE)


def _missing(request: Request, *names: str) -> Iterator[Finding]:
    for name in names:
        if not getattr(request, name):
            yield Finding("missing", Weight.ASK_AGAIN, name)


# The largest of those who give anybody an address; not a complete list of them.
_PUBLIC_MAIL: Final = re.compile(
    r"(gmail|googlemail|outlook|hotmail|live|msn|yahoo|ymail|icloud|me|mac|aol|gmx|web|proton|protonmail|pm|tutanota|tuta"
    r"|mail|yandex|qq|163|126|zoho|fastmail|hushmail|t-online|orange|libero)\.(com?|net|org|de|fr|it|me|ru|cn|es|at|ch|eu)"
    r"(\.[a-z]{2})?"
)
_ADDRESS: Final = re.compile(r"[^@\s]+@(?P<host>[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)")


def _form(request: Request) -> Iterator[Finding]:
    if request.form is not Form.DOCUMENT and request.ask is not Ask.EMERGENCY:
        yield Finding("process_is_no_document", Weight.ASK_AGAIN)
    if not request.signed and not request.official_address:
        yield Finding("neither_signed_nor_from_an_official_address", Weight.ASK_AGAIN)
    found = _ADDRESS.fullmatch(request.email)
    if request.email and found is None:
        yield Finding("not_an_address", Weight.ASK_AGAIN, "email")
    elif found is not None and _PUBLIC_MAIL.fullmatch(found["host"].lower()):
        yield Finding("address_of_a_public_mail_provider", Weight.ASK_AGAIN, "email")
    if request.instrument in _LOCAL and not request.instrument_name:
        yield Finding("missing", Weight.ASK_AGAIN, "instrument_name")


def _days(request: Request) -> Iterator[Finding]:
    if request.respond_by is not None and request.respond_by < request.received:
        yield Finding("before_it_was_received", Weight.ASK_AGAIN, "respond_by")
    if request.range_from is not None and request.range_to is not None:
        if request.range_to < request.range_from:
            yield Finding("ends_before_it_begins", Weight.ASK_AGAIN, "range_to")
        if request.range_to > request.received:
            yield Finding("data_of_the_future", Weight.REFUSE, "range_to")


def _quiet(request: Request) -> Iterator[Finding]:
    if request.confidential and not binds(request):
        why = "end" if request.confidential_until is None else "reason"
        if request.confidential_until is not None and request.confidential_until < request.received:
            why = "end_to_come"
        yield Finding(f"confidentiality_without_{why}_does_not_bind", Weight.NOTE)


def binds(request: Request) -> bool:
    """Whether an order to keep quiet has a definite end that lies ahead, and a reason."""
    until = request.confidential_until
    return (
        request.confidential and until is not None and until >= request.received and bool(request.confidential_reason)
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """When the user is to be told; `due` None: not at all, and `why` says so in one word."""

    due: date | None
    why: str


def notice(request: Request, decided: date, disclosed: bool, config: RequestsConfig) -> Notice:
    """When the person affected is told of a request that was decided on that day."""
    restricts = request.ask is Ask.RESTRICTION and disclosed
    if not disclosed:
        return Notice(None, "nothing_disclosed")
    if request.child_abuse:
        return Notice(None, "child_abuse_case")
    if request.life_at_risk:
        return Notice(None, "life_at_risk")
    if request.notice_forbidden_by_law:
        return Notice(None, "forbidden_by_law")
    due = decided if restricts else decided + timedelta(days=config.notice_days)
    if binds(request) and request.confidential_until is not None and request.confidential_until >= due:
        return Notice(request.confidential_until + timedelta(days=1), "after_confidentiality_ends")
    return Notice(due, "restriction" if restricts else "after_disclosure")
