"""What every HTTP face does with a request: who asks, for what ref, and the body on its way to an answer.

Rules
- A refusal is JSON of one word and one sentence of ours; nothing of the request is in it.
- What cannot be judged gets the status its kind deserves, unless the listener's rules make it pass or block.
- No redirect: clients that follow one would take the page behind it for a verdict.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scanner.accountability.review import Reviews
from scanner.clock import Clock
from scanner.doors.access import Gate
from scanner.doors.answers import NEVER_PASSES, PASSING_REASONS, Answer, OverLimit, Undecided, Verdict
from scanner.doors.http_bodies import BadForm, FormFile, Gone, TooSlow, boundary_of, drain, pieces
from scanner.doors.intake import Intake, Upload
from scanner.doors.rates import Rate
from scanner.doors.rules import MAX_REF_BYTES, DoorRules
from scanner.doors.s3_objects import Objects
from scanner.ledger.refusals import Refusals
from scanner.metrics import Metrics

Decision = Literal["allow", "block", "error"]
FETCHES_NOTHING: Final = "hashward fetches no URL: send the bytes themselves"
_MOST_ASKERS: Final = 10_000


class Refused(Exception):
    """The request is answered without a verdict: a status, and a sentence."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass(slots=True)
class HttpDoor:
    """What the faces of one http listener share."""

    rules: DoorRules
    intake: Intake
    gate: Gate
    metrics: Metrics
    say: Callable[[str], None]
    clock: Clock
    refusals: Refusals
    objects: Objects | None
    lookups_per_minute: int = 0
    reviews: Reviews | None = None
    _askers: dict[bytes, Rate] = field(default_factory=dict)

    def admit(self, request: Request, scope: str, in_path: str | None = None) -> None:
        """Raises Refused unless whoever asks may."""
        if not self.gate.allows(scope, raw_header(request, b"authorization"), in_path):
            raise Refused(401, "a token with the right scope is needed", {"WWW-Authenticate": "Bearer"})

    def may_look_up(self, request: Request) -> None:
        """Raises Refused unless lookups are on, and whoever asks may, and not too often."""
        if not self.lookups_per_minute:
            raise Refused(403, "lookups are switched off here")
        self.admit(request, "lookup")
        if len(self._askers) > _MOST_ASKERS:
            self._askers.clear()
        holder = self.gate.holder(raw_header(request, b"authorization"))
        rate = self._askers.setdefault(holder, Rate(self.lookups_per_minute / 60, self.lookups_per_minute))
        if not rate.allows():
            raise Refused(429, "too many lookups: come again later", {"Retry-After": "60"})

    def decide(self, answer: Answer) -> Decision:
        """What an answer comes to by the listener's rules."""
        if answer.verdict is Verdict.UNDECIDABLE:
            never = answer.reason in NEVER_PASSES or answer.reason == Undecided.EMPTY
            decided: dict[str, Decision] = {
                "ok": "error" if never else "allow", "found": "block", "error": "error"
            }  # fmt: skip
            return decided[self.rules.on_undecidable]
        return "block" if answer.verdict is Verdict.MATCHED else "allow"


class Reply(Response):
    """JSON, sent whole; then the rest of the body is read and dropped, so that whoever still sends comes to read it."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(JSONResponse(content).body, status, headers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        unread = not scope.get("hashward.read")
        if unread and "connection" not in self.headers:
            self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": unread})
        if unread:
            await drain(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def raw_header(request: Request, name: bytes) -> bytes | None:
    """A header as it was sent; None where there is none, the first where there are several."""
    return next((value for key, value in request.scope["headers"] if key == name), None)


def ref_of(request: Request) -> bytes | None:
    """The platform's own name for what it uploads. Raises Refused."""
    refs = [value for name, value in request.scope["headers"] if name == b"hashward-ref"]
    if any(not 0 < len(ref) <= MAX_REF_BYTES for ref in refs):
        raise Refused(400, f"Hashward-Ref has 1 to {MAX_REF_BYTES} bytes")
    if len(refs) > 1:
        raise Refused(400, "an upload has one Hashward-Ref")
    return refs[0] if refs else None


