"""Retention: what is past its date is nowhere in the home, what is held stays, and both are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets.sqlite import Database
from scanner.accountability.cases import Cases
from scanner.accountability.holds import HoldKind, Holds
from scanner.accountability.levels import Finding, Level, Reason
from scanner.accountability.retention import Retained, Retention, standing
from scanner.accountability.review import Reviews, Statement
from scanner.accountability.reviewers import Roster
from scanner.ledger import Place, ages
from scanner.ledger.assets import UPLOADS
from scanner.ledger.locations import Readable
from scanner.ledger.migrations import MIGRATIONS
from scanner.ledger.sealing import Listener
from scanner.retain_config import RetainConfig
from scanner.types import Extent, Trigger
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256, sha256_entry

LISTENER = Listener("sink", frozenset({"A"}), "urn:test")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home with a list of one digest and one PDQ value."""
    with Site(tmp_path / "home") as made:
        made.list_entries("A", sha256_entry(LISTED, "r1"), entry_of(pdq(1), ref="r2"))
        yield made


LISTED = fake_media(pdq(7), comment="listed")
NEAR = fake_media(pdq(1, 3), comment="near")


def plain(number: int) -> bytes:
    """A content that matches nothing."""
    return fake_media(pdq(1000 + number), comment=f"plain {number}")


def upload(site: Site, content: bytes, name: str) -> bytes:
    """Upload under a ref that can be searched for."""
    ref = f"ref-{name}-canary".encode()
    site.upload(content, ref)
    return ref


def run(site: Site, *, compact: bool = False, compact_bytes: int = 2**30, **policy: object) -> Retained:
    """Carry out a policy."""
    made = Retention(
        site.ledger.db, site.ledger.inventory, site.clock, RetainConfig(**policy),  # type: ignore[arg-type]
        rescan=site.rescan, compact_bytes=compact_bytes,
    )  # fmt: skip
    return made.run(compact=compact)


def found(site: Site, *needles: bytes) -> set[bytes]:
    """Which of these lie anywhere in the home, but for what is listed there: ledger, -wal, segments, spool."""
    raw = b"\0".join(
        path.read_bytes()
        for path in sorted(site.home.rglob("*"))
        if path.is_file() and "hashsets.db" not in path.name and "listed" not in path.parts
    )
    return {needle for needle in needles if needle in raw}


def audit_lines(site: Site) -> list[tuple[str, dict[str, object]]]:
    """What the audit log is owed."""
    rows = site.ledger.db.execute("SELECT event, particulars FROM audit_due ORDER BY id")
    return [(event, json.loads(said)) for event, said in rows]


def test_what_matches_nothing_goes_at_its_date_from_every_file(site: Site) -> None:
    """Signals, digests and refs of uploads past their date are found in no byte of the home; younger ones are."""
    old = [upload(site, plain(number), f"old{number}") for number in range(60)]
    site.rescan()  # makes a segment of them
    segments = len(list((site.home / "segments").glob("inventory-*")))
    site.clock.move(days=20)
    young = [upload(site, plain(number), f"young{number}") for number in range(60, 70)]
    site.clock.move(days=10)
    digests = [sha256(plain(number)) for number in range(60)]
    values = [pdq(1000 + number).value for number in range(60)]
    before = found(site, *old, *digests, *values)
    done = run(site, unmatched=30)
    after = found(site, *old, *digests, *values)

    assert segments > 0
    assert {*old, *digests, *values} == before
    assert set() == after
    assert set(young) == found(site, *young)
    assert 60 == done.erased["unmatched"].contents == standing(site.ledger.db).unmatched
    assert not done.traces
    assert not done.wal_in_use


def test_a_day_before_its_date_nothing_goes(site: Site) -> None:
    """A content is kept for as many days as the policy says."""
    ref = upload(site, plain(1), "one")
    site.clock.move(days=29)
    done = run(site, unmatched=30)

    assert 0 == done.total().rows
    assert {ref} == found(site, ref)


