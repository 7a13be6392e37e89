"""Killed, or refused by the disk, anywhere while the audit log is begun or written: nothing is lost or broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import PROJECT

pytestmark = pytest.mark.timeout(0)  # a trial is a fork: as long as the machine takes


def tried(folder: Path, every: int) -> dict[str, Any]:
    """What came of the trials, of every so many operations one."""
    words = [sys.executable, "-m", "tests.scanner.accountability.trials", str(folder), str(every)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if "unsupported" in found:
        pytest.skip("this kernel, architecture or container does not hand system calls to a supervisor")
    return found


def test_killed_or_failed_while_it_is_written_nothing_is_lost_doubled_or_broken(tmp_path: Path) -> None:
    """A spread over all that it asks of the file system, and over its SQL statements."""
    found = tried(tmp_path, 6)

    assert {} == found["wrong"]
    assert found["trials"] > 40


@pytest.mark.prove
def test_killed_or_failed_at_every_single_operation(tmp_path: Path, proof: Any) -> None:
    """The same at each."""
    found = tried(tmp_path, 1)

    assert {} == found["wrong"]
    what = "audit log killed, out of space or failing at every operation, killed at every statement"
    proof("audit", what, trials=found["trials"], lost=0, doubled=0, broken=0, **found["counts"])
