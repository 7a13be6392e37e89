"""Time is up when the budget says so: measured from outside, by what the processes used and by the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.fingerprints import family_cpu_s
from scanner.fingerprint import Limits
from scanner.isolation.pool import WorkerPool
from scanner.types import Reason
from tests.scanner.isolation import bombs
from tests.scanner.isolation.test_pool import HOSTILE

LIMITS = Limits(image_s=1.0, video_s=1.5)
OVERRUN_S = 0.5
BUDGETS = {"SPIN": 1.0, "SPIN_ANIMATION": 1.5, "SPIN_VIDEO": 1.5, "SLEEP": 1.0, "ALLOCATE": 1.0}
pytestmark = [pytest.mark.prove, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, LIMITS, answer=HOSTILE) as running:
        yield running


def spent(pool: WorkerPool, path: Path) -> tuple[Reason | None, float, float]:
    """The reason, and the CPU and wall seconds of one look and of all that it set off."""
    fd = os.open(path, os.O_RDONLY)
    try:
        cpu, wall = family_cpu_s(), time.monotonic()
        reason = pool.fingerprint(fd).looked.reason
        took = time.monotonic() - wall
        time.sleep(0.2)  # for the dead to be counted
        return reason, family_cpu_s() - cpu, took
    finally:
        os.close(fd)


@pytest.mark.parametrize("deed", BUDGETS)
def test_a_deed_costs_its_budget_and_half_a_second(
    pool: WorkerPool, tmp_path: Path, proof: Callable[..., None], deed: str
) -> None:
    """A still, an animation and a film that spin are killed by CPU time; one that sleeps by three times that on the
    wall clock; one that allocates fails at once, twice."""
    path = tmp_path / "deed"
    path.write_bytes(deed.encode())
    seen = [spent(pool, path) for _ in range(5)]
    proof(
        "isolation",
        f"time of a deed, {deed}",
        budget_s=BUDGETS[deed],
        most_cpu_s=round(max(cpu for _, cpu, _ in seen), 3),
        most_wall_s=round(max(wall for _, _, wall in seen), 3),
    )

    assert {Reason.CRASH if deed == "ALLOCATE" else Reason.TIMEOUT} == {reason for reason, _, _ in seen}
    assert max(cpu for _, cpu, _ in seen) < BUDGETS[deed] + OVERRUN_S
    assert max(wall for _, _, wall in seen) < BUDGETS[deed] * LIMITS.wall_factor + OVERRUN_S


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_bomb_costs_its_budget_and_half_a_second(
    pool: WorkerPool, tmp_path: Path, proof: Callable[..., None], name: str
) -> None:
    """Stills and animations that cost much to decode."""
    path = tmp_path / "bomb"
    path.write_bytes(bombs.BOMBS[name]())
    reason, cpu, wall = spent(pool, path)
    budget_s = LIMITS.video_s if "frames" in name else LIMITS.image_s
    proof("isolation", f"time of a bomb, {name}", budget_s=budget_s, cpu_s=round(cpu, 3), wall_s=round(wall, 3))

    assert reason is not None
    assert cpu < budget_s + OVERRUN_S
    assert wall < budget_s * LIMITS.wall_factor + OVERRUN_S
