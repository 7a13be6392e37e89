"""The batch door: what is read, what is skipped, and one outcome for every name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.ledger import tallies
from scanner.types import Fingerprint, Reason, Resume, Source, Stop, never
from scanner.walking import WalkRules
from scanner.worker import BATCH, IdSet, RootWalk, Walked
from tests.scanner.fakes import FakeFingerprinter, Site, entry_of, fake_media, pdq, sha256, sha256_entry


@pytest.fixture(params=[False, True], ids=["readable", "sealed"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site with a folder `media` beside its home."""
    (tmp_path / "media").mkdir()
    with Site(tmp_path / "home", sealed=request.param) as site:
        yield site


def media(site: Site) -> Path:
    """The scanned folder."""
    return site.home.parent / "media"


def walk_below(site: Site, key: bytes) -> Walked:
    """Look at a part of the one root."""
    (root,) = site.ledger.places.roots()
    return RootWalk(site.ledger, site.pipeline, site.clock, lanes=2).run_below(root, key)


def test_an_unchanged_file_is_not_opened_again(site: Site) -> None:
    """Nor looked up; a changed one is, and only that."""
    for number in range(BATCH * 2 + 5):
        (media(site) / f"{number}").write_bytes(fake_media(pdq(number), comment=str(number)))
    first = site.scan(media(site))
    second = site.scan(media(site))
    (media(site) / "7").write_bytes(fake_media(pdq(500)))
    third = site.scan(media(site))

    assert (133, 0, 133) == (first.scanned, first.skipped, first.opened_files)
    assert (0, 133, 0) == (second.scanned, second.skipped, second.opened_files)
    assert (1, 132, 1) == (third.scanned, third.skipped, third.new_contents)


def test_a_file_touched_within_the_clocks_grain_is_read_again(site: Site) -> None:
    """It could change again and look the same: its stat is not trusted until it has settled."""
    path = media(site) / "fresh"
    path.write_bytes(fake_media(pdq(1)))
    site.clock.move((os.stat(path).st_ctime_ns + 10**9 - site.clock.now_ns()) / (86_400 * 10**9))
    site.scan(media(site))
    again = site.scan(media(site))
    site.clock.move(1)
    site.scan(media(site))
    settled = site.scan(media(site))

    assert (1, 0) == (again.scanned, settled.scanned)


def test_one_content_in_many_places_is_decoded_once(site: Site) -> None:
    """And is one content with many assets."""
    for number in range(200):
        (media(site) / f"{number}").write_bytes(fake_media(pdq(1)))
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    walked = site.scan(media(site))
    (contents,) = site.ledger.db.execute("SELECT count(*) FROM content").fetchone()

    assert (200, 1, 1) == (walked.scanned, walked.new_contents, contents)
    assert 1 == site.fingerprinter.looks[sha256(fake_media(pdq(1)))]
    assert 200 == len(site.said())


def test_every_name_has_one_outcome(site: Site) -> None:
    """Files by how they stand, everything else by why it is no file; no name is followed and none hangs."""
    folder = media(site)
    (folder / "sub").mkdir()
    matched = fake_media(pdq(1))
    (folder / "matched").write_bytes(matched)
    (folder / "sub" / "clear").write_bytes(fake_media(pdq(2)))
    (folder / "letters").write_bytes(b"letters")
    (folder / "owed").write_bytes(fake_media(pdq(3), pdq(4), sees=1))
    (folder / "empty").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_bytes(fake_media(pdq(5)))
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(folder / "matched")
    (folder / "loop").symlink_to(folder)
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(folder)
        bound.bind("socket")
        os.chdir(here)
        site.list_entries("A", sha256_entry(matched))
        walked = site.scan(folder)
    tally = tallies.outcomes(site.ledger.db)

    assert {"fifo": 1, "link": 2, "socket": 1} == dict(walked.ignored)
    assert (6, 1, 2, 2) == (tally.assets, tally.matched, tally.clear, tally.not_media)
    assert {"timeout": 1} == dict(tally.partial)
    assert 6 == walked.scanned


def test_what_is_owed_is_looked_at_again_and_found(site: Site) -> None:
    """Although the file has not changed."""
    content = fake_media(pdq(1), pdq(2), sees=1)
    (media(site) / "a").write_bytes(content)
    site.list_entries("A", entry_of(pdq(2), ref="e"))
    first = site.scan(media(site))
    second = site.scan(media(site))
    third = site.scan(media(site))

    assert [(1, 0), (1, 1), (0, 0)] == [(w.scanned, w.matches_added) for w in (first, second, third)]


class Meddling(FakeFingerprinter):
    """Changes or removes the file it is given, by its name, while it looks at it."""

    def __init__(self, path: Path, how: str) -> None:
        super().__init__()
        self._path, self._how = path, how

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """Look, and meddle."""
        seen = super().fingerprint(source, resume)
        if self._how == "append":
            with self._path.open("ab") as file:
                file.write(b"more")
        elif self._how == "replace":
            other = self._path.with_name("other")
            other.write_bytes(fake_media(pdq(9)))
            other.rename(self._path)
        else:
            self._path.unlink(missing_ok=True)
        return seen


