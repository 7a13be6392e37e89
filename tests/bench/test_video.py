"""The benchmark of films in its small form: ours right, every case a figure, no copy missed."""

from __future__ import annotations

import pytest

from bench import films, video
from bench.engines import EngineMissing
from bench.measure import WrongAnswer

CASES = video.load()


@pytest.mark.parametrize("case", [each for each in CASES if each.through == "process"], ids=lambda case: case.name)
def test_the_small_form_is_right(case: video.VideoCase) -> None:
    """Every frame is where it belongs and near the peer's (else it raises)."""
    try:
        figure = video.run(case.small())
    except EngineMissing as missing:
        pytest.skip(str(missing))

    assert figure.ratio > 0
    assert figure.more["most_bits_off"] <= video.MOST_BITS


def test_frames_missing_or_far_off_stop_the_run() -> None:
    """An answer that is wrong is not timed."""
    true = {0: (bytes(32), 100), 1: (b"\xff" * 32, 100)}

    assert 0 == video._judged(true, true, all_of_them=True)
    for wrong in ({0: true[0]}, {0: true[1], 1: true[1]}, {2: true[0]}, {}):
        with pytest.raises(WrongAnswer):
            video._judged(wrong, true, all_of_them=True)


def test_films_are_functions_of_their_arguments() -> None:
    """The same frames for one seed, others for another, and no two of a shot alike."""
    one, again, other = ([frame.tobytes() for frame in films.frames(seed, (64, 48), 5)] for seed in (1, 1, 2))

    assert one == again
    assert len({*one, *other}) == 10


def test_copies_are_found_by_keyframe() -> None:
    """Of one film every copy, and of the others none."""
    (figure,) = video.recall(films_listed=2, seconds=7)

    assert 1 == figure.ratio
    assert 2 * len(video.EDITS) == figure.more["negatives"]


def test_five_seconds_in_a_film_are_found() -> None:
    """In its small form too (else it raises), and nothing around them is taken for them."""
    (figure,) = video.film(minutes=2, size=(160, 120))

    assert 1 <= figure.more["met"] <= 4
    assert figure.more["frames"] >= 50
