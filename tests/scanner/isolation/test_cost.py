"""What the sandboxed worker costs over decoding in the same process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bench.fingerprints import family_cpu_s
from bench.hashers import Hasher, Ours
from tests.scanner.isolation.test_hostile_share import CAMERA, SMALL, pictures

MOST_MS = 1.0  # for a small file
MOST_SHARE = 0.05  # of a camera's picture


def cpu_ms(hasher: Hasher, paths: Sequence[Path]) -> float:
    """Processor time a file, of all processes."""
    before = family_cpu_s()
    for path in paths:
        hasher.hash(path)
    return (family_cpu_s() - before) * 1000 / len(paths)


@pytest.mark.prove
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("kind", "sides", "rounds"), [("small", SMALL, 60), ("camera", CAMERA, 60)])
def test_a_worker_costs_little_more_than_no_worker(
    tmp_path: Path, proof: Callable[..., None], kind: str, sides: tuple[int, ...], rounds: int
) -> None:
    """A millisecond for a small file, a twentieth of twelve million pixels: both take turns at the same files."""
    paths = pictures(tmp_path, 8, sides)
    with closing(Ours("process")) as free, closing(Ours("worker")) as confined:
        turns = [[cpu_ms(each, paths) for each in (free, confined)] for _ in range(rounds + 1)][1:]
    spent = np.array(turns)
    more_ms, ratio = np.median(spent[:, 1] - spent[:, 0]), np.median(spent[:, 1] / spent[:, 0])
    in_process_ms, worker_ms = np.median(spent, axis=0)
    proof(
        "isolation",
        f"the worker over the same process, {kind}",
        files=2 * rounds * len(paths),
        in_process_cpu_ms=round(in_process_ms, 2),
        worker_cpu_ms=round(worker_ms, 2),
        more_ms=round(more_ms, 2),
        more_share=round(ratio - 1, 4),
    )

    assert (more_ms <= MOST_MS) if kind == "small" else (ratio <= 1 + MOST_SHARE)
