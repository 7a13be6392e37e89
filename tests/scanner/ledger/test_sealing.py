"""From pending reports to batches: sealed once, to each sink what it may hear, and nothing that tells of the place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets.types import Mode
from scanner.ledger.sealing import Listener
from scanner.reports import Kind, canonical_json, encode_jsonl
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256_entry

BOTH = Listener("both", frozenset({"A", "B"}), "urn:both")
ONLY_A = Listener("a", frozenset({"A"}), "urn:a")
NOTHING = Listener("nothing", frozenset(), "urn:n")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two sets that list one upload, and one of them another."""
    with Site(tmp_path / "home") as site:
        first, second = fake_media(pdq(1)), fake_media(pdq(2))
        site.list_entries("A", sha256_entry(first, "a1"), sha256_entry(second, "a2"))
        site.list_entries("B", sha256_entry(first, "b1"))
        site.upload(first, b"u1")
        site.upload(second, b"u2")
        yield site


def test_each_listener_is_owed_what_it_may_hear_and_no_more(site: Site) -> None:
    """A sink that names no set hears nothing; ids are the same for all, batch ids are not."""
    sealed = site.seal(0, [BOTH, ONLY_A, NOTHING])
    owed = {item.sink: item.batch for item in site.ledger.sealing.owed()}

    assert 3 == sealed
    assert {"both", "a"} == set(owed)
    assert {"a1", "a2", "b1"} == {report.body.ref for report in owed["both"].reports}
    assert {"a1", "a2"} == {report.body.ref for report in owed["a"].reports}
    assert {report.id for report in owed["a"].reports} < {report.id for report in owed["both"].reports}
    assert owed["a"].batch_id != owed["both"].batch_id
    assert ("urn:a", "urn:both") == (owed["a"].source, owed["both"].source)


def test_sealing_twice_seals_once(site: Site) -> None:
    """The second finds nothing pending, owes nothing more, and is remembered as a day's sealing all the same."""
    site.seal(0, [BOTH])
    before = site.ledger.sealing.owed()
    site.clock.move(1)

    assert 0 == site.seal(1, [BOTH])
    assert before == site.ledger.sealing.owed()
    assert "2100-01-02" == site.ledger.sealing.last_sealed_day()


def test_a_batch_stays_owed_until_it_is_delivered(site: Site) -> None:
    """A failure is counted and waits; what was sealed never changes."""
    site.seal(0, [BOTH, ONLY_A])
    owed = {item.sink: item for item in site.ledger.sealing.owed()}
    payload = b"".join(encode_jsonl(owed["a"].batch))
    site.ledger.sealing.failed(owed["a"], next_try_ns=17, refused=True)
    site.ledger.sealing.delivered(owed["both"], site.day)
    (left,) = site.ledger.sealing.owed()

    assert ("a", 1, 17, True) == (left.sink, left.attempts, left.next_try_ns, left.refused)
    assert payload == b"".join(encode_jsonl(left.batch))


def test_a_withdrawal_names_the_report_it_withdraws(site: Site) -> None:
    """By the id the world knows it under, and with what that report said."""
    site.seal(0)
    site.list_entries("A", removed=[sha256_entry(fake_media(pdq(2))).key])
    site.rescan()
    site.clock.move(1)
    site.seal(1)
    reports = {report.id: report.body for report, _ in site.ledger.sealing.sealed()}
    (withdrawal,) = (body for body in reports.values() if body.kind is Kind.WITHDRAWAL)

    assert withdrawal.withdraws is not None
    said = reports[withdrawal.withdraws]
    assert (Kind.MATCH, "a2", "scan") != (said.kind, said.ref, said.trigger)
    assert (said.hash_set, said.ref, said.listed_version) == (
        withdrawal.hash_set,
        withdrawal.ref,
        withdrawal.listed_version,
    )


