"""uvicorn's HTTP on connections that are ours: bounded and in time, their stop ours.

Rules
- Whoever connects sends a whole request head within `HEAD_S`, TLS included, and after an answer what is left of its
  request.
- Whoever is still sending when the last word is said gets time to read it; who has asked and sends no more is answered.
- uvicorn logs nothing: its messages can hold what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from scanner.doors.connections import Connections
from scanner.doors.http_past_parser import PastParser
from scanner.doors.room import Seat
from scanner.errors import UsageError
from scanner.serve_config import ListenerConfig

HEAD_S: Final = 10.0
KEEP_ALIVE_S: Final = 30.0
MOST_HEAD_BYTES: Final = 32 * 1024
_GOODBYE_S: Final = 5.0  # for TLS to be ended in form
_MAY_SEND: Final = (h11.SEND_BODY, h11.ERROR)  # who is so may be in the middle of something


class Protocol(H11Protocol):
    """One connection. `ended` is set once it is gone."""

    def __init__(self, server: uvicorn.Server, seat: Seat) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server.config, server.server_state, {}, loop)
        self.ended = asyncio.Event()
        self._seat = seat
        self._head_timer: asyncio.TimerHandle | None = None
        self._lingers, self._half_closed = False, False
        self._past = PastParser(self)
        self._application = self.app
        self.app = self._answer

    async def _answer(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        """One request."""
        cycle = self.cycle
        together: Any = _Together(self.transport)
        cycle.transport = together

        async def send_together(message: Any) -> None:
            together.holds = message["type"] == "http.response.start"
            await send(message)

        await self._application(scope, partial(self._past.receive, receive), send_together)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It has begun."""
        super().connection_made(_InOrder(transport, self.close))  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._head_came()
        self.ended.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; the clock of the head stops with its last."""
        if self._lingers:
            return
        self._past.come(data, super().data_received)
        self._whose_turn()

    def eof_received(self) -> bool:  # type: ignore[override]
        """No more is sent; who has sent a whole request waits for its answer. In TLS that cannot be waited for."""
        cycle: Any = self.cycle  # None before the first request
        asked = cycle is not None and not cycle.response_complete and not cycle.more_body
        self._half_closed = asked and self.scheme == "http"
        return self._half_closed

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: said where nothing else was, and no more is read of it."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.close()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def close(self) -> None:
        """End it: where more may be on its way, not before that had time to come."""
        transport: Any = self.transport
        if self._lingers or transport.is_closing():
            return
        if self.conn.their_state not in _MAY_SEND and not self.conn.trailing_data[0]:
            transport.close_now()
            return
        self._lingers = True
        self._seat.awaits_request()
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()
        self._head_came()
        self._await_head()

    def on_response_complete(self) -> None:
        """It has its answer."""
        self._past.forget()
        super().on_response_complete()
        if self._half_closed and self.conn.their_state is h11.IDLE:
            self.close()
        if self.conn.their_state is h11.IDLE:
            self._seat.awaits_request()  # no clock: keep-alive has its own
        else:
            self._whose_turn()

    def _whose_turn(self) -> None:
        if self._lingers:
            return
        sending = self.conn.their_state is h11.SEND_BODY
        if sending and not self.cycle.response_complete:
            self._head_came()
            self._seat.awaits_body()
        elif sending or self.conn.their_state is h11.IDLE:
            self._seat.awaits_request()
            self._await_head()
        else:
            self._head_came()
            self._seat.is_served()

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _InOrder:
    """A transport that is closed as its connection sees fit."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close = close
        self.close_now = transport.close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Together:
    """A transport for one response: its head goes out with what follows, as each piece wakes whoever reads it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""
        self.holds = False

    def write(self, data: bytes) -> None:
        """Send, now or with the next."""
        if self.holds:
            self._held += data
            return
        held, self._held = self._held, b""
        self._transport.write(held + data)

    def __getattr__(self, name: str) -> Any:
        if self._held:
            self._transport.write(self._held)
            self._held = b""
        return getattr(self._transport, name)


class HttpListener:
    """One http listener: an ASGI application behind one socket."""

    def __init__(
        self,
        config: ListenerConfig,
        sock: socket.socket,
        application: Callable[..., Any],
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._name = config.name
        self._server = uvicorn.Server(
            uvicorn.Config(
                application, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_keep_alive=int(KEEP_ALIVE_S),
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            )
        )  # fmt: skip
        self._tls = _tls(config)
        self._connections = Connections(
            sock, self._serve, config.max_connections, lambda text: say(f"{config.name}: {text}")
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept."""
        for name in ("uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).disabled = True
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[])
        self._task = asyncio.create_task(self._server.main_loop())
        self._connections.start()

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        await self._connections.stop()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._server.config.timeout_graceful_shutdown = max(1, int(within_s))
        with contextlib.suppress(asyncio.CancelledError):
            await self._server.shutdown()
        await self._connections.drain(0)

    def describe(self) -> str:
        """What stands here, for people."""
        return f"http{'s' if self._tls else ''} ({self._name}), {len(self._connections)} connections"

    async def _serve(self, sock: socket.socket, seat: Seat) -> None:
        """One connection, handed to asyncio and uvicorn, until it is gone."""
        made = Protocol(self._server, seat)
        times = {} if self._tls is None else {"ssl_handshake_timeout": HEAD_S, "ssl_shutdown_timeout": _GOODBYE_S}
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: made, sock, ssl=self._tls, **times)
        except OSError:  # it went away, or its TLS is none; TimeoutError is one
            return
        try:
            await made.ended.wait()
        finally:
            made.transport.abort()


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
