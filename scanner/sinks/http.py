"""One POST of a batch to an HTTP receiver.

Rules
- `application/cloudevents-batch+json`; Idempotency-Key = batch id; the same bytes at every attempt.
- 2xx is delivered. 408, 425, 429, 5xx and anything that goes wrong on the way may be tried again; every other answer,
  redirects included, needs someone to mend something. Nothing is ever given up: the batch stays owed.
- TLS is verified, redirects are not followed, proxies of the environment are not used unless configured, the answer's
  body is not read, and one deadline holds for the whole exchange.
- The bearer token is read from its file at each delivery and appears nowhere else.
- The request says nothing of this machine: constant headers, no version.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx

from scanner.errors import DeliveryError, Trouble
from scanner.reports import Batch, encode_cloudevents_batch
from scanner.sinks.checks import refuse_foreign

MAX_REPORTS_PER_POST: Final = 10_000  # some 5 MB: receivers commonly refuse bodies over 10 MB
_CONNECT_SECONDS: Final = 10.0
_MAX_TOKEN_BYTES: Final = 8192  # servers commonly refuse a header line over 8 kB
_RETRYABLE: Final = frozenset({408, 425, 429})
_BUSY: Final = _RETRYABLE | {503}
_HEADERS: Final = {
    "Content-Type": "application/cloudevents-batch+json; charset=UTF-8",
    "User-Agent": "hashward",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to post.

    `timeout_seconds` holds for one whole exchange. `ca_file` replaces the public certificate authorities.
    `use_environment` takes proxies from the environment.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 60.0
    use_environment: bool = False
    max_reports_per_post: int = MAX_REPORTS_PER_POST


class HttpSink:
    """Posts each batch to one endpoint; a batch of over `max_reports_per_post` in parts, each with its own key."""

    def __init__(
        self,
        name: str,
        hash_sets: frozenset[str],
        endpoint: Endpoint,
        *,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.hash_sets = hash_sets
        self._endpoint = endpoint
        self._now_seconds = now_seconds

    def deliver(self, batch: Batch) -> None:
        """Post the batch. Raises DeliveryError."""
        refuse_foreign(batch, self.hash_sets)
        headers = _HEADERS | self._authorization()
        with self._client() as client:
            for part in batch.parts(self._endpoint.max_reports_per_post):
                self._post(client, part, headers)

    def _post(self, client: httpx.Client, batch: Batch, headers: dict[str, str]) -> None:
        content = encode_cloudevents_batch(batch)
        headers = headers | {"Idempotency-Key": batch.batch_id}
        try:
            with (
                _Deadline(self._endpoint.timeout_seconds) as deadline,
                client.stream(
                    "POST",
                    self._endpoint.url,
                    content=content,
                    headers=headers,
                    extensions={"trace": deadline.trace},
                ) as response,
            ):
                status, retry_after = response.status_code, response.headers.get("Retry-After")
        except (httpx.HTTPError, OSError) as exc:
            raise DeliveryError(
                f"an http sink's receiver was not reached or broke off ({type(exc).__name__}); it will be tried again"
            ) from None  # the cause holds the address
        if not 200 <= status < 300:
            raise self._refused(status, retry_after)

    def _refused(self, status: int, retry_after: str | None) -> DeliveryError:
        if status in _RETRYABLE or 500 <= status < 600:
            return DeliveryError(
                f"an http sink's receiver answered {status}; it will be tried again",
                retry_after_seconds=_retry_after_seconds(retry_after, self._now_seconds()),
                why=Trouble.BUSY if status in _BUSY else Trouble.FAULTY,
            )
        return DeliveryError(
            f"an http sink's receiver answered {status}; check its url and token, the batch stays owed",
            retryable=False,
            why=Trouble.CREDENTIALS if status in (401, 403, 407) else Trouble.REFUSED,
        )

    def _client(self) -> httpx.Client:
        endpoint = self._endpoint
        try:
            verify: ssl.SSLContext | bool = True
            if endpoint.ca_file is not None:
                verify = ssl.create_default_context(cafile=str(endpoint.ca_file))
            return httpx.Client(
                verify=verify,
                trust_env=endpoint.use_environment,
                follow_redirects=False,
                timeout=httpx.Timeout(
                    endpoint.timeout_seconds, connect=min(_CONNECT_SECONDS, endpoint.timeout_seconds)
                ),
            )
        except (
            OSError,
            ValueError,
        ) as exc:  # ssl.SSLError is an OSError; ValueError: a proxy setting of the environment
            raise DeliveryError(
                "an http sink's ca_file or proxy setting cannot be used; check the configuration",
                retryable=False,
                why=Trouble.CONFIGURATION,
            ) from exc

    def _authorization(self) -> dict[str, str]:
        if self._endpoint.token_file is None:
            return {}
        try:
            with self._endpoint.token_file.open("rb") as file:
                token = file.read(_MAX_TOKEN_BYTES + 1).strip()
        except OSError as exc:
            raise DeliveryError(
                f"an http sink's token_file cannot be read ({os.strerror(exc.errno or 0)})",
                retryable=False,
                why=Trouble.CREDENTIALS,
            ) from None  # the cause holds the path
        # RFC 6750, section 2.1: a bearer token is visible ASCII.
        if not token or len(token) > _MAX_TOKEN_BYTES or any(byte <= 0x20 or byte >= 0x7F for byte in token):
            raise DeliveryError(
                "an http sink's token_file holds no usable token", retryable=False, why=Trouble.CREDENTIALS
            )
        return {"Authorization": f"Bearer {token.decode('ascii')}"}


def _retry_after_seconds(value: str | None, now_seconds: float) -> float | None:
    """Retry-After as seconds from now, from either of its forms (RFC 9110, section 10.2.3); None if it is neither."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_seconds
    return max(0.0, seconds) if math.isfinite(seconds) else None


class _Deadline:
    """Ends an exchange after so many seconds, whatever is under way.

    httpx's timeouts hold for single reads: a receiver that sends a byte of its header now and then would hold us for
    days. The connection's socket is learnt through httpcore's trace extension and shut down from a timer thread; a
    duplicate of it, because TLS takes the descriptor over.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    def trace(self, event_name: str, info: dict[str, Any]) -> None:
        """httpcore's callback (https://www.encode.io/httpcore/extensions/#trace)."""
        if not event_name.endswith("connect_tcp.complete"):
            return
        connected: socket.socket | None = info["return_value"].get_extra_info("socket")
        if connected is None:
            return
        with self._lock:
            self._sockets.append(connected.dup())
            if self._over:
                self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self._over = True
            self._shut_down()

    def _shut_down(self) -> None:
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
