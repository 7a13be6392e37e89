"""POST /v1/cases/{id}/outcome: what a reviewer found, from the tool in which the platform shows pictures.

Rules
- Always by a token with the scope `cases`, also where a listener is open: what people found has to be theirs.
- The same again, by the same person or under the same Idempotency-Key, changes nothing and gets the same kind of reply.
- No picture comes in, and nothing of one goes out: a case's id, how it stands, and at which level.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scanner.accountability.cases import NoSuchCase
from scanner.accountability.levels import Finding, Reason, is_name
from scanner.accountability.review import Conflict, NotAllowed, Statement
from scanner.doors.http_bodies import pieces
from scanner.doors.http_requests import HttpDoor, Refused, Reply, raw_header, saying
from scanner.errors import UsageError

MOST_BYTES: Final = 4096
_KEY: Final = re.compile(rb"[!-~]{1,255}")
_MEMBERS: Final = frozenset(("outcome", "reason", "by", "viewed_by_person"))
_FORM: Final = "an outcome is an object of outcome, reason, by and viewed_by_person, as /openapi.json describes them"


def cases(door: HttpDoor) -> list[Route]:
    """The route."""

    async def outcome(request: Request) -> Response:
        door.admit(request, "cases")
        if door.reviews is None:
            raise Refused(404, "there is no case of that id")
        said = _statement(await _body(request), _key(request))
        try:
            case = await asyncio.to_thread(door.reviews.give, request.path_params["id"], said)
        except NoSuchCase:
            raise Refused(404, "there is no case of that id") from None
        except NotAllowed as error:
            raise Refused(403, str(error)) from None
        except Conflict as error:
            raise Refused(409, str(error)) from None
        except UsageError as error:
            raise Refused(400, str(error)) from None
        found = None if case.outcome is None else case.outcome.value
        return Reply(
            {
                "case": case.id, "state": case.state, "level": case.level.value, "round": case.round,
                "outcome": found,
            }
        )  # fmt: skip

    return [Route("/v1/cases/{id}/outcome", saying("detail", outcome), methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in pieces(request.receive):
        body += piece
        if len(body) > MOST_BYTES:
            raise Refused(413, "an outcome is no longer than this")
    return bytes(body)


def _key(request: Request) -> str | None:
    key = raw_header(request, b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refused(400, "an Idempotency-Key has 1 to 255 printable characters")
    return None if key is None else key.decode("ascii")


def _statement(body: bytes, key: str | None) -> Statement:
    """What was said. Raises Refused."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, _FORM) from None
    if not isinstance(said, dict) or said.keys() != _MEMBERS or not isinstance(said["viewed_by_person"], bool):
        raise Refused(400, _FORM)
    try:
        finding, reason = Finding(said["outcome"]), Reason(said["reason"])
    except (ValueError, TypeError):
        raise Refused(400, _FORM) from None
    if not isinstance(said["by"], str) or not is_name(said["by"]):
        raise Refused(400, _FORM)
    try:
        return Statement(finding, reason, said["by"], said["viewed_by_person"], key)
    except UsageError as error:
        raise Refused(400, str(error)) from None
