"""A prepared home, a receiver of reports, and trials that start from the one and end at the other."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


KEPT = ("home", "out")  # what is copied and restored; the tree is changed in place


@dataclass(frozen=True)
class Stage:
    """Where work that nobody disturbs stands before one of its steps."""

    folder: Path
    requests: list[tuple[str, bytes]] = field(default_factory=list)


class Trials:
    """Trials on copies of one prepared home, compared with work that nobody disturbed.

    What comes before the step that a trial disturbs is the same each time, so it is done once, and copied.
    """

    def __init__(self, folder: Path) -> None:
        self._nursery = Nursery()
        self.receiver = Receiver()
        self.base = folder / "trial"
        self._stages = [Stage(folder / "stage-0")]
        self._counted: dict[tuple[str, ...], list[Counter[str]]] = {}
        work.prepare(self._stages[0].folder, self.receiver.url)
        self.base.mkdir()
        (self._stages[0].folder / "media").rename(self.base / "media")
        self.counts()
        self.expected = work.end(self.base)

    def fresh(self, step: int = 0) -> None:
        """Go back to where undisturbed work stands before a step."""
        for name in KEPT:
            shutil.rmtree(self.base / name, ignore_errors=True)
        shutil.copytree(self._stages[step].folder, self.base, dirs_exist_ok=True)
        (work.change_tree if work.change_tree in work.STEPS[:step] else work.restore_tree)(self.base)
        self.receiver.requests[:] = self._stages[step].requests

    def counts(self, below: Sequence[str] = ()) -> list[Counter[str]]:
        """How many operations of each kind each step of undisturbed work takes below some folders of the base."""
        if tuple(below) not in self._counted:
            self._counted[tuple(below)] = [self._counted_step(step, below) for step in range(len(work.STEPS))]
        return self._counted[tuple(below)]

    def _counted_step(self, step: int, below: Sequence[str]) -> Counter[str]:
        self.fresh(step)
        ending = self.run(Plan(), first=step, last=step + 1, below=below)
        assert (step + 1, "") == (ending.steps, ending.error)
        if len(self._stages) == step + 1 < len(work.STEPS):
            self._stages.append(Stage(self._stages[0].folder.with_name(f"stage-{step + 1}"), [*self.receiver.requests]))
            shutil.copytree(self.base, self._stages[-1].folder, ignore=shutil.ignore_patterns("media"))
        return Counter(ending.counted)

    def count(self, kind: str, below: Sequence[str] = ()) -> int:
        """How many operations of a kind the undisturbed work takes."""
        return sum(step[kind] for step in self.counts(below))

    def step_of(self, kind: str, number: int, below: Sequence[str] = ()) -> tuple[int, int]:
        """Of the number-th operation of a kind: the step it falls into, and its number within that."""
        for step, counted in enumerate(self.counts(below)):
            if number <= counted[kind]:
                return step, number
            number -= counted[kind]
        raise AssertionError("the work does not take as many")

    def run(self, plan: Plan | None = None, *, below: Sequence[str] = (), **more: Any) -> Ending:
        """One run of the steps from `first` to before `last`, of all unless said."""
        return self._nursery.trial(self.base, plan=plan, below=[self.base / name for name in below], **more)

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
