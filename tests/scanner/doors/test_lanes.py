"""Lanes: at most so many looks at once, in order, and what is short never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from scanner.doors.lanes import SHORT, Lanes

WAIT_S = 60


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    """Two looks at once."""
    made = Lanes(2)
    yield made
    made.end()


def test_no_more_looks_than_allowed_run_at_once_and_the_rest_in_order(lanes: Lanes) -> None:
    """However many are asked for, from whatever thread."""
    counting, now, most = threading.Lock(), 0, 0
    began: list[int] = []
    may, all_done = threading.Event(), threading.Event()

    def look(number: int) -> None:
        nonlocal now, most
        with counting:
            now, most = now + 1, max(most, now + 1)
            began.append(number)
        assert may.wait(WAIT_S)
        with counting:
            now -= 1
            if len(began) == 20 and not now:
                all_done.set()

    for number in range(20):
        lanes.submit(lanes.look, partial(look, number))
        while number < 2 and len(began) <= number:
            threading.Event().wait(0.001)
        # It waits, without a thread: what is short is done meanwhile.
        assert lanes.submit(lambda: "short").result(WAIT_S) == "short"
    assert [0, 1] == began
    may.set()

    assert all_done.wait(WAIT_S)
    assert most == 2
    assert sorted(began) == list(range(20))


def test_what_is_short_never_waits_for_looks(lanes: Lanes) -> None:
    """As many as SHORT run beside the looks, each at the same time as the others."""
    may, here = threading.Event(), threading.Barrier(SHORT + 1)
    for _ in range(5):
        lanes.submit(lanes.look, lambda: may.wait(WAIT_S))
    for _ in range(SHORT):
        lanes.submit(here.wait, WAIT_S)

    here.wait(WAIT_S)
    may.set()


def test_a_look_that_fails_keeps_no_other_waiting(lanes: Lanes) -> None:
    """It is a fault of ours; the places are all there afterwards."""
    may = threading.Event()

    def fail() -> None:
        may.wait(WAIT_S)
        raise ZeroDivisionError

    for _ in range(6):
        lanes.submit(lanes.look, fail)
    seen = threading.Barrier(3)
    for _ in range(2):
        lanes.submit(lanes.look, lambda: seen.wait(WAIT_S))
    may.set()

    seen.wait(WAIT_S)  # both at once


def test_nothing_begins_once_it_has_ended() -> None:
    """What waited is dropped with the rest."""
    lanes = Lanes(1)
    may, began, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        began.set()
        may.wait(WAIT_S)

    running = lanes.submit(lanes.look, first)
    assert began.wait(WAIT_S)
    lanes.submit(lanes.look, lambda: ran.append(1)).result(WAIT_S)
    lanes.end()
    may.set()
    running.result(WAIT_S)
    lanes.shutdown(wait=True)

    assert [] == ran
