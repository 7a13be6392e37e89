"""A prepared home, a receiver of reports, and trials that start from the one and end at the other."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.durability import syscalls, work
from tests.durability.nursery import Ending, Nursery
from tests.durability.syscalls import Plan


class Receiver:
    """Takes batches on loopback, remembering every request; events are what is left after repeated ids are dropped."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                announced = int(self.headers["Content-Length"])
                body = self.rfile.read(announced)
                if len(body) < announced:  # the sender died
                    return
                receiver.requests.append((self.headers["Idempotency-Key"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def events(self) -> dict[str, dict[str, Any]]:
        """Every event by its id; a batch sent again must be byte for byte what it was."""
        bodies: dict[str, bytes] = {}
        found: dict[str, dict[str, Any]] = {}
        for key, body in self.requests:
            assert bodies.setdefault(key, body) == body
            for event in json.loads(body):
                assert found.setdefault(event["id"], event) == event
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Trials:
    """Trials on copies of one prepared home, compared with work that nobody disturbed."""

    def __init__(self, folder: Path) -> None:
        self._nursery = Nursery()
        self.receiver = Receiver()
        self._prepared = folder / "prepared"
        self.base = folder / "trial"
        work.prepare(self._prepared, self.receiver.url)
        self.fresh()
        self.undisturbed = self.run(Plan())
        assert (len(work.STEPS), "") == (self.undisturbed.steps, self.undisturbed.error)
        self.expected = work.end(self.base)

    def fresh(self) -> None:
        """Go back to the prepared state."""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self._prepared, self.base)
        self.receiver.requests.clear()

    def count(self, kind: str) -> int:
        """How many operations of a kind the undisturbed work takes."""
        return (self.undisturbed.counted or {})[kind]

    def run(self, plan: Plan | None = None, **more: Any) -> Ending:
        """One run of all steps."""
        return self._nursery.trial(self.base, plan=plan, **more)

    def recover(self, ending: Ending) -> None:
        """Nothing is wrong as it stands; going on from there leads to the same end, with one report per match."""
        assert work.faults(self.base) == []
        again = self._nursery.trial(self.base, ending.steps)
        assert (len(work.STEPS), "") == (again.steps, again.error)
        work.deliver(self.base)
        assert work.faults(self.base) == []
        assert self.expected == work.end(self.base)
        assert {event["id"]: event for event in work.left(self.base)} == self.receiver.events()

    def close(self) -> None:
        """End the nursery and the receiver."""
        self._nursery.close()
        self.receiver.close()


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    """One prepared home for the trials of a module. In memory where that can be: the same calls, twice as fast."""
    if not syscalls.supported():
        pytest.skip("this kernel, architecture or container does not hand system calls to a supervisor")
    with tempfile.TemporaryDirectory(
        prefix="durability-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    ) as folder:
        trials = Trials(Path(folder))
        yield trials
        trials.close()
