"""Files that only we may read, and the locks between the threads and processes that share a home.

Knows no SQL. Every descriptor is closed on exec, and let go of after a fork: no child keeps a dead parent's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hashsets.errors import DriverRefused, StoreError

# Writers hold the lock for milliseconds, a refresh's largest page for seconds. A minute means something is stuck.
WRITER_WAIT_S = 60.0
_CANNOT_OPEN = "a file in the home directory cannot be opened: check owner, mode and free space"


class WriterLock:
    """One flock per database file, fair between processes, and a lock between the threads of this one.

    Two files make it fair: whoever waits holds the turnstile, which a writer that has just released must pass again.
    """

    def __init__(self, path: Path) -> None:
        self._threads = threading.RLock()
        self._turn = open_private(path.with_name(path.name + "-turn"))
        self._lock = open_private(path.with_name(path.name + "-lock"))

    @contextlib.contextmanager
    def held(self, wait_s: float = WRITER_WAIT_S) -> Iterator[None]:
        """Hold the lock; StoreError after `wait_s` seconds of waiting."""
        deadline = time.monotonic() + wait_s
        if not self._threads.acquire(timeout=max(wait_s, 0)):
            raise StoreError("another thread has held the database for too long; try again")
        try:
            _flock(self._turn, deadline)
            try:
                _flock(self._lock, deadline)
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Close both files."""
        os.close(self._turn)
        os.close(self._lock)


def _flock(descriptor: int, deadline: float) -> None:
    pause_s = 0.0002
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError("another hashward process has held the database for too long; try again") from None
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.005)


def open_private(path: Path) -> int:
    """Open or create a file of mode 0600 whatever the umask; the descriptor is closed on exec."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(_CANNOT_OPEN) from error
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
        with contextlib.suppress(OSError):  # not ours to change: the directory's 0700 still shields it
            os.fchmod(descriptor, 0o600)
    return descriptor


def make_private_file(path: Path) -> None:
    """Create a file of mode 0600, or tighten the one that is there without opening it; a link is refused.

    To open and close a database's file would drop the locks that SQLite has on it elsewhere in this process.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(_CANNOT_OPEN) from error
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise StoreError(_CANNOT_OPEN)
    if stat.S_IMODE(mode) != 0o600:
        with contextlib.suppress(OSError):  # not ours to change: the directory's 0700 still shields it
            path.chmod(0o600)


def make_private_directory(path: Path) -> None:
    """Create `path` with mode 0700, or tighten it where it is ours and empty or already a home; refuse any other."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077 == 0:
            return
        names = set(os.listdir(path))
        if status.st_uid == os.geteuid() and (not names or names & {"hashsets.db", "ledger.db"}):
            path.chmod(0o700)
            return
    except OSError as error:
        raise StoreError("the home directory cannot be used: check that it is a directory of yours") from error
    raise StoreError("the home directory is open to others and holds other files: name one of its own (mode 0700)")


class HomeGuard:
    """Keeps a process whose SQLite is not safe for sharing alone in its home; one guard per home and process."""

    _held: ClassVar[dict[tuple[int, int], tuple[int, int]]] = {}  # (device, inode) -> (descriptor, holders)
    _mutex = threading.Lock()

    def __init__(self, home: Path, *, alone: bool, refusal: str) -> None:
        """Raises DriverRefused with `refusal` when another process is in the home and either must be alone."""
        descriptor = open_private(home / "process.lock")
        status = os.fstat(descriptor)
        self._key = (status.st_dev, status.st_ino)
        with self._mutex:
            if self._key in self._held:
                os.close(descriptor)
                descriptor, holders = self._held[self._key]
                self._held[self._key] = (descriptor, holders + 1)
                return
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise DriverRefused(refusal) from None
            self._held[self._key] = (descriptor, 1)

    def release(self) -> None:
        """Let go; the last holder of the process lets go of the home."""
        with self._mutex:
            descriptor, holders = self._held[self._key]
            if holders > 1:
                self._held[self._key] = (descriptor, holders - 1)
            else:
                del self._held[self._key]
                os.close(descriptor)

    @classmethod
    def forget_in_child(cls) -> None:
        """After a fork: let go of inherited descriptors, so that a child cannot keep a dead parent's lock."""
        for descriptor, _ in cls._held.values():
            os.close(descriptor)
        cls._held.clear()
        cls._mutex = threading.Lock()
