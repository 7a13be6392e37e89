"""The ICAP listener: proxies and platforms that hand bodies to a scanner by RFC 3507 hand them to hashward."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.doors.connections import MOST_CONNECTIONS, SocketListener
from scanner.doors.icap_session import USUAL_PATIENCE, IcapSession, Patience
from scanner.doors.lines import Line
from scanner.doors.room import Seat
from scanner.doors.rules import DoorRules

if TYPE_CHECKING:
    from scanner.doors.intake import Intake


class IcapListener(SocketListener):
    """One listening socket. `spool` is where bodies lie, nameless, that must be given back."""

    def __init__(
        self,
        sock: socket.socket,
        intake: Intake,
        rules: DoorRules,
        spool: Path,
        patience: Patience = USUAL_PATIENCE,
        most: int = MOST_CONNECTIONS,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._intake = intake
        self._rules = rules
        self._spool = spool
        self._patience = patience
        self._most = most
        super().__init__(sock, most, say, rules, "ICAP")

    async def _serve(self, sock: socket.socket, seat: Seat) -> None:
        line = Line(sock)
        session = IcapSession(line, self._intake, self._rules, self._spool, self._patience, self._most, seat)
        await session.run()
