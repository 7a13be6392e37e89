"""Digests are of the whole file, read once, without moving anybody's offset."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from scanner.hashing import ShortRead, digest_fd
from scanner.hashing.digests import CHUNK_BYTES
from scanner.types import Stopped


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    return Opener(tmp_path / "content")


class Opener:
    """Writes a content and opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, content: bytes) -> int:
        self.path.write_bytes(content)
        return os.open(self.path, os.O_RDONLY)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17])
def test_digests_equal_the_standard_library(opened: Opener, size: int) -> None:
    """All three digests are right at and around the buffer's size, and the shared offset stays where it was."""
    content = os.urandom(size)
    fd = opened(content)
    os.lseek(fd, min(size, 5), os.SEEK_SET)
    digests = digest_fd(fd)

    assert hashlib.md5(content).digest() == digests.md5
    assert hashlib.sha1(content).digest() == digests.sha1
    assert hashlib.sha256(content).digest() == digests.sha256
    assert size == digests.size_bytes
    assert min(size, 5) == os.lseek(fd, 0, os.SEEK_CUR)
    os.close(fd)


@pytest.mark.parametrize("change", [-1, 1, CHUNK_BYTES])
def test_a_file_of_another_size_is_a_short_read(opened: Opener, change: int) -> None:
    """A file that shrank or grew since its size was taken gives no digest."""
    fd = opened(b"x" * 2 * CHUNK_BYTES)
    with pytest.raises(ShortRead):
        digest_fd(fd, 2 * CHUNK_BYTES - change)
    os.close(fd)


def test_a_growing_file_does_not_run_on(opened: Opener) -> None:
    """However long a file became, reading stops just after the expected end."""
    fd = opened(b"")
    os.truncate(opened.path, 1 << 40)
    with pytest.raises(ShortRead):
        digest_fd(fd, 10)
    os.close(fd)


def test_storage_errors_come_through(tmp_path: Path) -> None:
    """What the storage reports is raised as it is."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(OSError) as raised:
        digest_fd(fd, 10)
    os.close(fd)

    assert errno.EISDIR == raised.value.errno


def test_another_consumer_sees_the_same_bytes(opened: Opener) -> None:
    """A further hash can ride on the one read."""
    content = os.urandom(CHUNK_BYTES + 3)
    fd = opened(content)
    other = hashlib.blake2b()
    digest_fd(fd, also=(other,))
    os.close(fd)

    assert hashlib.blake2b(content).digest() == other.digest()


def test_whoever_asks_can_stop_it(opened: Opener) -> None:
    """A terabyte is left within a block of being told so, and no digest of less is given."""
    fd = opened(b"")
    os.truncate(opened.path, 1 << 40)
    asked = iter([False] * 3)
    with pytest.raises(Stopped):
        digest_fd(fd, stop=lambda: next(asked, True))
    os.close(fd)

    assert [] == list(asked)
