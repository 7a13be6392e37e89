"""The benchmark of lists: every process finds what is in force, and a new one opens rather than loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench import lists
from bench.__main__ import main
from bench.measure import WrongAnswer

CASES = lists.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_small_form_is_in_force_everywhere(case: lists.ListsCase) -> None:
    """Each process finds what was added and nothing of what was withdrawn (a difference raises)."""
    small = case.small()
    delta, opened, imported = lists.run(small)

    assert 0 < delta.more["here_seconds"]
    assert 0 < delta.more["elsewhere_seconds"]
    assert small.rows == opened.more["rows"] == imported.more["rows"]
    assert 40 < opened.more["bytes_per_entry"] < 60


def test_what_is_not_found_is_no_figure(tmp_path: Path) -> None:
    """A process that misses what is listed ends the run."""
    case = replace(CASES[0].small(), rows=100)
    lists.fill(tmp_path / "home", case)
    unlisted = np.random.default_rng(1).integers(0, 256, (3, 32), np.uint8)
    with lists._other(tmp_path / "home") as ask, pytest.raises(WrongAnswer):
        ask(known=unlisted)


def test_the_command_prints_json() -> None:
    """One object a line."""
    outcome = CliRunner().invoke(main, ["lists", "--size", "5000", "--delta", "100", "--json"])

    assert (0, ["lists-delta", "lists-open", "lists-import"]) == (
        outcome.exit_code,
        [json.loads(line)["name"] for line in outcome.stdout.splitlines()],
    )