def test_none_keeps_nothing_that_matches_nothing(site: Site) -> None:
    """With `none` the next run erases it, and what matches stays to be reported."""
    refs = [upload(site, plain(1), "plain"), upload(site, LISTED, "listed"), upload(site, NEAR, "near")]
    done = run(site, unmatched=0)

    assert set(refs[1:]) == found(site, *refs)
    assert 1 == done.erased["unmatched"].contents
    keys = site.ledger.db.execute("SELECT key FROM asset")
    assert {"listed", "near"} == {key.decode().split("-")[1] for (key,) in keys}


def test_what_an_earlier_version_flagged_and_a_later_one_withdrew_is_unmatched(site: Site) -> None:
    """Once nothing stands against a content, the policy for what matches nothing is its own."""
    ref = upload(site, LISTED, "listed")
    site.seal()
    site.list_entries("A", removed=[sha256_entry(LISTED).key])
    site.rescan()
    site.seal(seed=1)
    run(site, unmatched=0)

    assert set() == found(site, ref, sha256(LISTED))
    assert [("match", "r1", None), ("withdrawal", "r1", "entry")] == site.said()


def test_what_matched_goes_at_its_own_date_and_its_report_points_nowhere(site: Site) -> None:
    """The report stands in the world; who asks for its place later hears that it was erased."""
    refs = [upload(site, LISTED, "listed"), upload(site, NEAR, "near")]
    site.seal(listeners=[LISTENER])
    site.clock.move(days=365)
    waiting = run(site, matched=366)
    done = run(site, matched=365)
    (report_id,) = site.ledger.db.execute("SELECT min(report_id) FROM report").fetchone()

    assert 0 == waiting.total().rows
    assert 2 == done.erased["matched"].contents
    assert set() == found(site, *refs, sha256(LISTED), sha256(NEAR), pdq(1, 3).value)
    assert 2 == len(site.ledger.sealing.sealed())
    with pytest.raises(Exception, match="erased"):
        Cases(site.ledger.db, site.clock).review(report_id)


def test_identification_counts_from_the_day_of_the_match(site: Site) -> None:
    """What a later list finds among old uploads has its whole time from then on."""
    ref = upload(site, plain(5), "late")
    site.clock.move(days=400)
    site.list_entries("A", sha256_entry(plain(5), "r9"))
    site.rescan()
    site.seal()
    site.clock.move(days=364)
    run(site, matched=365, unmatched=0)
    kept = found(site, ref)
    site.clock.move(days=1)
    run(site, matched=365, unmatched=0)

    assert {ref} == kept
    assert set() == found(site, ref)


def test_a_hold_survives_every_date_until_it_is_over(site: Site) -> None:
    """Ninety days, ninety more upon a formal request, and then the policy has its way."""
    ref, other = upload(site, LISTED, "held"), upload(site, plain(3), "other")
    site.seal()
    holds = Holds(site.ledger.db, site.clock)
    hold = holds.place_on_ref(Readable(), ref, HoldKind.PRESERVATION, request="REQ-7")
    kept_other = holds.place_on_ref(Readable(), other, HoldKind.PRESERVATION)
    holds.extend(hold.id, "REQ-8")
    for days in (1, 88, 1, 89):
        site.clock.move(days=days)
        done = run(site, unmatched=0, matched=1)
        assert (1, 0) == (done.kept["matched"].held, done.erased["matched"].contents), days
    survived = found(site, ref)
    site.clock.move(days=1)
    done = run(site, unmatched=0, matched=1)

    assert {ref} == survived
    assert 1 == done.holds_ended
    assert set() == found(site, ref, other, sha256(LISTED))
    assert kept_other.until < holds.listed(ended_too=True)[-1].until


