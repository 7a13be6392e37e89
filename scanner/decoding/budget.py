"""What one content may cost: CPU time, wall time and decoded bytes. Running out is a reason, never a verdict.

The worker checks between frames and stops in good order; the parent kills what does not come back to check.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from scanner.types import Resume

MIB = 1024 * 1024
# How far over its time a look may go that has not got beyond where it began: less than the parent's grace.
STEP_S = 0.25
# How much longer the second look at a step may take that did not fit the first.
LONGER = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Per-content budgets. Seconds are CPU time of the worker; the wall clock may run `wall_factor` times longer.

    A video has `video_s` or a twentieth of its duration, whichever is more, up to `video_most_s`. `decode_bytes` bounds
    the estimate made from a header before pixels are decoded; `memory_bytes` is the worker's address space.
    `within_s`, where somebody waits for the answer, bounds the time on the clock of one look, whatever it is at.
    """

    image_s: float = 10.0
    video_s: float = 60.0
    video_most_s: float = 1800.0
    wall_factor: float = 3.0
    decode_bytes: int = 256 * MIB
    memory_bytes: int = 1024 * MIB
    signals: int = 2_000_000
    within_s: float | None = None

    def cpu_s(self, moving: bool, duration_ms: int | None, resume: Resume | None = None) -> float:
        """The CPU budget of a still, or of a video or animation lasting `duration_ms`.

        A look that goes on at `resume` has twice what getting there costs on top, so that even where every look begins
        by decoding all over again (an animation drawn on what was there) each gets further than the one before. Where
        the last look got no further, this one has `LONGER` times the time, up to `video_most_s`.
        """
        usual = self._usual_s(moving, duration_ms, resume)
        return usual if self.within_s is None else min(usual, self.within_s)

    def _usual_s(self, moving: bool, duration_ms: int | None, resume: Resume | None) -> float:
        base = self.image_s if not moving else min(self.video_most_s, max(self.video_s, (duration_ms or 0) / 20_000))
        if resume is None:
            return base
        longer = (base + resume.catch_up_ms / 500) * (LONGER if resume.fruitless else 1)
        return max(base, min(self.video_most_s, longer))

    def wall_s(self, cpu_s: float) -> float:
        """How much time on the clock a look may take that may cost `cpu_s`."""
        return cpu_s * self.wall_factor if self.within_s is None else self.within_s


class OverBudget(Exception):
    """The content would cost, or has cost, more than its budget."""


class Budget:
    """The running account of one look."""

    def __init__(self, limits: Limits, resume: Resume | None = None) -> None:
        self._limits = limits
        self._resume = resume
        self._cpu_start = time.process_time()
        self._wall_start = time.monotonic()
        self._cpu_s = limits.cpu_s(moving=False, duration_ms=None, resume=resume)
        self._moving_s = 0.0
        self._must_step = False
        self.looking = Looking()

    @property
    def limits(self) -> Limits:
        """What it accounts for."""
        return self._limits

    def moving(self, duration_ms: int | None) -> None:
        """The content turned out to be, or to hold, a video or animation: of several the longest counts."""
        self._moving_s = max(self._moving_s, self._limits.cpu_s(True, duration_ms, self._resume))
        self._cpu_s = self._moving_s

    def steps(self) -> None:
        """The content can be left and gone on with, so that the look is to get one step further, whatever it costs.

        Not where somebody waits: what is left is for those who have the time.
        """
        self._must_step = self._limits.within_s is None

    def stepped(self) -> None:
        """The look got a step further than the one before."""
        self._must_step = False

    def check(self) -> None:
        """Raises OverBudget when time is up. Costs next to nothing as long as the clock alone says that it is not."""
        if self.is_spent:
            raise OverBudget

    @property
    def is_spent(self) -> bool:
        """Whether time is up."""
        allowed_s = self._cpu_s + STEP_S * self._must_step
        wall_s = time.monotonic() - self._wall_start
        if wall_s <= allowed_s:
            return False  # one thread cannot have used more
        return wall_s > self._limits.wall_s(allowed_s) or time.process_time() - self._cpu_start > allowed_s

    def spent_share(self) -> float:
        """Of a look that somebody waits for, the share of its time that is gone; else 0."""
        if self._limits.within_s is None:
            return 0.0
        return (time.monotonic() - self._wall_start) / max(self._limits.within_s, 1e-6)

    def catch_up_ms(self) -> int:
        """What was spent so far on getting on rather than on looking, in milliseconds of CPU time.

        Waiting for slow storage counts too, as far as it uses up the time on the wall clock.
        """
        cpu_s = time.process_time() - self._cpu_start - self.looking.cpu_s
        wall_s = time.monotonic() - self._wall_start - self.looking.wall_s
        return int(1000 * max(cpu_s, wall_s / self._limits.wall_factor))

    def fits(self, decode_bytes: int) -> bool:
        """Whether a decode estimated at `decode_bytes` is within budget."""
        return decode_bytes <= self._limits.decode_bytes

    def charge(self, decode_bytes: int) -> None:
        """Raises OverBudget when a decode estimated at `decode_bytes` is not within budget, or time is up."""
        if not self.fits(decode_bytes):
            raise OverBudget
        self.check()


class Looking:
    """A stopwatch for work that a look which goes on behind it need not do again. A context manager, not nested."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self._cpu_start = 0.0
        self._wall_start = 0.0

    def __enter__(self) -> None:
        self._cpu_start, self._wall_start = time.process_time(), time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.cpu_s += time.process_time() - self._cpu_start
        self.wall_s += time.monotonic() - self._wall_start
