"""The last word of every door: it comes whole to whoever is still sending, and waits for nobody who is not."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.doors import clamd_session, icap_session
from scanner.doors.answers import Answer
from scanner.doors.clamd import ClamdListener
from scanner.doors.connections import Connections
from scanner.doors.http_app import application
from scanner.doors.http_server import HttpListener, Protocol
from scanner.doors.icap import IcapListener
from scanner.doors.lines import Line
from scanner.doors.rules import DoorRules
from scanner.serve_config import Access, DoorKind, checked_listener, parse_address
from tests.scanner.doors.faces import Face
from tests.scanner.doors.fakes import FakeIntake, FakeUpload
from tests.scanner.doors.houses import run
from tests.scanner.doors.running import WAIT_S, port_of, running, tcp_socket

POST = b"POST /v1/scan HTTP/1.1\r\nHost: x\r\n"
OPTIONS = b"OPTIONS icap://h/avscan ICAP/1.0\r\nConnection: close\r\n\r\n"
MAY_ANSWER = threading.Event()


class _Held(FakeUpload):
    async def finish(self, *, cut: bool = False) -> Answer:
        """Judge when that is allowed."""
        assert await asyncio.to_thread(MAY_ANSWER.wait, WAIT_S)
        return await super().finish(cut=cut)


class _Fails(FakeUpload):
    async def finish(self, *, cut: bool = False) -> Answer:
        """Fail as no code should."""
        raise KeyError


class _Intake(FakeIntake):
    kind: type[FakeUpload] = FakeUpload

    def begin(self, rules: DoorRules, ref: bytes | None = None, *more: Any, **how: Any) -> FakeUpload:
        """A body of the kind that is tried."""
        return self.kind(self, rules, ref, None, True)


@contextlib.contextmanager
def http(home: Path, access: Access = Access.OPEN) -> Iterator[tuple[int, list[Any]]]:
    """An http listener with room for two: its port, and what its loop was told of faults."""
    face, sock, faults = Face(home, access=access), tcp_socket(), list[Any]()
    intake: Any = _Intake()
    intake.kind = _Held
    face.door.intake = intake
    config = checked_listener({"kind": DoorKind.HTTP, "address": parse_address("127.0.0.1:0"), "max_connections": 2})
    with running(lambda: HttpListener(config, sock, application(face.door))) as loop:
        loop.call_soon_threadsafe(loop.set_exception_handler, lambda _loop, context: faults.append(context))
        yield port_of(sock), faults
    face.ledger.close()


def read_to_end(sock: socket.socket) -> bytes:
    """What comes until the end; a reset is an error."""
    got = b""
    while received := sock.recv(65536):
        got += received
    return got


@pytest.mark.parametrize(
    ("access", "request_", "more", "status"),
    [
        (Access.OPEN, POST + b"no field\r\nContent-Length: 99999999\r\n\r\n", b"x", b"400"),
        (Access.OPEN, POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nno length\r\n", b"x", b"400"),
        (Access.OPEN, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 99999999\r\n\r\n", b"x", b"400"),
        (Access.OPEN, POST[:-9] + b"Connection: close\r\nContent-Length: 99999999\r\n\r\n", b"x", b"400"),
        (Access.TOKEN, POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", b"no length\r\n", b"401"),
        (Access.TOKEN, POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", b"x", b"401"),
        (Access.OPEN, b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\nContent-Length: 9\r\n\r\n", b"x", b"200"),
    ],
    ids=range(7),
)  # fmt: skip
def test_who_still_sends_reads_the_last_word_of_http(
    tmp_path: Path, access: Access, request_: bytes, more: bytes, status: bytes
) -> None:
    """Refused, misunderstood or answered: what is sent afterwards meets nobody who has gone, and no fault."""
    MAY_ANSWER.set()
    with (
        http(tmp_path, access) as (port, faults),
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as sock,
    ):
        sock.sendall(request_)
        got = sock.recv(65536)
        for _ in range(3):
            sock.sendall(more)
        sock.shutdown(socket.SHUT_WR)
        got += read_to_end(sock)

    assert b"HTTP/1.1 " + status == got[:12]
    assert [] == faults


def test_who_sends_no_more_reads_the_answer_to_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To half-close behind a whole request is no going away; the connection ends with the answer."""
    heard, has_ended = Protocol.eof_received, threading.Event()
    MAY_ANSWER.clear()

    def hear(protocol: Protocol) -> Any:
        keeps = heard(protocol)
        has_ended.set()
        return keeps

    monkeypatch.setattr(Protocol, "eof_received", hear)
    with (
        http(tmp_path) as (port, _faults),
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as sock,
    ):
        sock.sendall(POST + b"Content-Length: 4\r\n\r\nfine")
        sock.shutdown(socket.SHUT_WR)
        assert has_ended.wait(WAIT_S)
        MAY_ANSWER.set()
        got = read_to_end(sock)

    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b'{"verdict":"clear","block":false}')


def test_a_body_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    """The last piece may be the one that is too much: what a server says after it is that nobody sends any more."""
    face = Face(tmp_path, max_bytes=10)
    pieces = [(b"x" * 8, True), (b"x" * 8, False)]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        body, more = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/scan", "raw_path": b"/v1/scan", "query_string": b"",
        "headers": [],
    }  # fmt: skip
    run(lambda: application(face.door)(scope, receive, send))
    face.ledger.close()

    assert [413, False] == [sent[0]["status"], sent[-1]["more_body"]]


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int, _Intake, list[str]]]:
    """clamd and ICAP, two connections at a time each; their intake, and what they said."""
    clamd, icap, rules = tcp_socket(), tcp_socket(), DoorRules("door", max_bytes=1000)
    intake, said = _Intake(), list[str]()
    asked: Any = intake
    with running(
        lambda: ClamdListener(clamd, asked, rules, clamd_session.Patience(drain_s=10 * WAIT_S), 2, said.append),
        lambda: IcapListener(icap, asked, rules, tmp_path, icap_session.Patience(drain_s=10 * WAIT_S), 2, said.append),
    ):
        yield port_of(clamd), port_of(icap), intake, said


