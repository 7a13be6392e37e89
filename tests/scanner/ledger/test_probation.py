"""Versions that are joined before they may speak: settled, held, approved; and muted entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets import sqlite
from hashsets.types import Bounds, Mode, Role
from scanner.ledger.migrations import MIGRATIONS
from scanner.ledger.outbox import Occasion
from scanner.ledger.speech import Held, Mute
from scanner.types import Trigger
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256_entry

CONTENTS = [fake_media(comment=str(number)) for number in range(30)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Thirty contents on record; set A lists one of them and may speak."""
    with Site(tmp_path / "home") as made:
        for number, content in enumerate(CONTENTS):
            made.upload(content, b"ref %d" % number)
        made.list_entries("A", sha256_entry(CONTENTS[0], "r0"))
        made.rescan()
        yield made


def grow(site: Site, contents: int) -> None:
    """A version more of A, which lists so many contents more."""
    site.list_entries("A", *(sha256_entry(CONTENTS[n], f"r{n}") for n in range(1, contents + 1)))


def pending(site: Site) -> set[str]:
    """The refs of what would be sealed."""
    return {body.ref for body in site.ledger.sealing.pending()}


def held(site: Site) -> Held | None:
    """What is held of set A."""
    speech = site.ledger.probation.of(site.hash_set("A").uid)
    return None if speech is None else speech.held


@pytest.mark.parametrize(
    ("bounds", "contents", "reasons"),
    [
        (Bounds(), 5, ()),
        (Bounds(), 6, ("share",)),
        (Bounds(share=0.2), 6, ()),
        (Bounds(share=0.2), 7, ("share",)),
        (Bounds(share=1.0, matches=7), 7, ()),
        (Bounds(share=1.0, matches=6), 7, ("matches",)),
        (Bounds(matches=0), 10, ("matches", "share")),
    ],
)
def test_a_version_past_a_bound_is_held_and_one_within_all_speaks(
    bounds: Bounds, contents: int, reasons: tuple[str, ...], site: Site
) -> None:
    """The bounds are the set's own, and are met exactly."""
    site.store.set_bounds("A", bounds)
    grow(site, contents)
    summary = site.rescan()
    found = held(site)

    assert reasons == (() if found is None else found.reasons)
    assert ({} if found is None else {"A": found}) == summary.held
    assert (1 if reasons else 1 + contents) == len(pending(site))
    assert 1 + contents == sum(state == "active" for *_, state in site.matches())


def test_a_set_that_grows_past_its_bound_is_held(site: Site) -> None:
    """Twice as large is usual; more is not, once it is more than a small list's leaps."""
    others = [sha256_entry(b"%d" % number) for number in range(1200)]
    site.list_entries("A", *others)
    site.rescan()
    found = held(site)

    assert found is not None
    assert (("growth",), 0) == (found.reasons, found.matches)


def test_a_hold_is_told_once_and_ends_with_a_version_within_bounds(site: Site) -> None:
    """What a later version still brings may then be said."""
    grow(site, 8)
    first, second = site.rescan().held, site.rescan().held
    site.list_entries("A", removed=[sha256_entry(CONTENTS[n]).key for n in range(3, 9)])
    site.rescan()

    assert (["A"], []) == (list(first), list(second))
    assert held(site) is None
    assert {"r0", "r1", "r2"} == pending(site)


def test_what_comes_while_a_version_is_held_waits_too_if_that_version_brings_it(site: Site) -> None:
    """An upload that meets an entry of a settled version is told at once."""
    later = [fake_media(comment="later"), fake_media(comment="much later")]
    site.list_entries("A", sha256_entry(later[0], "settled"))
    site.rescan()
    grow(site, 8)
    site.list_entries("A", sha256_entry(later[1], "unsettled"))
    site.rescan()
    site.upload(later[0], b"later")
    recorded = site.upload(later[1], b"much later")

    assert {"r0", "settled"} == pending(site)
    assert ["unsettled"] == [hit.ref for hit in recorded.outcome.matches]


def test_what_comes_before_a_version_is_joined_waits_for_that(site: Site) -> None:
    """An upload between a refresh and the next re-scan."""
    upload = fake_media(comment="upload")
    site.list_entries("A", sha256_entry(upload, "new"))
    site.upload(upload, b"upload")
    before = pending(site)
    site.rescan()
    said = [body.trigger for body in site.ledger.sealing.pending() if body.ref == "new"]

    assert {"r0"} == before
    assert [Trigger.UPLOAD] == said


def test_what_a_held_version_withdraws_stands_until_it_is_settled(site: Site) -> None:
    """Then it is withdrawn, for the reason it was."""
    site.seal()
    site.list_entries("A", *(sha256_entry(CONTENTS[n], f"r{n}") for n in range(1, 9)), complete=True)
    site.rescan()
    before = site.said()
    approve(site)

    assert [("match", "r0", None)] == before
    assert ("withdrawal", "r0", "entry") in site.said()
    assert {f"r{n}" for n in range(9)} == pending(site)


def approve(site: Site, version: int | None = None) -> None:
    """Let A speak, up to a version."""
    known = site.hash_set("A")
    site.ledger.probation.approve(known, version or known.version, Occasion(Trigger.RESCAN, site.day))


