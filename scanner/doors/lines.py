"""One accepted connection: receiving, with descriptors; sending; closing so that the client reads the last word.

asyncio's own streams receive without room for ancillary data, and the kernel then drops the descriptors a client sent;
so this is a raw non-blocking socket that waits on the event loop.

Rules
- Every descriptor received is closed, unless someone takes it: also when too many came, or the connection ends first.
- A wait has an end. A client that goes away is an end of data, not an error.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from scanner.doors.outside import let_go

RECEIVE_BYTES: Final = 65_536
_INT_BYTES: Final = array.array("i").itemsize
# More than any client sends at once, so that two descriptors in a message are seen as two and none is left unseen.
_ROOM_FOR_FDS: Final = socket.CMSG_SPACE(16 * _INT_BYTES)
MAX_FDS: Final = 16  # in hand for one connection: a client has no use for more than one at a time


class Line:
    """An accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.takes_fds = sock.family == socket.AF_UNIX
        self._fds: deque[tuple[int, tuple[int, ...]]] = deque()
        self.received_bytes = 0
        self._loop = asyncio.get_running_loop()

    async def receive(self, within_s: float) -> bytes:
        """What came, at least a byte; nothing at the end of data. Raises TimeoutError."""
        try:
            return self._receive()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            return b""
        async with asyncio.timeout(within_s):
            while True:
                await ready(self._sock.fileno(), self._loop.add_reader, self._loop.remove_reader)
                try:
                    return self._receive()
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError:
                    return b""

    def take_fd(self, after: int) -> int | None:
        """The descriptor of the oldest message that had any beyond that many bytes; None where it had not just one."""
        while self._fds:
            end, fds = self._fds.popleft()
            if end > after and len(fds) == 1:
                return fds[0]
            _close_all(fds)
            if end > after:
                return None
        return None

    def has_fds(self, after: int) -> bool:
        """Whether a message that ended beyond so many received bytes brought descriptors nobody has taken."""
        return any(end > after for end, _ in self._fds)

    async def send(self, reply: bytes, within_s: float) -> bool:
        """Send all of it; False when the client has gone or does not read. Nothing is sent after part of a reply."""
        view = memoryview(reply)
        try:
            async with asyncio.timeout(within_s):
                while view:
                    try:
                        view = view[self._sock.send(view) :]
                    except (BlockingIOError, InterruptedError):
                        await ready(self._sock.fileno(), self._loop.add_writer, self._loop.remove_writer)
        except (OSError, TimeoutError):
            return False
        finally:
            if view:  # also where whoever says it is cancelled
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
        return True

    def has_more(self) -> bool:
        """Whether something came that nobody has received: who is closed upon now may lose what was said last."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def hear_no_more(self) -> None:
        """Receive what came, and then the end of data."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    async def drain(self, within_s: float) -> None:
        """Say that no more is said, and read on for a while: who is still sending then reads what was said."""
        with contextlib.suppress(OSError, TimeoutError):
            self._sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(within_s):
                while await self.receive(within_s):
                    await asyncio.sleep(0)
                    self._drop_fds()

    def close(self) -> None:
        """End the connection."""
        self._drop_fds()
        self._sock.close()

    def _receive(self) -> bytes:
        if not self.takes_fds:
            received = self._sock.recv(RECEIVE_BYTES)
            self.received_bytes += len(received)
            return received
        received, ancillary, flags, _ = self._sock.recvmsg(RECEIVE_BYTES, _ROOM_FOR_FDS, socket.MSG_CMSG_CLOEXEC)
        self.received_bytes += len(received)
        fds = _fds_in(ancillary)
        if fds and (flags & socket.MSG_CTRUNC or len(self._fds) >= MAX_FDS):
            _close_all(fds)
            fds = ()
        if ancillary and len(self._fds) < MAX_FDS:
            # A receive ends with the message that has descriptors (unix(7)), so this tells where that message ended.
            self._fds.append((self.received_bytes, fds))
        return received

    def _drop_fds(self) -> None:
        while self._fds:
            _close_all(self._fds.popleft()[1])


async def ready(fd: int, add: Callable[[int, Callable[[], None]], object], remove: Callable[[int], object]) -> None:
    """Wait until a file can be read or written, as the loop's `add_reader` or `add_writer` tell."""
    told = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not told.done():
            told.set_result(None)

    add(fd, wake)
    try:
        await told
    finally:
        remove(fd)


def _fds_in(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    fds = array.array("i")
    for level, kind, carried in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(carried[: len(carried) - len(carried) % _INT_BYTES])
    return tuple(fds)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        let_go(fd)
