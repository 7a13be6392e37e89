"""The serving process: opens its listeners, keeps the intake, and stops in good order.

Rules
- Sockets are bound before anything is said to be ready; a listener that cannot stand ends the start.
- To stop: take no more, answer what is in hand within the time given, commit it, end. A kill at any instant loses no
  more than answers that were not given.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scanner.clock import Clock
from scanner.doors.intake import Bounds
from scanner.doors.listeners import KINDS, House, Listener
from scanner.doors.sockets import listening
from scanner.errors import UsageError
from scanner.ledger.tokens import Tokens
from scanner.serve_config import Access, DoorKind, ListenerConfig, ServeConfig

HEARTBEAT_S = 10.0
WAITING_THREADS = 32  # for what waits (a store, a queue, databases): asyncio's own are few where processors are
MOST_FILES = 65_536
FILES_A_CONNECTION, OTHER_FILES = 2, 256  # the socket and the body; databases, worker processes, lists


@dataclass(frozen=True, slots=True)
class Bound:
    """A listener's configuration with the address it really has, for people and programs that asked for port 0."""

    config: ListenerConfig
    address: str


class Serving:
    """One process's listeners over one intake. `tidy` is called now and then: nothing looked at is kept for long."""

    def __init__(
        self,
        config: ServeConfig,
        house: House,
        inherited: Mapping[str, int],
        manager: Callable[[str], None],
        queue: Listener | None = None,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._intake = house.intake
        self._manager = manager
        self._tidy = tidy
        self._stopping = asyncio.Event()
        self.bound: list[Bound] = []
        self._listeners: list[Listener] = []
        for one in config.listeners:
            sock = listening(one, inherited)
            self.bound.append(Bound(one, _shown(one, sock.getsockname())))
            self._listeners.append(KINDS[one.kind](one, sock, house))
        if queue is not None:
            self._listeners.append(queue)

    def stop(self) -> None:
        """Ask everything to end. For the loop's thread."""
        self._stopping.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop; `ready` is called once everything is."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(WAITING_THREADS, thread_name_prefix="waiting"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._intake.start()
        try:
            for listener in self._listeners:
                await listener.start()
            settle()
            ready()
            self._manager("READY=1")
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), HEARTBEAT_S)
                self._manager("WATCHDOG=1")
                self._tidy()
        finally:
            self._manager("STOPPING=1")
            within_s = self._config.stop_seconds
            await asyncio.gather(*(listener.drain(within_s) for listener in self._listeners))
            await self._intake.close(within_s)


def bounds_of(config: ServeConfig, workers: int) -> Bounds:
    """The intake's bounds as configured. Lanes: each worker has one that feeds it, and one is ready for the next."""
    return Bounds(config.most_in_hand, workers + 1, config.spool_mb * 2**20)


def settle() -> None:
    """What stands now stays: nobody goes through it for garbage again, for which uploads would wait at times."""
    gc.collect()
    gc.freeze()


def widen() -> int:
    """Let the process have as many files open as the system lets it have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def check_access(config: ListenerConfig, tokens: Tokens, clock: Clock) -> None:
    """Refuse to ask for tokens where there is none. Raises UsageError."""
    if config.kind is not DoorKind.HTTP or config.who is not Access.TOKEN:
        return
    now_ns = clock.now_ns()
    if not any("scan" in token.scopes and (token.ends_ns or now_ns + 1) > now_ns for token in tokens.listed()):
        raise UsageError(
            f"The listener {config.name} asks for tokens and there is none: `hashward token add NAME` makes one."
        )


def check_exposure(listeners: Sequence[ListenerConfig]) -> list[str]:
    """What a person should hear of listeners that other machines may reach, a sentence each."""
    said = []
    for one in listeners:
        if one.address.is_local or one.address.is_inherited:
            continue
        if one.kind is not DoorKind.HTTP:
            said.append(f"{one.name}: this protocol knows no login, and the address is not this machine's alone")
        elif one.who is Access.OPEN:
            said.append(f"{one.name}: open to whoever reaches it, as configured")
    return said


def check_roots(listeners: Sequence[ListenerConfig]) -> list[str]:
    """What a person should hear of roots that are not there, a sentence a listener; it names none of them."""
    absent = [(one.name, sum(not root.is_dir() for root in one.roots)) for one in listeners]
    return [
        f"{name}: {count:,} of its roots cannot be seen as folders; files named there are refused"
        for name, count in absent
        if count
    ]


def check_files(listeners: Sequence[ListenerConfig], most_files: int) -> list[str]:
    """What a person should hear where the system allows fewer open files than the connections may need."""
    connections = sum(one.max_connections for one in listeners)
    needed = FILES_A_CONNECTION * connections + OTHER_FILES
    if needed <= most_files:
        return []
    return [
        f"the system lets this process have {most_files:,} files open, and {connections:,} connections may need"
        f" {needed:,}: raise LimitNOFILE, or lower max_connections"
    ]


def _shown(config: ListenerConfig, name: object) -> str:
    if config.address.path:
        return "a Unix socket"
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{host}:{name[1]}"
    return "a socket of systemd"
