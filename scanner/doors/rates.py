"""How often something may happen (so many a second, and so many at once), and how slowly something may come."""

from __future__ import annotations

import time
from collections.abc import Callable

# Below this a sender is not slow but holding a connection: a tenth of the slowest line in use.
LEAST_BYTES_PER_S = 1024


class Rate:
    """Allows `per_s` a second (None: any number), and `at_once` of them (a second's worth). Used in one thread."""

    def __init__(
        self, per_s: float | None, at_once: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._most = max(1.0, at_once or per_s or 0.0)
        self._left = self._most
        self._now = now
        self._at_s = now()

    def allows(self) -> bool:
        """Whether one more may happen now; it then counts."""
        if self._per_s is None:
            return True
        now = self._now()
        self._left = min(self._most, self._left + (now - self._at_s) * self._per_s)
        self._at_s = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Pace:
    """How long is waited for the next bytes of a body: less than `idle_s` of silence, `most_s` for all of it, and not
    for who sends next to nothing.
    """

    def __init__(self, idle_s: float, most_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._idle_s = idle_s
        self._most_s = most_s
        self._now = now
        self._began_s = now()

    def left_s(self, received_bytes: int) -> float:
        """How long to wait for more, after so many bytes; nothing or less: no longer."""
        by_rate_s = self._idle_s + received_bytes / LEAST_BYTES_PER_S
        return min(self._idle_s, min(by_rate_s, self._most_s) - (self._now() - self._began_s))
