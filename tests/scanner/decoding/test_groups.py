"""Which frames of a group of packets are due, and containers that lie about where groups begin."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.decoding import DecodeOptions
from scanner.decoding.groups import LEAST_GAP_MS, due_times, gap_of
from scanner.types import WHOLE, Reason, partial
from tests.scanner.decoding.looks import look
from tests.scanner.decoding.test_video import DENSE, clip

TIMES = st.lists(st.integers(0, 60_000), min_size=2, max_size=300, unique=True).map(sorted)


@given(TIMES, st.integers(1, 20_000))
def test_no_stretch_outlasts_the_gap(times: list[int], gap_ms: int) -> None:
    """Between two frames shown lie never more than the gap, unless there is no frame there at all."""
    due = due_times(times, gap_ms)
    shown = [times[0], *due, times[-1]]
    missed = [(a, b) for a, b in itertools.pairwise(shown) if b - a > gap_ms and any(a < t < b for t in times)]

    assert set(due) <= set(times[1:-1])
    assert [] == missed


def test_what_is_due_comes_as_early_as_can_be() -> None:
    """Only the part of a group that ends a gap before the next keyframe costs anything."""
    times = list(range(0, 10_040, 40))

    assert [] == due_times(times[:126], 5000)
    assert 5280 == due_times(times, 5000)[-1]
    assert [5280, 560] == due_times(times, 5000)[::-1]


@pytest.mark.parametrize(("duration_ms", "gap_ms"), [(None, 5000), (60_000, 5000), (8000, 2000), (100, LEAST_GAP_MS)])
def test_a_short_clip_has_a_finer_gap(duration_ms: int | None, gap_ms: int) -> None:
    """So that a clip of seconds is never known by one frame alone."""

    assert gap_ms == gap_of(5000, duration_ms)


def test_a_clip_with_one_keyframe_is_known_by_several_frames() -> None:
    """Two seconds behind one keyframe: the first frame, which may be black, is not all."""
    seen = look(clip(50, gop=250, sc_threshold="0"))

    assert WHOLE == seen.looked
    assert 4 <= len(seen.pictures) <= 6


def test_where_every_frame_is_a_keyframe_a_few_a_second_are_taken() -> None:
    """An intra-only film costs no more than another."""
    seen = look(clip(500, form="avi", codec="mjpeg", pix_fmt="yuvj420p"))
    times = [each.frame_ms or 0 for each in seen.pictures]

    assert WHOLE == seen.looked
    assert 60 <= len(times) <= 81
    assert max(later - sooner for sooner, later in itertools.pairwise(times)) <= 300


def without_marks(content: bytes) -> bytes:
    """An MP4 whose table of keyframes is gone, so that every sample claims to be one."""
    return content.replace(b"stss", b"free")


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("gop", [250, 40])
def test_a_container_that_calls_every_frame_a_keyframe_hides_nothing(codec: str, gop: int) -> None:
    """Players do not care, so such a film is looked at from end to end all the same."""
    content = without_marks(clip(250, codec=codec, gop=gop, sc_threshold="0"))
    seen = look(content, DecodeOptions(gap_ms=1000))
    true = look(content, DENSE)
    times = [0, *(each.frame_ms or 0 for each in seen.pictures), 10_000]

    assert WHOLE == seen.looked
    assert max(later - sooner for sooner, later in itertools.pairwise(times)) <= 1100
    assert set(seen.values()) <= set(true.values())


def test_a_damaged_keyframe_is_damage() -> None:
    """What lies behind it is looked at, what it carried is not, and the film is partial."""
    content = bytearray(clip(500, form="matroska", gop=50, sc_threshold="0"))
    sound = look(bytes(content))
    at = len(content) * 4 // 10
    content[at : at + len(content) // 10] = bytes(len(content) // 10)
    seen = look(bytes(content))
    after = [each.frame_ms for each in seen.pictures if (each.frame_ms or 0) > 13_000]

    assert partial(Reason.TRUNCATED) == seen.looked
    assert [each.frame_ms for each in sound.pictures if (each.frame_ms or 0) > 13_000] == after


def test_a_frame_that_stays_on_the_screen_is_shown() -> None:
    """A still shown for half a minute in a recording of a screen is a frame of the film, whatever leans on it."""
    stamps = [*range(25), *(1000 + n for n in range(25))]
    content = clip(50, form="matroska", gop=100, sc_threshold="0", stamps=stamps, **{"x264-params": "bframes=8"})
    seen = look(content)

    assert WHOLE == seen.looked
    assert 960 in [each.frame_ms for each in seen.pictures]
