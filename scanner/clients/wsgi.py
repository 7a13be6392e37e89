"""WSGI middleware (Flask, Pyramid, Django under WSGI): no upload reaches the application unjudged.

    application = HashwardMiddleware(application, Door("unix:/run/hashward/http.sock"))

As `asgi`: the body is handed to hashward while it is read, and to the application once there is a verdict.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from scanner.clients.asgi import HEAD_BYTES, IN_MEMORY_BYTES, REQUESTS, carries_upload, may_be_text, refusal
from scanner.clients.door import NOTHING_SENT, PIECE_BYTES, Door, Upload, Verdict

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]
_STATUS = {400: "400 Bad Request", 422: "422 Unprocessable Content", 503: "503 Service Unavailable"}


class HashwardMiddleware:
    """See the module. The application finds the verdict in `environ["hashward"]`; `only` and `ref` as in `asgi`."""

    def __init__(
        self,
        app: App,
        door: Door,
        *,
        only: Callable[[Environ], bool] | None = None,
        ref: Callable[[Environ], bytes | None] = lambda environ: None,
    ) -> None:
        self._app = app
        self._door = door
        self._only = only
        self._ref = ref

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Judge a request's body, then let the application have it."""
        if not self._is_judged(environ):
            return self._app(environ, start_response)
        with ExitStack() as stack:
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES))
            verdict = self._judge(environ, spool)
            if verdict is None:
                return _refuse(start_response, 400, b'{"detail": "the body was cut short"}')
            if not self._door.allows(verdict):
                return _refuse(start_response, *refusal(verdict))
            spool.seek(0)
            environ["wsgi.input"] = spool
            environ["hashward"] = verdict
            answer = self._app(environ, start_response)
            stack.callback(getattr(answer, "close", lambda: None))
            return _Answer(answer, stack.pop_all())

    def _is_judged(self, environ: Environ) -> bool:
        """Whether it is; what was read to see that is there again."""
        if self._only is not None:
            return self._only(environ)
        method, content_type, head = environ["REQUEST_METHOD"], environ.get("CONTENT_TYPE") or "", b""
        left = _length(environ)
        if may_be_text(method, content_type) and (left or environ.get("wsgi.input_terminated")):
            head = environ["wsgi.input"].read(HEAD_BYTES if left is None else min(left, HEAD_BYTES))
            environ["wsgi.input"] = io.BufferedReader(_Rejoined(head, environ["wsgi.input"], left))
        return carries_upload(method, content_type, head)

    def _judge(self, environ: Environ, spool: Any) -> Verdict | None:
        """The verdict; None where less came than was declared."""
        left = _length(environ)
        if left == 0 or (left is None and not environ.get("wsgi.input_terminated")):
            return NOTHING_SENT  # no body: without a length a server hands over none (PEP 3333)
        content_type = environ.get("CONTENT_TYPE") or "application/octet-stream"
        coding = environ.get("HTTP_CONTENT_ENCODING") or ""
        upload = Upload(self._door, ref=self._ref(environ), content_type=content_type, path=REQUESTS, encoding=coding)
        try:
            while left is None or left > 0:
                piece = environ["wsgi.input"].read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
                if not piece:
                    break
                left = None if left is None else left - len(piece)
                upload.write(piece)
                spool.write(piece)
            return upload.finish() if not left else None
        finally:
            upload.abort()


def _length(environ: Environ) -> int | None:
    length = environ.get("CONTENT_LENGTH") or ""
    return int(length) if length.isascii() and length.isdigit() else None


class _Rejoined(io.RawIOBase):
    """A body of which the beginning was read: as a whole again, and no more than it."""

    def __init__(self, head: bytes, rest: Any, length: int | None) -> None:
        self._head = head
        self._rest = rest
        self._left = None if length is None else length - len(head)

    def readable(self) -> bool:
        """It is read."""
        return True

    def readinto(self, room: Any) -> int:
        """The next of it."""
        piece, self._head = self._head[: len(room)], self._head[len(room) :]
        if not piece:
            piece = self._rest.read(len(room) if self._left is None else min(self._left, len(room)))
            self._left = None if self._left is None else self._left - len(piece)
        room[: len(piece)] = piece
        return len(piece)


class _Answer:
    """An application's answer; the body it was given is let go of once the server is done with it (PEP 3333)."""

    def __init__(self, answer: Iterable[bytes], held: ExitStack) -> None:
        self._answer = answer
        self.close = held.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)


def _refuse(start_response: Any, status: int, body: bytes) -> Iterable[bytes]:
    start_response(_STATUS[status], [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
