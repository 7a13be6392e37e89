"""Holds: their terms, and what they say of the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.accountability.holds import HoldKind, Holds
from scanner.errors import UsageError
from scanner.ledger.locations import Readable
from scanner.retain_config import RetainConfig
from tests.scanner.accountability.people import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Matches and people."""
    made = Office(tmp_path / "home")
    yield made
    made.close()


def holds(office: Office) -> Holds:
    """Its holds."""
    return Holds(office.site.ledger.db, office.site.clock)


def test_a_preservation_holds_ninety_days_and_ninety_more_once(office: Office) -> None:
    """The days are counted from placing; a second extension is refused, and so is one of a hold that is over."""
    kept = holds(office)
    hold = kept.place_on_case(office.case("near").id, HoldKind.PRESERVATION, request="REQ-1")
    longer = kept.extend(hold.id, "REQ-2")
    with pytest.raises(UsageError, match="once"):
        kept.extend(hold.id, "REQ-3")
    other = kept.place_on_report(office.report("exact"), HoldKind.PRESERVATION)
    office.site.clock.move(days=90)
    with pytest.raises(UsageError, match="over"):
        kept.extend(other.id, "REQ-4")

    assert ("2100-04-01", "2100-06-30") == (hold.until, longer.until)
    assert 1 == kept.end_those_over()
    assert [hold.id] == [each.id for each in kept.listed()]


def test_a_report_to_ncmec_is_held_a_year_from_its_day(office: Office) -> None:
    """Not from the day on which somebody thought of the hold; it is never extended."""
    kept = holds(office)
    office.site.clock.move(days=20)
    hold = kept.place_on_report(office.report("exact"), HoldKind.NCMEC_REPORT, reported_on="2100-01-11")
    with pytest.raises(UsageError, match="Only a preservation"):
        kept.extend(hold.id, "REQ-1")

    assert "2101-01-11" == hold.until
    assert hold.over_ceiling


@pytest.mark.parametrize("day", [None, "2100-01-02", "yesterday", "2098-01-01", "2100-1-1"])
def test_the_day_of_a_report_to_ncmec_is_said_and_possible(office: Office, day: str | None) -> None:
    """None, a day to come, no day at all, and one whose year is over are refused."""
    with pytest.raises(UsageError):
        holds(office).place_on_report(office.report("exact"), HoldKind.NCMEC_REPORT, reported_on=day)


def test_a_hold_says_whether_the_platform_preserves_the_file(office: Office) -> None:
    """The ledger's hold alone preserves none: until a receipt is on record, there is none."""
    kept = holds(office)
    hold = kept.place_on_ref(Readable(), b"upload-near", HoldKind.PRESERVATION)
    preserved = kept.receipt(hold.id, "STORE/2100/77")

    assert (None, None) == (hold.receipt, hold.receipt_day)
    assert ("STORE/2100/77", "2100-01-01") == (preserved.receipt, preserved.receipt_day)


def test_what_is_not_there_cannot_be_held(office: Office) -> None:
    """An unknown ref, report, case or hold, and numbers that could break a line, are refused."""
    kept = holds(office)
    hold = kept.place_on_ref(Readable(), b"upload-near", HoldKind.PRESERVATION)
    kept.release(hold.id)
    for refused in (
        lambda: kept.place_on_ref(Readable(), b"unknown", HoldKind.PRESERVATION),
        lambda: kept.place_on_report("00000000-0000-4000-8000-000000000000", HoldKind.PRESERVATION),
        lambda: kept.place_on_case("case-2222222222", HoldKind.PRESERVATION),
        lambda: kept.place_on_ref(Readable(), b"upload-near", HoldKind.PRESERVATION, request="a\nb"),
        lambda: kept.receipt(hold.id, "R-1"),
        lambda: kept.release("hold-2222222222"),
    ):
        with pytest.raises(UsageError):
            refused()


def test_every_step_of_a_hold_is_owed_to_the_audit_log(office: Office) -> None:
    """Placed, extended, receipt and end; without the numbers of anybody's papers."""
    kept = holds(office)
    hold = kept.place_on_ref(Readable(), b"upload-near", HoldKind.PRESERVATION, request="REQ-canary")
    kept.extend(hold.id, "REQ-canary-2")
    kept.receipt(hold.id, "R-canary")
    kept.release(hold.id)
    rows = office.site.ledger.db.execute(
        "SELECT event, particulars FROM audit_due WHERE event LIKE 'hold%' ORDER BY id"
    ).fetchall()

    assert ["hold_placed", "hold_extended", "hold_receipt", "hold_ended"] == [event for event, _ in rows]
    assert not re.search("canary|upload", str(rows))


def test_a_policy_is_held_up_against_the_rules_that_are_named() -> None:
    """What conflicts is named, each with the rule; without rules nothing is."""
    eu, us = frozenset({"eu"}), frozenset({"us"})

    assert [] == list(RetainConfig().conflicts())
    assert 2 == len(list(RetainConfig(rules=eu).conflicts()))
    assert [] == list(RetainConfig(unmatched=0, matched=365, rules=eu).conflicts())
    assert 1 == len(list(RetainConfig(unmatched=0, matched=366, rules=eu).conflicts()))
    assert 1 == len(list(RetainConfig(matched=180, rules=us).conflicts()))
    assert [] == list(RetainConfig(unmatched=0, matched=365, rules=eu | us).conflicts())
