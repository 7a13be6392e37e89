"""The demonstration of feeds: every line true, and each can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from samples import feeds_demo
from samples.feeds_demo import Feeds

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(900)  # half a minute where nothing else runs


def test_the_demonstration_of_feeds_is_true() -> None:
    """As `make demo-feeds` runs it; nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "samples.feeds_demo"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()

    assert (0, "") == (done.returncode, done.stderr)
    assert [f"{number}." for number in range(1, 7)] == [line.split()[0] for line in lines[1:-1]]
    assert lines[-1].startswith("All true")


def test_a_list_that_lost_entries_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One entry of five thousand is missing: line 2 is untrue."""
    feeds = Feeds(tmp_path)
    feeds.ncmec.records.pop()

    assert 1 == feeds_demo.run(feeds, [feeds_demo.killed])
    assert "\nUNTRUE: 2." in capsys.readouterr().out
