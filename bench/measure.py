"""How it is measured: CPU time of this process, engines in turns, answers judged before times count."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.engines import Engine, Pairs

BLOCK = 60  # distinct questions an engine is asked before the other has its turn, and the caches


class WrongAnswer(Exception):
    """An engine did not find what brute force finds: its time would mean nothing."""


@dataclass(frozen=True, slots=True)
class Timed:
    """CPU microseconds of each question (or of each round, per question), in the order asked."""

    microseconds: NDArray[np.float64]

    @property
    def median(self) -> float:
        """The median, the figure that ratios are made of."""
        return float(np.median(self.microseconds))

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return float(np.percentile(self.microseconds, 99))


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of `work` in all threads of this process, less what the reading of the clock costs."""
    start = time.process_time_ns()
    work()
    return max(time.process_time_ns() - start - _clock_ns(), 0) / 1e9


@cache
def _clock_ns() -> float:
    """What two readings of the CPU clock cost: a system call, microseconds on some virtual machines."""
    spent = []
    for _ in range(2001):
        start = time.process_time_ns()
        spent.append(time.process_time_ns() - start)
    return float(np.median(spent))


def singles(engines: Sequence[Engine], asked: NDArray[np.uint8], radius: int, blocks: int) -> list[Timed]:
    """Ask one question at a time: a block of distinct ones per engine, engines in turns, other questions each time."""
    times: list[list[float]] = [[] for _ in engines]
    questions = cycle(asked[at : at + 1] for at in range(len(asked)))
    for _ in range(blocks):
        for place, engine in enumerate(engines):
            for question in islice(questions, BLOCK):
                times[place].append(cpu_seconds(partial(engine.ask, question, radius)) * 1e6)
    return [Timed(np.array(row)) for row in times]


def batches(
    engines: Sequence[Engine], asked: NDArray[np.uint8], radius: int, rounds: int, most: Sequence[int]
) -> list[Timed]:
    """Ask all questions at once, engines in turns; engine i is asked the first most[i] (the slow are asked fewer)."""
    times: list[list[float]] = [[] for _ in engines]
    for _ in range(rounds):
        for place, engine in enumerate(engines):
            part = asked[: most[place]]
            times[place].append(cpu_seconds(partial(engine.ask, part, radius)) / len(part) * 1e6)
    return [Timed(np.array(row)) for row in times]


def recall(engine: Engine, truth: Pairs, asked: NDArray[np.uint8], radius: int) -> float:
    """The share of true pairs the engine finds. Raises WrongAnswer when it finds a pair that is none."""
    found = {(int(q), int(r)) for q, r in zip(*engine.pairs(engine.ask(asked, radius)), strict=True)}
    true = {(int(q), int(r)) for q, r in zip(*truth, strict=True)}
    if found - true:
        raise WrongAnswer(f"{engine.name} finds {len(found - true)} pairs that are not within the radius")
    return len(found) / len(true) if true else 1.0
