"""The spool: films whose look ran out of time lie here until somebody with time has looked at the rest.

Rules
- A file here has a random name, is ours alone (0600), and is on record in the ledger; one that is not is rubbish of a
  kill between the two, and is swept away. Whoever is at a file holds a lock on it, so that no other takes or sweeps it.
- The record goes before the file. A file that was looked at as often as any content goes, seen whole or not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scanner.doors.bodies import Body
from scanner.errors import IsolationError
from scanner.ledger.ledger import Ledger
from scanner.ledger.uploads import Spooled
from scanner.pipeline import Pipeline
from scanner.types import Stop, Stopped, Trigger, never

_NAME_BYTES: Final = 16
# A look that gets further into a film does not count as fruitless, so a long one may need many.
_MOST_LOOKS: Final = 1000


class Spool:
    """The spool of one home."""

    def __init__(self, folder: Path, ledger: Ledger, most_bytes: int = 0) -> None:
        self._folder = folder
        self._ledger = ledger
        self._most_bytes = most_bytes
        self._keeping = threading.Lock()

    def keep(self, body: Body, content_seq: int) -> bool:
        """Keep a body until its content has been looked at whole; False where there is no room for it."""
        with self._keeping:  # of equal films that come at once one is kept
            return self._keep(body, content_seq)

    def _keep(self, body: Body, content_seq: int) -> bool:
        if self._ledger.uploads.is_spooled(content_seq):
            return True
        if self._ledger.uploads.spooled_bytes() + body.size_bytes > self._most_bytes:
            return False
        name = secrets.token_hex(_NAME_BYTES)
        try:
            body.name_in(self._folder, name)
        except OSError:
            return False
        self._ledger.uploads.spool(name, content_seq, body.size_bytes)
        return True

    def sweep(self) -> int:
        """Take away files that are not on record; how many."""
        swept = 0
        for name in os.listdir(self._folder):
            with self._locked(name) as fd:
                if fd is not None and name not in {each.name for each in self._ledger.uploads.spooled()}:
                    self._erase(name)
                    swept += 1
        return swept

    def look(self, pipeline: Pipeline, stop: Stop = never) -> int:
        """Look at every file to its end, or until `stop`; how many are settled and gone."""
        settled = 0
        for item in self._ledger.uploads.spooled():
            with self._locked(item.name) as fd:
                if fd is None:
                    if not (self._folder / item.name).exists():
                        self._ledger.uploads.unspool(item.name)
                elif self._look_at(item, fd, pipeline, stop):
                    self._ledger.uploads.unspool(item.name)
                    self._erase(item.name)
                    settled += 1
        return settled

    def _look_at(self, item: Spooled, fd: int, pipeline: Pipeline, stop: Stop) -> bool:
        """Whether the content is settled, or never will be."""
        for _ in range(item.looks, _MOST_LOOKS):
            if stop():
                return False
            self._ledger.uploads.spool_looked(item.name)
            try:
                look = pipeline.look(fd, stop=stop)
            except (Stopped, OSError, IsolationError):
                return False
            pipeline.settle([(None, look)], Trigger.UPLOAD)
            if look.fingerprint is None or not self._ledger.uploads.owed(item.content_seq):
                return True
        return True

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[int | None]:
        """A file of the spool, open and ours; None where it is gone or somebody is at it."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        else:
            yield fd
        finally:
            os.close(fd)

    def _erase(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._folder / name)