def declared_bytes(request: Request) -> int | None:
    """The length the request says its body has."""
    value = raw_header(request, b"content-length") or b""
    return int(value) if value.isdigit() and len(value) < 20 else None


def _refuse_disguised(request: Request) -> None:
    """Raises Refused for a body that somebody else would read as other bytes than these."""
    headers = request.scope["headers"]
    codings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    if any(coding not in (b"", b"identity") for coding in codings):
        raise Refused(415, "send it without a content coding, or to /v1/requests")
    if sum(name == b"content-type" for name, _ in headers) > 1:
        raise Refused(400, "a body has one content type")


async def receive_upload(
    door: HttpDoor, request: Request, ref: bytes | None = None, *, fields: frozenset[str] | None = None
) -> tuple[Upload, str | None]:
    """The body of a request, received, with the name of its field where it came in a form. Raises Refused.

    `fields` are the names a form's file may have; None: any. Who goes away, or is too slow, leaves a body that is cut.
    """
    _refuse_disguised(request)
    try:
        boundary = boundary_of(raw_header(request, b"content-type") or b"")
    except BadForm as error:
        raise Refused(400, str(error)) from None
    declared, ranged = declared_bytes(request), raw_header(request, b"content-range") is not None
    upload = door.intake.begin(door.rules, ref, declared if boundary is None else None, begins_at=not ranged)
    if declared is not None and declared > door.rules.max_bytes:
        upload.over_limit()
        return upload, None
    try:
        return upload, await _fill(upload, request, boundary, fields, door.rules.receive_s)
    except OverLimit:
        return upload, None
    except (Gone, TooSlow):
        upload.cut()
        return upload, None
    except BaseException:
        upload.abort()
        raise


async def _fill(
    upload: Upload, request: Request, boundary: bytes | None, fields: frozenset[str] | None, most_s: float
) -> str | None:
    try:
        if boundary is None:
            async for data in pieces(request.receive, most_s):
                await upload.write(data)
            return None
        form = FormFile(boundary, upload.write)
        async for data in pieces(request.receive, most_s):
            await form.write(data)
            if form.name is not None and fields is not None and form.name not in fields:
                raise Refused(400, "the form's file is in a field of another name")
        if not form.finish():
            raise Refused(400, "the form does not come to its end")
        return form.name
    except BadForm as error:
        raise Refused(400, str(error)) from None


async def judge(
    door: HttpDoor, request: Request, ref: bytes | None = None, *, fields: frozenset[str] | None = None
) -> tuple[Answer, Upload]:
    """The answer to the body of a request. Raises Refused; for what cannot be judged only by `unless_judged`."""
    upload, _ = await receive_upload(door, request, ref, fields=fields)
    return await upload.finish(), upload


def unless_judged(door: HttpDoor, answer: Answer) -> Decision:
    """What an answer comes to: allow or block. Raises Refused where that is an error."""
    decision = door.decide(answer)
    if decision == "error":
        raise refusal(answer)
    return decision


def refusal(answer: Answer) -> Refused:
    """The error that an undecidable answer is."""
    if answer.reason == Undecided.EMPTY:
        return Refused(400, "the body is empty")
    if answer.reason == Undecided.OVER_LIMIT:
        return Refused(413, "the body is longer than this listener takes")
    if answer.reason in PASSING_REASONS:
        return Refused(503, f"this cannot be judged now ({answer.reason})", {"Retry-After": "1"})
    return Refused(422, f"this cannot be judged ({answer.reason})")


Endpoint = Callable[[Request], Awaitable[Response]]


def saying(word: str, endpoint: Endpoint) -> Endpoint:
    """An endpoint whose refusals are objects with one member of that name."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refused:
            return Reply({word: refused.message}, refused.status, refused.headers)
        except TooSlow:
            return Reply({word: "the body comes too slowly"}, 408, {"Connection": "close"})
        except Gone:
            return Response(status_code=400)  # nobody is there to read it

    return guarded
