"""Sinks that are told counts: each report counted once, in periods that follow one another, whatever is killed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from hashsets.errors import StoreError
from hashsets.types import EntryHit
from scanner.counts import Count, CountRule, Period
from scanner.ledger import Ledger, counting
from scanner.ledger.sealing import Listener
from scanner.reports import ReportBody, anonymise
from scanner.types import MediaKind, Trigger
from tests.scanner.fakes import Site, fake_media, sha256_entry

RULE = CountRule(k=3)
COUNTED = Listener("counted", frozenset({"A", "B"}), "urn:c", RULE)
REPORTED = Listener("reported", frozenset({"A"}), "urn:r")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two sets; 2100-01-01 is a Friday."""
    with Site(tmp_path / "home") as site:
        site.list_entries("A", *(sha256_entry(content(number), f"a{number}") for number in range(60)))
        site.list_entries("B", *(sha256_entry(content(number), f"b{number}") for number in range(0, 60, 2)))
        yield site


def content(number: int) -> bytes:
    """A listed content of its own."""
    return fake_media(comment=str(number))


def upload(site: Site, numbers: range) -> None:
    """Meet listed contents."""
    for number in numbers:
        site.upload(content(number), f"u{number}".encode())


def night(site: Site, *listeners: Listener) -> list[Count]:
    """Midnight passes, and what is of the day is sealed; the counts that are newly owed, taken at once."""
    site.clock.move(1)
    site.ledger.sealing.seal(random.Random(site.day), listeners or [COUNTED], site.day, site.day)
    told: list[Count] = []
    for owed in site.ledger.sealing.owed():
        told += [each for each in owed.batch.reports if isinstance(each, Count)]
        site.ledger.sealing.delivered(owed, site.day)
    return told


def said(day: date) -> ReportBody:
    """A report of set A."""
    hit = EntryHit(1, b"u" * 16, b"k", "ref", (), 1, "sha256", 0, frozenset())
    return anonymise(hit, hash_set="A", media=MediaKind.IMAGE, trigger=Trigger.SCAN, day=day.isoformat())


