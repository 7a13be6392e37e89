"""A command over an empty home, for tests of doors that need the real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Hashward


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """The command over a home of its own."""
    return Hashward(tmp_path / "home")
