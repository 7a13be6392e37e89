"""The wait between attempts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from scanner.sinks import backoff_seconds


class Always:
    """A random source that always says the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_doubles_up_to_an_hour() -> None:
    """The longest wait of each attempt is 5 s, doubled, and never over an hour."""
    longest = [backoff_seconds(attempt, Always(1.0)) for attempt in (1, 2, 3, 10, 11, 12, 10_000)]

    assert [5.0, 10.0, 20.0, 2560.0, 3600.0, 3600.0, 3600.0] == longest


@given(attempt=st.integers(1, 10**6), seed=st.integers())
def test_waits_between_half_and_all_of_the_ceiling(attempt: int, seed: int) -> None:
    """Jitter never makes a wait vanish."""
    ceiling = backoff_seconds(attempt, Always(1.0))

    assert ceiling / 2 <= backoff_seconds(attempt, random.Random(seed)) <= ceiling


def test_what_the_receiver_asks_for_is_respected_up_to_a_day() -> None:
    """Retry-After lengthens a wait, never shortens it, and cannot silence reports for ever."""
    assert 120.0 == backoff_seconds(1, Always(0.0), retry_after_seconds=120.0)
    assert 2.5 == backoff_seconds(1, Always(0.0), retry_after_seconds=0.0)
    assert 86400.0 == backoff_seconds(1, Always(0.0), retry_after_seconds=1e12)
