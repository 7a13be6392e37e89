"""A `hashward serve` for tests of clients: a process-like server in a thread, over an intake in memory."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from scanner.doors.answers import Answer, Verdict
from scanner.doors.rules import DoorRules
from tests.scanner.doors.fakes import FakeIntake


@contextmanager
def running(app: Any, **options: Any) -> Iterator[str]:
    """An ASGI application on a loopback port, or on a Unix socket with `uds`; its address."""
    sock = None
    if "uds" not in options:
        sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", **options))
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=None if sock is None else [sock]),))
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.005)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}" if sock is not None else f"unix:{options['uds']}"
    finally:
        server.should_exit = True
        thread.join(60)


class FakeServe:
    """`POST /v1/scan` over a FakeIntake; `heads` holds the headers of every request."""

    def __init__(self, *listed: bytes) -> None:
        self.intake = FakeIntake(*listed)
        self.heads: list[dict[str, str]] = []
        self.app = Starlette(
            routes=[Route(path, self._scan, methods=["POST"]) for path in ("/v1/scan", "/v1/requests")]
        )

    async def _scan(self, request: Request) -> JSONResponse:
        self.heads.append(dict(request.headers))
        said = request.headers.get("hashward-ref")
        upload = self.intake.begin(DoorRules("http"), None if said is None else said.encode())
        try:
            async for piece in request.stream():
                await upload.write(piece)
        except ClientDisconnect:
            upload.abort()
            raise
        answer = await upload.finish()
        return JSONResponse(_said(answer), 503 if answer.verdict is Verdict.UNDECIDABLE else 200)

    @contextmanager
    def listening(self, folder: Path | None = None) -> Iterator[str]:
        """Its address: TCP, or a Unix socket in a folder."""
        with running(self.app, **({} if folder is None else {"uds": str(folder / "s")})) as address:
            yield address


def _said(answer: Answer) -> dict[str, object]:
    said: dict[str, object] = {"verdict": answer.verdict.value, "block": answer.verdict is Verdict.MATCHED}
    said |= {"name": answer.name} if answer.verdict is Verdict.MATCHED else {}
    return said | ({} if answer.reason is None else {"reason": answer.reason})
