"""What the tests of the broker share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scanner.accountability.brokers import Running


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's, which others may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


@pytest.fixture
def running(short: Path) -> Iterator[Running]:
    """One that answers us."""
    made = Running(short, frozenset({os.getuid()}))
    yield made
    made.close()
