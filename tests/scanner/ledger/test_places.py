"""Roots, walks and what absence means: missing, gone, moved, suspect."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.errors import NoSuchRoot, RootOverlap
from scanner.ledger.assets import Asset, Root
from scanner.ledger.outbox import Occasion
from scanner.ledger.places import Places
from scanner.opening import RootIdentity
from scanner.types import Reason, Trigger
from scanner.walking import WalkRules
from scanner.worker import RootWalk
from tests.scanner.fakes import Site, fake_media, pdq, sha256_entry


@pytest.fixture(params=[False, True], ids=["readable", "sealed"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site with a folder `media` beside its home, of ten files, so that one may vanish without suspicion."""
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}").write_bytes(fake_media(pdq(number)))
    with Site(tmp_path / "home", sealed=request.param) as site:
        yield site


def media(site: Site) -> Path:
    """The scanned folder."""
    return site.home.parent / "media"


def asset(site: Site, key: bytes) -> Asset | None:
    """The asset of the first root at a key."""
    return site.ledger.places.find(1, key)


def fate(site: Site, key: bytes) -> str:
    """Where an asset stands, in a word."""
    found = asset(site, key)
    if found is None:
        return "unknown"
    return "gone" if found.gone else "missing" if found.missing else "present"


def test_an_asset_is_gone_only_after_two_completed_walks_a_day_apart(site: Site) -> None:
    """Missing at first, however often it is missed within the day."""
    site.scan(media(site))
    (media(site) / "3").unlink()
    fates = []
    for days in (0, 0.4, 0.5, 0.1):
        site.clock.move(days)
        site.scan(media(site))
        fates.append(fate(site, b"3"))

    assert ["missing", "missing", "missing", "gone"] == fates


def test_an_asset_that_comes_back_is_present_and_its_absence_forgotten(site: Site) -> None:
    """The next time it vanishes it is missing anew, not gone."""
    site.scan(media(site))
    (media(site) / "3").rename(site.home / "aside")
    site.scan(media(site))
    site.clock.move(2)
    (site.home / "aside").rename(media(site) / "3")
    site.scan(media(site))
    back = fate(site, b"3")
    (media(site) / "3").unlink()
    site.scan(media(site))

    assert ("present", "missing") == (back, fate(site, b"3"))


def test_what_lies_in_a_folder_that_was_not_listed_is_not_missing(site: Site) -> None:
    """A folder that cannot be read says nothing of what is in it. Roots can read everything: an excluded one serves."""
    (media(site) / "sub").mkdir()
    (media(site) / "sub" / "x").write_bytes(fake_media(pdq(50)))
    site.scan(media(site))
    (media(site) / "sub" / "x").unlink()
    rules = WalkRules(exclude=(b"sub/",))
    (root,) = site.ledger.places.roots()
    RootWalk(site.ledger, site.pipeline, site.clock, lanes=1, rules=rules).run(root)
    hidden = fate(site, b"sub/x")
    site.scan(media(site))

    assert ("present", "missing") == (hidden, fate(site, b"sub/x"))


def test_a_closed_asset_says_nothing(site: Site) -> None:
    """Its report stands, and what was pending still leaves."""
    content = (media(site) / "3").read_bytes()
    site.list_entries("A", sha256_entry(content))
    site.scan(media(site))
    (media(site) / "3").unlink()
    for _ in range(3):
        site.scan(media(site))
        site.clock.move(2)

    assert "gone" == fate(site, b"3")
    assert ["match"] == [kind for kind, *_ in site.said()]
    assert ["active"] == [state for *_, state in site.matches()]


