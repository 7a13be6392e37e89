"""The register of authorities' requests: what is recorded, decided and due; and the command over it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from scanner.accountability import request_form
from scanner.accountability.request_rules import Answer
from scanner.accountability.request_words import Ask, Data, Instrument, Request, Requester
from scanner.accountability.requests import Decision, RequestOutcome, Requests, Why
from scanner.errors import UsageError
from scanner.transparency_config import RequestsConfig
from tests.command import Hashward
from tests.scanner.fakes import Site

CANARY = "Canary-Agent Name"
VALID = """
received: {day}
requester: law_enforcement
certified: yes
jurisdiction: de
ask: disclosure
data: subscriber, content
instrument: subpoena
legal_basis: a law
signed: yes
official_address: yes
agency: an agency
agent: Canary-Agent Name
badge: 7
email: agent@police.example.org
telephone: 1
postal_address: a street
respond_by: {later}
data_wanted: the name
range_from: 2020-01-01
range_to: 2020-02-01
"""
GRANT = Decision(RequestOutcome.GRANTED_IN_PART, Why.VALID_PROCESS, frozenset({Data.SUBSCRIBER}), "legal", "as asked")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home of its own."""
    with Site(tmp_path / "home") as site:
        yield site


@pytest.fixture
def register(site: Site) -> Requests:
    """Its register."""
    return Requests(site.ledger.db, site.clock, RequestsConfig(home=("DE",)))


def request_of(site: Site, **change: object) -> Request:
    """A request of today, valid in part."""
    today = date.fromisoformat(site.day)
    form = VALID.format(day=today, later=today + timedelta(days=14))
    return replace(request_form.parse(form.encode()), **change)  # type: ignore[arg-type]


def test_a_request_is_recorded_as_it_came_and_decided_once(site: Site, register: Requests) -> None:
    """What it said comes back, a challenge may be followed by a decision, and a decision by nothing more."""
    request = request_of(site)
    entry = register.add(request)

    assert (request, Answer.VALID_IN_PART, None) == (entry.request, entry.answer, entry.outcome)

    challenged = replace(GRANT, outcome=RequestOutcome.CHALLENGED, data=frozenset())
    assert not register.decide(entry.id, challenged).final
    site.clock.move(3)
    decided = register.decide(entry.id, GRANT)

    due = date.fromisoformat(site.day) + timedelta(days=31)
    assert (RequestOutcome.GRANTED_IN_PART, site.day, due.isoformat()) == (
        decided.outcome, decided.decided, decided.notice_due,
    )  # fmt: skip
    with pytest.raises(UsageError, match="decided"):
        register.decide(entry.id, GRANT)
    site.clock.move(1)
    assert site.day == register.notified(entry.id).told
    with pytest.raises(UsageError):
        register.notified(entry.id)


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (replace(GRANT, outcome=RequestOutcome.GRANTED), "granted_in_part"),
        (replace(GRANT, data=frozenset()), "which classes"),
        (replace(GRANT, data=frozenset({Data.RECORDS})), "not asked for"),
        (replace(GRANT, data=frozenset({Data.CONTENT})), "against-check"),
        (replace(GRANT, outcome=RequestOutcome.REFUSED), "gives data"),
    ],
    ids=["less than all", "nothing", "not asked for", "not covered", "refused with data"],
)
def test_a_decision_that_cannot_be_is_refused(site: Site, register: Requests, decision: Decision, says: str) -> None:
    """What is granted is what was asked for and what the check covers."""
    entry = register.add(request_of(site))

    with pytest.raises(UsageError, match=says):
        register.decide(entry.id, decision)

    assert register.entry(entry.id).outcome is None


def test_what_is_granted_against_the_check_is_counted_as_such(site: Site, register: Requests) -> None:
    """It takes a word of its own, and the register keeps it."""
    entry = register.add(request_of(site, certified=False))
    decision = replace(GRANT, against_check=True)
    register.decide(entry.id, decision)

    assert [(1,)] == site.ledger.db.execute("SELECT against_check FROM request_outcome").fetchall()


def test_a_hold_is_known_from_its_request_and_extended_once(site: Site, register: Requests) -> None:
    """90 days from the grant, 90 more once; what is due names the end."""
    keep = request_of(site, ask=Ask.PRESERVATION, data=frozenset(), instrument=Instrument.LETTER)
    granted = replace(GRANT, outcome=RequestOutcome.GRANTED, data=frozenset())
    first = register.add(keep)
    more = replace(keep, ask=Ask.EXTENSION, extends=first.id)

    assert Answer.REFUSE == register.check(more).answer  # nothing is granted yet
    register.decide(first.id, granted)
    end = date.fromisoformat(site.day) + timedelta(days=90)
    assert (end.isoformat(), first.id, "the hold ends") in register.due(90)
    second = register.add(more)
    register.decide(second.id, granted)
    assert Answer.REFUSE == register.check(more).answer
    assert ((end + timedelta(days=90)).isoformat(), first.id, "the hold ends") in register.due(366)


def test_what_falls_due_is_listed_until_it_is_done(site: Site, register: Requests) -> None:
    """An answer that is owed, then people to tell; a notice under an order that binds waits for its end."""
    until = date.fromisoformat(site.day) + timedelta(days=60)
    entry = register.add(request_of(site, confidential=True, confidential_until=until, confidential_reason="x"))

    assert ["answer"] == [what for _, _, what in register.due(14)]

    register.decide(entry.id, GRANT)

    assert [((until + timedelta(days=1)).isoformat(), entry.id, "tell the person affected")] == register.due(100)
    with pytest.raises(UsageError, match="binds"):
        register.notified(entry.id)
    site.clock.move(61)
    register.notified(entry.id)
    assert [] == register.due(100)


