"""A command over an empty home, and generated pictures to scan."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from scanner.selftest import picture, ppm
from tests.command import Hashward


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """The command over a home of its own."""
    return Hashward(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one a darker copy of the other, and a text."""
    made = tmp_path / "storage"
    made.mkdir()
    (made / "one.ppm").write_bytes(ppm(picture()))
    (made / "darker.ppm").write_bytes(ppm((picture() * 0.9).astype(np.uint8)))
    (made / "note.txt").write_bytes(b"no picture")
    return made


@pytest.fixture
def listed(folder: Path, tmp_path: Path) -> Path:
    """A list with the SHA-256 of one of the pictures."""
    made = tmp_path / "list.txt"
    made.write_text(f"sha256 {hashlib.sha256((folder / 'one.ppm').read_bytes()).hexdigest()}\n")
    return made
