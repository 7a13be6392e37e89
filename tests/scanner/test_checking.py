"""`Scanner.check` and `check_async`: whatever a program holds an upload in, its bytes are what is looked at."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.types import Role
from scanner import Scanner
from scanner.config import Config, Home, ScanConfig
from scanner.errors import UsageError
from scanner.types import Extent
from tests.scanner.fakes import FakeFingerprinter, MovableClock, fake_media, sha256

LISTED = fake_media(comment="listed")
OTHER = fake_media(comment="other")


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[Scanner]:
    """A scanner with one listed content, and a stand-in for what decodes media."""
    with Scanner(Home(tmp_path / "home"), Config(scan=ScanConfig(workers=1)), MovableClock()) as made:
        made.__dict__["pool"] = FakeFingerprinter()
        file = tmp_path / "set.list"
        file.write_text(f"sha256 {sha256(LISTED).hex()}\n")
        import_list(made.store, "set", FileSource(file, complete=True), day="2026-01-31", role=Role.ALERT)
        yield made
        made.__dict__.pop("pool")


def _written(content: bytes, _folder: Path) -> IO[bytes]:
    made = tempfile.TemporaryFile()  # noqa: SIM115 - the test closes it
    made.write(content)
    return cast("IO[bytes]", made)


def _spooled(content: bytes, _folder: Path) -> IO[bytes]:
    made = tempfile.SpooledTemporaryFile(max_size=2**20)  # noqa: SIM115 - the test closes it
    made.write(content)
    return cast("IO[bytes]", made)


def _in_memory(content: bytes, _folder: Path) -> IO[bytes]:
    made = io.BytesIO(content)
    made.seek(0, os.SEEK_END)
    return made


def _half_read(content: bytes, folder: Path) -> IO[bytes]:
    (folder / "plain").write_bytes(content)
    made = (folder / "plain").open("rb")
    made.read(4)
    return made


def _packed(content: bytes, folder: Path) -> IO[bytes]:
    (folder / "packed").write_bytes(gzip.compress(content))
    made = gzip.open(folder / "packed")  # noqa: SIM115 - the test closes it
    made.read()
    return cast("IO[bytes]", made)


FILES: list[Callable[[bytes, Path], IO[bytes]]] = [_written, _spooled, _in_memory, _half_read, _packed]


@pytest.mark.parametrize("made", FILES, ids=lambda made: made.__name__)
def test_a_file_is_looked_at_whole_wherever_it_stands(
    made: Callable[[bytes, Path], IO[bytes]], scanner: Scanner, tmp_path: Path
) -> None:
    """One just written or read stands behind its last byte: it is no empty upload, and stays where it was."""
    with made(LISTED, tmp_path) as file:
        stood = file.tell()

        assert 1 == len(scanner.check(file).matches)
        assert stood == file.tell()


def test_a_stream_is_read_to_its_end(scanner: Scanner) -> None:
    """What cannot be wound back is taken from where it stands."""
    reading, writing = os.pipe()
    os.write(writing, LISTED)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert 1 == len(scanner.check(stream).matches)


def test_bytes_and_paths(scanner: Scanner, tmp_path: Path) -> None:
    """Bytes in any form are the content, text and path-like objects name the file that holds it."""
    path = tmp_path / "file"
    path.write_bytes(LISTED)
    for content in (LISTED, bytearray(LISTED), memoryview(LISTED), str(path), path):
        outcome = scanner.check(content)

        assert (1, Extent.WHOLE, False) == (len(outcome.matches), outcome.looked.extent, outcome.clear)
    assert scanner.check(OTHER).clear


def test_a_ref_finds_it_again(scanner: Scanner) -> None:
    """What was checked under a ref is an upload as any other, until it is forgotten."""
    scanner.check(LISTED, ref=b"upload-17")

    assert scanner.forget_upload(b"upload-17")
    assert not scanner.forget_upload(b"upload-17")


def test_what_is_no_content_is_refused(scanner: Scanner, tmp_path: Path) -> None:
    """A folder, a link, a file of text and a number are said to be none; nothing is called clear."""
    (tmp_path / "link").symlink_to(tmp_path / "set.list")
    with (tmp_path / "set.list").open() as text:
        for wrong in (cast("Any", text), cast("Any", 12), cast("Any", None), tmp_path):
            with pytest.raises(UsageError):
                scanner.check(wrong)
    with pytest.raises(OSError, match="symbolic links"):
        scanner.check(tmp_path / "link")


def test_asyncio_goes_on_meanwhile(scanner: Scanner) -> None:
    """Several uploads at a time get each their own outcome, while the loop does other things."""

    async def main() -> list[int]:
        turns = 0

        async def turning() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turning())
        outcomes = await asyncio.gather(
            *(scanner.check_async(each, ref=str(number).encode()) for number, each in enumerate((LISTED, OTHER) * 4))
        )
        other.cancel()
        assert turns > 1
        return [len(each.matches) for each in outcomes]

    assert [1, 0] * 4 == asyncio.run(main())
