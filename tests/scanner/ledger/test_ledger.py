"""Records and sweeps that are refused because their basis has moved, and looks that are folded together."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.ledger.contents import Basis, folded
from scanner.ledger.coverage import Interval, Met
from scanner.ledger.ledger import Ledger, Pinned, Place, Recording, Stale
from scanner.ledger.outbox import Occasion
from scanner.types import WHOLE, Digests, Fingerprint, MediaKind, Reason, Trigger, digests_only, partial
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256_entry

SCAN = Occasion(Trigger.SCAN, "2100-01-01")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with one set."""
    with Site(tmp_path / "home") as site:
        site.list_entries("A", entry_of(pdq(1), ref="e"))
        yield site


def recording(number: int, *, known: bool = False, hits: tuple[()] | None = ()) -> Recording:
    """One content to be recorded as an upload."""
    digests = Digests(bytes([number] * 16), bytes([number] * 20), bytes([number] * 32), 9)
    seen = Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(number),))
    return Recording(Place(0, b"%d" % number), digests, None if known else seen, hits)


def test_a_record_is_refused_when_the_catalogue_has_moved(site: Site) -> None:
    """And leaves nothing."""
    pinned = Pinned(site.store.catalogue(), tuple(site.store.hash_sets()))
    site.list_entries("A", entry_of(pdq(2), ref="f"))
    with pytest.raises(Stale):
        site.ledger.record([recording(9)], pinned, SCAN, site.store.catalogue)

    assert site.ledger.known(bytes([9] * 32)) is None


def test_the_day_is_noted_though_the_first_record_of_it_fails(site: Site) -> None:
    """Else what comes that day counts as older than it is, and would be erased too early."""
    site.list_entries("A", sha256_entry(b"listed"))
    for number in range(3):
        site.upload(fake_media(pdq(number)), b"%d" % number)
    first = site.day
    site.clock.move(1)
    pinned, _ = site.pipeline._sets.pin()
    unknown = Recording(None, Digests(bytes(16), bytes(20), bytes(32), 3), None, None)
    with pytest.raises(Stale):
        site.ledger.record([unknown], pinned, Occasion(Trigger.UPLOAD, site.day), site.store.catalogue)
    site.upload(fake_media(pdq(9)), b"9")

    rows = site.ledger.db.execute("SELECT seq_lo, day FROM recorded_from ORDER BY seq_lo").fetchall()
    assert [(1, first), (4, site.day)] == rows


def test_a_record_of_a_content_that_is_not_known_needs_its_signals(site: Site) -> None:
    """All of a transaction is refused with it."""
    pinned = Pinned(site.store.catalogue(), tuple(site.store.hash_sets()))
    for doubtful in (recording(8, known=True), recording(8, hits=None)):
        with pytest.raises(Stale):
            site.ledger.record([recording(9), doubtful], pinned, SCAN, site.store.catalogue)

    assert site.ledger.known(bytes([9] * 32)) is None


@pytest.mark.parametrize("told", [True, False])
def test_a_look_recorded_meanwhile_is_not_overwritten(site: Site, told: bool) -> None:
    """A record of what was folded with an older state of the content is refused, and nothing seen is lost."""
    pinned = Pinned(site.store.catalogue(), tuple(site.store.hash_sets()))
    digests = recording(9).digests

    def seen(*numbers: int) -> Fingerprint:
        return Fingerprint(MediaKind.VIDEO, partial(Reason.TIMEOUT), tuple(map(pdq, numbers)))

    def record(fingerprint: Fingerprint, basis: Basis | None = None) -> None:
        item = Recording(Place(0, b"9"), digests, fingerprint, (), basis=basis if told else None)
        site.ledger.record([item], pinned, SCAN, site.store.catalogue)

    record(seen(20))
    known = site.ledger.known(digests.sha256)
    assert known is not None
    one, other = (site.ledger.folded(known.seq, seen(number)) for number in (21, 22))
    record(*one)
    with pytest.raises(Stale):
        record(*other)
    assert set(site.ledger.signals(known.seq)) == {pdq(20), pdq(21)}
    record(*one)  # folding it in once more changes nothing, whatever it was folded with
    record(*site.ledger.folded(known.seq, seen(22)))

    assert set(site.ledger.signals(known.seq)) == {pdq(20), pdq(21), pdq(22)}


def test_a_sweep_is_refused_when_catalogue_or_contents_have_moved(site: Site) -> None:
    """A stretch must stand where its comparison started from."""
    site.upload(fake_media(pdq(1)), b"u")
    site.upload(fake_media(pdq(2)), b"v")
    site.list_entries("A", entry_of(pdq(2), ref="f"))
    hash_set = site.hash_set("A")
    catalogue = site.store.catalogue()
    behind = site.ledger.first_behind(hash_set)
    assert behind == Interval(1, 2, Met(1, 1))
    site.upload(fake_media(pdq(2)), b"w")  # brings one of the two up
    for met, at in ((Met(1, 1), catalogue), (Met(1, 2), catalogue), (Met(1, 1), catalogue - 1)):
        stretch = Interval(1, 2, met)
        with pytest.raises(Stale):
            site.ledger.sweep(hash_set, stretch, frozenset(), [], SCAN, site.store.catalogue, at)

    assert Interval(1, 1, Met(1, 1)) == site.ledger.first_behind(hash_set)


