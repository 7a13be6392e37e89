"""uvicorn as one listener among others: its connections bounded and in time, its stop ours.

Rules
- Whoever connects sends a whole request head within `HEAD_S`, then and after every answer.
- Past the bound the connection that has waited longest for its head makes room: half-open ones keep nobody out.
- uvicorn logs nothing: its messages can hold what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from scanner.doors.sockets import BACKLOG
from scanner.errors import UsageError
from scanner.serve_config import ListenerConfig

HEAD_S: Final = 10.0
KEEP_ALIVE_S: Final = 30.0
MOST_HEAD_BYTES: Final = 32 * 1024


class _Waiting:
    """The connections of one listener, and which of them have no request yet, longest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0
        self.without_head: dict[Protocol, None] = {}

    def admit(self) -> bool:
        """Whether there is room for one more, made where it can be."""
        if self.open < self.most:
            return True
        if not self.without_head:
            return False
        next(iter(self.without_head)).transport.abort()
        return True


class Protocol(H11Protocol):
    """One connection."""

    waiting: _Waiting  # of the listener, set on its own subclass
    _head_timer: asyncio.TimerHandle | None = None
    _counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        if not self.waiting.admit():
            transport.abort()
            return
        self._counted = True
        self.waiting.open += 1
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head_came()
        if self._counted:
            self.waiting.open -= 1
            self._counted = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; the clock of the head stops with its last."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head_came()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self.waiting.without_head[self] = None
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _head_came(self) -> None:
        self.waiting.without_head.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpListener:
    """One http listener: an ASGI application behind one socket."""

    def __init__(self, config: ListenerConfig, sock: socket.socket, application: Callable[..., Any]) -> None:
        self._name = config.name
        self._socket = sock
        self._waiting = _Waiting(config.max_connections)
        protocol = type("ListenersProtocol", (Protocol,), {"waiting": self._waiting})
        self._server = uvicorn.Server(
            uvicorn.Config(
                application, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_keep_alive=int(KEEP_ALIVE_S), backlog=BACKLOG,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            )
        )  # fmt: skip
        self._tls = _tls(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept."""
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).disabled = True
        self._server.config.load()
        self._server.config.ssl = self._tls
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._socket])
        self._task = asyncio.create_task(self._server.main_loop())

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        for idle in list(self._waiting.without_head):
            idle.transport.abort()
        self._server.config.timeout_graceful_shutdown = max(1, int(within_s))
        with contextlib.suppress(asyncio.CancelledError):
            await self._server.shutdown(sockets=[self._socket])

    def describe(self) -> str:
        """What stands here, for people."""
        return f"http{'s' if self._tls else ''} ({self._name}), {self._waiting.open} connections"


def _tls(config: ListenerConfig) -> ssl.SSLContext | None:
    """TLS as configured; with `client_ca_file` nobody without a certificate of it comes in. Raises UsageError."""
    if config.certificate_file is None or config.key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate_file, config.key_file)
        if config.client_ca_file is not None:
            context.load_verify_locations(config.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise UsageError(
            f"The certificates of the listener {config.name} cannot be used: check that they are there, PEM, and fit."
        ) from None
    return context
