"""The clamd listener: whatever speaks to a ClamAV daemon speaks to hashward, over TCP or a Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from scanner.doors.clamd_session import USUAL_PATIENCE, ClamdSession, Load, Patience
from scanner.doors.connections import MOST_CONNECTIONS, SocketListener
from scanner.doors.lines import Line
from scanner.doors.room import Seat
from scanner.doors.rules import DoorRules

if TYPE_CHECKING:
    from scanner.doors.intake import Intake


class ClamdListener(SocketListener):
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
        super().__init__(sock, most, say, rules, "clamd")

    async def _serve(self, sock: socket.socket, seat: Seat) -> None:
        line = Line(sock)
        await ClamdSession(line, self._intake, self._rules, self._load, self._patience, seat).run()
