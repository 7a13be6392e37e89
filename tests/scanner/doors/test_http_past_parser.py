"""Bodies past the HTTP parser: what an application gets is what was sent, however it comes."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from typing import Any

import pytest
import uvicorn

from scanner.doors.http_bodies import Gone, pieces
from scanner.doors.http_past_parser import HELD_BYTES, PastParser
from scanner.doors.http_server import Protocol
from scanner.doors.room import Room
from tests.scanner.doors.houses import run

FULL = 256 * 1024
Seen = list[tuple[str, str | None]]


class _Wire(asyncio.Transport):
    """The transport of a connection that is fed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed, self.paused = False, 0
        self.may_read = asyncio.Event()
        self.may_read.set()

    def write(self, data: Any) -> None:
        self.writes += [bytes(data)] if data else []

    def close(self) -> None:
        self.closed = True
        self.may_read.set()

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused += 1
        self.may_read.clear()

    def resume_reading(self) -> None:
        self.may_read.set()


def connection(seen: Seen, asks: asyncio.Event | None = None) -> tuple[Protocol, _Wire]:
    """A connection whose requests are kept as (path, SHA-256 of the body, or None of one that is cut)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        made = hashlib.sha256()
        try:
            if scope["path"] != "/unread":
                if asks is not None:
                    await asks.wait()
                async for data in pieces(receive):
                    made.update(data)
            seen.append((scope["path"], made.hexdigest()))
        except Gone:
            seen.append((scope["path"], None))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None))
    server.config.load()
    wire = _Wire()
    protocol = Protocol(server, Room(1).seat(wire.close))
    protocol.connection_made(wire)
    return protocol, wire


async def feed(protocol: Protocol, wire: _Wire, stream: bytes, lengths: Any) -> None:
    """Bytes in pieces of these lengths, each when the connection is read."""
    at = 0
    while at < len(stream) and not wire.closed:
        await wire.may_read.wait()
        length = next(lengths)
        protocol.data_received(stream[at : at + length])
        at += length
        for _ in range(next(lengths) % 4):
            await asyncio.sleep(0)


def request(path: str, body: bytes, *, chunked: bool = False) -> bytes:
    """A request whose body has a length, or comes in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("seed", range(16))
def test_bodies_arrive_as_they_were_sent_however_they_come(seed: int) -> None:
    """Several requests of one connection, pipelined or not, read or not, in whatever pieces."""

    async def test() -> None:
        rng, seen, wanted, stream = random.Random(seed), Seen(), Seen(), b""
        for number in range(5):
            body = rng.randbytes(rng.choice((1, 4095, 4097, 70_000, FULL, HELD_BYTES + 1, 3 * HELD_BYTES // 2)))
            path = rng.choice((f"/{number}", f"/{number}", "/unread"))
            stream += request(path, body, chunked=rng.random() < 0.25)
            wanted.append((path, hashlib.sha256(b"" if path == "/unread" else body).hexdigest()))
        protocol, wire = connection(seen)
        step = rng.choice((1000, 65_536, FULL, FULL, 2 * FULL))
        await feed(protocol, wire, stream, iter(lambda: rng.choice((step, rng.randint(1, step))), None))
        while len(seen) < len(wanted):
            await asyncio.sleep(0)

        assert wanted == seen

    run(test)


def test_the_parser_gets_heads_and_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every byte is copied four times; that the pieces are those it would give is asked by the tests above."""
    parsed: list[int] = []
    whole = PastParser.come

    def come(self: PastParser, data: bytes, parse: Any) -> None:
        whole(self, data, lambda part: (parsed.append(len(part)), parse(part))[1])

    monkeypatch.setattr(PastParser, "come", come)

    async def test() -> None:
        seen = Seen()
        protocol, wire = connection(seen)
        body = bytes(900_000)
        await feed(protocol, wire, request("/x", body), itertools.cycle([FULL, 3]))
        while not seen:
            await asyncio.sleep(0)

        assert [("/x", hashlib.sha256(body).hexdigest())] == seen
        assert sum(parsed) < 100
        assert not wire.paused  # and the connection was read on all the while

    run(test)


def test_what_nobody_asks_for_is_not_read_on() -> None:
    """A sender that is faster than the application waits: no more is held than one piece."""

    async def test() -> None:
        seen, asks = Seen(), asyncio.Event()
        protocol, wire = connection(seen, asks)
        feeding = asyncio.create_task(feed(protocol, wire, request("/x", bytes(2_000_000)), itertools.cycle([FULL, 3])))
        while wire.may_read.is_set():
            await asyncio.sleep(0)
        held = sum(map(len, protocol._past._held))
        asks.set()
        await feeding
        while not seen:
            await asyncio.sleep(0)

        assert held <= 2 * FULL
        assert [("/x", hashlib.sha256(bytes(2_000_000)).hexdigest())] == seen

    run(test)


def test_what_stops_behind_a_large_piece_is_passed_on_all_the_same() -> None:
    """The application hears of it, though no more comes; then the sender goes, and the body is cut."""

    async def test() -> None:
        seen = Seen()
        protocol, wire = connection(seen)
        await feed(protocol, wire, request("/x", bytes(2_000_000))[: FULL + 70], iter([70, 3, FULL, 0]))
        assert protocol._past._held
        while protocol._past._held:
            await asyncio.sleep(0.01)
        protocol.connection_lost(None)
        while not seen:
            await asyncio.sleep(0)

        assert [("/x", None)] == seen

    run(test)


def test_an_answer_goes_out_in_one_piece() -> None:
    """Each wakes whoever reads it. What is to be said before the body is asked for goes out by itself."""

    async def test() -> None:
        seen = Seen()
        protocol, wire = connection(seen)
        await feed(protocol, wire, 3 * request("/x", b"body"), itertools.cycle([FULL, 3]))
        while len(wire.writes) < 3:
            await asyncio.sleep(0)
        protocol.data_received(request("/x", b"body").replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")[:-4])
        while len(wire.writes) < 4:
            await asyncio.sleep(0)
        protocol.data_received(b"body")
        while len(wire.writes) < 5:
            await asyncio.sleep(0)

        assert wire.writes[3].startswith(b"HTTP/1.1 100 ")
        for answer in (*wire.writes[:3], wire.writes[4]):
            assert (answer[:15], answer[-4:]) == (b"HTTP/1.1 200 OK"[:15], b"\r\nok"[-4:])

    run(test)


def test_a_head_without_its_body_is_not_kept_back() -> None:
    """An application that fails between them, and one that ends the connection."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        raise ZeroDivisionError

    async def test() -> None:
        server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None))
        server.config.load()
        wire = _Wire()
        protocol = Protocol(server, Room(1).seat(wire.close))
        protocol.connection_made(wire)
        protocol.data_received(request("/x", b"body"))
        while not wire.closed:
            await asyncio.sleep(0)

        assert wire.writes[0].startswith(b"HTTP/1.1 200 OK")

    run(test)
