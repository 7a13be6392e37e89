"""The frame filter drops repeats and nothing else."""

from __future__ import annotations

from scanner.hashing import FrameFilter


def value(bits: int) -> bytes:
    return ((1 << bits) - 1).to_bytes(32, "big")


def test_exact_repeats_are_dropped() -> None:
    """At 0 bits only a frame equal to the last kept one goes."""
    frames = FrameFilter(0)

    assert [True, False, True, True] == [frames.keep(value(bits)) for bits in (0, 0, 1, 0)]


def test_none_keeps_everything() -> None:
    """A dense list has every frame, repeats included."""
    frames = FrameFilter(None)

    assert [True, True] == [frames.keep(value(0)) for _ in range(2)]


def test_distance_is_from_the_last_kept_frame() -> None:
    """A slow drift is kept as soon as it has gone further than the bound, however small its steps."""
    frames = FrameFilter(8)

    assert [0, 9, 18] == [bits for bits in range(20) if frames.keep(value(bits))]


def test_tracks_are_apart() -> None:
    """A frame of one track is no repeat of another track's."""
    frames = FrameFilter(0)

    assert frames.keep(value(0))
    assert frames.keep(value(0), "1")
