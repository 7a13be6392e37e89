"""A look that somebody waits for: frames from all over a film within its time, and the rest owed."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.decoding import Budget, Limits, MediaFile, OverBudget, Picture
from scanner.decoding.spreading import spread_times
from scanner.decoding.video import Sampling, VideoPass
from scanner.fingerprint import Options
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.ledger.contents import NEVER_LOOKED, folded
from scanner.types import WHOLE, Fingerprint, MediaKind, Reason, Resume, partial
from tests.scanner.decoding.test_video import clip, frames_of

TWO_HOURS_MS = 2 * 3600 * 1000


@cache
def film(form: str = "mp4", minutes: int = 120) -> bytes:
    """Two hours at five frames a second, a keyframe every two seconds: one clip's packets over and over, and once,
    at 1:13:00, five seconds of another."""
    usual = _packets(clip(frames=frames_of(100), rate=5, gop=10, sc_threshold="0", **{"x264-params": "bframes=0"}))
    listed = _packets(clip(frames=list(frames_of(300))[200:225], rate=5, gop=10, sc_threshold="0",
                           **{"x264-params": "bframes=0"}))  # fmt: skip
    target = io.BytesIO()
    with av.open(io.BytesIO(clip(frames=frames_of(100), rate=5, gop=10, **{"x264-params": "bframes=0"}))) as like, \
         av.open(target, "w", format=form) as container:  # fmt: skip
        stream = container.add_stream_from_template(like.streams.video[0])
        number = 0
        while number < minutes * 60 * 5:
            for content, is_key in listed if number == 73 * 60 * 5 else usual:
                packet = av.Packet(content)
                packet.pts = packet.dts = number
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 5), stream, is_key
                container.mux(packet)
                number += 1
    return target.getvalue()


def _packets(content: bytes) -> list[tuple[bytes, bool]]:
    with av.open(io.BytesIO(content)) as container:
        return [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    fd = os.memfd_create("film", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield fd
    finally:
        os.close(fd)


@cache
def gone_through() -> Fingerprint:
    """One look at all of the film."""
    with opened(film()) as fd:
        return InProcess().fingerprint(fd)


class Hurried(Budget):
    """A budget whose time goes by the number of frames shown and not by a clock."""

    def __init__(self, frames: int) -> None:
        super().__init__(Limits(within_s=1))
        self.left = self.most = frames

    def check(self) -> None:
        """See Budget."""
        if self.left <= 0:
            raise OverBudget

    def spent_share(self) -> float:
        """See Budget."""
        return 1 - self.left / self.most


def looked(content: bytes, frames: int) -> tuple[list[Picture], list[Resume]]:
    """What a look shows that has time for so many frames."""
    shown: list[Picture] = []
    marks: list[Resume] = []
    budget = Hurried(frames)

    def show(picture: Picture) -> None:
        budget.left -= 1
        shown.append(picture)

    one = VideoPass(budget, lambda *_: None, show, marks.append, Sampling(dense=False, gap_ms=5000))
    with opened(content) as fd, pytest.raises(OverBudget):
        one.run(MediaFile(fd))
    return shown, marks


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(100, 10_000), st.integers(1, 500))
def test_wherever_time_runs_out_the_times_lie_evenly(from_ms: int, lasts_ms: int, gap_ms: int, most: int) -> None:
    """No stretch is more than twice as long as another once a round is over, and none outlasts the gap at the end."""
    every = list(itertools.islice(spread_times(from_ms, from_ms + lasts_ms, gap_ms), 20_000))
    times = sorted({from_ms, *every[:most]})
    stretches = [later - sooner for sooner, later in itertools.pairwise(times)]

    assert len(set(every)) == len(every)
    assert all(from_ms < each <= from_ms + lasts_ms for each in every)
    if len(every) < 20_000 and lasts_ms:
        assert max(b - a for a, b in itertools.pairwise(sorted({from_ms, *every}))) <= gap_ms + 1 or lasts_ms <= gap_ms
    if len(stretches) > 1:
        assert max(stretches) <= 2 * min(stretches) + 2


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts", "flv"])
def test_frames_come_from_all_over_the_film(form: str) -> None:
    """A quarter from its beginning, the others from end to end, and only what was gone through is not owed."""
    shown, marks = looked(film(form), 64)
    times = sorted(each.frame_ms or 0 for each in shown)

    assert max(later - sooner for sooner, later in itertools.pairwise([*times, TWO_HOURS_MS])) <= TWO_HOURS_MS / 20
    assert len(set(times)) == len(times)
    assert 10 <= sum(each < 60_000 for each in times) <= 20
    assert marks[-1].ms < 60_000


def test_a_film_that_fits_is_looked_at_in_order() -> None:
    """No frame is sought by time while the look is ahead of its clock."""
    with opened(clip(100, gop=10)) as fd:
        usual = InProcess().fingerprint(fd)
        waited_for = InProcess().fingerprint(fd, within_s=3600)

    assert WHOLE == waited_for.looked
    assert usual.signals == waited_for.signals


def hurried(pool: WorkerPool, fd: int) -> Fingerprint:
    """A look that somebody waits for and that sees something, not all: for how long, the machine decides."""
    within_s = 0.1
    while True:
        seen = pool.fingerprint(fd, within_s=within_s)
        if seen.looked == partial(Reason.OVER_BUDGET) or within_s > 60:
            return seen
        within_s *= 1.5


def test_what_was_spread_is_part_of_the_whole() -> None:
    """The batch lane goes on at the position, and both lanes' frames are those of one look, none twice."""
    content = film(minutes=30)
    with opened(content) as fd, WorkerPool(1) as pool:
        one = InProcess().fingerprint(fd)
        first = hurried(pool, fd)
        assert (MediaKind.VIDEO, partial(Reason.OVER_BUDGET)) == (first.media, first.looked)
        record = folded(NEVER_LOOKED, first)
        record = folded(record, pool.fingerprint(fd, record.resume))

    assert WHOLE == record.looked
    assert set(one.signals) == set(record.signals)
    assert len(set(record.signals)) == len(record.signals)


def test_five_seconds_in_two_hours_are_met() -> None:
    """The clip at 1:13:00 gives at least two keyframes to the look at all of it."""
    seen = gone_through()
    there = [each for each in seen.signals if 4_380_000 <= (each.frame_ms or 0) < 4_385_000]

    assert WHOLE == seen.looked
    assert 2 <= len(there)


def test_a_film_without_keyframes_is_gone_through() -> None:
    """Where nothing can be sought, the look goes on as if nobody waited, and shows no frame twice."""
    content = clip(frames=frames_of(400), rate=5, gop=1000, sc_threshold="0")
    shown, _ = looked(content, 8)

    assert 8 == len({each.frame_ms for each in shown}) == len(shown)


def test_hurried_looks_are_not_fruitless() -> None:
    """However often an upload comes, the group it never gets beyond is not passed over for that."""
    with opened(film(minutes=4)) as fd:
        resume: Resume | None = None
        for _ in range(4):
            resume = InProcess().fingerprint(fd, resume, within_s=0.000001).resume
        after = InProcess(Options()).fingerprint(fd, resume)

    assert WHOLE == after.looked
