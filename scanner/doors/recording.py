"""The recorder: one thread that commits what was looked at, several uploads in one transaction.

Rules
- Uploads that come while a commit is under way are in the next one: nobody waits for company.
- Whoever handed something in hears of it only once it is committed.
- What cannot be committed fails alone: a group that does is tried one by one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from hashsets.errors import HashsetsError
from scanner.errors import LedgerError, ScannerError
from scanner.ledger import Place
from scanner.ledger.assets import UPLOADS, upload_key
from scanner.ledger.ledger import Ledger
from scanner.ledger.uploads import Arrival
from scanner.pipeline import Look, Pipeline
from scanner.types import Outcome, Trigger

GROUP: Final = 64  # uploads a transaction, as a walk takes files
PROBE_S: Final = 1.0  # how often a ledger that refused is asked again


@dataclass(slots=True)
class _Item:
    ref: bytes | None
    look: Look
    compare: bool
    done: Future[Outcome | None] = field(default_factory=Future)


class Recorder:
    """Commits in a thread of its own from `start` to `close`. `works` tells whether the last commit could be made."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger, accepted: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._accepted_some = accepted
        self._lock = threading.Lock()
        self._closed = False
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.works = True

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Commit what was handed in, and end."""
        with self._lock:
            self._closed = True
            self._items.put(None)
        self._thread.join()

    def record(self, ref: bytes | None, look: Look, *, compare: bool) -> Future[Outcome | None]:
        """Commit a look under a ref; with `compare` compared with every set, else accepted before that.

        The answer is None where the content went away meanwhile, and HashsetsError or ScannerError where it cannot be
        committed.
        """
        item = _Item(ref, look, compare)
        with self._lock:
            if self._closed:
                item.done.set_exception(LedgerError("the recorder has ended"))
            else:
                self._items.put(item)
        return item.done

    def _run(self) -> None:
        with contextlib.suppress(HashsetsError):  # what cannot be opened cannot be committed to either: that is told
            self._ledger.db.stay_writable()
        ended = False
        while not ended:
            group, ended = self._next()
            for compare in (True, False):
                alike = [item for item in group if item.compare is compare]
                if alike:
                    self._commit(alike)
            if not self.works:
                self._probe()

    def _next(self) -> tuple[list[_Item], bool]:
        """What is waiting, and whether that is the end. Waits for the first, or until a refusal is looked into."""
        group: list[_Item] = []
        try:
            item = self._items.get(timeout=None if self.works else PROBE_S)
            while True:
                if item is None:
                    return group, True
                group.append(item)
                if len(group) == GROUP:
                    return group, False
                item = self._items.get_nowait()
        except queue.Empty:
            return group, False

    def _commit(self, group: Sequence[_Item]) -> None:
        try:
            outcomes = self._compared(group) if group[0].compare else self._accepted(group)
        except (HashsetsError, ScannerError, OSError) as error:
            if len(group) > 1:
                for item in group:
                    self._commit([item])
                return
            self.works = False
            group[0].done.set_exception(LedgerError("it cannot be committed") if isinstance(error, OSError) else error)
            return
        self.works = True
        if not group[0].compare:
            self._accepted_some()
        for item, outcome in zip(group, outcomes, strict=True):
            item.done.set_result(outcome)

    def _compared(self, group: Sequence[_Item]) -> list[Outcome | None]:
        looks = [(Place(UPLOADS, upload_key(item.ref, item.look.digests.sha256)), item.look) for item in group]
        return [recorded.outcome for recorded in self._pipeline.settle(looks, Trigger.UPLOAD)]

    def _accepted(self, group: Sequence[_Item]) -> list[Outcome | None]:
        looks = [(item.ref, item.look) for item in group]
        arrivals = [Arrival(ref, look.digests, look.fingerprint, look.region, look.shared) for ref, look in looks]
        outcomes = self._ledger.uploads.accept(arrivals, self._pipeline.today())
        self._pipeline.recorded(item.look for item in group)
        return list(outcomes)

    def _probe(self) -> None:
        try:
            with self._ledger.db.write():
                pass
        except (HashsetsError, OSError):
            return
        self.works = True
