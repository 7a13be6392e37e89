"""scan_one: identify, fingerprint, match, record; known content is not decoded again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hashsets.types import Mode, Role
from scanner.hashing.digests import ShortRead
from scanner.ledger import Place
from scanner.ledger.assets import UPLOADS
from scanner.ledger.contents import MAX_LOOKS
from scanner.pipeline import Look
from scanner.types import (
    WHOLE,
    Digests,
    Extent,
    Fingerprint,
    MediaKind,
    Reason,
    Resume,
    Source,
    Stop,
    Trigger,
    digests_only,
    never,
    partial,
)
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256, sha256_entry


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    with Site(tmp_path / "home") as site:
        yield site


def look(number: int, fingerprint: Fingerprint) -> Look:
    """A content that was read, and what one look at it gave."""
    return Look(Digests(bytes([number] * 16), bytes([number] * 20), bytes([number] * 32), 9), fingerprint)


def test_an_outcome_says_what_was_met_and_how_far_we_looked(site: Site) -> None:
    """Clear is no match and a whole look; not media is clear; partial never is."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content, "r"))
    matched = site.upload(content, b"1").outcome
    clear = site.upload(fake_media(pdq(2)), b"2").outcome
    other = site.upload(b"letters", b"3").outcome
    owed = site.upload(fake_media(pdq(3), pdq(4), sees=1), b"4").outcome

    assert [["r"], [], [], []] == [[hit.ref for hit in o.matches] for o in (matched, clear, other, owed)]
    assert [False, True, True, False] == [o.clear for o in (matched, clear, other, owed)]
    assert (MediaKind.OTHER, WHOLE) == (other.media, other.looked)
    assert partial(Reason.TIMEOUT) == owed.looked


def test_known_content_is_not_decoded_again_wherever_it_lies(site: Site, tmp_path: Path) -> None:
    """By its digests alone it is matched and reported at every place."""
    content = fake_media(pdq(1))
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    site.upload(content, b"1")
    (tmp_path / "media").mkdir()
    for name in ("a", "b"):
        (tmp_path / "media" / name).write_bytes(content)
    site.scan(tmp_path / "media")
    again = site.upload(content, b"2")

    assert 1 == site.fingerprinter.looks[sha256(content)]
    assert (True, False) == (again.outcome.known, again.new)
    assert ["e"] == [hit.ref for hit in again.outcome.matches]
    assert 4 == len(site.said())


def test_known_content_meets_sets_that_came_since(site: Site) -> None:
    """Before the next re-scan, and without being decoded."""
    content = fake_media(pdq(1))
    site.upload(content, b"1")
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    again = site.upload(content, b"1")

    assert ["e"] == [hit.ref for hit in again.outcome.matches]
    assert 0 == site.rescan().contents
    assert 1 == site.fingerprinter.looks[sha256(content)]


def test_an_owed_look_is_taken_by_ordinary_scans_three_times(site: Site) -> None:
    """After that only when asked for."""

    class NeverDone:
        looks = 0

        def fingerprint(
            self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
        ) -> Fingerprint:
            self.looks += 1
            return Fingerprint(MediaKind.IMAGE, digests_only(Reason.CRASH), ())

    site.pipeline._fingerprinter = fingerprinter = NeverDone()
    for _ in range(MAX_LOOKS + 2):
        site.upload(fake_media(pdq(1)), b"1")
    ordinary = fingerprinter.looks
    path = site.home / "upload.tmp"
    with path.open("rb") as file:
        site.pipeline.look(file.fileno(), again=True)

    assert (MAX_LOOKS, MAX_LOOKS + 1) == (ordinary, fingerprinter.looks)


def test_another_look_that_sees_more_finds_more(site: Site) -> None:
    """And what it no longer sees is withdrawn, for a whole look says best."""
    content = fake_media(pdq(1), pdq(2), sees=1)
    site.list_entries("A", entry_of(pdq(1), ref="seen"), entry_of(pdq(2), ref="unseen"))
    first = site.upload(content, b"1").outcome
    second = site.upload(content, b"1").outcome

    assert (["seen"], ["seen", "unseen"]) == tuple([hit.ref for hit in o.matches] for o in (first, second))
    assert (Extent.PARTIAL, Extent.WHOLE) == (first.looked.extent, second.looked.extent)


