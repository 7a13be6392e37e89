"""A segment's file is whole and ours, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hashsets import hashtypes
from hashsets.errors import SegmentRefused
from hashsets.matching import container
from hashsets.matching.container import PAGE, Contents

PDQ = hashtypes.get("pdq")
STAMP = b"made from this"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two arrays."""
    arrays = {"some": np.arange(5000, dtype=np.uint32), "none": np.empty(0, np.uint8)}
    container.write(tmp_path / "a.segment", Contents("segment", PDQ, STAMP, {"rows": 5000}, arrays))
    return tmp_path / "a.segment"


def test_what_was_written_is_read(path: Path) -> None:
    """Numbers and arrays come back; arrays are mapped, on pages, and cannot be written to."""
    contents = container.read(path, "segment", PDQ, STAMP)

    assert contents.numbers == {"rows": 5000}
    assert contents.arrays["some"].tolist() == list(range(5000))
    assert contents.arrays["none"].size == 0
    assert contents.arrays["some"].ctypes.data % PAGE == 0
    assert not contents.arrays["some"].flags.writeable
    container.verify(path)


def test_a_file_is_only_ours_to_read(path: Path) -> None:
    """Mode 0600, and nothing half written is left beside it."""
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["a.segment"]


@pytest.mark.parametrize(
    ("kind", "hash_type", "stamp"),
    [
        ("withdrawn", "pdq", STAMP),
        ("segment", "sha256", STAMP),
        ("segment", "phash", STAMP),
        ("segment", "pdq", b"else"),
    ],
)
def test_a_foreign_or_stale_file_is_refused(path: Path, kind: str, hash_type: str, stamp: bytes) -> None:
    """Another kind, type or stamp is refused."""
    with pytest.raises(SegmentRefused):
        container.read(path, kind, hashtypes.get(hash_type), stamp)


def test_another_revision_of_the_type_is_refused(path: Path) -> None:
    """Values of an older way of computing a type are never compared with the newer."""
    with pytest.raises(SegmentRefused):
        container.read(path, "segment", hashtypes.HashType("pdq", 256, "hamming", revision=2), STAMP)


@pytest.mark.parametrize("length", [0, 100, PAGE - 1, PAGE, PAGE + 10, 20_000])
def test_a_torn_file_is_refused(path: Path, length: int) -> None:
    """A file cut short anywhere is refused at opening."""
    os.truncate(path, length)

    with pytest.raises(SegmentRefused):
        container.read(path, "segment", PDQ, STAMP)


@pytest.mark.parametrize("at", [0, 9, 41, 60, 300, PAGE - 1])
def test_a_damaged_header_is_refused(path: Path, at: int) -> None:
    """Any changed byte of the header is seen at opening."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)

    with pytest.raises(SegmentRefused):
        container.read(path, "segment", PDQ, STAMP)


def test_a_damaged_payload_is_seen_by_verify(path: Path) -> None:
    """A changed bit in an array does not hinder opening; verify finds it."""
    raw = bytearray(path.read_bytes())
    raw[PAGE + 77] ^= 4
    path.write_bytes(raw)
    container.read(path, "segment", PDQ, STAMP)

    with pytest.raises(SegmentRefused):
        container.verify(path)


def test_links_pipes_folders_and_absence_are_refused(path: Path, tmp_path: Path) -> None:
    """Only a regular file in its place is opened; a pipe does not make us wait."""
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "absent"):
        with pytest.raises(SegmentRefused):
            container.read(tmp_path / name, "segment", PDQ, STAMP)


def test_a_failed_writing_leaves_the_old_file(path: Path) -> None:
    """An array that cannot be written leaves no trace; what stood there stands."""
    before = path.read_bytes()
    with pytest.raises(TypeError):
        container.write(path, Contents("segment", PDQ, STAMP, {}, {"bad": None}))  # type: ignore[dict-item]

    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_partials_are_discarded(path: Path) -> None:
    """What a crash left half written goes; whole files stay."""
    (path.parent / ".partial-abc").write_bytes(b"half")
    container.discard_partials(path.parent)

    assert [entry.name for entry in path.parent.iterdir()] == ["a.segment"]
