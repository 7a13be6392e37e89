"""GET, as every source over HTTP does it: one host, bounded, tried again.

Rules
- Only the configured host is spoken to, and no redirect is followed: credentials go nowhere else.
- An answer has a greatest size and a greatest time; both end in a SourceError that says which.
- 429, 500, 502, 503, 504, broken connections and answers cut short are tried again with backoff and jitter, no sooner
  than the server asks. NCMEC's public client does so four times.
- No address, header or body reaches a message or a log: an address may hold a token.
"""

from __future__ import annotations

import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from hashsets.errors import CredentialsRefused, SourceError, Unreachable

_RETRYABLE = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
RETRIES = 4
FIRST_WAIT_S = 0.5
MOST_WAIT_S = 300.0
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may cost. 60 seconds of silence: NCMEC's public client."""

    max_bytes: int = 64 * 1024 * 1024
    silence_s: float = 60.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How waiting is done: handed in, so that a test need not wait."""

    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)

    def wait(self, attempt: int, asked: str | None) -> None:
        """Wait after failed attempt `attempt` (from 0): half of it sure, half drawn; as asked if that is longer."""
        ceiling = FIRST_WAIT_S * 2.0**attempt
        seconds = float(asked) if asked is not None and asked.isdigit() and len(asked) < 6 else 0.0
        self.sleep(min(MOST_WAIT_S, max(seconds, ceiling / 2 + ceiling / 2 * self.draw())))


class NotFound(SourceError):
    """There is nothing at that address."""


class Answer:
    """What came back: status, headers and body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class _Again(Exception):
    """The attempt failed in a way that may pass."""

    def __init__(self, what: str, asked: str | None = None) -> None:
        super().__init__(what)
        self.asked = asked


class Web:
    """One server. `base` is its address without a slash at the end; paths are appended to it."""

    def __init__(
        self,
        base: str,
        *,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        limits: Limits | None = None,
        patience: Patience | None = None,
        ca_file: Path | None = None,
    ) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every address at INFO
        self._base = httpx.URL(base.rstrip("/"))
        self._headers = dict(headers or {})
        self._basic = basic
        self._limits = limits or Limits()
        self._patience = patience or Patience()
        self._ca_file = ca_file

    def get(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        into: BinaryIO | None = None,
        most_bytes: int | None = None,
    ) -> Answer:
        """The answer to a GET: 200 or 304. `into` takes a body that is too long for memory. Raises SourceError."""
        return self._asked("GET", path, dict(headers or {}), into=into, most_bytes=most_bytes)

    def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer to a PUT, sent once: whether it arrived is not known where this fails. Raises SourceError."""
        return self._asked("PUT", path, dict(headers), content=content, retries=0)

    def get_json(self, path: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object that a GET answers; one that is cut short or none is asked for again. Raises SourceError."""
        for attempt in range(RETRIES + 1):
            try:
                found = json.loads(self.get(path, headers=headers).body)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                return found
            if attempt < RETRIES:
                self._patience.wait(attempt, None)
        raise SourceError("the source's answer is not whole or not JSON: try again later")

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        """The answer to a form that changes nothing there, such as a question for a token. Raises SourceError."""
        return self._asked("POST", path, {}, fields=fields)

    def _asked(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        fields: Mapping[str, str] | None = None,
        content: bytes | None = None,
        into: BinaryIO | None = None,
        most_bytes: int | None = None,
        retries: int = RETRIES,
    ) -> Answer:
        url, limit = self._url(path), self._limits.max_bytes
        with self._client() as client:
            for attempt in range(retries + 1):
                try:
                    request = client.build_request(
                        method, url, headers=self._headers | headers, data=fields, content=content
                    )
                    return self._attempt(client, request, into, min(most_bytes or limit, limit))
                except _Again as again:
                    if attempt == retries:
                        times = f"{retries + 1} times" if retries else "once, and is not asked twice"
                        raise Unreachable(f"the source {again} {times}: try again later") from None
                    self._patience.wait(attempt, again.asked)
        raise AssertionError("every attempt returns or raises")

    def _url(self, path: str) -> httpx.URL:
        """The address of a path, which must stay below the base."""
        if not path.startswith("/") or path.startswith("//") or any(ord(letter) <= 32 for letter in path):
            raise SourceError("the source names a page that is not on its own host")
        url = httpx.URL(f"{self._base}{path}")
        if (url.scheme, url.host, url.port) != (self._base.scheme, self._base.host, self._base.port):
            raise SourceError("the source names a page that is not on its own host")
        return url

    def _attempt(self, client: httpx.Client, request: httpx.Request, into: BinaryIO | None, most_bytes: int) -> Answer:
        try:
            response = client.send(request, stream=True)
            try:
                return self._taken(response, into, most_bytes)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise _Again("was not reached, or broke off,") from error

    def _taken(self, response: httpx.Response, into: BinaryIO | None, most_bytes: int) -> Answer:
        status = response.status_code
        if status in _RETRYABLE:
            raise _Again(f"answered {status}", response.headers.get("Retry-After"))
        if status in _REFUSED:
            raise CredentialsRefused(f"the source answered {status}: check its credentials")
        if status == 404:
            raise NotFound(f"the source answered {status}: check its address")
        sent = response.request.method == "PUT" and 200 <= status < 300
        if status not in (200, 304) and not sent:
            raise SourceError(f"the source answered {status}: check its address")
        body = bytearray()
        if into is not None:
            into.seek(0)
            into.truncate()
        for part in self._parts(response, most_bytes):
            body += part if into is None else b""
            if into is not None:
                into.write(part)
        return Answer(status, dict(response.headers), bytes(body))

    def _parts(self, response: httpx.Response, most_bytes: int) -> Iterator[bytes]:
        """The body, within its limits: of what is sent, and of what that unpacks to."""
        ends = time.monotonic() + self._limits.total_s
        taken = 0
        for part in response.iter_bytes(_CHUNK_BYTES):
            taken += len(part)
            if taken > most_bytes:
                raise SourceError(f"the source's answer is longer than {most_bytes} bytes: it was not taken")
            if time.monotonic() > ends:
                raise Unreachable(f"the source's answer took longer than {self._limits.total_s:g} seconds")
            yield part

    def _client(self) -> httpx.Client:
        try:
            context = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
        except OSError as error:
            raise SourceError("the source's file of authorities cannot be read") from error
        return httpx.Client(
            auth=self._basic, verify=context, trust_env=False, follow_redirects=False, timeout=self._limits.silence_s
        )
