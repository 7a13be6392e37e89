"""One SQLite library per process: that nothing else in this process opens a database of ours.

POSIX locks belong to a process, and all it has on a file fall when it closes any descriptor of that file
(https://sqlite.org/howtocorrupt.html, section 2.2). So a second library in one process, or a program that copies the
file itself, takes SQLite's locks away unseen, and other processes then believe that nobody uses the database.

Rules
- What had the file open before us is found among this process's descriptors, once, before we first open it.
- The standard library's driver announces every connection (the audit event `sqlite3.connect`): where ours is another,
  one to a file we have open is refused. A library that announces nothing and comes second is not seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hashsets.errors import DriverRefused

_MESSAGE = (
    "a second SQLite library, or another open copy of the file, in this process would drop the locks of the first:"
    " close it, or read the database from another process"
)
Claim = tuple[int, int]  # device and inode of a file that is open through the one driver


class SoleDriver:
    """How many connections of ours this process has to which file."""

    def __init__(self) -> None:
        self._open: Counter[Claim] = Counter()
        self._known: dict[Claim, str] = {}  # by which driver
        self._mutex = threading.RLock()  # a collected connection is released wherever its thread stands
        self._listens = False

    def claim(self, path: Path, driver: str) -> Claim:
        """Before a connection to an existing file is opened through `driver`. Raises DriverRefused, OSError."""
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino)
        with self._mutex:
            # Later our own may linger: a closed connection keeps its file until its last cursor is gone.
            if self._known.get(identity) != driver and (self._open[identity] or identity in set(_descriptors())):
                raise DriverRefused(_MESSAGE)
            self._known[identity] = driver
            self._open[identity] += 1
            if not self._listens and driver.partition(".")[0] != "sqlite3":
                sys.addaudithook(self._hear)
                self._listens = True
        return identity

    def release(self, claim: Claim) -> None:
        """After it was closed."""
        with self._mutex:
            self._open[claim] -= 1

    def forget_in_child(self) -> None:
        """After a fork: the parent's connections are not ours, though their descriptors are here."""
        self._mutex = threading.RLock()
        self._open.clear()

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "sqlite3.connect" and arguments and self._is_ours(arguments[0]):
            raise DriverRefused(_MESSAGE)

    def _is_ours(self, database: object) -> bool:
        if not isinstance(database, str | bytes | os.PathLike):
            return False
        name = os.fsdecode(database)
        if name.startswith("file:"):
            name = name.removeprefix("file:").partition("?")[0]
        try:
            status = os.stat(name)
        except (OSError, ValueError):
            return False
        return self._open[status.st_dev, status.st_ino] > 0


def _descriptors() -> Iterator[Claim]:
    """Device and inode of everything this process has open; nothing where the system does not tell."""
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # the listing's own, closed by now
                status = os.fstat(int(number))
                yield status.st_dev, status.st_ino


sole_driver = SoleDriver()