@pytest.mark.parametrize(
    ("door", "request_", "reply", "asks"),
    [
        (0, b"zINSTREAM\0\xff\xff\xff\xff", b"INSTREAM size limit", b"zPING\0"),
        (1, b"GET / HTTP/1.1\r\n\r\n", b"ICAP/1.0 400", OPTIONS),
    ],
    ids=["clamd", "icap"],
)
def test_who_lingers_over_the_last_word_keeps_nobody_out(
    ports: Any, door: int, request_: bytes, reply: bytes, asks: bytes
) -> None:
    """A refusal costs a few bytes: it buys no place for as long as it may be read."""
    refused = [socket.create_connection(("127.0.0.1", ports[door]), timeout=WAIT_S) for _ in range(2)]
    for each in refused:
        each.sendall(request_)
        assert each.recv(1000).startswith(reply)
    with socket.create_connection(("127.0.0.1", ports[door]), timeout=WAIT_S) as honest:
        honest.sendall(asks)
        assert honest.recv(1000)  # long before the others' time is up
    for each in refused:
        each.close()


@pytest.mark.parametrize(
    ("door", "request_", "end"),
    [(0, b"zPING\0", b"PONG\0"), (1, OPTIONS, b"null-body=0\r\n\r\n")],
    ids=["clamd", "icap"],
)
def test_what_comes_after_the_last_command_resets_nothing(
    ports: Any, door: int, request_: bytes, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read by nobody, and the reply is read to its end."""
    send = Line.send

    async def send_and_wait(line: Line, reply: bytes, within_s: float) -> bool:
        sent = await send(line, reply, within_s)
        assert select.select([line._sock], [], [], WAIT_S)[0]  # it is there, and nobody has read it
        return sent

    monkeypatch.setattr(Line, "send", send_and_wait)
    with socket.create_connection(("127.0.0.1", ports[door]), timeout=WAIT_S) as sock:
        sock.sendall(request_)
        assert sock.recv(1, socket.MSG_PEEK)
        sock.sendall(b"\n")
        assert read_to_end(sock).endswith(end)


def test_a_fault_in_a_session_is_an_error_under_its_number(ports: Any) -> None:
    """Silence would be waited for, or read as OK."""
    clamd, _icap, intake, said = ports
    intake.kind = _Fails
    with socket.create_connection(("127.0.0.1", clamd), timeout=WAIT_S) as sock:
        sock.sendall(b"zIDSESSION\0zPING\0zINSTREAM\0" + struct.pack("!I", 1) + b"x" + bytes(4))
        lines = read_to_end(sock).split(b"\0")

    assert b"1: PONG" in lines
    assert [True] == [line.endswith(b" ERROR") for line in lines if line.startswith(b"2: ")]
    until = time.monotonic() + WAIT_S
    while not said and time.monotonic() < until:
        time.sleep(0.01)
    assert ["KeyError" in each for each in said] == [True]


def test_nothing_follows_a_reply_that_somebody_stopped_saying() -> None:
    """What is said at the end would be read as the rest of its line."""

    async def test() -> None:
        ours, theirs = socket.socketpair()
        line = Line(ours)
        saying = asyncio.create_task(line.send(bytes(10**7), WAIT_S))
        while not select.select([theirs], [], [], 0)[0]:
            await asyncio.sleep(0)
        saying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await saying
        theirs.recv(2**20)
        assert not await line.send(b"ERROR\0", WAIT_S)
        line.close()
        theirs.close()

    run(test)


def test_a_stop_lets_nobody_in_whom_nobody_serves() -> None:
    """Who comes in the very moment is told that nobody is there, not left without a word behind a fault."""

    async def test() -> None:
        served, faults = list[socket.socket](), list[Any]()

        async def serve(sock: socket.socket, _seat: Any) -> None:
            served.append(sock)

        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        sock = tcp_socket()
        connections = Connections(sock, serve, 2, faults.append)
        connections.start()
        await asyncio.sleep(0)
        with socket.create_connection(("127.0.0.1", port_of(sock)), timeout=WAIT_S):
            await asyncio.sleep(0)  # the loop has seen it now, and lets it in right behind this
            await connections.stop()
            await asyncio.sleep(0)

        assert [] == served
        assert [] == faults

    run(test)


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"no field\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["head", "chunk", "body"],
)
def test_who_lingers_over_the_last_word_of_http_keeps_nobody_out(
    tmp_path: Path, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stays although there is no more to come makes room for who has something to ask."""
    MAY_ANSWER.set()
    monkeypatch.setattr("scanner.doors.http_server.HEAD_S", 10 * WAIT_S)
    with http(tmp_path) as (port, _faults):
        lingering = [socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) for _ in range(2)]
        for each in lingering:
            each.sendall(request_)
            assert each.recv(1000).startswith(b"HTTP/1.1 ")
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as honest:
            honest.sendall(POST + b"Connection: close\r\nContent-Length: 4\r\n\r\nfine")
            assert honest.recv(1000).startswith(b"HTTP/1.1 200 ")
        for each in lingering:
            each.close()
