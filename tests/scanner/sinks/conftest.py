"""Batches, and a receiver of reports that behaves as real ones do on their bad days."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hashsets.types import EntryHit
from scanner.reports import Batch, anonymise, seal
from scanner.types import MediaKind, Trigger

MakeBatch = Callable[..., Batch]


@dataclass
class Mood:
    """What the receiver does with its next request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang_seconds: float = 0.0
    drip: bool = False  # sends its header a byte at a time, for ever
    drop_before_answer: bool = False
    drop_after_header: bool = False
    body: bytes = b""
    endless_body: bool = False


class Receiver:
    """Takes batches on loopback; `moods` are used up one a request, after which it is well."""

    def __init__(self) -> None:
        self.moods: list[Mood] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.events: dict[str, dict[str, Any]] = {}
        self.batches: set[str] = set()
        self.written = 0  # of endless bodies
        self.stopping = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def do_GET(self) -> None:
                receiver.take(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def next(self, **mood: Any) -> None:
        """Say how the next request but those already said is met."""
        self.moods.append(Mood(**mood))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/reports"

    def close(self) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        self.requests.append((dict(handler.headers.items()), body))
        mood = self.moods.pop(0) if self.moods else Mood()
        if mood.drop_before_answer:
            return self._reset(handler)
        if mood.hang_seconds:
            self.stopping.wait(mood.hang_seconds)
        if mood.drip:
            return self._drip(handler)
        if 200 <= mood.status < 300:
            self._keep(handler.headers["Idempotency-Key"], body)
        handler.send_response(mood.status)
        for name, value in mood.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(mood.body) or (10**9 if mood.endless_body else 0)))
        handler.end_headers()
        if mood.drop_after_header:
            return self._reset(handler)
        if mood.endless_body:
            while not self.stopping.is_set():
                try:
                    self.written += handler.wfile.write(b"x" * 65536)
                except OSError:
                    return None
        handler.wfile.write(mood.body)
        return None

    def _keep(self, key: str, body: bytes) -> None:
        if key in self.batches:
            return
        self.batches.add(key)
        for event in json.loads(body):
            assert event["id"] not in self.events
            self.events[event["id"]] = event

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.stopping.is_set():
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    def _reset(self, handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.wfile.flush()
        handler.connection.close()
        handler.close_connection = True


@pytest.fixture
def make_batch() -> MakeBatch:
    """Builds a sealed batch of `count` match reports about each of `hash_sets`."""

    def make(count: int = 3, hash_sets: tuple[str, ...] = ("set-a",), seed: int = 7) -> Batch:
        bodies = [
            anonymise(
                EntryHit(i, b"u" * 16, b"k", f"ref-{i}", (), 1, "pdq", 12, frozenset()),
                hash_set=name,
                media=MediaKind.IMAGE,
                trigger=Trigger.SCAN,
                day="2025-01-31",
            )
            for name in hash_sets
            for i in range(count)
        ]
        return seal(bodies, random.Random(seed)).batch()

    return make


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver in this process."""
    running = Receiver()
    yield running
    running.close()
