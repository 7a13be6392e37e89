"""A door running in a thread of its own, so that clients written for blocking sockets can be tried on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

WAIT_S = 60.0


class Listener(Protocol):
    """What every door is."""

    async def start(self) -> None: ...
    async def drain(self, within_s: float) -> None: ...


def tcp_socket() -> socket.socket:
    """A listening socket on a free port of the loopback."""
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


def unix_socket(path: Path) -> socket.socket:
    """A listening Unix socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(128)
    return sock


def port_of(sock: socket.socket) -> int:
    """Where a listening TCP socket is."""
    port: int = sock.getsockname()[1]
    return port


@contextlib.contextmanager
def running(*make: Callable[[], Listener]) -> Iterator[asyncio.AbstractEventLoop]:
    """Listeners made and started on a loop in a thread; drained at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(WAIT_S)

    async def start() -> list[Listener]:
        listeners = [each() for each in make]
        for listener in listeners:
            await listener.start()
        return listeners

    async def stop(listeners: list[Listener]) -> None:
        for listener in listeners:
            await listener.drain(0.5)

    listeners = call(start())
    try:
        yield loop
    finally:
        call(stop(listeners))
        call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()