def test_approval_may_end_at_an_earlier_version(site: Site) -> None:
    """What came after waits for its own word."""
    grow(site, 8)
    site.rescan()
    site.list_entries("A", *(sha256_entry(CONTENTS[n], f"r{n}") for n in range(9, 20)))
    site.rescan()
    approve(site, 2)
    site.rescan()
    found = held(site)

    assert {f"r{n}" for n in range(9)} == pending(site)
    assert found is not None
    assert (3, 11) == (found.version, found.matches)


def test_bounds_that_are_widened_let_a_held_version_go(site: Site) -> None:
    """And with narrower ones the same version would have been held."""
    grow(site, 8)
    site.rescan()
    site.store.set_bounds("A", Bounds(share=1.0))
    site.rescan()

    assert held(site) is None
    assert 9 == len(pending(site))


@pytest.mark.parametrize(("role", "mode"), [(Role.ALERT, Mode.SHADOW), (Role.KNOWN_GOOD, Mode.ACTIVE)])
def test_sets_that_say_nothing_hold_nothing(role: Role, mode: Mode, site: Site) -> None:
    """A set in shadow, and one that vouches."""
    made = site.store.create("other", role=role, mode=mode)
    for version in range(2):
        site.list_entries("other", *(sha256_entry(CONTENTS[n]) for n in range(10 * version, 10 * version + 10)))
        site.rescan()
    speech = site.ledger.probation.of(made.uid)

    assert speech is not None
    assert (2, None) == (speech.version, speech.held)


def test_entries_that_are_muted_are_not_spoken_of_until_their_day_is_over(site: Site) -> None:
    """What was said is withdrawn, and said again when the mute ends; the verdict stays what it is."""
    site.seal()
    uid = site.hash_set("A").uid
    mute = Mute("r0", site.day, "under appeal", site.day)
    concerned = site.ledger.probation.mute(uid, mute, Occasion(Trigger.RESCAN, site.day))
    site.seal(1)
    recorded = site.upload(CONTENTS[0], b"another place")
    muted = site.said()
    site.rescan()
    same_day = site.said()
    site.clock.move(1)
    site.rescan()

    assert 1 == concerned
    assert ["r0"] == [hit.ref for hit in recorded.outcome.matches]
    assert [("match", "r0", None), ("withdrawal", "r0", "rule")] == muted == same_day
    assert [("match", "r0", None)] * 2 == site.said()[2:]
    assert [] == list(site.ledger.probation.mutes(uid))


@pytest.mark.parametrize("first", [0, 1])
def test_what_was_said_of_a_place_that_holds_another_match_of_the_entry_is_withdrawn_too(
    site: Site, first: int
) -> None:
    """A place was reported for one copy and holds another by now: muting takes it back whichever was known first."""
    copies = [fake_media(pdq(900), comment=str(number)) for number in range(2)]
    site.upload(copies[first], b"elsewhere")
    site.list_entries("P", entry_of(pdq(900), ref="p"))
    site.upload(copies[0], b"place")
    site.rescan()
    site.seal()
    site.upload(copies[1], b"place")
    site.ledger.probation.mute(
        site.hash_set("P").uid, Mute("p", site.day, "storm", site.day), Occasion(Trigger.RESCAN, site.day)
    )
    said = [(kind, cause) for kind, ref, cause in site.said() if ref == "p"]

    assert [("match", None)] * 2 + [("withdrawal", "rule")] * 2 == said


def test_a_mute_that_never_left_leaves_no_trace(site: Site) -> None:
    """Neither the report nor its withdrawal, where nothing was sealed in between."""
    uid = site.hash_set("A").uid
    occasion = Occasion(Trigger.RESCAN, site.day)
    site.ledger.probation.mute(uid, Mute("r0", site.day, "storm", site.day), occasion)
    muted = site.said()
    ended = site.ledger.probation.unmute(uid, "r0", occasion)
    again = site.ledger.probation.unmute(uid, "r0", occasion)

    assert ([], True, False) == (muted, ended, again)
    assert [("match", "r0", None)] == site.said()


def test_a_ledger_of_before_goes_on_speaking(tmp_path: Path) -> None:
    """What had spoken when versions were not yet joined first counts as settled."""
    (step,) = [each.number for each in MIGRATIONS if each.story.startswith("versions that may speak")]
    earlier = [each for each in MIGRATIONS if each.number < step]
    path = tmp_path / "ledger.db"
    with sqlite.Database.open(path, earlier) as db, db.write():
        for stretch in ((1, 4, 1, 3), (5, 9, 1, 2)):
            db.execute("INSERT INTO coverage VALUES (?, ?, ?, ?, ?)", (b"u" * 16, *stretch))
    with sqlite.Database.open(path, MIGRATIONS) as db:
        rows = db.execute("SELECT set_uid, version, entries, held_version FROM speech").fetchall()

    assert os.path.exists(path)
    assert [(b"u" * 16, 3, 0, None)] == rows


def test_an_approval_before_the_join_lets_nothing_speak_that_the_version_withdraws(site: Site) -> None:
    """A bad version is held, and a person approves the one that mends it before all have met that."""
    grow(site, 8)
    site.rescan()
    site.list_entries("A", sha256_entry(CONTENTS[0], "r0"), sha256_entry(CONTENTS[9], "r9"), complete=True)
    approve(site)
    before = pending(site)
    site.rescan()

    assert {"r0"} == before
    assert {"r0", "r9"} == pending(site)
