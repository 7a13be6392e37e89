"""The daemon's loop: every duty in a thread of its own, at its own times, until told to stop.

Knows when duties are due and how they stand, not what they do. What runs here may be killed at any instant: duties
keep their own state in the ledger, and the standing kept here is for people alone.

Rules
- A duty that fails is tried again after a growing pause; it never ends the daemon, nor keeps another duty waiting.
- A duty calls `checkpoint` between pieces of work; once the daemon is to stop, that raises `Stopped`.
- What is said of a failure is our own sentence or the name of a fault: never a path, a name or a value.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from hashsets.errors import HashsetsError
from scanner.clock import Clock
from scanner.errors import ScannerError

TICK_S = 1.0  # how soon a duty that has become due begins, and how soon a stop is heard between pieces of work
FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 900.0  # after a failure, doubled with each that follows
STOP_WITHIN_S = 20.0  # systemd kills after 90 s: what is in hand may take some seconds to come to a checkpoint


class Stopped(BaseException):
    """The daemon is to end. Not an Exception: no duty takes it for a failure of a piece of its work."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done again and again.

    `due_in_s` tells in how many seconds it is due (0 or less: now). `work` does it once and says what came of it, or
    None where that is not worth a line in the log; it calls its argument between pieces.
    """

    name: str
    due_in_s: Callable[[], float]
    work: Callable[[Callable[[], None]], str | None]


@dataclass(slots=True)
class Standing:
    """How a duty stands: nanoseconds since the epoch, or None where it has not happened yet."""

    working: bool = False
    runs: int = 0
    succeeded_ns: int | None = None
    failures: int = 0  # since it last succeeded
    failure: str | None = None


class Watch:
    """Runs duties until `stop`. `say` takes lines for the log, `told` how everything stands, whenever that changes."""

    def __init__(
        self,
        duties: Sequence[Duty],
        clock: Clock,
        *,
        say: Callable[[str], None],
        told: Callable[[Mapping[str, dict[str, object]]], None] = lambda standing: None,
    ) -> None:
        self._duties = duties
        self._clock = clock
        self._say = say
        self._told = told
        self._standing = {duty.name: Standing() for duty in duties}
        self._telling = threading.Lock()
        self._stopping = threading.Event()
        self._asked = queue.SimpleQueue[None]()

    def stop(self) -> None:
        """Ask everything to end. Safe in a signal handler, where an event is not: `run` may hold its lock just then."""
        self._asked.put(None)

    def run(self, heartbeat: Callable[[], None] = lambda: None) -> bool:
        """Run until `stop`; whether every duty came to its end. `heartbeat` is called about once a tick."""
        threads = [
            threading.Thread(target=self._keep, args=(duty,), name=duty.name, daemon=True) for duty in self._duties
        ]
        for thread in threads:
            thread.start()
        while not self._is_asked():
            heartbeat()
        self._stopping.set()
        deadline = time.monotonic() + STOP_WITHIN_S
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in threads)

    def _is_asked(self) -> bool:
        """Whether to end: after a tick at most."""
        with contextlib.suppress(queue.Empty):
            self._asked.get(timeout=TICK_S)
            return True
        return False

    def _keep(self, duty: Duty) -> None:
        """One duty's thread."""
        with contextlib.suppress(Stopped):
            while True:
                self._wait(duty)
                self._once(duty)

    def _checkpoint(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _wait(self, duty: Duty) -> None:
        pause_until = time.monotonic() + _pause_s(self._standing[duty.name].failures)
        while True:
            self._checkpoint()
            now = time.monotonic()
            wait_s = pause_until - now if now < pause_until else self._due_in_s(duty)
            if wait_s <= 0:
                return
            self._stopping.wait(min(wait_s, TICK_S))

    def _due_in_s(self, duty: Duty) -> float:
        try:
            return duty.due_in_s()
        except Exception:  # whatever hinders the question hinders the work, which says so
            return 0.0

    def _once(self, duty: Duty) -> None:
        standing = self._standing[duty.name]
        self._change(standing, working=True, runs=standing.runs + 1)
        try:
            said = duty.work(self._checkpoint)
        except Exception as error:
            failure = _failure(error)
            self._change(standing, working=False, failures=standing.failures + 1, failure=failure)
            self._say(f"{duty.name}: {failure}; tried again in {_pause_s(standing.failures):,.0f} s")
        except Stopped:
            self._change(standing, working=False)
            raise
        else:
            self._change(standing, working=False, failures=0, failure=None, succeeded_ns=self._clock.now_ns())
            if said is not None:
                self._say(f"{duty.name}: {said}")

    def _change(self, standing: Standing, **changes: object) -> None:
        with self._telling:
            for name, value in changes.items():
                setattr(standing, name, value)
            with contextlib.suppress(OSError):  # a full disk must not end what may make room on it
                self._told({name: asdict(each) for name, each in self._standing.items()})


def _pause_s(failures: int) -> float:
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE_S) if failures else 0.0


def _failure(error: Exception) -> str:
    """What may be said of an error: our own sentences name nothing, others' are not repeated."""
    if isinstance(error, (HashsetsError, ScannerError)):
        return str(error)
    if isinstance(error, OSError):
        return f"the system refused an operation ({os.strerror(error.errno or 0)})"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"a fault of hashward ({type(error).__name__} in {os.path.basename(place.filename)}:{place.lineno})"


def log_line(clock: Clock, text: str) -> str:
    """A line for the log: UTC to the second, then what happened."""
    return f"{datetime.fromtimestamp(clock.now_ns() // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ} {text}"


def notify(address: str, state: str) -> None:
    """Tell a service manager how we stand (sd_notify(3)); an empty address: it did not ask. Silence is no error."""
    if address[:1] not in ("/", "@"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.sendto(state.encode(), address)


def say_on_stderr(clock: Clock) -> Callable[[str], None]:
    """A log on standard error, where systemd, Docker and a terminal look for it."""
    return lambda text: print(log_line(clock, text), file=sys.stderr, flush=True)
