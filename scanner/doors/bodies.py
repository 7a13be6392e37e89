"""The bytes of one upload while they come: hashed as they pass, in memory up to a bound, then in a file without a name.

Rules
- What a body holds goes with the process, however that ends: memory, or an unnamed file of the spool (O_TMPFILE).
- All bodies together take a bounded amount of memory; past it a body goes to its file at once.
- Hashing and writing of large pieces happens in other threads, one piece of a body at a time: who sends faster waits.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from scanner.hashing.digests import three_digests
from scanner.types import Digests, Source

# A picture of a phone stays in memory; what is longer is worth a file.
BODY_BYTES: Final = 8 * 2**20
ALL_BODIES_BYTES: Final = 256 * 2**20
_PIECE_BYTES: Final = 256 * 1024
# Below this a hand-over to another thread costs more than hashing here.
_SHORT_BYTES: Final = 64 * 1024
# What counts as taken memory may wait for more: a picture of 3 Mpx is handed over once.
_COUNTED_PIECE_BYTES: Final = 2**20
_MOST_AT_ONCE: Final = 1024  # buffers of one write (IOV_MAX, limits.h(0p))


class Memory:
    """How much memory all bodies may still take. Safe to use from several threads."""

    def __init__(self, most_bytes: int = ALL_BODIES_BYTES) -> None:
        self._left = most_bytes
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take some; False where that much is not left."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        """Give some back."""
        with self._lock:
            self._left += count


class Body:
    """One upload's bytes. `close` lets go of everything."""

    def __init__(self, spool: Path, memory: Memory, threads: Executor, body_bytes: int = BODY_BYTES) -> None:
        self._spool = spool
        self._memory = memory
        self._threads = threads
        self._body_bytes = body_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pieces: list[bytes] = []
        self._counted_bytes = 0  # of all bodies' memory
        self._spills = False
        self._fd: int | None = None
        self._written = 0
        self._state = threading.Lock()
        self._absorbing, self._closed = False, threading.Event()
        self._three = three_digests()
        self.digests: Digests | None = None
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OSError where there is no room for them."""
        self._spills = self._spills or not self._count(len(data))
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.size_bytes += len(data)
        if self._pending_bytes >= (_PIECE_BYTES if self._spills else _COUNTED_PIECE_BYTES):
            await self._absorb_elsewhere()

    def _count(self, more: int) -> bool:
        """Whether so much more fits in this body's memory, and in that of all; it then counts as taken."""
        if self._counted_bytes + more > self._body_bytes or not self._memory.take(more):
            return False
        self._counted_bytes += more
        return True

    @property
    def is_short(self) -> bool:
        """Whether what is still to be hashed of it is so little that its digests are made where they are asked for."""
        return self._pending_bytes <= _SHORT_BYTES

    def complete(self) -> Digests:
        """All has come: its digests, which it keeps. Raises OSError where there is no room for its last bytes."""
        self._absorb()
        self.digests = Digests(*self._three.digests(), self.size_bytes)
        return self.digests

    async def _absorb_elsewhere(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._absorb)

    def _absorb(self) -> None:
        """Hash and keep what is pending. A `close` meanwhile comes into force at the end."""
        with self._state:
            if self._closed.is_set():
                return
            self._absorbing = True
        try:
            self._keep()
        finally:
            with self._state:
                self._absorbing = False
                closed = self._closed.is_set()
            if closed:
                self._let_go()

    def _keep(self) -> None:
        pieces = self._pending
        if len(pieces) * _SHORT_BYTES > self._pending_bytes:  # each costs more than to copy it
            pieces = [b"".join(pieces)]
        self._pending, self._pending_bytes = [], 0
        for piece in pieces:
            self._three.update(piece)
        if self._spills:
            self._to_file(pieces)
        else:
            self._pieces += pieces

    def _to_file(self, pieces: list[bytes]) -> None:
        if self._fd is None:
            fd = os.open(self._spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                self._written = _write(fd, self._pieces, 0)
            except OSError:
                os.close(fd)
                raise
            self._fd = fd
            self._let_go_of_memory()
        self._written = _write(self._fd, pieces, self._written)

    def _let_go_of_memory(self) -> None:
        self._pieces = []
        self._memory.give_back(self._counted_bytes)
        self._counted_bytes = 0

    # -- once it is complete -----------------------------------------------------------------------------------------

    @property
    def is_in_memory(self) -> bool:
        """Whether reading it waits for no disk."""
        return self._fd is None

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        if self._fd is not None:
            return os.pread(self._fd, min(count, max(0, self.size_bytes - offset)), offset)
        found = []
        for piece in self._whole():
            if offset < len(piece):
                found.append(piece[offset : offset + count])
                count -= len(found[-1])
                if not count:
                    break
            offset = max(0, offset - len(piece))
        return b"".join(found)

    def source(self) -> Source:
        """What is looked at: this body, or the file it lies in, which stays its own. Raises OSError once closed."""
        self._must_be_open()
        return self if self._fd is None else self._fd

    def write_to(self, fd: int) -> None:
        """See InMemory."""
        pieces = self._whole()
        os.ftruncate(fd, self.size_bytes)
        _write(fd, pieces, 0)

    def unchanged(self) -> bool:
        """Nobody else can write to it."""
        return True

    def name_in(self, folder: Path, name: str) -> None:
        """Give it a name in the spool, synced to the disk, and keep it open. Raises OSError."""
        directory = os.open(folder, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        try:
            fd = self._in_file()
            fcntl.flock(fd, fcntl.LOCK_SH)  # until it closes: no sweep takes the name before it is on record
            os.fsync(fd)
            # With a directory given this is linkat(AT_SYMLINK_FOLLOW), which gives an unnamed file a name (open(2)).
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory, follow_symlinks=True)
            os.fsync(directory)
        finally:
            os.close(directory)

    def _in_file(self) -> int:
        if self._fd is None:
            self._must_be_open()
            self._to_file([])
        assert self._fd is not None
        return self._fd

    def close(self) -> None:
        """Let go of it: nothing of it is left."""
        with self._state:
            self._closed.set()
            if self._absorbing:
                return
        self._let_go()

    def _whole(self) -> list[bytes]:
        """The pieces in memory: all of them, whoever closes it meanwhile."""
        pieces = self._pieces
        self._must_be_open()
        return pieces

    def _must_be_open(self) -> None:
        if self._closed.is_set():
            raise OSError(errno.EBADF, "the body is closed")

    def _let_go(self) -> None:
        self._let_go_of_memory()
        self._pending = []
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _write(fd: int, pieces: list[bytes], at: int) -> int:
    """Write pieces one behind the other; where the last ends. Raises OSError."""
    left = [memoryview(piece) for piece in pieces if piece]
    while left:
        count = os.pwritev(fd, left[:_MOST_AT_ONCE], at)
        at += count
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if count:
            left[0] = left[0][count:]
    return at
