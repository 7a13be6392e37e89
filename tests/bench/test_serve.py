"""The measurement of the doors, at its smallest: it runs, and every answer was right."""

from __future__ import annotations

import random

import pytest

from bench import serve


def test_the_doors_are_measured_and_every_answer_is_judged() -> None:
    """Each figure is there; a wrong answer would have ended it."""
    found = serve.run(serve.Plan(rounds=1, turn=4, pairs=3, load_s=0.1, pdq=20, digests=30, halves=20))

    assert {
        "known_ours_us", "new_serving_ms", "new_workers_ms", "fingerprint_ms", "new_ratio", "load_p99_over_p50",
        "accept_auc", "halfopen_http_p99_ratio", "halfopen_clamd_p99_control",
    } <= found.keys()  # fmt: skip
    assert 0 <= found["accept_auc"] <= 1


@pytest.mark.parametrize(("shift", "told"), [(0.0, 0.5), (100.0, 1.0), (-100.0, 0.0)], ids=["none", "later", "sooner"])
def test_the_area_is_what_can_be_told(shift: float, told: float) -> None:
    """Half where there is nothing to tell, within the interval it gives; all or nothing where there is no overlap."""
    rng = random.Random(3)
    one, other = ([rng.gauss(at, 1) for _ in range(1000)] for at in (0.0, shift))
    share, within = serve.area(one, other)

    assert abs(share - told) <= within + 1e-9
    assert within < 0.03
