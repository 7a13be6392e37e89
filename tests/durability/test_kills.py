"""Killed at any SQL statement, open, sync, write, rename or unlink, or at any time, and gone on with: the same end."""

from __future__ import annotations

import random

import pytest

from tests.durability.conftest import Trials
from tests.durability.syscalls import Plan

SPREAD = 26  # trials of `make test`, over all operations alike
TIMED = 20
KINDS = ("open", "sync", "rename", "unlink", "truncate", "write", "mkdir")


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers of 1..count, one drawn from each stretch of the same length."""
    draw = random.Random(count)
    if count <= most:
        return list(range(1, count + 1))
    return [draw.randrange(count * at // most, count * (at + 1) // most) + 1 for at in range(most)]


def killed_at(trials: Trials, kind: str, number: int) -> None:
    """One trial."""
    step, at = trials.step_of(kind, number)
    trials.fresh(step)
    fault = {"statement": at} if kind == "statement" else {"plan": Plan(kind, at, at, "kill")}
    ending = trials.run(first=step, last=step + 1, **fault)
    assert ending.error == ""
    trials.recover(ending)


@pytest.mark.parametrize("part", range(2))
def test_killed_before_any_call_and_gone_on_with_nothing_is_lost_or_doubled(trials: Trials, part: int) -> None:
    """A spread over all that the work asks of the file system, SQLite's part included."""
    for number in spread(trials.count("any"), SPREAD)[part::2]:
        killed_at(trials, "any", number)


@pytest.mark.parametrize("kind", ["rename", "sync"])
def test_killed_before_a_rename_or_a_sync(trials: Trials, kind: str) -> None:
    """The moments at which something becomes so for others."""
    for number in spread(trials.count(kind), 5):
        killed_at(trials, kind, number)


def test_killed_at_a_statement(trials: Trials) -> None:
    """A spread over all SQL statements."""
    for number in spread(trials.count("statement"), 6):
        killed_at(trials, "statement", number)


def timed(trials: Trials, kills: int, seed: int) -> int:
    """So many kills at random moments inside the work; how many trials that took."""
    draw = random.Random(seed)
    took = done = 0
    seconds = 0.5
    while done < kills:
        trials.fresh()
        ending = trials.run(seconds=draw.random() * seconds)
        took += 1
        if not ending.killed:  # it was faster
            seconds = max(seconds * 0.8, 0.02)
            continue
        seconds = min(seconds * 1.05, 5.0)
        trials.recover(ending)
        done += 1
    return took


def test_killed_at_any_time(trials: Trials) -> None:
    """The clock decides, and only kills inside the work count."""
    timed(trials, TIMED, 1)


@pytest.mark.prove
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["statement", *KINDS])
def test_killed_at_every_single_operation(trials: Trials, kind: str, proof) -> None:
    """The same at each."""
    for number in range(1, trials.count(kind) + 1):
        killed_at(trials, kind, number)
    proof("durability", f"killed at every {kind}", kills=trials.count(kind), lost=0, doubled=0)


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_five_hundred_timed_kills(trials: Trials, proof) -> None:
    """The same by the clock, 500 times."""
    took = timed(trials, 500, 2)
    proof("durability", "timed kills inside the work", kills=500, trials=took, lost=0, doubled=0)