def test_a_file_that_moved_keeps_its_one_report(site: Site) -> None:
    """Whether it had left or not, and into whatever folder it went."""
    content = (media(site) / "3").read_bytes()
    site.list_entries("A", sha256_entry(content))
    site.scan(media(site))
    before = asset(site, b"3")
    (media(site) / "sub").mkdir()
    (media(site) / "3").rename(media(site) / "sub" / "moved")
    first = site.scan(media(site))
    site.seal()
    (media(site) / "sub" / "moved").rename(media(site) / "again")
    second = site.scan(media(site))
    after = asset(site, b"again")

    assert (1, 1) == (first.moved, second.moved)
    assert before is not None
    assert after is not None
    assert before.id == after.id
    assert ["match"] == [kind for kind, *_ in site.said()]
    assert ["unknown", "unknown"] == [fate(site, b"3"), fate(site, b"sub/moved")]


def test_a_copy_is_no_move(site: Site) -> None:
    """A second location is a second, unlinked report."""
    content = (media(site) / "3").read_bytes()
    site.list_entries("A", sha256_entry(content))
    site.scan(media(site))
    shutil.copy(media(site) / "3", media(site) / "copy")
    walked = site.scan(media(site))

    assert 0 == walked.moved
    assert ["match", "match"] == [kind for kind, *_ in site.said()]


def test_of_two_copies_that_vanish_where_one_appears_one_has_moved_and_one_is_missing(site: Site) -> None:
    """A place can be taken once."""
    for name in ("x", "y"):
        (media(site) / name).write_bytes(fake_media(pdq(50)))
    site.scan(media(site))
    (media(site) / "x").rename(media(site) / "z")
    (media(site) / "y").unlink()
    walked = site.scan(media(site))

    assert (1, 1) == (walked.moved, walked.missing)
    assert ["missing", "present", "unknown"] == sorted(fate(site, key) for key in (b"x", b"y", b"z"))


def found_by_an_unfinished_walk(site: Site, key: bytes) -> None:
    """Take in what lies at a key and conclude nothing."""
    root = site.ledger.places.root("root-1")
    RootWalk(site.ledger, site.pipeline, site.clock, lanes=1).run_below(root, key)


def test_a_file_that_an_unfinished_walk_found_and_that_is_gone_again_is_nobodys_new_place(site: Site) -> None:
    """Both have vanished; neither moved to the other."""
    site.scan(media(site))
    (media(site) / "x").write_bytes((media(site) / "3").read_bytes())
    (media(site) / "y").write_bytes((media(site) / "3").read_bytes())
    found_by_an_unfinished_walk(site, b"x")
    found_by_an_unfinished_walk(site, b"y")
    (media(site) / "x").unlink()
    (media(site) / "y").unlink()
    walked = site.scan(media(site))

    assert (0, 2) == (walked.moved, walked.missing)


def test_a_place_whose_report_has_left_is_nobodys_new_place(site: Site) -> None:
    """The report cannot be taken back: the vanished one is missing, and both are still spoken of."""
    content = (media(site) / "3").read_bytes()
    site.list_entries("A", sha256_entry(content))
    site.scan(media(site))
    (media(site) / "copy").write_bytes(content)
    found_by_an_unfinished_walk(site, b"copy")
    site.seal()
    (media(site) / "3").unlink()
    walked = site.scan(media(site))

    assert (0, 1) == (walked.moved, walked.missing)
    assert ("missing", "present") == (fate(site, b"3"), fate(site, b"copy"))
    assert ["match", "match"] == [kind for kind, *_ in site.said()]


def test_what_an_unfinished_walk_found_is_lost_like_the_rest(site: Site) -> None:
    """Half of all is gone at once: that it was new is no sign that it moved."""
    site.scan(media(site))
    (media(site) / "sub").mkdir()
    for number in range(20, 30):
        (media(site) / "sub" / f"{number}").write_bytes(fake_media(pdq(number)))
    found_by_an_unfinished_walk(site, b"sub")
    shutil.rmtree(media(site) / "sub")
    walked = site.scan(media(site))

    assert "lost_many" == walked.suspect


def renamed_away(site: Site) -> Callable[[], object]:
    media(site).rename(site.home / "aside")
    return lambda: (site.home / "aside").rename(media(site))


