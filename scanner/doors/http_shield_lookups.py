"""Arachnid Shield's question about PDQ values: a lookup, so under the rules of lookups."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scanner.doors.http_bodies import TooSlow, pieces
from scanner.doors.http_faces import post
from scanner.doors.http_requests import HttpDoor, Refused, Reply, saying

_MOST_HASHES: Final = 100
_MOST_JSON_BYTES: Final = 64 * 1024


def shield_lookups(door: HttpDoor) -> list[Route]:
    """POST /v1/pdq/."""

    async def shield_pdq(request: Request) -> Response:
        door.admit(request, "lookup")
        said = {}
        for text in _hashes(await _json(request)):
            door.may_look_up(request)
            listed = await door.intake.look_up("pdq", _pdq(text))
            classification = "csam" if listed else "no-known-match"
            said[text] = {
                "classification": classification, "match_type": "near" if listed else None, "near_match_details": None
            }  # fmt: skip
        return Reply({"scanned_hashes": said})

    return post("/v1/pdq", saying("detail", shield_pdq))


async def _json(request: Request) -> Any:
    read = b""
    try:
        async for data in pieces(request.receive):
            read += data
            if len(read) > _MOST_JSON_BYTES:
                raise Refused(413, "the body is longer than this takes")
    except TooSlow:
        raise Refused(408, "the body comes too slowly") from None
    try:
        return json.loads(read)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None


def _hashes(document: Any) -> list[str]:
    found = document.get("hashes") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found) or len(found) > _MOST_HASHES:
        raise Refused(400, f"hashes must be a list of up to {_MOST_HASHES} base64 texts")
    return found


def _pdq(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 32:
        raise Refused(400, "a hash must be 32 bytes in base64")
    return value
