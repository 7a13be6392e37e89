"""ASGI middleware (Starlette, FastAPI, Litestar, Django under ASGI): no upload reaches the application unjudged.

    app.add_middleware(HashwardMiddleware, door=Door("unix:/run/hashward/http.sock"))

Rules
- The body is handed to hashward while it comes, and to the application once there is a verdict. Until then it lies in
  memory, then in a temporary file without a name.
- Whoever sends is told a status: 422 for what matched, 503 where nothing could be said. The application is not called.
- Multipart bodies are handed over as they are; hashward judges each file in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from scanner.clients.door import (
    MATCHED,
    MAX_ANSWER_BYTES,
    NOTHING_SENT,
    PIECE_BYTES,
    UNREACHABLE,
    Door,
    Verdict,
    chunk,
    is_whole,
    verdict_of,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

IN_MEMORY_BYTES = 2**20
METHODS = frozenset({"POST", "PUT", "PATCH"})
REQUESTS = "/v1/requests"  # where hashward takes forms apart
HEAD_BYTES = 512
# What forms and interfaces send as text, which frameworks parse and never store as a file, by how it begins: a visitor
# chooses what a body is called, and an application may keep it whatever that is. No picture or film begins so.
NO_UPLOADS = {
    "application/x-www-form-urlencoded": re.compile(rb"[!-~]*"),
    "application/json": re.compile(rb'[ \t\r\n]*([\[{"0-9tfn-][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*)?'),
}


def may_be_text(method: str, content_type: str) -> bool:
    """Whether a request need not be judged if its body begins as the text it is said to be."""
    return method in METHODS and _kind(content_type) in NO_UPLOADS


def carries_upload(method: str, content_type: str, head: bytes) -> bool:
    """Whether a request whose body begins with `head` is judged, unless the application says otherwise."""
    text = NO_UPLOADS.get(_kind(content_type))
    return method in METHODS and (text is None or text.fullmatch(head) is None)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


class AsyncUpload:
    """One upload being handed over, by a task. As `Upload`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._broken = False

    async def begin(self, ref: bytes | None, content_type: str, encoding: str) -> None:
        """Connect and send the header."""
        try:
            async with asyncio.timeout(self._door.timeout_s):
                self._reader, self._writer = await self._connect()
        except (OSError, TimeoutError):
            self._broken = True
        await self._send(self._door.head(ref, content_type, path=REQUESTS, encoding=encoding))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._door.address)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path)
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return await asyncio.open_connection(parts.hostname, parts.port or (443 if tls else 80), ssl=tls)

    async def write(self, data: bytes) -> None:
        """Hand over the next bytes."""
        if data:
            await self._send(chunk(data))

    async def _send(self, data: bytes) -> None:
        if self._broken or self._writer is None:
            return
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._door.timeout_s):
                await self._writer.drain()
        except (OSError, TimeoutError):
            self._broken = True

    async def finish(self) -> Verdict:
        """The verdict on everything that was handed over."""
        await self._send(chunk(b""))
        verdict = UNREACHABLE
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._door.timeout_s):
                verdict = verdict_of(await self._answer())
        self.abort()
        return UNREACHABLE if self._broken and verdict.verdict != MATCHED else verdict

    async def _answer(self) -> bytes:
        answer = b""
        while self._reader is not None and not is_whole(answer) and len(answer) <= MAX_ANSWER_BYTES:
            more = await self._reader.read(PIECE_BYTES)
            if not more:
                break
            answer += more
        return answer

    def abort(self) -> None:
        """Let go of the connection; before the end of the body nothing is kept of it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class HashwardMiddleware:
    """See the module. The application finds the verdict in `scope["hashward"]`.

    `only` says of a scope whether it is judged, in place of `carries_upload`. `ref` gives the platform's own name of
    what a request uploads, where it has one by then.
    """

    def __init__(
        self,
        app: App,
        door: Door,
        *,
        only: Callable[[Scope], bool] | None = None,
        ref: Callable[[Scope], bytes | None] = lambda scope: None,
    ) -> None:
        self._app = app
        self._door = door
        self._only = only
        self._ref = ref

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request's body, then let the application have it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_judged, receive = await self._is_judged(scope, receive)
        if not is_judged:
            await self._app(scope, receive, send)
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as spool:
            verdict = await self._judge(scope, receive, spool)
            if verdict is None:  # whoever sent has gone away
                return
            if not self._door.allows(verdict):
                await _refuse(send, verdict)
                return
            scope["hashward"] = verdict
            await self._app(scope, _replay(spool, receive), send)

    async def _is_judged(self, scope: Scope, receive: Receive) -> tuple[bool, Receive]:
        """Whether it is, and what receives its body from the beginning."""
        if self._only is not None:
            return self._only(scope), receive
        method, content_type, head = scope["method"], _content_type(scope), b""
        if may_be_text(method, content_type):
            head, receive = await _head(receive)
        return carries_upload(method, content_type, head), receive

    async def _judge(self, scope: Scope, receive: Receive, spool: Any) -> Verdict | None:
        upload, begun, kept_bytes = AsyncUpload(self._door), False, 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body = message.get("body", b"")
                if body and not begun:
                    kind = _content_type(scope) or "application/octet-stream"
                    await upload.begin(self._ref(scope), kind, _header(scope, b"content-encoding"))
                    begun = True
                if body:
                    await upload.write(body)
                    kept_bytes += len(body)
                    in_memory = kept_bytes <= IN_MEMORY_BYTES
                    spool.write(body) if in_memory else await asyncio.to_thread(spool.write, body)
                if not message.get("more_body", False):
                    return await upload.finish() if begun else NOTHING_SENT
        finally:
            upload.abort()


def _content_type(scope: Scope) -> str:
    return _header(scope, b"content-type")


def _header(scope: Scope, wanted: bytes) -> str:
    return ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted)


async def _head(receive: Receive) -> tuple[bytes, Receive]:
    """How a body begins, and what receives it from there on."""
    messages, head, more = list[Message](), b"", True
    while more and len(head) < HEAD_BYTES:
        messages.append(await receive())
        head += messages[-1].get("body", b"")[:HEAD_BYTES]
        more = messages[-1].get("more_body", False)

    async def from_its_beginning() -> Message:
        return messages.pop(0) if messages else await receive()

    return head, from_its_beginning


def _replay(spool: Any, receive: Receive) -> Receive:
    """What the application receives: the body as it came, then whatever follows it."""
    spool.seek(0)
    ended = False

    async def replayed() -> Message:
        nonlocal ended
        if ended:
            return await receive()
        body = await asyncio.to_thread(spool.read, PIECE_BYTES)
        ended = len(body) < PIECE_BYTES
        return {"type": "http.request", "body": body, "more_body": not ended}

    return replayed


def refusal(verdict: Verdict) -> tuple[int, bytes]:
    """Status and body that say an upload was refused, and nothing about why."""
    status = 422 if verdict.verdict == MATCHED else 503
    return status, json.dumps({"detail": "upload refused", "name": verdict.name}).encode("ascii")


async def _refuse(send: Send, verdict: Verdict) -> None:
    status, body = refusal(verdict)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