def emptied(site: Site) -> Callable[[], object]:
    aside = site.home / "aside"
    aside.mkdir()
    for path in list(media(site).iterdir()):
        path.rename(aside / path.name)
    return lambda: [path.rename(media(site) / path.name) for path in list(aside.iterdir())]


def replaced(site: Site) -> Callable[[], object]:
    media(site).rename(site.home / "aside")
    shutil.copytree(site.home / "aside", media(site))
    return lambda: (shutil.rmtree(media(site)), (site.home / "aside").rename(media(site)))


def robbed(site: Site) -> Callable[[], object]:
    for number in range(3):
        (media(site) / f"{number}").rename(site.home / f"{number}")
    return lambda: [(site.home / f"{number}").rename(media(site) / f"{number}") for number in range(3)]


@dataclass(frozen=True)
class Trouble:
    """What may happen to a root, and the word for it."""

    why: str
    happen: Callable[[Site], Callable[[], object]]


TROUBLES = [
    Trouble("missing", renamed_away),
    Trouble("empty", emptied),
    Trouble("remounted", replaced),
    Trouble("lost_many", robbed),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.why)
def test_a_suspect_root_closes_nothing_however_long_it_lasts(site: Site, trouble: Trouble) -> None:
    """Nothing is missing, nothing withdrawn; and all is well once it is back."""
    site.list_entries("A", *(sha256_entry(fake_media(pdq(number))) for number in range(10)))
    site.scan(media(site))
    site.seal()
    undo = trouble.happen(site)
    for _ in range(3):
        site.clock.move(2)
        walked = site.scan(media(site))
        assert trouble.why == walked.suspect
    suspected = site.ledger.places.root("root-1").suspect
    fates = {fate(site, b"%d" % number) for number in range(10)}
    undo()
    well = site.scan(media(site))

    assert trouble.why == suspected
    assert {"present"} == fates
    assert (None, 0) == (well.suspect, well.missing)
    assert site.ledger.places.root("root-1").suspect is None
    assert {"match"} == {kind for kind, *_ in site.said()}


def test_an_accepted_loss_counts_from_the_next_walk_on(site: Site) -> None:
    """And the next loss is suspect again."""
    site.scan(media(site))
    robbed(site)
    site.scan(media(site))
    site.ledger.places.accept_root("root-1")
    accepted = site.scan(media(site))
    for number in range(3, 6):
        (media(site) / f"{number}").unlink()
    again = site.scan(media(site))

    assert (None, 3) == (accepted.suspect, accepted.missing)
    assert "lost_many" == again.suspect


def test_renaming_everything_is_no_loss(site: Site) -> None:
    """What vanished is found again elsewhere."""
    site.scan(media(site))
    (media(site) / "sub").mkdir()
    for number in range(10):
        (media(site) / f"{number}").rename(media(site) / "sub" / f"{number}")
    walked = site.scan(media(site))

    assert (None, 10, 0) == (walked.suspect, walked.moved, walked.missing)


class Killed(BaseException):
    """The end of the process, as far as this test goes."""


