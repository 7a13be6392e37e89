"""What follows an answer: accepted uploads are compared, spooled films looked at to their end. Two threads of `serve`.

Rules
- Accepted uploads are compared at times of their own, not when they come: what an uploader can time says nothing of it.
- All of it stands in the ledger: whoever starts next, here or in `watch`, goes on where a kill left it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from hashsets.errors import HashsetsError
from scanner.clock import Clock, utc_day
from scanner.doors.recording import GROUP
from scanner.doors.spooling import Spool
from scanner.errors import ScannerError
from scanner.ledger.ledger import Ledger
from scanner.ledger.outbox import Occasion
from scanner.pipeline import Look, Pipeline
from scanner.types import Trigger

TICK_S: Final = 0.5
PAUSE_S: Final = 10.0  # after a failure, which says so elsewhere: the door is not ready


def compare_accepted(pipeline: Pipeline, ledger: Ledger, clock: Clock) -> int:
    """Compare every accepted upload with the sets, and tell what follows; how many."""
    compared = 0
    while items := ledger.uploads.accepted(GROUP):
        contents = {item.digests.sha256: item.digests for item in items}
        pipeline.settle([(None, Look(digests, None)) for digests in contents.values()], Trigger.UPLOAD)
        ledger.uploads.tell([item.id for item in items], Occasion(Trigger.UPLOAD, utc_day(clock)))
        compared += len(items)
    return compared


class CatchingUp:
    """Both threads, from `start` to `close`."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger, clock: Clock, spool: Spool) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._clock = clock
        self._spool = spool
        self._stopping = threading.Event()
        self._accepted, self._spooled = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(self._accepted, self._compare), name="accepted", daemon=True),
            threading.Thread(target=self._keep, args=(self._spooled, self._look), name="spool", daemon=True),
        ]

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        self._accepted.set()
        self._spooled.set()
        for thread in self._threads:
            thread.start()

    def accepted(self) -> None:
        """Something was accepted."""
        self._accepted.set()

    def spooled(self) -> None:
        """Something was spooled."""
        self._spooled.set()

    def close(self) -> None:
        """End soon; what is left is for the next start."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _compare(self) -> None:
        compare_accepted(self._pipeline, self._ledger, self._clock)

    def _look(self) -> None:
        self._spool.sweep()
        self._spool.look(self._pipeline, self._stopping.is_set)

    def _keep(self, asked: threading.Event, work: Callable[[], None]) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = TICK_S
            if asked.is_set():
                asked.clear()
                try:
                    work()
                except (HashsetsError, ScannerError, OSError):
                    asked.set()
                    wait_s = PAUSE_S
