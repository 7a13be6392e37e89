"""Files that only we may read, and the locks between the threads and processes that share a home.

Knows no SQL. Every descriptor is closed on exec, and let go of after a fork: no child keeps a dead parent's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from hashsets.errors import DriverRefused, StoreError

# Writers hold the lock for milliseconds, a refresh's largest page for seconds. A minute means something is stuck.
WRITER_WAIT_S = 60.0
_CANNOT_OPEN = "a file in the home directory cannot be opened: check owner, mode and free space"
_NO_LOCKS = "the file system of the home directory offers no locks: use a local disk"
_LOCK = struct.Struct("hhqqi4x")  # struct flock (fcntl(2)): type, whence, first byte, length, process


class WriterLock:
    """One flock per database file, had in the order of asking: between processes, and between threads of one.

    Whoever waits is in a line: the next in it alone tries for the lock, and whoever has let go of it comes last again.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._threads = _ThreadLine()
        self._line = open_private(path.with_name(path.name + "-turn"))
        self._lock = open_private(path.with_name(path.name + "-lock"))

    @contextlib.contextmanager
    def held(self, wait_s: float = WRITER_WAIT_S) -> Iterator[None]:
        """Hold the lock; StoreError once `wait_s` seconds have passed in which nobody ahead in the line moved on.

        So a long line on a slow machine is waited for, and one that is stuck is not.
        """
        if not self._threads.enter(wait_s):
            raise StoreError("another thread has held the database for too long; try again")
        try:
            with _line(self._line, _Patience(wait_s, self._clock, self._threads.moved)) as patience:
                _flock(self._lock, patience)
            self._threads.moved()
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        finally:
            self._threads.leave()

    def close(self) -> None:
        """Close both files."""
        os.close(self._line)
        os.close(self._lock)


class _ThreadLine:
    """Lets one thread through at a time, first come, first served; a lock of `threading` is had by who is quickest."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False
        self._moves = 0

    def enter(self, wait_s: float) -> bool:
        """Wait for this thread's turn; False after `wait_s` seconds, or up to twice as long, without a move."""
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
            seen = self._moves
        try:
            while not turn.acquire(timeout=wait_s):
                if seen == self._moves:
                    return self._came_late(turn)
                seen = self._moves
        except BaseException:
            if self._came_late(turn):
                self.leave()
            raise
        return True

    def _came_late(self, turn: threading.Lock) -> bool:
        """Give up waiting; whether it was this one's turn in the same instant."""
        with self._mutex:
            if turn not in self._waiting:
                return True
            self._waiting.remove(turn)
            return False

    def moved(self) -> None:
        """Whoever waits behind may go on waiting: the one in front got somewhere."""
        self._moves += 1

    def leave(self) -> None:
        """Let the next through."""
        with self._mutex:
            self._moves += 1
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class _Patience:
    """How long is still waited, beginning anew with every move of those ahead."""

    def __init__(self, wait_s: float, clock: Callable[[], float], moved: Callable[[], None]) -> None:
        self._wait_s = wait_s
        self._clock = clock
        self._moved = moved
        self.move()

    def move(self) -> None:
        """Somebody ahead moved on."""
        self._pause_s = 0.0002
        self._deadline = self._clock() + self._wait_s
        self._moved()

    def pause(self) -> None:
        """Wait a little, longer each time up to 5 ms; StoreError at the end of patience."""
        if self._clock() >= self._deadline:
            raise StoreError("another hashward process has held the database for too long; try again")
        time.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, 0.005)


@contextlib.contextmanager
def _line(descriptor: int, patience: _Patience) -> Iterator[_Patience]:
    """Stand in line while inside, having waited to be its first.

    A place is one byte locked beyond all that are; the kernel frees it when its holder dies. Who comes later gets a
    later one. Locks of the open file, not of the process: two databases of one process are two in the line.
    """
    place = _last(descriptor) + 1
    while not _take(descriptor, place):  # another came at the same instant
        place = _last(descriptor) + 1
    try:
        seen = None
        while (first := _first(descriptor, place)) is not None:
            if first != seen:
                seen = first
                patience.move()
            patience.pause()
        patience.move()
        yield patience
    finally:
        _ofd(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place, 1)


def _last(descriptor: int) -> int:
    """The last place taken; -1 when none is."""
    last = -1
    while (taken := _taken(descriptor, last + 1, 0)) is not None:  # of several the kernel names any
        last = taken
    return last


def _first(descriptor: int, place: int) -> int | None:
    """The first place taken before this one."""
    first = None
    while place and (taken := _taken(descriptor, 0, place)) is not None:
        first = place = taken
    return first


def _taken(descriptor: int, start: int, length: int) -> int | None:
    """A place that another has in this range; length 0 is without end."""
    kind, _, taken, _, _ = _LOCK.unpack(_ofd(descriptor, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, start, length))
    return None if kind == fcntl.F_UNLCK else taken


def _take(descriptor: int, place: int) -> bool:
    try:
        _ofd(descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, place, 1)
    except BlockingIOError:
        return False
    return True


def _ofd(descriptor: int, command: int, kind: int, start: int, length: int) -> bytes:
    try:
        return fcntl.fcntl(descriptor, command, _LOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except BlockingIOError:
        raise
    except OSError as error:
        raise StoreError(_NO_LOCKS) from error


def _flock(descriptor: int, patience: _Patience) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            patience.pause()
        except OSError as error:
            raise StoreError(_NO_LOCKS) from error


def be_present(path: Path, *, alone: bool = False) -> int | None:
    """Have it known by a lock on this file, until the descriptor returned is closed, that somebody is at work here.

    None where another is and either must be `alone`. Raises StoreError on a disk that knows no locks.
    """
    descriptor = open_private(path)
    try:
        _ofd(descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK if alone else fcntl.F_RDLCK, 0, 0)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_present(path: Path) -> bool:
    """Whether somebody is, as far as the disk knows locks. Takes none: who asks is in nobody's way."""
    if not path.exists():
        return False
    descriptor = open_private(path)
    try:
        return _taken(descriptor, 0, 0) is not None
    except StoreError:
        return False
    finally:
        os.close(descriptor)


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
