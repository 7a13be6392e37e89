"""How long to wait before a batch is offered again."""

from __future__ import annotations

from typing import Final, Protocol

FIRST_SECONDS: Final = 5.0
CAP_SECONDS: Final = 3600.0  # reports are sealed once a day: an hour late costs nothing, a storm of retries does
_DOUBLINGS: Final = 16  # far past the cap; keeps 2 ** attempt small for a receiver that is down for years


class Uniform(Protocol):
    """What a `random.Random` gives, and `secrets.SystemRandom()`."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


def backoff_seconds(attempt: int, rng: Uniform, *, retry_after_seconds: float | None = None) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    The wait is drawn from the upper half of 5 s doubled with each attempt, at most one hour ("equal jitter", Brooker,
    "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that receivers coming back are not met by
    everyone at once. What the receiver asked for is respected up to a day, never cut short.
    """
    assert attempt >= 1
    ceiling = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt - 1, _DOUBLINGS))
    waited = ceiling / 2 + ceiling / 2 * rng.random()
    if retry_after_seconds is None:
        return waited
    return max(waited, min(retry_after_seconds, 86400.0))