def test_a_conclusion_killed_half_way_is_drawn_again_by_the_next_walk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small transactions, killed after each of them: the end is the same as undisturbed."""
    content = (media(site) / "3").read_bytes()
    site.list_entries("A", sha256_entry(content))
    monkeypatch.setattr("scanner.ledger.places._CHUNK", 1)
    for number in range(20):
        (media(site) / f"more-{number}").write_bytes(fake_media(pdq(100 + number)))
    for copy in ("copy-1", "copy-2"):
        (media(site) / copy).write_bytes(fake_media(pdq(50)))
    site.scan(media(site))
    (media(site) / "copy-1").rename(media(site) / "copy-3")
    (media(site) / "copy-2").unlink()
    for name in ("3", "4"):
        (media(site) / name).rename(media(site) / f"new-{name}")
    (media(site) / "5").unlink()
    for transactions in range(6):
        with pytest.raises(Killed):
            concluding_dies_after(site, transactions)
    walked = site.scan(media(site))
    fates = [fate(site, key) for key in (b"3", b"4", b"5", b"new-3", b"new-4")]
    copies = sorted(fate(site, b"copy-%d" % number) for number in (1, 2, 3))

    assert ["unknown", "unknown", "missing", "present", "present"] == fates
    assert ["missing", "present", "unknown"] == copies
    assert walked.suspect is None
    assert ["match"] == [kind for kind, *_ in site.said()]


def concluding_dies_after(site: Site, transactions: int) -> None:
    """Walk, and die at the end of the walk after so many transactions."""

    class Dying(Places):
        def conclude_walk(self, *args: object) -> object:  # type: ignore[override]
            written = 0
            write = self._db.write

            def counted(*given: object, **named: object) -> object:
                nonlocal written
                written += 1
                if written > transactions:
                    raise Killed
                return write(*given, **named)  # type: ignore[arg-type]

            self._db.write = counted  # type: ignore[method-assign,assignment]
            try:
                super().conclude_walk(*args)  # type: ignore[arg-type]
            finally:
                del self._db.write  # type: ignore[method-assign]
            raise Killed

    alive, site.ledger.places = site.ledger.places, Dying(site.ledger.db, site.ledger.locations)
    try:
        RootWalk(site.ledger, site.pipeline, site.clock, lanes=1).run(alive.root("root-1"))
    finally:
        site.ledger.places = alive


def conclude(site: Site, identity: RootIdentity, absent: set[bytes]) -> object:
    """Conclude a walk in which so many keys were absent."""
    places = site.ledger.places
    root = places.root("root-1")
    number = places.begin_walk(root)
    occasion = Occasion(Trigger.SCAN, site.day)
    return places.conclude_walk(
        root, number, identity, lambda _id, key, _dev: key in absent, occasion, site.clock.now_ns()
    )


def test_an_asset_last_seen_on_another_device_is_not_missing(site: Site) -> None:
    """The mount it lay on is gone, not the file."""
    (media(site) / "sub").mkdir()
    (media(site) / "sub" / "x").write_bytes(fake_media(pdq(50)))
    site.scan(media(site))
    with site.ledger.db.write():
        site.ledger.db.execute(
            "UPDATE asset SET dev = dev + 1 WHERE key = ?", (site.ledger.locations.key(1, b"sub/x"),)
        )
    (media(site) / "sub" / "x").unlink()
    site.scan(media(site))

    assert "present" == fate(site, b"sub/x")


def test_a_place_that_cannot_be_read_keeps_what_it_held_and_its_device(site: Site) -> None:
    """It is owed, it is not missing, and it is read again next time."""
    site.scan(media(site))
    held = asset(site, b"3")
    site.ledger.places.unreadable([(1, b"3", 2, Reason.PERMISSION)])
    owed = asset(site, b"3")
    (dev,) = site.ledger.db.execute(
        "SELECT dev FROM asset WHERE key = ?", (site.ledger.locations.key(1, b"3"),)
    ).fetchone()
    walked = site.scan(media(site))

    assert held is not None
    assert owed is not None
    assert (held.content_seq, Reason.PERMISSION, None) == (owed.content_seq, owed.reason, owed.stat)
    assert os.stat(media(site)).st_dev == dev
    assert (1, 9) == (walked.scanned, walked.skipped)


def test_a_gone_place_that_cannot_be_read_holds_nothing_until_it_is(site: Site) -> None:
    """Then what it holds is reported as on any new place."""
    content = (media(site) / "3").read_bytes()
    site.scan(media(site))
    (media(site) / "3").unlink()
    for _ in range(2):
        site.scan(media(site))
        site.clock.move(2)
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    unheld = len(site.said())
    site.ledger.places.unreadable([(1, b"3", 9, Reason.PERMISSION)])
    (media(site) / "3").write_bytes(content)
    site.scan(media(site))

    assert 0 == unheld
    assert ["match"] == [kind for kind, *_ in site.said()]


def test_a_folder_that_holds_a_root_takes_it_in_with_all_that_is_known(site: Site, tmp_path: Path) -> None:
    """Ids, reports and names of any bytes are kept; nothing is read or said again."""
    odd = os.fsencode(media(site)) + b"/\xff\xfe odd"
    Path(os.fsdecode(odd)).write_bytes(fake_media(pdq(60)))
    site.list_entries("A", sha256_entry(fake_media(pdq(60))))
    site.scan(media(site))
    shutil.rmtree(site.home / "nothing", ignore_errors=True)
    with pytest.raises(RootOverlap):
        site.ledger.places.add_root(os.fsencode(tmp_path), "all")
    site.ledger.places.add_root(os.fsencode(tmp_path), "all", may_adopt=True)
    (root,) = site.ledger.places.roots()
    adopted = site.ledger.places.find(root.id, b"media/\xff\xfe odd")
    walked = RootWalk(site.ledger, site.pipeline, site.clock, lanes=1).run_below(root, b"media")

    assert adopted is not None
    assert os.fsencode(tmp_path) + b"/media/\xff\xfe odd" == site.where(adopted.id)
    assert (0, 11) == (walked.scanned, walked.skipped)
    assert ["match"] == [kind for kind, *_ in site.said()]


def test_roots_do_not_overlap(site: Site) -> None:
    """A folder lies in at most one root, and a name of similar beginning is another folder."""
    places = site.ledger.places
    places.add_root(b"/srv/media")

    assert places.root_holding(b"/srv/media/sub") is not None
    assert places.root_holding(b"/srv/media2") is None
    for inside in (b"/srv/media", b"/srv/media/sub"):
        with pytest.raises(RootOverlap):
            places.add_root(inside)
    with pytest.raises(NoSuchRoot):
        places.root("nowhere")


def test_a_moved_root_reads_nothing_again(site: Site) -> None:
    """Assets are relative to their root; what was found is not said again."""
    site.list_entries("A", sha256_entry((media(site) / "3").read_bytes()))
    site.scan(media(site))
    elsewhere = site.home.parent / "elsewhere"
    media(site).rename(elsewhere)
    site.ledger.places.move_root("root-1", os.fsencode(elsewhere))
    walked = site.scan(elsewhere)

    assert (0, 10, None) == (walked.scanned, walked.skipped, walked.suspect)
    assert ["match"] == [kind for kind, *_ in site.said()]


def test_a_removed_root_closes_its_assets_and_says_nothing(site: Site) -> None:
    """And may be added again, as if it were new."""
    site.list_entries("A", sha256_entry((media(site) / "3").read_bytes()))
    site.scan(media(site))
    site.seal()
    site.ledger.places.remove_root("root-1")
    removed = site.said()
    roots: list[Root] = site.ledger.places.roots()
    walked = site.scan(media(site))

    assert [] == roots
    assert ["match"] == [kind for kind, *_ in removed]
    assert 10 == walked.scanned


def test_a_forgotten_upload_is_gone_at_once(site: Site) -> None:
    """Its report stands; a second call finds nothing."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content))
    site.upload(content, b"u")
    places = site.ledger.places

    assert [True, False, False] == [places.forget_upload(ref) for ref in (b"u", b"u", b"v")]
    assert ["match"] == [kind for kind, *_ in site.said()]


def test_an_upload_under_a_forgotten_ref_is_a_place_again(site: Site) -> None:
    """The report of it stands from before: it is one asset."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.ledger.places.forget_upload(b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    unheld = len(site.said())
    site.upload(content, b"u")

    assert (0, 1) == (unheld, len(site.said()))
