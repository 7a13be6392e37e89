"""The ASGI and WSGI middleware: the application sees what was judged, byte for byte, or nothing."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from scanner.clients import asgi, wsgi
from scanner.clients.door import Door
from tests.scanner.clients.serving import FakeServe, running

LISTED = b"a listed picture"
Call = Callable[..., tuple[int, bytes]]


@pytest.fixture
def serve() -> Iterator[tuple[FakeServe, str]]:
    """A running serve that lists one text."""
    made = FakeServe(LISTED)
    with made.listening() as address:
        yield made, address


def ask(app: asgi.App, body: bytes, content_type: str) -> int:
    """The status that an ASGI application answers one POST with."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", content_type.encode())]
    asyncio.run(app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send))
    return int(sent[0]["status"])


def call_asgi(door: Door, body: bytes, method: str = "POST", content_type: str = "image/png") -> tuple[int, bytes]:
    """One request through the middleware to an application that answers with the digest of its body."""
    sent: list[dict[str, Any]] = []
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)] or [b""]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    app = asgi.HashwardMiddleware(Starlette(routes=[Route("/", echo, methods=["POST", "GET"])]), door)
    headers = [(b"content-type", content_type.encode())]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def call_wsgi(door: Door, body: bytes, method: str = "POST", content_type: str = "image/png") -> tuple[int, bytes]:
    """The same through the WSGI middleware."""
    began: list[str] = []

    def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    environ = {
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answer = wsgi.HashwardMiddleware(echo, door)(environ, lambda status, headers: began.append(status))
    said = b"".join(answer)
    getattr(answer, "close", lambda: None)()
    return int(began[0][:3]), said


@pytest.fixture(params=[call_asgi, call_wsgi], ids=["asgi", "wsgi"])
def call(request: pytest.FixtureRequest) -> Call:
    """One request through either."""
    made: Call = request.param
    return made


def test_what_is_clear_reaches_the_application_unchanged(call: Call, serve: tuple[FakeServe, str]) -> None:
    """Every byte of it, in memory or past it."""
    made, address = serve
    body = bytes(range(256)) * 12_000  # 3 MB

    assert (200, body) == call(Door(address), body)
    assert [body] == made.intake.seen


def test_what_matches_never_reaches_it(call: Call, serve: tuple[FakeServe, str]) -> None:
    """422, an opaque name, no reason."""
    status, said = call(Door(serve[1]), b"before " + LISTED + b" after")

    assert 422 == status
    assert {"detail": "upload refused", "name": "Policy.Blocked.7F3K2Q"} == json.loads(said)


def test_a_door_that_is_down_refuses_or_lets_pass_as_configured(call: Call) -> None:
    """Closed unless said otherwise."""
    nobody = Door("unix:/nowhere/at-all")

    assert 503 == call(nobody, b"body")[0]
    assert (200, b"body") == call(Door("unix:/nowhere/at-all", allow_undecidable=True), b"body")


def test_what_carries_no_upload_is_passed_on(call: Call, serve: tuple[FakeServe, str]) -> None:
    """No body, no upload; forms without files and JSON are not judged."""
    made, address = serve

    assert (200, b"") == call(Door(address), b"")
    assert 200 == call(Door(address), b"", "GET")[0]
    for kind, text in (
        ("application/json; charset=utf-8", b' {"a": ["' + LISTED * 200 + b'\xc3\xa9"]}\n'),
        ("application/json", b"12"),
        ("application/json", b""),
        ("application/x-www-form-urlencoded", b"a=b+c%20d&e=" + LISTED.replace(b" ", b"+") * 200_000),
    ):
        assert (200, text) == call(Door(address), text, content_type=kind)
    assert [] == made.intake.seen


@pytest.mark.parametrize("kind", ["application/json", "Application/X-WWW-Form-URLencoded; charset=utf-8"])
@pytest.mark.parametrize(
    "picture", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a\x10\0", b"\0\0\0\x18ftyp", b"P6 9 9 255\n",
                b"<svg xmlns=''>", b"%PDF-1.4\n1 0 obj"], ids=["jpeg", "png", "gif", "mp4", "ppm", "svg", "pdf"]
)  # fmt: skip
def test_what_a_visitor_calls_a_text_is_judged_unless_it_is_one(
    call: Call, serve: tuple[FakeServe, str], picture: bytes, kind: str
) -> None:
    """An application that keeps whatever comes keeps it whatever it is called."""
    body = picture + LISTED * 100

    assert 422 == call(Door(serve[1]), body, content_type=kind)[0]
    assert [body] == serve[0].intake.seen


def test_a_text_comes_to_the_application_as_it_was_sent(serve: tuple[FakeServe, str]) -> None:
    """Line by line, cut short where it was, and not beyond its length."""
    seen: list[Any] = []
    sent = io.BytesIO(b'{"a":\n' + b"1" * 1000 + b"}\nthe next request")
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "1008",
        "wsgi.input": sent,
    }
    wsgi.HashwardMiddleware(lambda e, s: seen.extend(e["wsgi.input"]) or [], Door(serve[1]))(environ, None)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        seen.extend([await receive(), await receive()])

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "headers": headers}
    asyncio.run(asgi.HashwardMiddleware(app, Door(serve[1]))(scope, receive, None))  # type: ignore[arg-type]

    assert [b'{"a":\n', b"1" * 1000 + b"}\n"] == seen[:2]
    assert [b"{", "http.disconnect"] == [seen[2]["body"], seen[3]["type"]]
    assert b"the next request" == sent.read()


def test_multipart_is_handed_over_as_it_is(call: Call, serve: tuple[FakeServe, str]) -> None:
    """With its boundary, so that hashward can take it apart."""
    made, address = serve
    body = b"--b\r\n\r\nfile\r\n--b--\r\n"

    assert (200, body) == call(Door(address), body, content_type="multipart/form-data; boundary=b")
    assert "multipart/form-data; boundary=b" == made.heads[-1]["content-type"]


def test_a_body_that_ends_early_is_not_passed_on(serve: tuple[FakeServe, str]) -> None:
    """ASGI says so by a disconnect, WSGI by fewer bytes than declared."""
    called: list[object] = []

    async def app(*_: object) -> None:
        called.append(1)

    messages = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        called.append(message)

    asyncio.run(
        asgi.HashwardMiddleware(app, Door(serve[1]))({"type": "http", "method": "PUT", "headers": []}, receive, send)
    )
    began: list[str] = []
    environ = {"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": "9", "wsgi.input": io.BytesIO(b"half")}
    wsgi.HashwardMiddleware(lambda e, s: called.append(e) or [], Door(serve[1]))(environ, lambda s, h: began.append(s))

    assert [] == called
    assert ["400 Bad Request"] == began
    assert [] == serve[0].intake.seen


def test_both_in_a_real_server(serve: tuple[FakeServe, str]) -> None:
    """Under uvicorn, from a client that sends in chunks."""

    async def echo(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    app = asgi.HashwardMiddleware(Starlette(routes=[Route("/v1/scan", echo, methods=["POST"])]), Door(serve[1]))
    with running(app) as address:
        upload = Door(address)
        refused = upload.scan([LISTED])

    assert "http_422" == refused.reason  # the application's refusal is no verdict of hashward's
    assert [LISTED] == serve[0].intake.seen
