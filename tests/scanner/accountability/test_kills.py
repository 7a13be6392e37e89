"""Killed at any instant, a decision and an erasure are whole or not there, and the same again comes to the same end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[3]


def trials(folder: Path, number: int, timeout_s: float) -> Any:
    """What a process of its own saw."""
    line = [sys.executable, "-m", "tests.scanner.accountability.killed", str(folder), str(number)]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=timeout_s)
    assert 0 == done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_decision_and_an_erasure_survive_a_kill_at_statements_drawn(tmp_path: Path) -> None:
    """Nothing is doubled, lost or left behind; the audit log is owed each step once, and each erasure's counts."""
    seen = trials(tmp_path, 14, 600)

    assert [] == seen["faults"]
    assert seen["statements"] > 300
    assert [] == seen["expected"]["traces"]
    assert {"unmatched", "matched", "reports", "cases"} == seen["expected"]["erased"].keys()


@pytest.mark.prove
def test_a_decision_and_an_erasure_survive_a_kill_at_every_statement(
    tmp_path: Path, proof: Callable[..., None]
) -> None:
    """The same at each."""
    seen = trials(tmp_path, 0, 7200)
    proof("accountability", "kills of a decision and an erasure", trials=seen["statements"], faults=len(seen["faults"]))

    assert [] == seen["faults"]
