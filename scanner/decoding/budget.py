"""What one content may cost: CPU time, wall time and decoded bytes. Running out is a reason, never a verdict.

The worker checks between frames and stops in good order; the parent kills what does not come back to check.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Per-content budgets. Seconds are CPU time of the worker; the wall clock may run `wall_factor` times longer.

    A video has `video_s` or a twentieth of its duration, whichever is more, up to `video_most_s`. `decode_bytes` bounds
    the estimate made from a header before pixels are decoded; `memory_bytes` is the worker's address space.
    """

    image_s: float = 10.0
    video_s: float = 60.0
    video_most_s: float = 1800.0
    wall_factor: float = 3.0
    decode_bytes: int = 256 * MIB
    memory_bytes: int = 1024 * MIB
    signals: int = 2_000_000

    def cpu_s(self, moving: bool, duration_ms: int | None) -> float:
        """The CPU budget of a still, or of a video or animation lasting `duration_ms`."""
        if not moving:
            return self.image_s
        return min(self.video_most_s, max(self.video_s, (duration_ms or 0) / 1000 / 20))


class OverBudget(Exception):
    """The content would cost, or has cost, more than its budget."""


class Budget:
    """The running account of one content."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cpu_start = time.process_time()
        self._wall_start = time.monotonic()
        self._cpu_s = limits.cpu_s(moving=False, duration_ms=None)

    def moving(self, duration_ms: int | None) -> None:
        """The content turned out to be a video or animation."""
        self._cpu_s = self._limits.cpu_s(moving=True, duration_ms=duration_ms)

    def check(self) -> None:
        """Raises OverBudget when time is up."""
        if time.process_time() - self._cpu_start > self._cpu_s:
            raise OverBudget
        if time.monotonic() - self._wall_start > self._cpu_s * self._limits.wall_factor:
            raise OverBudget

    def fits(self, decode_bytes: int) -> bool:
        """Whether a decode estimated at `decode_bytes` is within budget."""
        return decode_bytes <= self._limits.decode_bytes

    def charge(self, decode_bytes: int) -> None:
        """Raises OverBudget when a decode estimated at `decode_bytes` is not within budget, or time is up."""
        if not self.fits(decode_bytes):
            raise OverBudget
        self.check()
