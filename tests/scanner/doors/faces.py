"""The application of an http listener over an intake in memory, and a client for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from scanner.doors.access import Gate
from scanner.doors.http_app import application
from scanner.doors.http_requests import HttpDoor
from scanner.doors.rules import DoorRules
from scanner.ledger import Ledger
from scanner.metrics import Metrics
from scanner.serve_config import Access
from tests.scanner.doors.fakes import FakeIntake
from tests.scanner.fakes import MovableClock


class Client:
    """Requests to an ASGI application, each in a loop of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, **how: Any) -> httpx.Response:
        """One GET."""
        return asyncio.run(self._ask("GET", path, how))

    def post(self, path: str, **how: Any) -> httpx.Response:
        """One POST."""
        return asyncio.run(self._ask("POST", path, how))

    async def _ask(self, method: str, path: str, how: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://test") as client:
            return await client.request(method, path, **how)


class Face:
    """One listener: its intake, the ledger of a home, what it said, and a client."""

    def __init__(
        self, home: Path, *listed: bytes, access: Access = Access.OPEN, objects: Any = None, **rules: Any
    ) -> None:
        self.intake = FakeIntake(*listed)
        self.ledger = Ledger.open(home)
        self.said: list[str] = []
        self.rules = DoorRules("http", **rules)
        clock = MovableClock()
        gate = Gate(self.ledger.tokens, clock, access)
        intake: Any = self.intake
        self.door = HttpDoor(
            self.rules, intake, gate, Metrics(("http",)), self.said.append, clock, self.ledger.refusals, objects
        )
        self.client = Client(application(self.door))