class Moving(Ledger):
    """A ledger whose sets change just before some records are committed."""

    happens: list[Callable[[], object]]

    def record(self, *args: object, **named: object) -> list[object]:  # type: ignore[override]
        """Let it happen, then record."""
        if self.happens:
            self.happens.pop(0)()
        return super().record(*args, **named)  # type: ignore[arg-type,return-value]


def test_an_upload_meets_the_sets_as_they_are_when_it_is_recorded(site: Site) -> None:
    """A delta, from another handle too, that comes between comparison and record is not missed."""
    other = Site(site.home, site.clock)
    moving = Moving.open(site.home)
    content = fake_media(pdq(7))
    moving.happens = [
        lambda: other.list_entries("A", sha256_entry(content, "x")),
        lambda: other.list_entries("B", entry_of(pdq(7, 3), ref="y")),
    ]
    site.pipeline._ledger = moving
    recorded = site.upload(content, b"u")
    other.close()
    moving.close()

    assert {"x", "y"} == {hit.ref for hit in recorded.outcome.matches}


def test_sets_that_never_stand_still_are_a_fault_that_is_said(site: Site) -> None:
    """Not an endless loop."""
    moving = Moving.open(site.home)
    moving.happens = [
        lambda number=number: site.list_entries("A", entry_of(pdq(number), ref=f"{number}")) for number in range(2, 200)
    ]
    site.pipeline._ledger = moving
    with pytest.raises(Stale):
        site.upload(fake_media(pdq(1)), b"u")
    moving.close()


def test_scans_deltas_and_re_scans_from_two_processes_end_in_the_join(site: Site, tmp_path: Path) -> None:
    """A child uploads while we change the list and re-scan; afterwards nothing is behind and every match is there."""
    contents = [fake_media(pdq(number), comment=str(number)) for number in range(40)]
    script = _UPLOADER.format(home=str(site.home), scratch=str(tmp_path))
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert "ready\n" == child.stdout.readline()
    for number in range(0, 40, 2):
        site.list_entries("A", sha256_entry(contents[number], f"r{number}"))
        site.rescan()
    child.communicate(timeout=100)  # ends its standard input, and so its uploads
    site.rescan()

    assert 0 == child.returncode
    matched = {key for _, _, key, state in site.matches() if state == "active"}
    assert {sha256_entry(contents[number]).key for number in range(0, 40, 2)} <= matched
    # 80 contents, the first 40 in three places and the rest in two; entry "e" is met by one of each.
    assert 20 * 3 + 3 + 2 == len(site.said())


_UPLOADER = """
import select, sys
from pathlib import Path
from tests.scanner.fakes import Site, fake_media, pdq
with Site(Path({home!r})) as site:
    print("ready", flush=True)
    number = 0
    while number < 200 or not select.select([sys.stdin], [], [], 0)[0]:
        ref = number % 200
        site.upload(fake_media(pdq(ref % 40), comment=str(ref % 80)), b"%d" % ref, Path({scratch!r}))
        number += 1
"""


def test_several_threads_may_use_one_ledger(site: Site) -> None:
    """Reads beside a record see it whole or not at all."""
    stop = threading.Event()
    broken: list[object] = []

    def read() -> None:
        while not stop.is_set():
            (contents, assets) = site.ledger.db.execute(
                "SELECT (SELECT count(*) FROM content), (SELECT count(*) FROM asset)"
            ).fetchone()
            if contents != assets:
                broken.append((contents, assets))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        site.upload(fake_media(pdq(number), comment=str(number)), b"%d" % number)
    stop.set()
    reader.join()

    assert [] == broken


SIGNALS = st.lists(st.integers(0, 4).map(pdq), max_size=4, unique=True).map(tuple)
FINGERPRINTS = st.one_of(
    SIGNALS.map(lambda signals: Fingerprint(MediaKind.IMAGE, WHOLE, signals)),
    SIGNALS.map(
        lambda signals: Fingerprint(
            MediaKind.IMAGE, partial(Reason.TIMEOUT) if signals else digests_only(Reason.CRASH), signals
        )
    ),
)


@given(before=FINGERPRINTS, then=FINGERPRINTS)
def test_what_was_once_seen_is_kept_until_a_whole_look_says_better(before: Fingerprint, then: Fingerprint) -> None:
    """And folding twice is folding once, which the ledger relies on."""
    both = folded(before, then)

    assert both == folded(before, both)
    if then.looked == WHOLE:
        assert then == both
    elif before.looked == WHOLE:
        assert before == both
    else:
        assert set(before.signals) | set(then.signals) == set(both.signals)
        assert (both.looked.reason, bool(both.signals)) == (then.looked.reason, both.looked.extent == "partial")