def test_no_match_report_leaves_for_what_was_withdrawn_before_it_was_sealed(site: Site) -> None:
    """Match and withdrawal annihilate, however often; local ids never leave."""
    key = sha256_entry(fake_media(pdq(2))).key
    for _ in range(3):
        site.list_entries("A", removed=[key])
        site.rescan()
        gone = {body.ref for body in site.ledger.sealing.pending()}
        site.list_entries("A", sha256_entry(fake_media(pdq(2)), "a2"))
        site.rescan()
        back = {body.ref for body in site.ledger.sealing.pending()}
        assert ({"a1", "b1"}, {"a1", "a2", "b1"}) == (gone, back)


def test_a_set_in_shadow_says_nothing_and_takes_nothing_back(site: Site) -> None:
    """What has left stands; what has not, does not leave."""
    site.store.set_mode("A", Mode.SHADOW)
    site.rescan()
    pending = {body.ref for body in site.ledger.sealing.pending()}
    site.store.set_mode("A", Mode.ACTIVE)
    site.rescan()
    site.seal()
    site.store.set_mode("A", Mode.SHADOW)
    site.rescan()

    assert {"b1"} == pending
    assert [] == site.ledger.sealing.pending()


def test_a_report_says_nothing_of_the_place(site: Site) -> None:
    """Neither ref nor digest nor hash nor distance."""
    content = fake_media(pdq(5, flipped=7), comment="EXIF-CANARY")
    site.list_entries("A", entry_of(pdq(5), ref="near"))
    site.upload(content, b"REF-CANARY")
    site.rescan()
    site.seal(0, [BOTH])
    payload = b"".join(b"".join(encode_jsonl(item.batch)) for item in site.ledger.sealing.owed())
    hidden = [
        b"CANARY",
        sha256_entry(content).signals[0].value.hex().encode(),
        pdq(5, flipped=7).value.hex().encode(),
        str(site.home).encode(),
        b"distance",
    ]

    assert b'"near"' in payload
    assert not [word for word in hidden if word in payload]


def run(home: Path, order: list[int], name: str, lanes: int) -> tuple[list[bytes], list[bytes]]:
    """The payloads sealed after the same contents were scanned, uploaded and re-scanned under other circumstances."""
    media = home.parent / f"{name}-media"
    (media / name).mkdir(parents=True)
    contents = [fake_media(pdq(number % 7, number % 4), comment=str(number)) for number in range(90)]
    with Site(home, lanes=lanes) as site:
        site.list_entries(
            "A", *(sha256_entry(contents[n], f"exact-{n}") for n in range(0, 90, 7)), entry_of(pdq(3), ref="near")
        )
        for number in order:
            path = media / (name if number % 2 else "") / f"{name}{order.index(number)}.jpg"
            path.write_bytes(contents[number])
        site.scan(media)
        site.clock.move(0.3 if name == "alice" else 0.1)
        for number in order[:5] if name == "alice" else sorted(order[:5], reverse=True):
            site.upload(contents[number], f"{name}-{number}".encode())
        site.list_entries("A", entry_of(pdq(4), ref="later"), removed=[sha256_entry(contents[14]).key])
        site.rescan()
        site.seal(99, [ONLY_A])
        owed = site.ledger.sealing.owed()
        return [b"".join(encode_jsonl(item.batch)) for item in owed], [
            canonical_json(report.body) for report, _ in site.ledger.sealing.sealed()
        ]


def test_names_owners_order_and_worker_counts_show_in_no_batch(tmp_path: Path) -> None:
    """The same contents elsewhere, in another order and other lanes, give the same batches from like random sources."""
    order = list(range(90))
    shuffled = random.Random(3).sample(order, len(order))
    shuffled = [*order[:5], *(number for number in shuffled if number >= 5)]
    first, bodies = run(tmp_path / "one", order, "alice", 1)
    second, _ = run(tmp_path / "two", shuffled, "bob", 4)

    assert first == second
    assert 1 == len(first)
    assert len(bodies) > 20
