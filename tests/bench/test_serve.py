"""The measurement of the doors, at its smallest: it runs, and every answer was right."""

from __future__ import annotations

from bench import serve


def test_the_doors_are_measured_and_every_answer_is_judged() -> None:
    """Each figure is there; a wrong answer would have ended it."""
    found = serve.run(rounds=1, pairs=2, turn=2)

    assert {"known_ours_us", "new_ms", "fingerprint_ms", "new_ratio", "files_per_second", "auc"} <= found.keys()
    assert 0 <= found["auc"] <= 1