@pytest.mark.parametrize("how", ["append", "replace", "unlink"])
def test_a_file_that_changes_while_it_is_looked_at_is_owed(site: Site, how: str) -> None:
    """What was read is not recorded as what it holds; the next walk reads it again."""
    path = media(site) / "a"
    path.write_bytes(fake_media(pdq(1)))
    site.pipeline._fingerprinter = Meddling(path, how)
    walked = site.scan(media(site))
    tally = tallies.outcomes(site.ledger.db)
    (contents,) = site.ledger.db.execute("SELECT count(*) FROM content").fetchone()

    assert (1, 1, 0) == (walked.scanned, tally.assets, contents)
    assert {Reason.CHANGED.value: 1} == dict(tally.unscannable)
    site.pipeline._fingerprinter = site.fingerprinter
    assert (0 if how == "unlink" else 1) == site.scan(media(site)).scanned


def test_a_changed_file_is_another_content_and_its_report_another(site: Site) -> None:
    """The first content's report stands: the place held it."""
    first, second = fake_media(pdq(1)), fake_media(pdq(2))
    site.list_entries("A", sha256_entry(first, "first"), sha256_entry(second, "second"))
    for content in (first, second):
        (media(site) / "a").write_bytes(content)
        site.scan(media(site))

    assert [("match", "first", None), ("match", "second", None)] == site.said()


def test_looking_at_a_part_concludes_nothing_of_the_rest(site: Site) -> None:
    """One file, one folder, or a name that is not there."""
    (media(site) / "sub").mkdir()
    for name in ("a", "sub/b", "sub/c"):
        (media(site) / name).write_bytes(fake_media(pdq(1), comment=name))
    site.scan(media(site))
    for name in ("a", "sub/b"):
        (media(site) / name).unlink()
    (media(site) / "sub" / "d").write_bytes(fake_media(pdq(2)))
    folder = walk_below(site, b"sub")
    file = walk_below(site, b"sub/d")

    assert (1, 1, 0) == (folder.scanned, folder.skipped, folder.missing)
    assert (0, 1, 0) == (file.scanned, file.skipped, file.missing)
    assert 4 == tallies.outcomes(site.ledger.db).assets


def test_what_moved_is_counted_where_it_lies_now(site: Site) -> None:
    """Under the id, and with the report, that it had before."""
    contents = [fake_media(pdq(number)) for number in range(10)]
    for number, content in enumerate(contents):
        (media(site) / str(number)).write_bytes(content)
    site.list_entries("A", sha256_entry(contents[3]))
    site.scan(media(site))
    (media(site) / "3").rename(media(site) / "moved")
    walked = site.scan(media(site))
    tally = tallies.outcomes(site.ledger.db, walked.seen)

    assert (1, 10, 1) == (walked.moved, tally.assets, tally.matched)
    assert [os.fsencode(media(site) / "moved")] == [
        site.where(asset_id) for asset_id in tallies.matched_assets(site.ledger.db, walked.seen)
    ]


def test_a_tally_costs_what_it_counts(site: Site) -> None:
    """Not what lies beside it: one file below a large root is told of at once."""
    (media(site) / "one").write_bytes(fake_media(pdq(1)))
    seen = site.scan(media(site)).seen
    alone = effort(site, seen)
    for number in range(300):
        (media(site) / str(number)).write_bytes(fake_media(pdq(2), comment=str(number)))
    site.scan(media(site))

    assert effort(site, seen) <= 2 * alone


def effort(site: Site, ids: IdSet) -> int:
    """How many steps SQLite takes for the tally of some assets."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    site.ledger.db.connection.set_progress_handler(count, 1)
    assert 1 == tallies.outcomes(site.ledger.db, ids).assets
    assert [] == tallies.matched_assets(site.ledger.db, ids)
    site.ledger.db.connection.set_progress_handler(None, 1)
    return steps


def test_looking_at_a_part_follows_no_link_out_of_the_root(site: Site, tmp_path: Path) -> None:
    """Neither as the last name nor above it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(fake_media(pdq(1)))
    (media(site) / "link").symlink_to(tmp_path / "outside")
    site.scan(media(site))
    walk_below(site, b"link")
    walk_below(site, b"link/secret")

    assert [] == site.ledger.db.execute("SELECT * FROM content").fetchall()


def test_an_excluded_file_that_is_known_is_not_missing(site: Site) -> None:
    """It is there; we were told not to look."""
    for number in range(6):
        (media(site) / f"{number}").write_bytes(fake_media(pdq(number)))
    site.scan(media(site))
    (root,) = site.ledger.places.roots()
    rules = WalkRules(exclude=(b"3",))
    walked = RootWalk(site.ledger, site.pipeline, site.clock, lanes=1, rules=rules).run(root)

    assert (5, 0) == (walked.skipped, walked.missing)
    assert {"excluded": 1} == dict(walked.ignored)


def test_no_error_or_word_of_a_walk_holds_a_name(site: Site) -> None:
    """What it counts, it counts by reason."""
    (media(site) / "CANARY").write_bytes(fake_media(pdq(1), sees=0))
    os.mkfifo(media(site) / "CANARY-fifo")
    walked = site.scan(media(site))

    assert "CANARY" not in repr(walked)


def test_ids_are_remembered_at_one_bit_each() -> None:
    """Ten million in a little over a megabyte."""
    ids = IdSet()
    for number in (0, 7, 8, 9_999_999):
        ids.add(number)

    assert [True, True, True, True, False, False] == [n in ids for n in (0, 7, 8, 9_999_999, 1, 10_000_000)]
    assert len(ids._bits) < 1_300_000
    assert [0, 7, 8, 9_999_999] == list(ids)