def test_a_report_to_ncmec_is_held_a_year_and_the_ceiling_is_named(site: Site) -> None:
    """Reported ten days after identification, the hold ends ten days past the EU's twelve months: that is told."""
    ref = upload(site, LISTED, "reported")
    site.seal()
    site.clock.move(days=10)
    hold = Holds(site.ledger.db, site.clock).place_on_ref(Readable(), ref, HoldKind.NCMEC_REPORT, reported_on=site.day)
    site.clock.move(days=360)
    told = run(site, matched=365, unmatched=0, rules=frozenset({"eu", "us"}))
    site.clock.move(days=5)
    run(site, matched=365, unmatched=0)

    assert hold.over_ceiling
    assert any(hold.id in conflict for conflict in told.conflicts)
    assert 1 == len(told.conflicts)
    assert set() == found(site, ref)


def test_what_is_under_way_is_not_erased(site: Site) -> None:
    """A report that is not sealed and a case that is open keep their content, and are counted as waiting."""
    ref, near = upload(site, LISTED, "unsealed"), upload(site, NEAR, "open")
    site.clock.move(days=5)
    first = run(site, matched=1)
    site.seal()
    report = next(report.id for report, _ in site.ledger.sealing.sealed() if report.body.ref == "r2")
    Cases(site.ledger.db, site.clock).review(report)
    second = run(site, matched=1)

    assert (2, 0) == (first.kept["matched"].waiting, first.erased["matched"].contents)
    assert (1, 1) == (second.kept["matched"].waiting, second.erased["matched"].contents)
    assert {near} == found(site, ref, near)


def test_places_that_hold_nothing_go_at_their_date(site: Site, tmp_path: Path) -> None:
    """The ref of a deleted upload is kept as long as the policy says, and its content no longer than its own date."""
    ref = upload(site, plain(1), "deleted")
    site.ledger.places.forget_upload(ref)
    run(site, gone=10)
    site.clock.move(days=9)
    run(site, gone=10)
    kept = found(site, ref)
    site.clock.move(days=1)
    done = run(site, gone=10)

    assert {ref} == kept
    assert 1 == done.erased["gone"].places
    assert set() == found(site, ref)
    assert {sha256(plain(1))} == found(site, sha256(plain(1)))


