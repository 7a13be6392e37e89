"""Looks with tiny budgets, one after the other, add up to exactly what one look without a budget sees."""

from __future__ import annotations

import gc
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashsets.types import Signal
from scanner.decoding.budget import OverBudget
from scanner.decoding.stills import PillowPass
from scanner.fingerprint import Limits, Options, rule
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.ledger import Place
from scanner.ledger.assets import UPLOADS
from scanner.ledger.contents import MAX_LOOKS, NEVER_LOOKED, folded
from scanner.resuming import MOST_AT, RESUME_BYTES, BadResume, carried_on, decode, encode
from scanner.types import (
    WHOLE,
    Extent,
    Fingerprint,
    Fingerprinter,
    Landing,
    Looked,
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
from tests.scanner.decoding.test_video import clip, frames_of
from tests.scanner.fakes import FakeFingerprinter, Site, entry_of, fake_media, pdq, sha256

# By CPU time alone: a machine that stands still may else end a look before its first step. See the test of that.
TINY = Limits(image_s=0.01, video_s=0.01, wall_factor=10_000)


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """A collection in a process of many tests takes longer than the budgets here, which are of its CPU time too."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Whatever the machine, a look gets one step further and no more.
ONE_STEP = Limits(image_s=1, video_s=0.0001, video_most_s=0.0001, wall_factor=1_000_000)
MOST_LOOKS = 400


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    fd = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield fd
    finally:
        os.close(fd)


@dataclass
class Record:
    """What a ledger would hold of one content, and how it came to it."""

    fingerprint: Fingerprint = NEVER_LOOKED
    looks: int = 0

    def take(self, seen: Fingerprint) -> None:
        """Fold a look in, as recording does; nothing may be lost by it, and folding it again changes nothing."""
        before = self.fingerprint
        self.fingerprint = folded(before, seen)
        self.looks += 1

        assert folded(before, self.fingerprint) == self.fingerprint
        assert set(before.signals) <= set(self.fingerprint.signals)

    @property
    def owed(self) -> bool:
        reason = self.fingerprint.looked.reason
        return reason is not None and reason.retryable


def look_until_done(fingerprinter: Fingerprinter, fd: int, most: int = MOST_LOOKS) -> Record:
    """Look again while a look is owed."""
    record = Record()
    while record.owed and record.looks < most:
        record.take(fingerprinter.fingerprint(fd, record.fingerprint.resume))
    return record


def animation(form: str, frames: int, repeats: bool = False) -> bytes:
    """An animation whose frames differ, or of which each second one repeats the one before but for one corner."""
    pictures = [Image.fromarray(pixels) for pixels in frames_of(frames, (96, 72))]
    if repeats:
        for n in range(1, frames, 2):
            pictures[n] = pictures[n - 1].copy()
            pictures[n].putpixel((0, 0), (n % 256, 0, 0))
    if form == "GIF":  # a palette for each frame, which Pillow's own choice takes twenty times longer to find
        pictures = [each.quantize(method=Image.Quantize.FASTOCTREE) for each in pictures]
    stream = io.BytesIO()
    options = {"lossless": True} if form == "WEBP" and repeats else {}
    pictures[0].save(stream, form, save_all=True, append_images=pictures[1:], duration=40, **options)
    return stream.getvalue()


# A thousand frames a second, so that the twentieth of the duration that a video may cost is little too.
VIDEOS: dict[str, Callable[[], bytes]] = {
    "mp4": lambda: clip(600, rate=1000),
    "mp4, frames out of order": lambda: clip(600, rate=1000, **{"x264-params": "open-gop=1:bframes=3"}),
    "mp4, long groups": lambda: clip(600, rate=1000, gop=160, **{"x264-params": "open-gop=1:bframes=3"}),
    "mp4, one group": lambda: clip(300, rate=1000, gop=1000, sc_threshold="0"),
    "matroska": lambda: clip(600, rate=1000, form="matroska", gop=25),
    "mpegts": lambda: clip(600, rate=1000, form="mpegts"),
    "avi, every frame a keyframe": lambda: clip(500, rate=1000, form="avi", codec="mjpeg", pix_fmt="yuvj420p"),
    "bare h264": lambda: clip(300, rate=1000, form="h264"),
}
ANIMATIONS: dict[str, Callable[[], bytes]] = {
    "gif": lambda: animation("GIF", 300),
    "gif, repeats": lambda: animation("GIF", 300, repeats=True),
    "apng": lambda: animation("PNG", 300),
    "webp": lambda: animation("WEBP", 300),
    "webp, repeats": lambda: animation("WEBP", 300, repeats=True),
    "avif": lambda: animation("AVIF", 300),
    "tiff pages": lambda: animation("TIFF", 300),
}


@pytest.mark.parametrize("name", [*VIDEOS, *ANIMATIONS])
def test_many_short_looks_are_one_long_look(name: str) -> None:
    """The same signals, to the frame and millisecond, none twice; and whole at the end, not before."""
    options = Options(gap_ms=50)
    with opened((VIDEOS | ANIMATIONS)[name]()) as fd:
        one = InProcess(options).fingerprint(fd)
        record = look_until_done(InProcess(options, TINY), fd)

    assert WHOLE == one.looked
    assert WHOLE == record.fingerprint.looked
    assert len(record.fingerprint.signals) == len(one.signals)
    assert set(one.signals) == set(record.fingerprint.signals)
    assert record.fingerprint.resume is None


def test_no_time_for_a_first_frame_is_no_matter_for_another_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still before an animation's first frame: owed, and the same signals in the end."""
    load, stood = PillowPass._load, []

    def standing(self: PillowPass, image: Image.Image) -> int:
        while not stood and not self._budget.is_spent:
            time.sleep(0.05)
        stood.append(True)
        return load(self, image)

    with opened(ANIMATIONS["gif"]()) as fd:
        one = InProcess().fingerprint(fd)
        monkeypatch.setattr(PillowPass, "_load", standing)
        first = InProcess(limits=Limits(image_s=0.01, video_s=0.01)).fingerprint(fd)
        record = look_until_done(InProcess(limits=TINY), fd)

    assert (digests_only(Reason.OVER_BUDGET), None) == (first.looked, first.resume)
    assert set(one.signals) == set(record.fingerprint.signals)
    assert not set(first.signals) - set(one.signals)


@pytest.mark.prove
@pytest.mark.parametrize("gop", [1, 12, 250, 2000])
@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts", "flv"])
def test_two_thousand_frames_of_video(form: str, gop: int) -> None:
    """Whatever the distance of keyframes and the container."""
    options = Options(gap_ms=50)
    with opened(clip(2000, rate=1000, form=form, gop=gop)) as fd:
        one = InProcess(options).fingerprint(fd)
        record = look_until_done(InProcess(options, TINY), fd)

    assert WHOLE == record.fingerprint.looked
    assert set(one.signals) == set(record.fingerprint.signals)


@pytest.mark.prove
@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_two_thousand_frames_of_animation(form: str) -> None:
    """Frames drawn on those before them come to the same however often a look begins anew."""
    with opened(animation(form, 2000)) as fd:
        one = InProcess().fingerprint(fd)
        record = look_until_done(InProcess(limits=TINY), fd)

    assert WHOLE == record.fingerprint.looked
    assert set(one.signals) == set(record.fingerprint.signals)


def test_a_worker_killed_between_marks_loses_nothing() -> None:
    """Whatever records of a look came through before the kill, the looks add up to the same."""
    content = clip(400, rate=1000)
    options = Options(gap_ms=50)
    with opened(content) as fd:
        one = InProcess(options).fingerprint(fd)
        for kept in (0, 1, 7, 20):
            record = Record()
            first = InProcess(options, ONE_STEP).fingerprint(fd)
            assert first.resume is not None
            # Signals behind the last position told are kept as well, and come again.
            told = one.signals[: len(first.signals) + kept]
            killed = Fingerprint(first.media, partial(Reason.TIMEOUT), told, None, first.resume)
            record.take(killed)
            while record.owed and record.looks < MOST_LOOKS:
                record.take(InProcess(options, TINY).fingerprint(fd, record.fingerprint.resume))

            assert WHOLE == record.fingerprint.looked
            assert set(one.signals) == set(record.fingerprint.signals)


def test_through_killed_workers() -> None:
    """The pool kills what overruns; positions told before count, and looks go on from there to the end."""
    content = clip(600, rate=1000, gop=20)
    options = Options(gap_ms=50)
    with opened(content) as fd, WorkerPool(1, TINY, options) as pool:
        one = InProcess(options).fingerprint(fd)
        record = look_until_done(pool, fd)

    assert WHOLE == record.fingerprint.looked
    assert set(one.signals) == set(record.fingerprint.signals)


def test_other_options_start_anew() -> None:
    """A position was reached under options; under others it stands for nothing, and the look begins at the start."""
    with opened(clip(600, rate=1000, gop=10)) as fd:
        first = InProcess(Options(gap_ms=50), TINY).fingerprint(fd)
        again = InProcess(Options(gap_ms=50, hash_types=("phash",)), Limits()).fingerprint(fd, first.resume)
        gone_on = InProcess(Options(gap_ms=50), Limits()).fingerprint(fd, first.resume)

    assert first.resume is not None
    assert (None, WHOLE) == (again.since, again.looked)
    assert first.resume == gone_on.since
    assert first.signals[0] not in gone_on.signals


def test_what_is_gone_on_with_is_not_whole_by_itself() -> None:
    """The tail of a content whose beginning is no longer on record is recorded as partial."""
    with opened(clip(600, rate=1000, gop=10)) as fd:
        first = InProcess(Options(gap_ms=50), TINY).fingerprint(fd)
        tail = InProcess(Options(gap_ms=50)).fingerprint(fd, first.resume)

    assert WHOLE == tail.looked
    assert partial(Reason.OVER_BUDGET) == folded(NEVER_LOOKED, tail).looked
    assert WHOLE == folded(first, tail).looked


def test_damage_seen_by_an_earlier_look_is_remembered() -> None:
    """A film damaged at its beginning is truncated, however sound the part that the last look sees."""
    content = bytearray(clip(600, rate=1000, gop=10, form="mpegts"))
    content[188 * 20 : 188 * 24] = bytes(188 * 4)
    with opened(bytes(content)) as fd:
        one = InProcess(Options(gap_ms=50)).fingerprint(fd)
        record = look_until_done(InProcess(Options(gap_ms=50), TINY), fd)

    assert partial(Reason.TRUNCATED) == one.looked == record.fingerprint.looked
    assert record.looks > 1
    assert set(one.signals) == set(record.fingerprint.signals)


def test_a_damaged_animation_ends_truncated() -> None:
    """Looks that go on in a damaged animation come to the frames that one look sees."""
    content = animation("GIF", 200)
    with opened(content[: int(len(content) * 0.8)]) as fd:
        one = InProcess().fingerprint(fd)
        record = look_until_done(InProcess(limits=TINY), fd)

    assert partial(Reason.TRUNCATED) == one.looked == record.fingerprint.looked
    assert record.looks > 1
    assert set(one.signals) == set(record.fingerprint.signals)


def test_a_group_that_never_fits_is_passed_over_and_said_so() -> None:
    """What lies behind a stretch that costs more than the most we spend is seen; the whole is never called whole."""
    # The first 400 frames are one group, decoded as such; behind it come short ones.
    content = clip(800, rate=1000, gop=1000, sc_threshold="0", keys=range(400, 800, 20), **{"forced-idr": "1"})
    options = Options(gap_ms=50)
    with opened(content) as fd:
        whole = InProcess(options).fingerprint(fd)
        stuck = Resume(0, fruitless=2, packets=True, rule=rule(options, TINY, None))
        record = Record(Fingerprint(MediaKind.VIDEO, partial(Reason.TIMEOUT), whole.signals[:3], None, stuck))
        for _ in range(30):
            record.take(InProcess(options, TINY).fingerprint(fd, record.fingerprint.resume))
        raised = InProcess(options, Limits()).fingerprint(fd, record.fingerprint.resume)

    later = {signal for signal in whole.signals if (signal.frame or 0) >= 400}
    assert {*whole.signals[:3], *later} == set(record.fingerprint.signals)
    assert partial(Reason.OVER_BUDGET) == record.fingerprint.looked
    assert record.fingerprint.resume is not None
    assert record.fingerprint.resume.gaps
    assert (None, WHOLE, whole.signals) == (raised.since, raised.looked, raised.signals)  # with more to spend, anew


def test_looks_that_get_no_further_are_counted_and_get_more_time() -> None:
    """A look has four times the budget where the one before got nowhere, up to the most; progress begins anew."""
    limits = Limits(video_s=10, video_most_s=100)
    since = Resume(7, catch_up_ms=1000)
    stuck = carried_on(since, None, partial(Reason.TIMEOUT))
    storage = carried_on(since, since, partial(Reason.IO))
    further = carried_on(stuck, Resume(8), partial(Reason.OVER_BUDGET))

    assert [1, 0, 0] == [each.fruitless for each in (stuck, storage, further) if each is not None]
    assert [10, 12, 48] == [limits.cpu_s(True, 0, resume) for resume in (None, since, stuck)]
    assert 100 == limits.cpu_s(True, 0, replace(since, catch_up_ms=10**6))
    assert carried_on(since, Resume(9), WHOLE) is carried_on(since, Resume(9), partial(Reason.TRUNCATED)) is None


@pytest.mark.parametrize(
    "landing", [Landing(0, 0, 0, 0), Landing(2**62, 2**62, 2**62, 2**62), Landing(-(2**62), 0, 1, 1)]
)
def test_a_seek_that_does_not_land_is_not_believed(landing: Landing) -> None:
    """With a landing that is nowhere the packets are gone through, and the look goes on at the same frame."""
    options = Options(gap_ms=50)
    with opened(clip(600, rate=1000, gop=10)) as fd:
        first = InProcess(options, TINY).fingerprint(fd)
        assert first.resume is not None
        assert first.resume.landing is not None
        right = InProcess(options).fingerprint(fd, first.resume)
        wrong = InProcess(options).fingerprint(fd, replace(first.resume, landing=landing))

    assert (WHOLE, right.signals) == (wrong.looked, wrong.signals)


@pytest.mark.parametrize("at", [1, 7, 599, 600, 10_000, MOST_AT])
@pytest.mark.parametrize("packets", [True, False])
def test_a_position_that_is_none_ends(at: int, packets: bool) -> None:
    """A position between keyframes, behind the end or of another decoder gives one outcome, and never an exception."""
    with opened(clip(600, rate=1000, gop=10)) as fd:
        rule = InProcess(limits=ONE_STEP).fingerprint(fd).resume
        assert rule is not None
        seen = InProcess().fingerprint(fd, Resume(at, packets=packets, rule=rule.rule))

    assert isinstance(seen.looked, Looked)


def endless(form: str) -> bytes:
    """A video that claims to last for thousands of years."""
    content = bytearray(clip(100, form=form))
    at = content.index(b"mvhd")
    content[at + 16 : at + 24] = (1).to_bytes(4, "big") + (0xFFFFFFF0).to_bytes(4, "big")
    return bytes(content)


def test_an_endless_duration_is_only_a_claim() -> None:
    """The budget it may ask for is bounded, and the look ends with the frames there are."""
    limits = Limits(image_s=1, video_s=1, video_most_s=2)
    with opened(endless("mp4")) as fd, WorkerPool(1, limits) as pool:
        seen = pool.fingerprint(fd)

    assert MediaKind.VIDEO is seen.media
    assert 10 == len(seen.signals)
    assert limits.cpu_s(moving=True, duration_ms=2**40) == 2


def test_a_broken_index_ends(tmp_path: os.PathLike[str]) -> None:
    """Sample tables that point anywhere give an outcome after finitely many looks."""
    content = bytearray(clip(300, rate=1000))
    at = content.index(b"stco") + 12
    for n in range(0, 40, 4):
        content[at + n : at + n + 4] = (0x7FFFFFF0 - n).to_bytes(4, "big")
    with opened(bytes(content)) as fd:
        record = look_until_done(InProcess(Options(gap_ms=50), TINY), fd, most=60)

    assert record.looks < 60 or record.owed
    assert Extent.WHOLE is not record.fingerprint.looked.extent


@given(
    st.builds(
        Resume,
        at=st.integers(0, MOST_AT),
        ms=st.integers(0, 2**40),
        catch_up_ms=st.integers(0, 2**32 - 1),
        last=st.sampled_from([b"", bytes(32), b"\x7f" * 32]),
        damaged=st.booleans(),
        gaps=st.booleans(),
        fruitless=st.integers(0, 255),
        rule=st.integers(0, 2**32 - 1),
        packets=st.booleans(),
        loose=st.booleans(),
        landing=st.none() | st.builds(Landing, *[st.integers(-(2**63), 2**63 - 1)] * 3, st.integers(0, 2**64 - 1)),
    )
)
def test_a_position_survives_the_wire(resume: Resume) -> None:
    """What goes into the fixed-size form comes out of it."""

    assert resume == decode(encode(resume))
    assert RESUME_BYTES == len(encode(resume))


@given(st.binary(max_size=2 * RESUME_BYTES) | st.binary(min_size=RESUME_BYTES, max_size=RESUME_BYTES))
def test_any_bytes_are_a_position_or_refused(block: bytes) -> None:
    """Nothing else is raised, and what is accepted is written the same way."""
    try:
        resume = decode(block)
    except BadResume:
        return

    assert block == encode(resume)


LATER = Signal("pdq", b"\x01" * 32, "video/pdq/1", 90, frame=9, frame_ms=9)
EARLIER = Signal("pdq", b"\x02" * 32, "video/pdq/1", 90, frame=1, frame_ms=1)


@given(reached=st.integers(0, 5), began=st.integers(0, 5), ended=st.integers(0, 9) | st.none(), same_rule=st.booleans())
def test_only_looks_that_join_make_a_whole(reached: int, began: int, ended: int | None, same_rule: bool) -> None:
    """A look that went on is whole with the record only where the record reaches up to its beginning."""
    before = Fingerprint(MediaKind.VIDEO, partial(Reason.TIMEOUT), (EARLIER,), None, Resume(reached, rule=1))
    since = Resume(began, rule=1 if same_rule else 2)
    looked = WHOLE if ended is None else partial(Reason.TIMEOUT)
    resume = None if ended is None else Resume(ended, rule=since.rule)
    both = folded(before, Fingerprint(MediaKind.VIDEO, looked, (LATER,), since, resume))

    joins = same_rule and began <= reached
    assert {EARLIER, LATER} == set(both.signals)
    assert (both.looked == WHOLE) == (ended is None and joins)
    if both.resume is not None and not joins:
        assert before.resume == both.resume


# -- through the ledger ----------------------------------------------------------------------------------------------


def film(frames: int, steps: int) -> bytes:
    """A fake video of which every look sees so many signals."""
    return fake_media(*[pdq(n, frame=n) for n in range(frames)], kind=MediaKind.VIDEO, steps=steps)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    home = tmp_path / "home"
    home.mkdir()
    with Site(home) as opened_site:
        yield opened_site


def standing(site: Site, content: bytes) -> tuple[Looked, int, int]:
    """How far a content was looked at, the looks that count, and its signals."""
    known = site.ledger.known(sha256(content))
    assert known is not None
    return known.looked, known.attempts, len(site.ledger.signals(known.seq))


def test_ordinary_walks_finish_a_film(site: Site, tmp_path: Path) -> None:
    """However many looks it takes: one that gets further does not count as one of three; then it is not opened."""
    held = tmp_path / "held"
    held.mkdir()
    content = film(20, 2)
    (held / "film").write_bytes(content)
    seen = []
    for _ in range(12):
        walked = site.scan(held)
        seen.append((*standing(site, content), walked.opened_files))

    assert [(partial(Reason.TIMEOUT), 1, 2 * n, 1) for n in range(1, 10)] == seen[:9]
    assert [(WHOLE, 20, 1), (WHOLE, 20, 0)] == [(looked, *rest) for looked, _, *rest in seen[9:11]]
    assert 10 == site.fingerprinter.looks[sha256(content)]


def test_each_piece_is_matched_when_it_is_seen(site: Site) -> None:
    """A listed frame is reported with the look that meets it, once; and what came before stays matched."""
    site.list_entries("A", entry_of(pdq(1), ref="first"), entry_of(pdq(7), ref="last"))
    content = film(8, 3)
    found = [[hit.ref for hit in site.upload(content, b"1").outcome.matches] for _ in range(3)]

    assert [["first"], ["first"], ["first", "last"]] == [sorted(refs) for refs in found]
    assert [("match", "first", None), ("match", "last", None)] == site.said()


def test_the_position_outlives_the_process(tmp_path: Path) -> None:
    """A home opened again goes on where it stopped."""
    home = tmp_path / "home"
    home.mkdir()
    content = film(9, 3)
    for n in (3, 6, 9):
        with Site(home) as site:
            site.upload(content, b"1")

            assert n == standing(site, content)[2]


def test_a_changed_file_starts_anew(site: Site, tmp_path: Path) -> None:
    """Other bytes are another content: nothing of the old position is used for them."""
    held = tmp_path / "held"
    held.mkdir()
    (held / "film").write_bytes(film(20, 2))
    site.scan(held)
    changed = film(30, 3)
    (held / "film").write_bytes(changed)
    site.scan(held)

    assert (partial(Reason.TIMEOUT), 1, 3) == standing(site, changed)
    assert (partial(Reason.TIMEOUT), 1, 2) == standing(site, film(20, 2))


def test_two_places_looked_at_from_one_position(site: Site) -> None:
    """Two looks from the same position are no gap and no double; one that two places share counts once."""
    content = film(6, 2)
    site.upload(content, b"1")
    path = site.home / "upload.tmp"
    with path.open("rb") as file:
        looks = [site.pipeline.look(file.fileno()) for _ in range(2)]
    site.pipeline.settle([(Place(UPLOADS, b"%d" % n), look) for n, look in enumerate(looks)], Trigger.UPLOAD)
    assert (partial(Reason.TIMEOUT), 1, 4) == standing(site, content)
    site.upload(content, b"1")

    assert (WHOLE, 6) == standing(site, content)[::2]


def test_looks_that_get_nowhere_are_three(site: Site, tmp_path: Path) -> None:
    """Then ordinary scans leave the content alone, and it stays owed and counted; asked for, it is looked at again."""

    class Stuck(FakeFingerprinter):
        def fingerprint(
            self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
        ) -> Fingerprint:
            super().fingerprint(source, resume)
            reached = Resume(4, fruitless=0 if resume is None else resume.fruitless + 1)
            return Fingerprint(MediaKind.VIDEO, partial(Reason.TIMEOUT), (pdq(1, frame=1),), resume, reached)

    held = tmp_path / "held"
    held.mkdir()
    content = film(20, 2)
    (held / "film").write_bytes(content)
    site.pipeline._fingerprinter = stuck = Stuck()
    for _ in range(MAX_LOOKS + 2):
        site.scan(held)
    assert MAX_LOOKS == stuck.looks[sha256(content)]
    site.scan(held, look_at_owed=True)

    assert MAX_LOOKS + 1 == stuck.looks[sha256(content)]
    assert (partial(Reason.TIMEOUT), MAX_LOOKS + 1, 1) == standing(site, content)


def test_a_position_that_cannot_be_read_is_none(site: Site) -> None:
    """A damaged position in the ledger makes the next look begin at the start, and nothing is lost by it."""
    content = film(6, 2)
    site.upload(content, b"1")
    with site.ledger.db.write():
        site.ledger.db.execute("UPDATE content SET resume = x'00'")
    site.upload(content, b"1")

    assert (partial(Reason.TIMEOUT), 2) == standing(site, content)[::2]


@pytest.mark.parametrize("limits", [Limits(), TINY])
def test_a_second_opinion_in_place_of_one_that_had_no_time_is_owed(
    limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine the first decoder may end before its first frame: that is no damage of the content."""
    run = PillowPass.run

    def late(self: PillowPass, *given: Any, **named: Any) -> None:
        raise OverBudget

    with opened(animation("PNG", 200)) as fd:
        monkeypatch.setattr(PillowPass, "run", late)
        first = InProcess(limits=limits).fingerprint(fd)
        monkeypatch.setattr(PillowPass, "run", run)
        second = InProcess().fingerprint(fd, first.resume)

    assert partial(Reason.OVER_BUDGET) == first.looked
    assert WHOLE == second.looked