TWO_LOOKS = [
    (
        Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(1), pdq(2))),
        Fingerprint(MediaKind.IMAGE, digests_only(Reason.CRASH), ()),
    ),
    (
        Fingerprint(MediaKind.IMAGE, partial(Reason.TIMEOUT), (pdq(1),)),
        Fingerprint(MediaKind.IMAGE, partial(Reason.TIMEOUT), (pdq(2),)),
    ),
    (
        Fingerprint(MediaKind.IMAGE, partial(Reason.TIMEOUT), (pdq(1),)),
        Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(1), pdq(2))),
    ),
]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("looks", TWO_LOOKS)
def test_one_content_looked_at_twice_in_one_batch_is_recorded_once_with_the_best_of_both(
    site: Site, looks: tuple[Fingerprint, Fingerprint], known: bool
) -> None:
    """Two places of a batch may hold it, and one worker may be killed where another is not."""
    site.list_entries("A", entry_of(pdq(1), ref="one"), entry_of(pdq(2), ref="two"))
    if known:
        owed = Fingerprint(MediaKind.IMAGE, digests_only(Reason.CRASH), ())
        site.pipeline.settle([(Place(UPLOADS, b"0"), look(7, owed))], Trigger.UPLOAD)
    both = [(Place(UPLOADS, b"%d" % n), look(7, seen)) for n, seen in enumerate(looks, 1)]
    last = site.pipeline.settle(both, Trigger.UPLOAD)[-1].outcome

    assert {"one", "two"} == {hit.ref for hit in last.matches}
    assert {pdq(1).value, pdq(2).value} == {signal.value for signal in site.ledger.signals(last.content_seq)}
    assert (4, 6)[known] == len(site.said())


def test_a_look_that_needed_no_fingerprint_beside_one_that_did(site: Site) -> None:
    """The one that was looked at again is compared; the other takes its word."""
    content = fake_media(pdq(1), pdq(2), sees=1)
    site.list_entries("A", entry_of(pdq(2), ref="two"))
    site.upload(content, b"1")
    path = site.home / "upload.tmp"
    with path.open("rb") as file:
        again = site.pipeline.look(file.fileno())
    none = Look(again.digests, None)
    for number, order in enumerate(([again, none], [none, again])):
        places = [Place(UPLOADS, b"%d-%d" % (number, at)) for at in range(2)]
        last = site.pipeline.settle(list(zip(places, order, strict=True)), Trigger.UPLOAD)[-1]
        assert ["two"] == [hit.ref for hit in last.outcome.matches]


def test_a_scan_without_a_place_holds_nothing_and_reports_nothing(site: Site) -> None:
    """The verdict is the caller's; the content stays known."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content))
    recorded = site.upload(content, None)

    assert (None, 1) == (recorded.asset_id, len(recorded.outcome.matches))
    assert [] == site.said()
    assert ["active"] == [state for *_, state in site.matches()]


def test_a_held_match_keeps_its_verdict_and_a_suppressed_one_does_not(site: Site) -> None:
    """An exact alert that is known good stays matched, unreported; a near one is no match."""
    content = fake_media(pdq(1))
    site.store.create("good", role=Role.KNOWN_GOOD)
    site.list_entries("good", sha256_entry(content, "g"))
    site.list_entries("A", entry_of(pdq(1), ref="near"))
    near = site.upload(content, b"1").outcome
    site.list_entries("A", sha256_entry(content, "exact"))
    exact = site.upload(content, b"1").outcome

    assert ([], ["exact"]) == ([hit.ref for hit in near.matches], [hit.ref for hit in exact.matches])
    assert [] == site.said()


def test_a_disabled_set_meets_nothing_new_and_keeps_what_it_met(site: Site) -> None:
    """Switched on again, it catches up with what came meanwhile."""
    before, after = fake_media(pdq(1)), fake_media(pdq(2))
    site.list_entries("A", sha256_entry(before, "before"), sha256_entry(after, "after"))
    site.upload(before, b"1")
    site.store.set_enabled("A", False)
    kept = site.upload(before, b"1").outcome
    unmet = site.upload(after, b"2").outcome
    site.store.set_enabled("A", True)
    site.rescan()

    assert (["before"], []) == ([hit.ref for hit in kept.matches], [hit.ref for hit in unmet.matches])
    assert {"before", "after"} == {ref for _, ref, _ in site.said()}


def test_a_shadow_set_is_recorded_and_not_reported(site: Site) -> None:
    """Its matches are in the outcome: what a door does with them is the door's to say."""
    content = fake_media(pdq(1))
    site.store.create("A", mode=Mode.SHADOW)
    site.list_entries("A", sha256_entry(content))

    assert 1 == len(site.upload(content, b"1").outcome.matches)
    assert [] == site.said()