def test_a_file_that_is_still_there_is_met_as_new(site: Site, tmp_path: Path) -> None:
    """Erased contents of files in a root are read again by the next walk, and compared with every list then."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "one").write_bytes(plain(1))
    site.scan(media)
    run(site, unmatched=0)
    site.list_entries("A", sha256_entry(plain(1), "r5"))
    site.rescan()
    unseen = site.matches()
    walked = site.scan(media)

    assert set() == unseen
    assert 1 == walked.opened_files
    assert [("match", "r5", None)] == site.said()


def test_reports_go_once_nothing_of_them_stands(site: Site) -> None:
    """A withdrawn report goes with its withdrawal and its batch; one that stands stays until its content is erased."""
    upload(site, LISTED, "listed")
    upload(site, NEAR, "near")
    site.seal(listeners=[LISTENER])
    for owed in site.ledger.sealing.owed():
        site.ledger.sealing.delivered(owed, site.day)
    site.list_entries("A", removed=[sha256_entry(LISTED).key])
    site.rescan()
    site.seal(seed=1)
    site.clock.move(days=30)
    done = run(site, reports=30)
    left = [ref for _, ref, _ in site.said()]
    run(site, reports=30, matched=1)

    assert 3 == done.erased["reports"].rows
    assert ["r2"] == left
    assert [] == site.said()
    assert [(0,)] == site.ledger.db.execute("SELECT count(*) FROM asset WHERE root_id = -1").fetchall()


def test_decided_cases_lose_their_names_and_stay_in_the_register(site: Site) -> None:
    """Who decided, tickets and links go at their date; what was decided stays."""
    upload(site, NEAR, "near")
    site.seal()
    (report,) = (report.id for report, _ in site.ledger.sealing.sealed())
    roster, cases = Roster(site.ledger.db, site.clock), Cases(site.ledger.db, site.clock)
    for name in ("ann-canary", "bob-canary"):
        roster.add(name, Level.ANALYST)
    case = cases.review(report)
    for name in ("ann-canary", "bob-canary"):
        said = Statement(Finding.CONFIRMED, Reason.LISTED_MATERIAL, name)
        Reviews(site.ledger.db, site.clock).give(case.id, said)
    site.clock.move(days=90)
    done = run(site, cases=90)
    _, words = cases.show(case.id)

    assert done.erased["cases"].rows > 0
    assert {None} == {word.who for word in words}
    assert "decided" in {word.kind for word in words}
    assert cases.show(case.id)[0].report_id is None


def test_every_erasure_is_told_to_the_audit_log_in_counts(site: Site) -> None:
    """One line for each class, without anything that leads to a content; a second run tells nothing."""
    upload(site, plain(1), "one")
    upload(site, plain(2), "two")
    run(site, unmatched=0)
    run(site, unmatched=0)
    (line,) = [said for event, said in audit_lines(site) if event == "erased"]

    assert {"class": "unmatched", "contents": 2, "day": site.day, "places": 2} == {
        name: line[name] for name in ("class", "contents", "day", "places")
    }
    assert "canary" not in json.dumps(line)


def test_a_large_file_is_rewritten_only_when_asked(site: Site) -> None:
    """Traces in a file too large to rewrite beside uploads are told, and wiped by a run that is asked to."""
    upload(site, plain(1), "one")
    first = run(site, unmatched=0, compact_bytes=0)
    left = standing(site.ledger.db).traces
    second = run(site, unmatched=0, compact_bytes=0, compact=True)

    assert first.traces
    assert left
    assert not second.traces
    assert not standing(site.ledger.db).traces


def test_contents_of_unknown_age_count_from_the_first_day_that_is_known(site: Site) -> None:
    """What was there before ages were kept is not erased at once, and not kept for ever."""
    ref = upload(site, plain(1), "ancient")
    with site.ledger.db.write():
        site.ledger.db.execute("DELETE FROM recorded_from")
    first = run(site, unmatched=5)
    for _ in range(4):
        site.clock.move(days=1)
        run(site, unmatched=5)
    kept = found(site, ref)
    site.clock.move(days=1)
    run(site, unmatched=5)

    assert 0 == first.total().rows
    assert {ref} == kept
    assert set() == found(site, ref)


def test_a_clock_that_was_wrong_for_a_day_neither_keeps_nor_erases(site: Site) -> None:
    """A day to come counts as the day on which it was found out; one long past as the day before it."""
    first = upload(site, plain(1), "first")
    site.clock.move(days=5000)
    ahead = upload(site, plain(2), "ahead")
    site.clock.move(days=-9000)
    behind = upload(site, plain(3), "behind")
    site.clock.move(days=4001)
    run(site, unmatched=10)
    kept = found(site, first, ahead, behind)
    site.clock.move(days=10)
    run(site, unmatched=10)

    assert {first, ahead, behind} == kept
    assert set() == found(site, first, ahead, behind)


def test_coverage_stays_true_over_erased_numbers(site: Site) -> None:
    """A re-scan over a ledger with holes compares what is left once, and nothing else."""
    for number in range(40):
        upload(site, plain(number), str(number))
        if number == 19:
            site.rescan()
            site.clock.move(days=10)
    site.rescan()
    run(site, unmatched=10)
    site.list_entries("A", sha256_entry(plain(2), "gone"), sha256_entry(plain(30), "here"))
    summary = site.rescan()

    assert ["here"] == [ref for _, ref, _ in site.said()]
    assert 20 == summary.contents
    assert 20 == sum(stretch.seq_hi - stretch.seq_lo + 1 for stretch in ages.stretches(site.ledger.db)[1:])


def test_the_register_of_requests_is_asked_to_erase_too(site: Site) -> None:
    """Inside a transaction in which it may open its own, until it has nothing more; and it is counted."""
    left = [3, 0]
    asked = []

    def erase(before: str) -> int:
        with site.ledger.db.write():
            asked.append(before)
            return left.pop(0)

    made = Retention(
        site.ledger.db, site.ledger.inventory, site.clock, RetainConfig(requests=30), rescan=site.rescan, requests=erase
    )
    done = made.run()

    assert 3 == done.erased["requests"].rows
    assert {"2099-12-03"} == set(asked)
    assert [3] == [said["rows"] for event, said in audit_lines(site) if event == "erased"]


def test_a_query_for_what_may_go_reads_no_table_whole(site: Site) -> None:
    """Each content is looked up by indexes in all that could keep it: ten million must not be read a million times."""
    from scanner.accountability import erasing

    query = f"SELECT 1 FROM content c WHERE c.seq = 9 AND EXISTS ({erasing._STANDS}) AND EXISTS ({erasing._HELD})"
    plan = [
        step
        for *_, step in site.ledger.db.execute(f"EXPLAIN QUERY PLAN {query} AND ({erasing._WAITS})")
        if step != "SCAN a"
    ]  # `accepted` holds what came within the last second

    assert len(plan) > 5
    assert [] == [step for step in plan if step.startswith("SCAN") or "autoindex_report" in step]


def test_a_reader_that_keeps_the_wal_is_told_of_and_the_next_run_empties_it(site: Site) -> None:
    """What another process still reads may hold what was erased: nobody calls that wiped."""
    ref = upload(site, plain(1), "read")
    with Database.open(site.home / "ledger.db", MIGRATIONS) as other:
        with other.read():
            other.execute("SELECT count(*) FROM content").fetchone()
            first = run(site, unmatched=0)
        second = run(site, unmatched=0)

    assert first.wal_in_use
    assert not second.wal_in_use
    assert set() == found(site, ref, sha256(plain(1)))


def test_what_lies_in_the_spool_goes_with_its_content(site: Site) -> None:
    """The file of a film whose look is owed, and its record."""
    spool = site.home / "spool"
    spool.mkdir(exist_ok=True)
    (spool / "abcd").write_bytes(b"film-canary")
    upload(site, plain(1), "film")
    site.ledger.uploads.spool("abcd", 1, 11)
    policy = RetainConfig(unmatched=0)
    Retention(site.ledger.db, site.ledger.inventory, site.clock, policy, rescan=site.rescan, spool=spool).run()

    assert set() == found(site, b"film-canary")
    assert [] == site.ledger.uploads.spooled()
    assert not site.ledger.uploads.owed(1)


def test_a_look_that_was_spared_is_owed_when_retention_took_the_content_meanwhile(site: Site, tmp_path: Path) -> None:
    """A known content is not decoded again; where it was erased before that is recorded, it is not called looked at."""
    upload(site, plain(1), "first")
    path = tmp_path / "file"
    path.write_bytes(plain(1))
    with path.open("rb") as file:
        look = site.pipeline.look(file.fileno())
        run(site, unmatched=0)
        (recorded,) = site.pipeline.settle([(Place(UPLOADS, b"second"), look)], Trigger.UPLOAD)

    assert look.fingerprint is None
    assert recorded.new
    assert not recorded.outcome.clear
    assert Extent.DIGESTS_ONLY is recorded.outcome.looked.extent
    assert recorded.outcome.looked.reason is not None
    assert recorded.outcome.looked.reason.retryable


def test_a_re_upload_of_what_was_erased_is_compared_anew(site: Site) -> None:
    """It meets the lists as they are now, and is looked at again."""
    upload(site, plain(1), "first")
    run(site, unmatched=0)
    site.list_entries("A", sha256_entry(plain(1), "r7"))
    upload(site, plain(1), "again")
    site.rescan()

    assert ["r7"] == [ref for _, ref, _ in site.said()]
    assert 2 == site.fingerprinter.looks[sha256(plain(1))]
