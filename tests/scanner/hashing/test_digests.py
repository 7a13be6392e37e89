"""Digests are of the whole file, read once, without moving anybody's offset."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner.hashing import ShortRead, digest_fd, kernel
from scanner.hashing.digests import CHUNK_BYTES, ByHashlib, Three, three_digests
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


@pytest.mark.parametrize("make", [three_digests, ByHashlib])
def test_both_makers_equal_the_standard_library_however_the_bytes_come(make: Callable[[], Three]) -> None:
    """Every length round a block's, every way to cut it: and the digests so far do not end it."""
    draw = random.Random(5)
    for size in [*range(200), 4095, 4096, 4097, 70_000]:
        content = draw.randbytes(size)
        three, at = make(), 0
        while at < size:
            count = draw.choice((1, 3, 63, 64, 65, 128, 5000))
            three.update(memoryview(content)[at : at + count])
            at += count
        expected = hashlib.md5(content).digest(), hashlib.sha1(content).digest(), hashlib.sha256(content).digest()

        assert expected == three.digests() == three.digests()
        three.update(b"more")
        assert hashlib.sha256(content + b"more").digest() == three.digests()[2]


def test_more_bytes_than_32_bits_count(opened: Opener) -> None:
    """The length that ends a digest is in bits: 512 MiB are 2**32 of them."""
    fd = opened(b"")
    os.truncate(opened.path, (1 << 29) + 1)
    expected = hashlib.md5(usedforsecurity=False)
    block = bytes(1 << 20)
    for _ in range(512):
        expected.update(block)
    expected.update(b"\0")
    digests = digest_fd(fd)
    os.close(fd)

    assert expected.digest() == digests.md5


@pytest.mark.skipif(
    kernel.native is None or not kernel.native.DIGESTS, reason="needs a processor with SHA instructions"
)
def test_one_thread_at_a_time_is_at_a_digest() -> None:
    """Bytes of two threads are never mixed: the second is told so."""
    three = three_digests()
    assert not isinstance(three, ByHashlib)
    block = bytes(1 << 26)
    told = []

    def update() -> None:
        try:
            three.update(block)
        except RuntimeError:
            told.append(True)

    threads = [threading.Thread(target=update) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert hashlib.sha1(block * (2 - len(told))).digest() == three.digests()[1]
