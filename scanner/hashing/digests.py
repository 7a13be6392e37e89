"""MD5, SHA-1 and SHA-256 of an open file in one read.

Rules
- Reads by pread only, so the descriptor's shared offset is neither relied on nor moved.
- Parses nothing: this runs in the parent process, on bytes a stranger chose.
- Where the processor has SHA instructions the three are made side by side, in the time of MD5 alone; else by hashlib.
- Whoever asks may stop it between blocks: a file of many gigabytes holds nobody up.
- A file that ends before the size it was opened with is a `ShortRead`, never a digest of less.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from scanner.hashing.kernel import native
from scanner.types import Digests, Stop, Stopped, never

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

DIGEST_TYPES = frozenset({"md5", "sha1", "sha256"})

# Of 64 KiB to 4 MiB, buffers that stay inside a core's second-level cache hash fastest: three digests read each block.
CHUNK_BYTES = 256 * 1024


class ShortRead(OSError):
    """The file gave fewer or more bytes than its size when reading began: it changed while it was read."""


class Consumer(Protocol):
    """Something that takes the bytes of a file as they pass, such as another hash."""

    def update(self, block: memoryview, /) -> None:
        """Take the next bytes."""
        ...


def digest_fd(
    fd: int, size_bytes: int | None = None, *, also: tuple[Consumer, ...] = (), stop: Stop = never
) -> Digests:
    """The three digests of the regular file open on `fd`, in one pass with a bounded buffer.

    `size_bytes` is the size the caller saw by fstat (None: asked here). Raises `ShortRead` when the file does not end
    exactly there, Stopped once `stop` is true, and OSError as the storage reports it.
    """
    expected = os.fstat(fd).st_size if size_bytes is None else size_bytes
    three = three_digests()
    seen = _feed(fd, expected, (three, *also), stop)
    if seen != expected:
        raise ShortRead("the file changed size while it was read; look again later")
    md5, sha1, sha256 = three.digests()
    return Digests(md5=md5, sha1=sha1, sha256=sha256, size_bytes=seen)


def digest_blocks(blocks: Iterable[bytes]) -> Digests:
    """The three digests of bytes that come in blocks, such as a member of a container."""
    three, seen = three_digests(), 0
    for block in blocks:
        three.update(block)
        seen += len(block)
    md5, sha1, sha256 = three.digests()
    return Digests(md5=md5, sha1=sha1, sha256=sha256, size_bytes=seen)


class Three(Protocol):
    """MD5, SHA-1 and SHA-256 in the making."""

    def update(self, block: Buffer, /) -> None:
        """Take the next bytes; large blocks without the GIL."""
        ...

    def digests(self) -> tuple[bytes, bytes, bytes]:
        """Of the bytes so far."""
        ...


class ByHashlib:
    """The three by the standard library: what the compiled one equals."""

    def __init__(self) -> None:
        self._hashes = hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False), hashlib.sha256()

    def update(self, block: Buffer, /) -> None:
        """See Three."""
        for each in self._hashes:
            each.update(block)

    def digests(self) -> tuple[bytes, bytes, bytes]:
        """See Three."""
        md5, sha1, sha256 = (each.digest() for each in self._hashes)
        return md5, sha1, sha256


def three_digests() -> Three:
    """The three, by the fastest there is."""
    if native is not None and native.DIGESTS:
        compiled: Three = native.Digests()
        return compiled
    return ByHashlib()


def digests_name() -> str:
    """Which code makes digests, for `status`."""
    return "hashlib" if isinstance(three_digests(), ByHashlib) else "interleaved (SHA extensions)"


def _feed(fd: int, expected: int, consumers: tuple[Consumer, ...], stop: Stop) -> int:
    """Give the bytes of `fd` to every consumer; the number of bytes seen, one beyond `expected` at most."""
    buffer = bytearray(max(1, min(CHUNK_BYTES, expected + 1)))
    view = memoryview(buffer)
    seen = 0
    while seen <= expected:
        if stop():
            raise Stopped
        count = os.preadv(fd, [view], seen)
        if count == 0:
            break
        block = view[:count]
        for consumer in consumers:
            consumer.update(block)
        seen += count
    return seen
