"""Killed at any SQL statement of the actions' outbox and gone on with: each action is told, in order, under one id."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import PROJECT
from tests.durability.acting import REFS, STEPS, heard
from tests.durability.test_kills import spread

Run = Callable[[Path, int, int], dict[str, int]]
WAIT_S = 100.0


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs the steps from `first` on in a child that is killed before a statement (0: not at all)."""
    command = [sys.executable, "-m", "tests.durability.acting"]
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def ask(base: Path, first: int, statement: int) -> dict[str, int]:
        base.mkdir(exist_ok=True)
        orders.write(json.dumps([str(base), first, statement]) + "\n")
        orders.flush()
        said: dict[str, int] = json.loads(answers.readline())
        return said

    yield ask
    process.communicate(timeout=WAIT_S)


def killed_at(run: Run, base: Path, statement: int) -> None:
    """One trial, and what the platform has heard after it."""
    ending = run(base, 0, statement)
    assert -signal.SIGKILL == ending["status"]
    after = run(base, ending["steps"], 0)
    assert (0, len(STEPS)) == (after["status"], after["steps"])
    told: dict[str, dict[int, str]] = {}
    for action in heard(base):
        told.setdefault(str(action["ref"]), {})[int(str(action["id"]))] = str(action["verb"])

    assert {ref.decode() for ref in REFS} == told.keys()
    for ids in told.values():
        assert ["restrict", "release"] == list(ids.values())
        assert sorted(ids) == list(ids)


def test_killed_at_a_statement_every_action_is_told_in_order(run: Run, tmp_path: Path) -> None:
    """A spread over all of them."""
    whole = run(tmp_path / "whole", 0, 0)
    assert 0 == whole["status"]
    for number in spread(whole["statements"], 8):
        killed_at(run, tmp_path / str(number), number)


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_killed_at_every_statement_every_action_is_told_in_order(run: Run, tmp_path: Path, proof) -> None:
    """The same at each."""
    count = run(tmp_path / "whole", 0, 0)["statements"]
    for number in range(1, count + 1):
        killed_at(run, tmp_path / str(number), number)
    proof("durability", "actions: killed at every statement", kills=count, lost=0, doubled=0, overtaken=0)
