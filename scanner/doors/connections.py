"""The connections of one listening socket: accepted up to a limit, served side by side, ended in time.

Rules
- A fault of one connection ends that connection alone, and is told.
- Over the limit whoever keeps us waiting makes room (`room`); where nobody does, nobody is let in: who waits in the
  backlog is served when another has ended.
- Draining stops accepting at once, lets what is under way be answered, and ends the rest when the time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from scanner.doors.lines import ready
from scanner.doors.room import Room, Seat
from scanner.doors.rules import DoorRules

Serve = Callable[[socket.socket, Seat], Awaitable[None]]

MOST_CONNECTIONS: Final = 2048
_NO_RESOURCE_S: Final = 0.1  # the system has no descriptor or memory left: others must end first
_NO_RESOURCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ASK_AGAIN_S: Final = 0.1  # whether somebody has kept us waiting too long meanwhile


class SocketListener:
    """A listener whose connections are served from the bare socket."""

    def __init__(
        self, sock: socket.socket, most: int, say: Callable[[str], None], rules: DoorRules, protocol: str
    ) -> None:
        self._what = f"{protocol} ({rules.name})"
        self._connections = Connections(sock, self._serve, most, lambda text: say(f"{rules.name}: {text}"))

    async def start(self) -> None:
        """Begin to accept."""
        self._connections.start()

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        await self._connections.drain(within_s)

    def describe(self) -> str:
        """What stands here, for people."""
        return f"{self._what}, {len(self._connections)} connections"

    async def _serve(self, sock: socket.socket, seat: Seat) -> None:
        """One connection, from its first byte to its end."""
        raise NotImplementedError


class Connections:
    """What is accepted on `sock`, which listens already and is owned from here on."""

    def __init__(self, sock: socket.socket, serve: Serve, most: int, say: Callable[[str], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._serve = serve
        self._room = Room(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._say = say

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self) -> None:
        """Begin to accept."""
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Accept no more."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._sock.close()

    async def drain(self, within_s: float) -> None:
        """Accept no more, and wait for what is under way; what is not done in time is ended."""
        await self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                # Not by the loop's own `sock_accept`: cancelled in the wrong moment, that lets in whom nobody serves.
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                await ready(self._sock.fileno(), loop.add_reader, loop.remove_reader)
                continue
            except OSError as error:
                if error.errno in _NO_RESOURCE:
                    self._room.make_room()
                await asyncio.sleep(_NO_RESOURCE_S)
                continue
            connection.setblocking(False)
            try:
                await self._has_room()
            except BaseException:
                connection.close()
                raise
            task = asyncio.create_task(self._run(connection))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            await asyncio.sleep(0)  # a full backlog does not keep the others waiting

    async def _has_room(self) -> None:
        while not self._room.has_room():
            self._room.stirred.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.stirred.wait(), _ASK_AGAIN_S)

    async def _run(self, connection: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        seat = self._room.seat(task.cancel)
        with connection, contextlib.closing(seat):
            if connection.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._serve(connection, seat)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            # The place in our code alone: what an error says may hold what a client sent.
            place = traceback.extract_tb(fault.__traceback__)[-1]
            where = f"{type(fault).__name__} in {os.path.basename(place.filename)}:{place.lineno}"
            self._say(f"a connection ended by a fault of hashward ({where}); please report it")