def rows(site: Site) -> list[list[tuple[object, ...]]]:
    """All that a sealing writes."""
    tables = ("report", "batch", "sealing", "sealed_cell", "counted")
    return [site.ledger.db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def brief(counts: list[Count]) -> list[tuple[str, str, str, int | None, int]]:
    return [(c.body.hash_set, c.body.first_day, c.body.last_day, c.body.listed_version, c.body.count) for c in counts]


def test_a_period_is_told_once_it_is_over(site: Site) -> None:
    """Nothing is known of the set yet, so the first month is told at its end, each set's cells by themselves."""
    told = []
    for day in range(31):
        upload(site, range(day, day + 1))
        told.append(brief(night(site)))

    assert [[]] * 30 == told[:30]
    assert [("A", "2100-01-01", "2100-01-31", 1, 31), ("B", "2100-01-01", "2100-01-31", 1, 16)] == told[30]


def test_the_busier_the_shorter_and_no_day_is_left_out_or_told_twice(tmp_path: Path) -> None:
    """Whatever the periods become, they tile the days, and every report of a period that is told is in it."""
    drawn, rules, sealed = random.Random(4), {"A": RULE}, Counter[str]()
    periods = []
    with Ledger.open(tmp_path).db as db:
        for number in range(210):
            today = date(2100, 1, 1) + timedelta(days=number)
            many = drawn.choice([[0, 0, 0, 0, 1], [0, 1, 1], [3, 5, 8]][number // 70])
            sealed[today.isoformat()] += many
            with db.write():
                counting.begin(db, rules, [], today.isoformat())
                counting.note(db, [said(today)] * many)
                periods += counting.tell(db, rules, (today + timedelta(days=1)).isoformat())
        (until,) = db.execute("SELECT until FROM counted").fetchone()
        (oldest,) = db.execute("SELECT min(day) FROM sealed_cell").fetchone()
    days = [day for body in periods for day in sealed if body.first_day <= day <= body.last_day]

    assert set(Period) == {body.period for body in periods}
    assert len(days) == len(set(days))
    assert sum(body.count for body in periods) == sum(sealed[day] for day in days)
    assert all(sealed[day] < RULE.k for day in sealed.keys() - set(days) if day < until)
    assert "2100-03" < oldest  # what was told long ago is not kept


def test_a_listener_of_reports_hears_no_count_and_the_other_no_report(site: Site) -> None:
    """Each form reaches those who asked for it, under their own source and for their own sets."""
    rule = CountRule(3, Period.DAY)
    only_b = Listener("only-b", frozenset({"B"}), "urn:b", rule)
    both = Listener("counted", frozenset({"A", "B"}), "urn:c", rule)
    upload(site, range(12))
    site.clock.move(1)
    site.ledger.sealing.seal(random.Random(0), [both, only_b, REPORTED], site.day, site.day)
    owed = {each.sink: each.batch for each in site.ledger.sealing.owed()}

    assert {"counted", "only-b", "reported"} == owed.keys()
    assert [("A", 12), ("B", 6)] == [(c.body.hash_set, c.body.count) for c in owed["counted"].reports]
    assert [("B", 6)] == [(c.body.hash_set, c.body.count) for c in owed["only-b"].reports]
    assert "urn:b" == owed["only-b"].source
    assert 12 == len(owed["reported"].reports)
    assert not any(isinstance(each, Count) for each in owed["reported"].reports)
    assert 3 == len(site.ledger.sealing.counts())


def test_a_withdrawal_is_counted_as_one(site: Site) -> None:
    """Kind by kind: what was taken back is a cell of its own."""
    daily = Listener("counted", frozenset({"A"}), "urn:c", CountRule(3, Period.DAY))
    upload(site, range(1, 9, 2))
    night(site, daily)
    site.list_entries("A", removed=[sha256_entry(content(number)).key for number in range(1, 9, 2)])
    site.rescan()

    assert [("withdrawal", 4)] == [(str(each.body.kind), each.body.count) for each in night(site, daily)]


def test_what_is_sealed_late_counts_in_the_next_period(site: Site) -> None:
    """A clock that went back loses no report from the counts."""
    daily = Listener("counted", frozenset({"A"}), "urn:c", CountRule(3, Period.DAY))
    upload(site, range(3))
    night(site, daily)
    site.clock.move(-1)
    upload(site, range(10, 14))
    site.clock.move(1)

    assert [("A", "2100-01-02", "2100-01-02", 1, 4)] == brief(night(site, daily))


def test_a_clock_that_stood_far_ahead_silences_no_set(site: Site) -> None:
    """What was told under it stays told, once; from the right day on the set is counted as before."""
    daily = Listener("counted", frozenset({"A"}), "urn:c", CountRule(3, Period.DAY))
    upload(site, range(4))
    site.clock.move(3650)
    ahead = brief(night(site, daily))
    site.clock.move(-3650)
    upload(site, range(10, 15))

    assert [("A", "2100-01-01", "2100-01-01", 1, 4)] == ahead
    assert [("A", "2100-01-02", "2100-01-02", 1, 5)] == brief(night(site, daily))


def test_days_nobody_sealed_are_told_one_by_one(site: Site) -> None:
    """After a rest every period that was over is told, and a sealing with nothing pending tells too."""
    daily = Listener("counted", frozenset({"A"}), "urn:c", CountRule(3, Period.DAY))
    for day in range(3):
        upload(site, range(10 * day, 10 * day + 4))
        site.clock.move(1)
    told = brief(night(site, daily))
    site.clock.move(40)

    assert [f"2100-01-0{day}" for day in (1, 2, 3)] == [first for _, first, *_ in told]
    assert [] == night(site, daily)
    assert 1 == site.ledger.db.execute("SELECT count(*) FROM sealing").fetchone()[0]


def sealed_but(site: Site, listener: Listener, refused: int) -> bool:
    """Seal, while the database refuses one of the things that statements ask of it; whether that never came up."""
    asked = 0

    def allow(*_: object) -> int:
        nonlocal asked
        asked += 1
        return int(asked == refused)  # SQLITE_DENY is 1

    connection = site.ledger.db.connection
    connection.set_authorizer(allow)
    try:
        site.ledger.sealing.seal(random.Random(0), [listener], site.day, site.day)
    except StoreError:
        return False
    finally:
        connection.set_authorizer(None)
    return True


def test_a_sealing_that_fails_anywhere_counts_nothing_twice(tmp_path: Path) -> None:
    """Refused at every place and begun again: nothing of it stays, and the last gives the counts there are."""
    daily = Listener("counted", frozenset({"A"}), "urn:c", CountRule(3, Period.DAY))
    with Site(tmp_path / "home") as site:
        site.list_entries("A", *(sha256_entry(content(number), f"a{number}") for number in range(40)))
        upload(site, range(5))
        site.clock.move(1)
        before = rows(site)
        refused = 1
        while not sealed_but(site, daily, refused) and before == rows(site):  # what follows the commit may fail too
            refused += 1
        (owed,) = site.ledger.sealing.owed()
        (counted,) = site.ledger.db.execute("SELECT sum(reports) FROM sealed_cell").fetchone()

        assert refused > 20
        assert 5 == counted
        assert [5] == [each.body.count for each in owed.batch.reports]
