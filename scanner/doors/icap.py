"""The ICAP listener: proxies and platforms that hand bodies to a scanner by RFC 3507 hand them to hashward."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.doors.connections import MOST_CONNECTIONS, Connections
from scanner.doors.icap_session import USUAL_PATIENCE, IcapSession, Patience
from scanner.doors.lines import Line
from scanner.doors.rules import DoorRules

if TYPE_CHECKING:
    from scanner.doors.intake import Intake


class IcapListener:
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
        self._connections = Connections(sock, self._serve, most, lambda text: say(f"{rules.name}: {text}"))

    async def start(self) -> None:
        """Begin to accept."""
        self._connections.start()

    async def drain(self, within_s: float) -> None:
        """Accept no more; what is under way is answered, if it comes to its end in time."""
        await self._connections.drain(within_s)

    def describe(self) -> str:
        """What stands here, for people."""
        return f"ICAP ({self._rules.name}), {len(self._connections)} connections"

    async def _serve(self, sock: socket.socket) -> None:
        session = IcapSession(Line(sock), self._intake, self._rules, self._spool, self._patience, self._most)
        await session.run()
