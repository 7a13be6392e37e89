"""What time it is: the only reader of the wall clock. Passed as an argument, so that tests can move days."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A wall clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


def utc_day(clock: Clock) -> str:
    """Today's UTC date, ISO 8601: the finest time a report may tell."""
    return datetime.fromtimestamp(clock.now_ns() // 10**9, UTC).date().isoformat()
