"""Bodies of known length past the HTTP parser, which copies each byte four times on its way to the application.

Rules
- The parser sees every head, and of a body the last piece: where a message begins and ends is for it alone to say.
- What the application does not ask for is not read on: no more waits than uvicorn lets wait itself.
- Who sends as fast as we read is waited for a little, and whatever else comes is passed on at once; as it was read,
  uncopied.
- Where the parser is not built as h11 0.16 is, everything goes through it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import H11Protocol

HELD_BYTES: Final = 2**20  # a picture of a phone is passed on at once
_FULL_BYTES: Final = 256 * 1024  # what asyncio reads at once: a read that fills it leaves more behind
_HELD_S: Final = 0.05
_LEAST_BYTES: Final = 4096  # fewer are parsed as soon as passed by
_END_OF_HEAD: Final = b"\r\n\r\n"


class PastParser:
    """The body bytes of one connection that the parser has not seen."""

    def __init__(self, protocol: H11Protocol) -> None:
        self._protocol = protocol
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._ready: deque[Any] = deque()  # messages for the next to ask
        self._asked, self._begun = False, False
        self._later: asyncio.TimerHandle | None = None

    def come(self, data: bytes, parse: Callable[[bytes], None]) -> None:
        """Take newly come bytes: `parse` gets in order those that are for the parser to see."""
        if self._protocol.conn.their_state is h11.IDLE and len(data) > _FULL_BYTES // 4:
            end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
            if end >= len(_END_OF_HEAD):
                parse(data[:end])
                data = data[end:]
        rest = self._pass_by(data)
        if rest and not self._protocol.transport.is_closing():
            parse(rest)

    def _pass_by(self, data: bytes) -> bytes:
        """Pass on what is of a body and not its last byte; the rest is for the parser."""
        conn, cycle = self._protocol.conn, self._protocol.cycle
        reader: Any = getattr(conn, "_reader", None)
        remaining = getattr(reader, "_remaining", None)  # of a body with a length, and of no other
        if conn.their_state is not h11.SEND_BODY or not isinstance(remaining, int):
            return data
        count = min(len(data), remaining - 1)
        if cycle.response_complete or count < _LEAST_BYTES:
            return data
        if cycle.body or conn.trailing_data[0]:  # what the parser has seen of it comes first
            return data
        reader._remaining = remaining - count
        self._held.append(data[:count])
        self._held_bytes += count
        self._pass_on_or_wait(count)
        return data[count:]

    def _pass_on_or_wait(self, came_bytes: int) -> None:
        # A request that has just come has not had the time to ask.
        most_bytes = HIGH_WATER_LIMIT if self._begun else _FULL_BYTES
        if not self._asked and self._held_bytes > most_bytes:
            self._protocol.flow.pause_reading()  # until it is asked for: uvicorn's `receive` sees to that
        if not self._asked or came_bytes < _FULL_BYTES or self._held_bytes >= HELD_BYTES:
            self._pass_on()
        elif self._later is None:
            self._later = self._protocol.loop.call_later(_HELD_S, self._pass_on)

    def _pass_on(self) -> None:
        self._wait_no_more()
        self._protocol.cycle.message_event.set()

    def _wait_no_more(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    async def receive(self, theirs: Callable[[], Awaitable[Any]]) -> Any:
        """The next message of a request; `theirs` gives what the parser has seen, which is behind what it has not."""
        if self._ready:
            return self._ready.popleft()
        self._asked = self._begun = True
        try:
            message = await theirs()
        finally:
            self._asked = False
        self._wait_no_more()
        if not self._held:
            return message
        self._ready.extend({"type": "http.request", "body": piece, "more_body": True} for piece in self._held)
        self._held, self._held_bytes = [], 0
        # An end that is no request's it will say again.
        if message["type"] == "http.request" and (message["body"] or not message["more_body"]):
            self._ready.append(message)
        return self._ready.popleft()

    def forget(self) -> None:
        """Nobody asks any more: the request has its answer."""
        self._held, self._held_bytes, self._begun = [], 0, False
        self._ready.clear()
        self._wait_no_more()
