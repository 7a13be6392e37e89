"""How often something may happen: so many a second, with a second's worth at once."""

from __future__ import annotations

import time
from collections.abc import Callable

# Below this a sender is not slow but holding a connection: a tenth of the slowest line in use.
LEAST_BYTES_PER_S = 1024


class Rate:
    """Allows `per_s` a second (None: any number). Used in one thread."""

    def __init__(self, per_s: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s or 0.0)
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
