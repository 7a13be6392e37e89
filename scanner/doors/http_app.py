"""The application of an http listener: its faces put together, health, metrics, and the description of it all."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hashsets.errors import HashsetsError
from scanner.doors.http_cases import cases
from scanner.doors.http_faces import bluesky, own, pictrs, shield
from scanner.doors.http_hma import hma
from scanner.doors.http_openapi import document
from scanner.doors.http_relayed import relayed
from scanner.doors.http_requests import HttpDoor, Reply, saying
from scanner.doors.http_shield_lookups import shield_lookups
from scanner.doors.s3_events import s3
from scanner.doors.tus import tus
from scanner.errors import ScannerError
from scanner.metrics import CONTENT_TYPE

#: Every face; each gives its routes.
FACES: list[Callable[[HttpDoor], list[Route]]] = [
    own,
    pictrs,
    shield,
    shield_lookups,
    bluesky,
    hma,
    relayed,
    tus,
    s3,
    cases,
]


def application(door: HttpDoor) -> Callable[..., Any]:
    """The ASGI application of one listener."""
    routes = [*_service(door), *(route for face in FACES for route in face(door))]

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Reply({"detail": "there is nothing here for that"}, error.status_code, error.headers)

    async def unusable(request: Request, error: Exception) -> Response:
        return Reply({"detail": "a database cannot be used now"}, 503, {"Retry-After": "10"})

    async def fault(request: Request, error: Exception) -> Response:
        place = traceback.extract_tb(error.__traceback__)[-1]
        door.say(f"a fault of hashward ({type(error).__name__} in {os.path.basename(place.filename)}:{place.lineno})")
        return JSONResponse({"detail": "a fault of hashward"}, 500)

    handlers: Any = {
        HTTPException: refused, HashsetsError: unusable, ScannerError: unusable, Exception: fault
    }  # fmt: skip
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return _Tidied(app)


class _Tidied:
    """Requests of two lengths are refused. Doubled slashes in paths are single ones: coop joins its URLs so.

    Once all of a body has been asked for, `scope["hashward.read"]` says so: nobody waits then for what never comes.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        named = {name for name, _ in scope.get("headers", ())}
        if {b"content-length", b"transfer-encoding"} <= named:
            # Of two lengths whoever stands before us may believe the other (RFC 9112, 6.1), and then what follows too.
            await Reply({"detail": "a body has one length"}, 400, {"Connection": "close"})(scope, receive, send)
            return
        path = scope.get("path", "")
        if path.startswith("//"):
            scope = dict(scope, path="/" + path.lstrip("/"))

        async def heard() -> Any:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                scope["hashward.read"] = True
            return message

        await self._app(scope, heard, send)


def _service(door: HttpDoor) -> list[Route]:
    """Health, metrics and OpenAPI."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        ready = door.intake.ready
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    async def metrics(request: Request) -> Response:
        door.admit(request, "metrics")
        rendered = await asyncio.to_thread(door.metrics.render)  # its gauges read databases
        return Response(rendered, media_type=CONTENT_TYPE)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document())

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", saying("detail", metrics), methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]