def test_bytes_that_change_under_the_read_are_an_os_error(site: Site, tmp_path: Path) -> None:
    """A digest of less than the file is never recorded."""
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 10)
    with path.open("rb") as file, pytest.raises(ShortRead):
        site.pipeline.scan_one(file.fileno(), None, Trigger.UPLOAD, size_bytes=os.stat(path).st_size + 1)

    assert (0,) == site.ledger.db.execute("SELECT count(*) FROM content").fetchone()


class _Held:
    """Gives one fingerprint after another, the first only once it is let go."""

    def __init__(self, *seen: Fingerprint) -> None:
        self._seen = list(seen)
        self.entered, self.go = threading.Event(), threading.Event()

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """The next one."""
        seen = self._seen.pop(0)
        if not self.entered.is_set():
            self.entered.set()
            assert self.go.wait(60)
        return seen

    def wanted(self, media: MediaKind) -> frozenset[str]:
        """None."""
        return frozenset()


@pytest.mark.parametrize("steady", [True, False])
def test_equal_contents_share_a_look_unless_its_file_changed(site: Site, tmp_path: Path, steady: bool) -> None:
    """A file that turns harmless between its digest and its decoding must not vouch for a copy that did not."""
    (tmp_path / "copy").write_bytes(fake_media(pdq(1)))
    first = Fingerprint(MediaKind.IMAGE, WHOLE, ())
    second = Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(1),))
    held = _Held(first, second)
    site.pipeline._fingerprinter = held
    fd = os.open(tmp_path / "copy", os.O_RDONLY)
    with ThreadPoolExecutor(2) as lanes:
        changing = lanes.submit(site.pipeline.look, fd, unchanged=lambda: steady)
        assert held.entered.wait(60)
        waiting = lanes.submit(site.pipeline.look, fd)
        held.go.set()
        seen = [changing.result(60).fingerprint, waiting.result(60).fingerprint]
    os.close(fd)

    assert [first, first if steady else second] == seen


def test_who_waits_says_for_how_long(site: Site, tmp_path: Path) -> None:
    """A look has what the digests leave of the time, be it the first one or one that goes on; without a word, all."""
    (tmp_path / "film").write_bytes(fake_media(*(pdq(n) for n in range(6)), steps=2))
    with (tmp_path / "film").open("rb") as file:
        for within_s in (3600.0, 0.0, None):
            site.pipeline.scan_one(file.fileno(), None, Trigger.UPLOAD, within_s=within_s)
    first, second, third = site.fingerprinter.given

    assert first is not None
    assert 0 < first < 3600
    assert (0.0, None) == (second, third)


def test_who_waits_does_not_wait_for_a_look_of_another_lane(site: Site, tmp_path: Path) -> None:
    """At the end of its time it has the digests, matches by them, and is owed the rest."""
    content = fake_media(pdq(1))
    (tmp_path / "copy").write_bytes(content)
    site.list_entries("A", sha256_entry(content, "exact"), entry_of(pdq(1), ref="near"))
    held = _Held(Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(1),)))
    site.pipeline._fingerprinter = held
    fd = os.open(tmp_path / "copy", os.O_RDONLY)
    with ThreadPoolExecutor(1) as lanes:
        batch = lanes.submit(site.pipeline.look, fd)
        assert held.entered.wait(60)
        hurried = site.pipeline.scan_one(fd, Place(UPLOADS, b"1"), Trigger.UPLOAD, within_s=0.01).outcome
        held.go.set()
        later = site.pipeline.settle([(None, batch.result(60))], Trigger.SCAN)[0].outcome
    os.close(fd)

    assert (digests_only(Reason.TIMEOUT), ["exact"]) == (hurried.looked, [hit.ref for hit in hurried.matches])
    assert (WHOLE, ["exact", "near"]) == (later.looked, sorted(hit.ref or "" for hit in later.matches))
