"""Reviews: who decides, what follows of it in the same transaction, and what is heard again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.accountability import register, vouching
from scanner.accountability.appeals import Channel
from scanner.accountability.levels import (
    Complexity,
    Finding,
    Level,
    Origin,
    Reason,
    Urgency,
    begins_at,
)
from scanner.accountability.review import Conflict, NotAllowed, Statement
from scanner.errors import UsageError
from scanner.ledger.locations import Readable
from tests.scanner.accountability.people import CONFIRMED, EXACT, NEAR, OTHER, UNCLEAR, WRONG, Office
from tests.scanner.fakes import entry_of, fake_media, pdq, sha256


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Matches and people."""
    made = Office(tmp_path / "home")
    yield made
    made.close()


def states(office: Office) -> dict[str, str]:
    """How the matches stand, by the entry's ref."""
    return dict(office.site.ledger.db.execute("SELECT ref, state FROM match").fetchall())


@pytest.mark.parametrize(
    ("origin", "urgency", "complexity", "level"),
    [
        (Origin.REVIEW, Urgency.ROUTINE, Complexity.SIMPLE, Level.ANALYST),
        (Origin.ABUSE_REPORT, Urgency.ROUTINE, Complexity.SIMPLE, Level.ANALYST),
        (Origin.APPEAL, Urgency.ROUTINE, Complexity.SIMPLE, Level.SENIOR),
        (Origin.REVIEW, Urgency.URGENT, Complexity.SIMPLE, Level.SENIOR),
        (Origin.REVIEW, Urgency.ROUTINE, Complexity.COMPLEX, Level.SENIOR),
        (Origin.APPEAL, Urgency.EMERGENCY, Complexity.SIMPLE, Level.LEGAL),
        (Origin.REVIEW, Urgency.URGENT, Complexity.NOVEL, Level.LEGAL),
    ],
    ids=lambda value: value.value,
)
def test_a_case_begins_at_the_highest_level_anything_asks_for(
    origin: Origin, urgency: Urgency, complexity: Complexity, level: Level
) -> None:
    """Kind, urgency and complexity each ask for one."""
    assert level is begins_at(origin, urgency, complexity)


def test_a_decision_takes_two_people(office: Office) -> None:
    """The first proposes, the same again from the same person changes nothing, a second decides."""
    case = office.case("near")
    first = office.say(case, "ann", CONFIRMED)
    again = office.say(case, "ann", CONFIRMED)
    second = office.say(case, "abe", CONFIRMED)
    _, words = office.cases.show(case.id)

    assert ["proposed", "proposed", "decided"] == [each.state for each in (first, again, second)]
    assert ["opened", "proposed", "proposed", "decided"] == [word.kind for word in words]


def test_not_confirmed_withdraws_what_was_reported_with_the_cause_appeal(office: Office) -> None:
    """The report is taken back, the match counts for nothing, and no new look or place reports it again."""
    case = office.decide(office.case("near"), OTHER)
    site = office.site
    site.upload(NEAR, b"another place")
    site.list_entries("A", entry_of(pdq(1), pdq(9), ref="near"))
    site.rescan()

    assert Finding.NOT_CONFIRMED is case.outcome
    assert "suppressed" == states(office)["near"]
    assert ("withdrawal", "near", "appeal") in site.said()
    assert 1 == [kind for kind, ref, _ in site.said() if ref == "near"].count("match")
    assert not site.upload(NEAR, b"third").outcome.matches


def test_a_decision_taken_back_reports_the_match_again(office: Office) -> None:
    """Abuse is told of after the fact: another round finds the match confirmed."""
    case = office.decide(office.case("near"), OTHER)
    office.site.seal(seed=1)
    (told,) = office.appeals.of_content([case.content_seq or 0], Origin.ABUSE_REPORT)
    again = office.decide(told, CONFIRMED)

    assert (2, "open", Level.ANALYST) == (told.round, told.state, told.level)
    assert Finding.CONFIRMED is again.outcome
    assert "active" == states(office)["near"]
    assert ["match", "withdrawal", "match"] == [kind for kind, ref, _ in office.site.said() if ref == "near"]


def test_two_who_differ_and_the_undecided_go_one_level_up(office: Office) -> None:
    """Up to the panel, where two have to agree, be it that they cannot tell."""
    case = office.case("near")
    office.say(case, "ann", CONFIRMED)
    at_senior = office.say(case, "abe", OTHER)
    at_legal = office.say(case, "sue", UNCLEAR)
    at_panel = office.say(case, "lea", UNCLEAR)
    office.say(case, "pam", UNCLEAR)
    end = office.say(case, "per", UNCLEAR)

    assert [Level.SENIOR, Level.LEGAL, Level.PANEL] == [each.level for each in (at_senior, at_legal, at_panel)]
    assert ("decided", Finding.UNDECIDED) == (end.state, end.outcome)
    assert "active" == states(office)["near"]


