"""The clamd listener: whatever speaks to a ClamAV daemon speaks to hashward, over TCP or a Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from scanner.doors.clamd_session import USUAL_PATIENCE, ClamdSession, Load, Patience
from scanner.doors.connections import MOST_CONNECTIONS, Connections
from scanner.doors.lines import Line
from scanner.doors.rules import DoorRules

if TYPE_CHECKING:
    from scanner.doors.intake import Intake


class ClamdListener:
    """One listening socket. The protocol knows no login: who may reach the socket may ask."""

    def __init__(
        self,
        sock: socket.socket,
        intake: Intake,
        rules: DoorRules,
        patience: Patience = USUAL_PATIENCE,
        most: int = MOST_CONNECTIONS,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._intake = intake
        self._rules = rules
        self._patience = patience
        self._load = Load(most=most)
        self._connections = Connections(sock, self._serve, most, lambda text: say(f"{rules.name}: {text}"))

    async def start(self) -> None:
        """Begin to accept."""
        self._connections.start()

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        await self._connections.drain(within_s)

    def describe(self) -> str:
        """What stands here, for people."""
        return f"clamd ({self._rules.name}), {len(self._connections)} connections"

    async def _serve(self, sock: socket.socket) -> None:
        line = Line(sock)
        await ClamdSession(line, self._intake, self._rules, self._load, self._patience).run()
