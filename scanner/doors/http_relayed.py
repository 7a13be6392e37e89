"""POST /v1/requests: the body of a request as an application got it, from the middleware of `scanner.clients`.

Forms are taken apart as the ICAP door does, each file judged, codings undone; a form without files is clear. A ref is
of the first file; those behind it get `#2`, `#3`, ... behind it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scanner.doors.answers import OverLimit, Undecided, Verdict, undecidable
from scanner.doors.http_bodies import Gone, TooSlow, pieces
from scanner.doors.http_requests import HttpDoor, Reply, refusal, saying
from scanner.doors.icap_body import BodyLook, plan_of
from scanner.doors.icap_wire import Fields

# What describes the body. Our own request's transfer coding and length are undone by the server already.
_OF_THE_BODY = (b"content-type", b"content-encoding", b"content-range", b"hashward-ref")


def relayed(door: HttpDoor) -> list[Route]:
    """The routes."""

    async def request(request: Request) -> Response:
        door.admit(request, "scan")
        headers = [(name, value) for name, value in request.scope["headers"] if name in _OF_THE_BODY]
        fields = Fields(tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers))
        look = BodyLook(door.intake, door.rules, plan_of(fields, fields.last("hashward-ref")))
        try:
            async for data in pieces(request.receive, door.rules.receive_s):
                await look.write(data)
            answer = await look.finish()
        except OverLimit:
            answer = undecidable(Undecided.OVER_LIMIT)
        except (Gone, TooSlow):
            answer = await look.finish(cut=True)
        finally:
            look.abort()
        said: dict[str, object] = {"verdict": answer.verdict.value, "block": door.decide(answer) != "allow"}
        if answer.verdict is Verdict.UNDECIDABLE:
            said["reason"] = answer.reason
        if answer.verdict is Verdict.MATCHED:
            said["name"] = answer.name
        if door.decide(answer) != "error":
            return Reply(said)
        refused = refusal(answer)
        return Reply(said | {"detail": refused.message}, refused.status, refused.headers)

    return [Route("/v1/requests", saying("detail", request), methods=["POST"])]