def test_an_exact_match_is_overturned_by_legal_or_above(office: Office) -> None:
    """Two analysts of one mind hand it up: to say that a list is wrong is not theirs."""
    case = office.case("exact")
    office.say(case, "ann", WRONG)
    handed = office.say(case, "abe", WRONG)
    kept = states(office)["exact"]
    end = office.decide(handed, WRONG)

    assert (Level.LEGAL, "open") == (handed.level, handed.state)
    assert "active" == kept
    assert "decided" == end.state
    assert "suppressed" == states(office)["exact"]
    assert ("withdrawal", "exact", "appeal") in office.site.said()


def test_whoever_may_not_decide_is_refused(office: Office) -> None:
    """A stranger, a lower level, the panel below its place, a seat that is over, and a case that is decided."""
    case = office.cases.review(office.report("near"), Urgency.URGENT)
    for who in ("ann", "nobody", "pam"):
        with pytest.raises(NotAllowed):
            office.say(case, who, CONFIRMED)
    office.roster.end("sue")
    with pytest.raises(NotAllowed):
        office.say(case, "sue", CONFIRMED)
    office.say(case, "sid", CONFIRMED)
    office.say(case, "lea", CONFIRMED)
    with pytest.raises(Conflict):
        office.say(case, "leo", CONFIRMED)


def test_a_seat_on_the_panel_ends_after_a_year(office: Office) -> None:
    """On its last day a member decides, on the next no more; another term begins anew."""
    case = office.case("near")
    with office.site.ledger.db.write():
        office.site.ledger.db.execute("UPDATE case_file SET level = 'panel'")
    office.site.clock.move(days=364)
    office.say(case, "pam", CONFIRMED)
    office.site.clock.move(days=1)
    with pytest.raises(NotAllowed):
        office.say(case, "per", CONFIRMED)
    office.roster.add("per", Level.PANEL)

    assert "decided" == office.say(case, "per", CONFIRMED).state


def test_an_appeal_is_heard_one_level_up_by_other_people(office: Office) -> None:
    """Round by round up to the panel; whoever had a part before does not hear it."""
    case = office.decide(office.case("near"), CONFIRMED)
    (first,) = office.appeals.of_case(case.id, Origin.APPEAL, channel=Channel.COURT)
    office.roster.end("amy")
    office.roster.add("amy", Level.SENIOR)
    with pytest.raises(NotAllowed, match="does not hear"):
        office.say(first, "amy", CONFIRMED)
    heard = office.decide(first, CONFIRMED)
    (second,) = office.appeals.of_case(case.id, Origin.APPEAL)
    office.decide(second, CONFIRMED)
    (third,) = office.appeals.of_case(case.id, Origin.APPEAL)
    end = office.decide(third, OTHER)

    assert [Level.SENIOR, Level.LEGAL, Level.PANEL] == [each.level for each in (first, second, third)]
    assert Finding.CONFIRMED is heard.outcome
    assert Finding.NOT_CONFIRMED is end.outcome
    assert ("withdrawal", "near", "appeal") in office.site.said()
    with pytest.raises(UsageError, match="in favour"):
        office.appeals.of_case(case.id, Origin.APPEAL)


def test_a_complaint_is_found_by_whatever_the_user_knows(office: Office) -> None:
    """By ref, by the name shown, by report and by case it is the same case; one ticket counts once."""
    from scanner.accountability.cases import of_code, of_ref

    db = office.site.ledger.db
    code = office.site.ledger.uploads.code(2)
    ways = [
        office.appeals.of_content(of_ref(db, Readable(), b"upload-near"), Origin.APPEAL, ticket="T-1"),
        office.appeals.of_content(of_code(db, f"Policy.Blocked.{code}"), Origin.APPEAL, ticket="T-1"),
        office.appeals.of_report(office.report("near"), Origin.APPEAL, ticket="T-1"),
    ]
    ways.append(office.appeals.of_case(ways[0][0].id, Origin.APPEAL, ticket="T-1"))
    (count,) = db.execute("SELECT count(*) FROM case_word WHERE kind = 'appealed'").fetchone()

    assert 1 == len({each.id for way in ways for each in way})
    assert 1 == count
    with pytest.raises(UsageError, match="Nothing stands"):
        office.appeals.of_content(of_ref(db, Readable(), b"unknown"), Origin.APPEAL)


def test_abuse_that_no_list_names_is_a_case_of_its_own(office: Office) -> None:
    """It is decided as any, and no match follows of it."""
    office.site.upload(fake_media(pdq(99)), b"told")
    (case,) = office.appeals.of_content([3], Origin.ABUSE_REPORT)
    (again,) = office.appeals.of_content([3], Origin.ABUSE_REPORT)
    end = office.decide(case, (Finding.CONFIRMED, Reason.OTHER_UNLAWFUL))

    assert case.id == again.id
    assert (None, "decided") == (end.hash_set, end.state)


