"""Requests of authorities against the rules: one row a request, with the answer it must get and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from scanner.accountability.countries import REGIONS, is_country, region_of
from scanner.accountability.request_rules import Answer, Hold, check, notice
from scanner.accountability.request_words import Ask, Data, Form, Instrument, Matter, Request, Requester, Route
from scanner.transparency_config import RequestsConfig

CONFIG = RequestsConfig(home=("DE",), bilateral=("GB",))
DAY = date(2026, 3, 2)
VALID = Request(
    received=DAY, requester=Requester.LAW_ENFORCEMENT, ask=Ask.DISCLOSURE, jurisdiction="DE", certified=True,
    data=frozenset({Data.SUBSCRIBER}), instrument=Instrument.SUBPOENA, legal_basis="a law", signed=True,
    official_address=True, agency="an agency", agent="a name", badge="7", email="a@police.example.org", telephone="1",
    postal_address="a street", respond_by=DAY + timedelta(days=14), data_wanted="name", range_from=date(2026, 1, 1),
    range_to=date(2026, 2, 1),
)  # fmt: skip
EMERGENCY = replace(
    VALID, ask=Ask.EMERGENCY, instrument=Instrument.NONE, data=frozenset({Data.CONTENT}), life_at_risk=True,
    emergency_nature="a kidnapping", emergency_need="the last place", legal_basis="", postal_address="",
    respond_by=None, range_from=None, range_to=None,
)  # fmt: skip
PRESERVE = replace(VALID, ask=Ask.PRESERVATION, instrument=Instrument.LETTER, data=frozenset())
EXTEND = replace(PRESERVE, ask=Ask.EXTENSION, extends="req-1")
RESTRICT = replace(
    VALID, ask=Ask.RESTRICTION, instrument=Instrument.COURT_ORDER, data=frozenset(), restricted_in="DE"
)  # fmt: skip
HOLD = Hold(DAY + timedelta(days=30), extended=False)
LOCAL_NAMED = {"instrument": Instrument.LOCAL_SUBPOENA, "instrument_name": "Auskunftsersuchen"}
LOCAL_WARRANT = {"instrument": Instrument.LOCAL_WARRANT, "instrument_name": "Beschluss"}
ROGATORY = {"jurisdiction": "BR", "route": Route.LETTERS_ROGATORY}
QUIET = {"confidential": True, "confidential_reason": "x"}


def data(*classes: Data) -> dict[str, Any]:
    """Asks for these."""
    return {"data": frozenset(classes)}


CASES: list[tuple[str, Request, dict[str, Any], Answer, str]] = [
    # name, request, what is different, answer, the finding that must be among them
    ("valid subpoena for subscriber data", VALID, {}, Answer.VALID, ""),
    ("summons", VALID, {"instrument": Instrument.SUMMONS}, Answer.VALID, ""),
    ("warrant covers less", VALID, {"instrument": Instrument.WARRANT}, Answer.VALID, ""),
    ("local equivalent, named", VALID, LOCAL_NAMED, Answer.VALID, ""),
    ("local equivalent, not named", VALID, {"instrument": Instrument.LOCAL_SUBPOENA},
     Answer.INCOMPLETE, "missing instrument_name"),
    ("a letter is no instrument", VALID, {"instrument": Instrument.LETTER}, Answer.REFUSE, "no_legal_instrument"),
    ("no instrument", VALID, {"instrument": Instrument.NONE}, Answer.REFUSE, "no_legal_instrument"),
    ("records by subpoena", VALID, data(Data.RECORDS), Answer.REFUSE, "instrument_too_weak_for_the_data"),
    ("records by order", VALID, data(Data.RECORDS) | {"instrument": Instrument.COURT_ORDER}, Answer.VALID, ""),
    ("content by order", VALID, data(Data.CONTENT) | {"instrument": Instrument.COURT_ORDER},
     Answer.REFUSE, "instrument_too_weak_for_the_data"),
    ("content by warrant", VALID, data(Data.CONTENT) | {"instrument": Instrument.WARRANT}, Answer.VALID, ""),
    ("content by local warrant", VALID, data(Data.CONTENT) | LOCAL_WARRANT, Answer.VALID, ""),
    ("more than the subpoena bears", VALID, data(Data.SUBSCRIBER, Data.CONTENT),
     Answer.VALID_IN_PART, "instrument_too_weak_for_part_of_the_data"),
    ("no class of data", VALID, data(), Answer.INCOMPLETE, "missing data"),
    ("body not certified", VALID, {"certified": False}, Answer.REFUSE, "body_not_certified"),
    ("an individual", VALID, {"requester": Requester.INDIVIDUAL}, Answer.REFUSE, "individuals_are_not_answered"),
    ("a business", VALID, {"requester": Requester.BUSINESS}, Answer.REFUSE, "businesses_are_not_answered"),
    ("a civil matter", VALID, {"matter": Matter.CIVIL}, Answer.REFUSE, "civil_matter"),
    ("a civil party", VALID, {"requester": Requester.CIVIL_PARTY}, Answer.REFUSE, "civil_matter"),
    ("a court needs no certificate", VALID, {"requester": Requester.COURT, "certified": False}, Answer.VALID, ""),
    ("a picture of the process", VALID, {"form": Form.PICTURE}, Answer.INCOMPLETE, "process_is_no_document"),
    ("by word of mouth", VALID, {"form": Form.ORAL}, Answer.INCOMPLETE, "process_is_no_document"),
    ("unsigned", VALID, {"signed": False}, Answer.INCOMPLETE, "unsigned"),
    ("neither signed nor official", PRESERVE, {"signed": False, "official_address": False},
     Answer.INCOMPLETE, "neither_signed_nor_from_an_official_address"),
    ("a public mail provider", VALID, {"email": "officer@GMail.com"},
     Answer.INCOMPLETE, "address_of_a_public_mail_provider email"),
    ("its subdomain by country", VALID, {"email": "officer@yahoo.co.uk"},
     Answer.INCOMPLETE, "address_of_a_public_mail_provider email"),
    ("no address at all", VALID, {"email": "officer"}, Answer.INCOMPLETE, "not_an_address email"),
    ("range reversed", VALID, {"range_to": date(2025, 1, 1)}, Answer.INCOMPLETE, "ends_before_it_begins range_to"),
    ("data of the future", VALID, {"range_to": DAY + timedelta(days=1)}, Answer.REFUSE, "data_of_the_future range_to"),
    ("answer wanted before it came", VALID, {"respond_by": DAY - timedelta(days=1)},
     Answer.INCOMPLETE, "before_it_was_received respond_by"),
    ("foreign, directly", VALID, {"jurisdiction": "FR"}, Answer.REFUSE, "foreign_without_treaty_route"),
    ("foreign by treaty", VALID, {"jurisdiction": "FR", "route": Route.MLAT}, Answer.VALID, ""),
    ("executive agreement", VALID, {"jurisdiction": "GB", "route": Route.CLOUD_ACT}, Answer.VALID, ""),
    ("no executive agreement", VALID, {"jurisdiction": "FR", "route": Route.CLOUD_ACT},
     Answer.REFUSE, "no_agreement_with_that_country"),
    ("letters rogatory of a court", VALID, ROGATORY | {"requester": Requester.COURT}, Answer.VALID, ""),
    ("letters rogatory of the police", VALID, ROGATORY,
     Answer.REFUSE, "letters_rogatory_come_from_courts"),
    ("no jurisdiction", VALID, {"jurisdiction": ""}, Answer.INCOMPLETE, "missing jurisdiction"),
    ("emergency", EMERGENCY, {}, Answer.VALID, "disclose_only_what_is_necessary"),
    ("emergency without risk", EMERGENCY, {"life_at_risk": False},
     Answer.REFUSE, "no_imminent_risk_of_death_or_serious_injury"),
    ("emergency, unexplained", EMERGENCY, {"emergency_need": ""}, Answer.INCOMPLETE, "missing emergency_need"),
    ("emergency from abroad", EMERGENCY, {"jurisdiction": "FR"}, Answer.VALID, "foreign_without_treaty_route"),
    ("emergency from anybody", EMERGENCY, {"signed": False, "official_address": False},
     Answer.INCOMPLETE, "neither_signed_nor_from_an_official_address"),
    ("emergency by telephone, then signed", EMERGENCY, {"form": Form.ORAL}, Answer.VALID, ""),
    ("preservation by letter", PRESERVE, {}, Answer.VALID, ""),
    ("preservation from an uncertified body", PRESERVE, {"certified": False}, Answer.REFUSE, "body_not_certified"),
    ("preservation from abroad", PRESERVE, {"jurisdiction": "FR"}, Answer.VALID, "foreign_without_treaty_route"),
    ("extension", EXTEND, {}, Answer.VALID, ""),
    ("extension by mail", EXTEND, {"signed": False}, Answer.INCOMPLETE, "unsigned"),
    ("restriction at home", RESTRICT, {}, Answer.VALID, "tell_the_person_affected"),
    ("restriction by subpoena", RESTRICT, {"instrument": Instrument.SUBPOENA}, Answer.REFUSE, "no_order_to_restrict"),
    ("restriction everywhere", RESTRICT, {"restricted_in": "FR"}, Answer.REFUSE, "restriction_beyond_its_jurisdiction"),
    ("restriction nowhere", RESTRICT, {"restricted_in": ""}, Answer.INCOMPLETE, "missing restricted_in"),
    ("quiet without end", VALID, {"confidential": True, "confidential_reason": "x"},
     Answer.VALID, "confidentiality_without_end_does_not_bind"),
    ("quiet without reason", VALID, {"confidential": True, "confidential_until": date(2027, 1, 1)},
     Answer.VALID, "confidentiality_without_reason_does_not_bind"),
    ("quiet until yesterday", VALID, QUIET | {"confidential_until": date(2025, 1, 1)},
     Answer.VALID, "confidentiality_without_end_to_come_does_not_bind"),
]  # fmt: skip
CASES += [
    (f"without {name}", VALID, {name: None if name in ("respond_by", "range_from", "range_to") else ""},
     Answer.INCOMPLETE, f"missing {name}")
    for name in ("agency", "agent", "badge", "email", "telephone", "postal_address", "respond_by", "legal_basis",
                 "data_wanted", "range_from", "range_to")
]  # fmt: skip


@pytest.mark.parametrize(("request_", "change", "answer", "finding"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_each_request_gets_its_answer(request_: Request, change: dict[str, Any], answer: Answer, finding: str) -> None:
    """The answer of the table with the finding that led to it, and the classes of data it covers."""
    checked = check(replace(request_, **change), CONFIG, HOLD)

    assert answer == checked.answer
    found = {f"{each.code} {each.field}".strip() for each in checked.findings}
    assert not finding or finding in found, found
    asked = replace(request_, **change).data
    covered = {Answer.VALID: asked, Answer.VALID_IN_PART: frozenset({Data.SUBSCRIBER})}.get(answer, frozenset())
    assert covered == checked.data


@pytest.mark.parametrize(
    ("hold", "says"),
    [
        (None, "nothing_to_extend"),
        (Hold(DAY + timedelta(days=9), extended=True), "extended_once_already"),
        (Hold(DAY - timedelta(days=1), extended=False), "the_hold_is_over"),
    ],
    ids=["none", "twice", "late"],
)
def test_a_hold_is_extended_once_and_while_it_lasts(hold: Hold | None, says: str) -> None:
    """An extension of nothing, a second one, and one that comes too late are refused."""
    checked = check(EXTEND, CONFIG, hold)

    assert Answer.REFUSE == checked.answer
    assert says in {each.code for each in checked.findings}


def test_civil_matters_are_a_setting() -> None:
    """Where the operator answers in civil matters, an order of a court in one is valid."""
    civil = replace(VALID, requester=Requester.CIVIL_PARTY, matter=Matter.CIVIL)

    assert Answer.VALID == check(civil, replace(CONFIG, civil=True)).answer


NOTICES: list[tuple[str, Request, dict[str, Any], bool, int | None, str]] = [
    # name, request, what is different, data given, days after the decision, why
    ("given", VALID, {}, True, 31, "after_disclosure"),
    ("refused", VALID, {}, False, None, "nothing_disclosed"),
    ("preserved", PRESERVE, {}, False, None, "nothing_disclosed"),
    ("child abuse", VALID, {"child_abuse": True}, True, None, "child_abuse_case"),
    ("emergency", EMERGENCY, {}, True, None, "life_at_risk"),
    ("forbidden by law", VALID, {"notice_forbidden_by_law": True}, True, None, "forbidden_by_law"),
    ("restricted", RESTRICT, {}, True, 0, "restriction"),
    ("an order that ends later", VALID, QUIET | {"confidential_until": DAY + timedelta(days=100)},
     True, 101, "after_confidentiality_ends"),
    ("an order that ends sooner", VALID, QUIET | {"confidential_until": DAY + timedelta(days=5)},
     True, 31, "after_disclosure"),
    ("an order without end", VALID, QUIET, True, 31, "after_disclosure"),
    ("a restriction kept quiet", RESTRICT, QUIET | {"confidential_until": DAY}, True, 1, "after_confidentiality_ends"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "change", "given", "days", "why"), [n[1:] for n in NOTICES], ids=[n[0] for n in NOTICES]
)
def test_who_is_told_and_when(
    request_: Request, change: dict[str, Any], given: bool, days: int | None, why: str
) -> None:
    """Within the delay, at once of a restriction, after an order's end, or not at all; with the reason."""
    told = notice(replace(request_, **change), DAY, given, CONFIG)

    assert (None if days is None else DAY + timedelta(days=days), why) == (told.due, told.why)


def test_the_delay_is_a_setting() -> None:
    """None at all means the day of the decision."""
    assert DAY == notice(VALID, DAY, True, replace(CONFIG, notice_days=0)).due


def test_every_country_has_one_region() -> None:
    """The list of ISO 3166-1 as it stands, without Antarctica, with Kosovo: each code under one region."""
    codes = [a + b for a in map(chr, range(65, 91)) for b in map(chr, range(65, 91)) if is_country(a + b)]

    assert 249 == len(codes)
    assert {"European Union": 27} == {"European Union": sum(region_of(code) == "European Union" for code in codes)}
    assert {region_of(code) for code in codes} == set(REGIONS)