def test_retention_erases_what_people_wrote_and_keeps_the_count(site: Site, register: Requests) -> None:
    """Settled and told long enough ago, an entry names nobody; one with somebody to tell keeps what it said."""
    refused = register.add(request_of(site, requester=Requester.INDIVIDUAL))
    register.decide(refused.id, replace(GRANT, outcome=RequestOutcome.REFUSED, why=Why.NOT_COMPETENT, data=frozenset()))
    untold = register.add(request_of(site))
    register.decide(untold.id, GRANT)
    site.clock.move(400)

    assert 1 == register.erase(site.day)
    assert (None, True) == (register.entry(refused.id).request, register.entry(untold.id).request is not None)
    register.notified(untold.id)
    site.clock.move(1)
    assert (1, 0) == (register.erase(site.day), register.erase(site.day))
    kept = "".join(
        str(row) for table in ("request", "request_outcome") for row in site.ledger.db.execute(f"SELECT * FROM {table}")
    )
    assert CANARY not in kept
    assert "as asked" not in kept
    assert 2 == len(register.listed())


def test_the_audit_log_hears_of_every_step_and_of_no_name(site: Site, register: Requests) -> None:
    """A line each for the entry, its decision and its notice."""
    entry = register.add(request_of(site))
    register.decide(entry.id, GRANT)
    register.notified(entry.id)

    lines = site.ledger.db.execute("SELECT event, particulars FROM audit_due ORDER BY id").fetchall()
    assert ["request_recorded", "request_decided", "request_notified"] == [event for event, _ in lines]
    assert all(entry.id in text and CANARY not in text and "as asked" not in text for _, text in lines)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"x" * (request_form.MAX_BYTES + 1), "64 KiB"),
        (b"requester", "line 1"),
        (b"what: ever", "a field that there is not"),
        (b"requester: court\nrequester: court", "twice"),
        (b'{"requester": "court", "requester": "court"}', "twice"),
        (b'{"requester": ', "JSON"),
        (b"[" * 10_000, "line 1"),
        (b'{"data": ' + b"[" * 10_000, "JSON"),
        (b'{"agent": {"received": "2020-01-01"}}', "agent"),
        (b'{"data": [1]}', "data"),
        (b"requester: nobody-knows", "requester must be"),
        (b"received: 2020-02-30", "received must be"),
        (b"received: 20200101", "received must be"),
        (b"jurisdiction: Germany", "jurisdiction must be"),
        (b"identifiers: 0", "identifiers must be"),
        (b"agent: a\x1b[31mred", "agent must be"),
        (b"agent: " + b"a" * 2001, "agent must be"),
        (b"signed: perhaps", "signed must be"),
        (b"", "lacks the field received"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_form_that_says_something_impossible_is_refused_by_field(form: bytes, says: str) -> None:
    """The field is named, and never what stood there."""
    with pytest.raises(UsageError) as refused:
        request_form.parse(form)

    assert says.lower() in str(refused.value).lower()
    assert "nobody" not in str(refused.value)


def test_a_form_and_json_say_the_same(site: Site) -> None:
    """What is written out is read back, and the empty template lacks nothing but what is required."""
    request = request_of(site)

    assert request == request_form.parse(json.dumps(request_form.written(request)).encode())
    with pytest.raises(UsageError, match="lacks the field received"):
        request_form.parse(request_form.template().encode())


def test_the_command_goes_through_a_requests_life(tmp_path: Path) -> None:
    """Template, check, add, outcome, due, notified, list, show: a check records nothing, errors repeat nothing."""
    hashward = Hashward(tmp_path / "home")
    hashward.home.mkdir()
    (hashward.home / "config.toml").write_text('[requests]\nhome = ["DE"]\nnotice_days = 0\n')
    form = tmp_path / "form"
    form.write_text(VALID.format(day="2020-03-02", later="2020-04-01"))

    assert "received:" in hashward("request", "template").out
    assert "requests.home" not in hashward("request", "check", form).err
    assert "requests.home" in Hashward(tmp_path / "other")("request", "check", form).err
    assert ("valid_in_part", []) == (
        hashward.json("request", "check", form)["answer"],
        hashward.json("request", "list"),
    )
    made = hashward.json("request", "add", form)["id"]
    wrong = hashward("request", "outcome", made, "granted", "--reason", "valid_process", "--by", "a")
    assert (2, True) == (wrong.code, CANARY not in wrong.err)
    done = hashward.json("request", "outcome", made, "granted_in_part", "--reason", "valid_process", "--by", "a",
                         "--data", "subscriber")  # fmt: skip
    assert "granted_in_part" == done["outcome"]
    assert [("tell the person affected", made)] == [
        (each["what"], each["id"]) for each in hashward.json("request", "due")
    ]
    assert {"by_now": 1, "within_14_days": 1} == hashward.json("status")["due"]
    assert "1 by now, 1 within 14 days: `hashward request due`" in hashward("status").out
    assert hashward.json("request", "notified", made)["notice"]["told"]
    assert {"by_now": 0, "within_14_days": 0} == hashward.json("status")["due"]
    assert CANARY == hashward.json("request", "show", made)["particulars"]["agent"]
    assert CANARY in hashward("request", "show", made).out
    for words in (("list",), ("due",)):
        assert CANARY not in hashward("request", *words).out
    missing = hashward("request", "show", "req-none")
    assert (2, True) == (missing.code, "request list" in missing.err)
    assert 2 == hashward("request", "add", tmp_path / "not there").code