def test_a_repetition_is_known_by_its_key(office: Office) -> None:
    """A late copy of a request changes nothing, not even in a later round; the key with other words is refused."""
    case = office.case("near")
    office.say(case, "ann", CONFIRMED, key="k1")
    office.say(case, "abe", CONFIRMED, key="k2")
    late = office.say(case, "ann", CONFIRMED, key="k1")
    office.appeals.of_case(case.id, Origin.ABUSE_REPORT)
    later = office.say(case, "ann", CONFIRMED, key="k1")
    with pytest.raises(Conflict):
        office.say(case, "ann", UNCLEAR, key="k1")

    assert "decided" == late.state
    assert ("open", 2) == (later.state, later.round)


@pytest.mark.parametrize(("finding", "reason"), list(itertools.product(Finding, Reason)), ids=str)
def test_each_outcome_has_its_own_reasons(finding: Finding, reason: Reason) -> None:
    """Any other is refused, and so is a reason that only sight can give from whoever has not looked."""
    from scanner.accountability.levels import NEEDS_SIGHT, REASONS

    allowed = reason in REASONS[finding]
    for viewed in (False, True):
        if allowed and (viewed or reason not in NEEDS_SIGHT):
            Statement(finding, reason, "ann", viewed)
        else:
            with pytest.raises(UsageError):
                Statement(finding, reason, "ann", viewed)


def test_decisions_count_as_reviews_of_what_was_flagged(office: Office) -> None:
    """Each decided case is one review of its flag, and says whether an appeal led to it."""
    case = office.decide(office.case("near"), CONFIRMED)
    (contested,) = office.appeals.of_case(case.id, Origin.APPEAL)
    office.decide(contested, OTHER)
    rows = office.site.ledger.db.execute("SELECT outcome, upon_appeal FROM flag_review ORDER BY id").fetchall()

    assert [("confirmed", 0), ("not_confirmed", 1)] == rows


def test_overturned_near_matches_join_the_local_known_good_set(tmp_path: Path) -> None:
    """And leave it again with the decision; the digest is listed once however often that is begun."""
    office = Office(tmp_path / "home", vouches=True)
    site = office.site

    def join() -> int:
        return vouching.join(site.store, site.ledger, site.clock, "reviewed", site.rescan)

    case = office.decide(office.case("near"), OTHER)
    with site.ledger.db.read():
        owed = site.ledger.db.execute("SELECT sha256, wanted FROM vouching_due").fetchall()
    first, second = join(), join()
    listed = [entry.signals[0].value for entry in site.store.entries(site.hash_set("reviewed").uid)]
    (told,) = office.appeals.of_case(case.id, Origin.ABUSE_REPORT)
    office.decide(told, CONFIRMED)
    third = join()
    left = list(site.store.entries(site.hash_set("reviewed").uid))
    office.close()

    assert [(sha256(NEAR), 1)] == owed
    assert (1, 0, 1) == (first, second, third)
    assert [sha256(NEAR)] == listed
    assert [] == left


def test_the_register_has_no_identities(office: Office) -> None:
    """Neither names nor ids, refs, digests or tickets; entries are found by what was decided."""
    near, exact = office.case("near"), office.case("exact")
    office.decide(near, OTHER)
    office.decide(exact, CONFIRMED)
    office.appeals.of_case(exact.id, Origin.APPEAL, ticket="TICKET-1")
    db = office.site.ledger.db
    every = register.entries(db, register.Search())
    said = json.dumps([str(entry) for entry in every]) + "\n".join(register.as_csv(every))
    secrets = ["abe", "amy", near.id, exact.id, "TICKET-1", "upload", office.report("near"), sha256(EXACT).hex()]

    assert 3 == len(every)
    assert [] == [secret for secret in secrets if secret in said]
    assert 1 == len(register.entries(db, register.Search(outcome=Finding.NOT_CONFIRMED)))
    assert 1 == len(register.entries(db, register.Search(reason=Reason.LISTED_MATERIAL, level=Level.ANALYST)))
    assert [] == register.entries(db, register.Search(first_day="2200-01-01"))
    assert [near.id, exact.id, exact.id] == [case_id for case_id, _ in register.search(db, register.Search())]


def test_a_cell_of_the_register_is_never_a_formula() -> None:
    """What a spreadsheet would compute is text."""
    entry = register.Entry(
        "2100-01-01", "decided", "analyst", "review", 1, False, None, None, False, "=cmd()", None, "", None, None,
        "image", "routine", "simple", None,
    )  # fmt: skip

    assert "'=cmd()" in list(register.as_csv([entry]))[1]


def test_every_step_is_owed_to_the_audit_log(office: Office) -> None:
    """With who said it; the log is local, and its lines hold no ref, no digest and no place."""
    case = office.decide(office.case("near"), OTHER)
    rows = office.site.ledger.db.execute(
        "SELECT particulars FROM audit_due WHERE event = 'case_outcome' ORDER BY id"
    ).fetchall()
    steps = [json.loads(said) for (said,) in rows]

    assert [("proposed", "abe"), ("decided", "amy")] == [(each["step"], each["by"]) for each in steps]
    assert {case.id} == {each["case"] for each in steps}
    assert "upload" not in json.dumps(steps)
