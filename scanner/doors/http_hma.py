"""The face of Meta's hasher-matcher-actioner (HMA 1.1.7): hashes, health, and lookups where they are switched on.

Rules
- A lookup says which sets list a value and nothing else: the distance is always "0", the content's number always 1.
- What is not here answers 501: to a 404 for a bank, the coop client deletes its own record of it.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hashsets import hashtypes
from hashsets.errors import HashsetsError
from scanner.doors.answers import Answer
from scanner.doors.http_requests import FETCHES_NOTHING, HttpDoor, Refused, Reply, receive_upload, refusal, saying
from scanner.types import MediaKind

# HMA's names of signal types; ours are others' too.
_TYPES: Final = {"pdq": "pdq", "video_md5": "md5"}
_ALIVE, _NOT_LOADED = "I-AM-ALIVE", "INDEX-NOT-LOADED"


def hma(door: HttpDoor) -> list[Route]:
    """/h/hash, /m/lookup, /m/raw_lookup, /status; 501 for the rest."""

    async def make_hash(request: Request) -> Response:
        door.admit(request, "scan")
        if request.method == "GET":
            raise Refused(400, FETCHES_NOTHING)
        name, value = await _hashed(door, request)
        return Reply({name: value.hex()})

    async def look_up(request: Request) -> Response:
        return Reply(_shown(request, await _banks(door, request)))

    async def look_up_file(request: Request) -> Response:
        door.may_look_up(request)
        name, value = await _hashed(door, request)
        return Reply({name: _shown(request, await _listing(door, _TYPES[name], value))})

    async def look_up_raw(request: Request) -> Response:
        found = bool(await _banks(door, request))
        if request.query_params.get("include_distance", "").lower() == "true":
            return Reply({"matches": [{"bank_content_id": 1, "distance": "0"}] if found else []})
        return Reply({"matches": [1] if found else []})

    async def status(_request: Request) -> Response:
        ready = door.intake.ready
        return PlainTextResponse(_ALIVE if ready else _NOT_LOADED, 200 if ready else 503)

    async def alive(_request: Request) -> Response:
        return PlainTextResponse(_ALIVE)

    async def absent(_request: Request) -> Response:
        raise Refused(501, "this part of HMA is not offered here")

    return [
        Route("/h/hash", saying("message", make_hash), methods=["GET", "POST"]),
        Route("/m/lookup", saying("message", look_up), methods=["GET"]),
        Route("/m/lookup", saying("message", look_up_file), methods=["POST"]),
        Route("/m/raw_lookup", saying("message", look_up_raw), methods=["GET"]),
        Route("/status", status, methods=["GET"]),
        Route("/status/live", alive, methods=["GET"]),
        *(Route(f"/{part}/{{rest:path}}", _every(saying("message", absent))) for part in ("c", "h", "m")),
    ]


def _every(endpoint: Any) -> Any:
    """An endpoint for every method there is: Starlette leaves methods alone where the endpoint is an application."""

    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            response = await endpoint(Request(scope, receive))
            await response(scope, receive, send)

    return Application()


async def _hashed(door: HttpDoor, request: Request) -> tuple[str, bytes]:
    """HMA's signal type and the value of the file in a form; the field's name says what it is."""
    upload, kind = await receive_upload(door, request)
    if kind not in ("photo", "video"):
        upload.abort()
        raise Refused(400, "no such content_type" if kind else "Missing multipart/form-data file upload")
    found = await upload.hashes()
    if isinstance(found, Answer):
        raise refusal(found)
    digests, seen = found
    if kind == "video":
        return "video_md5", digests.md5
    pdq = next((s for s in seen.signals if s.hash_type == "pdq" and s.part is None), None)
    if pdq is None or seen.media is MediaKind.OTHER:
        raise Refused(422, "no picture can be made out in this")
    return "pdq", pdq.value


def _shown(request: Request, banks: list[str]) -> dict[str, object]:
    """Sets as HMA's banks with what lies in them: of all, or of those that are asked for."""
    named = request.query_params.get("banks")
    asked = banks if named is None else [bank for bank in banks if bank in named.split(",")]
    return {bank: [{"bank_content_id": 1, "distance": "0"}] for bank in asked}


async def _banks(door: HttpDoor, request: Request) -> list[str]:
    """The names of the sets that list the value a lookup asks for."""
    door.may_look_up(request)
    query = request.query_params
    if "url" in query:
        raise Refused(400, FETCHES_NOTHING)
    if "signal" not in query or "signal_type" not in query:
        raise Refused(400, "Either url or both signal and signal_type are required")
    ours = _TYPES.get(query["signal_type"])
    if ours is None:
        raise Refused(400, "No such SignalType")
    try:
        value = hashtypes.parse(ours, query["signal"])
    except HashsetsError:
        raise Refused(400, "invalid signal") from None
    return await _listing(door, ours, value)


async def _listing(door: HttpDoor, hash_type: str, value: bytes) -> list[str]:
    if not door.intake.ready:
        raise Refused(503, "index not yet ready")
    return await door.intake.look_up(hash_type, value)
