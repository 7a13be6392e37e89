"""Connections of the clamd and ICAP doors: a bounded number, a stop in good order, and a fault that is told."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.doors.answers import Answer
from scanner.doors.clamd import ClamdListener
from scanner.doors.http_app import application
from scanner.doors.http_server import HttpListener
from scanner.doors.icap import IcapListener
from scanner.doors.rates import LEAST_BYTES_PER_S, Pace
from scanner.doors.room import SILENT_S, UNASKED_S, Room
from scanner.doors.rules import DoorRules
from scanner.doors.serving import check_files
from scanner.serve_config import DoorKind, checked_listener, parse_address
from tests.scanner.doors.faces import Face
from tests.scanner.doors.fakes import FakeIntake, FakeUpload
from tests.scanner.doors.running import WAIT_S, port_of, running, tcp_socket

MAY_FINISH = threading.Event()
STREAM = b"zINSTREAM\0" + struct.pack("!I", 3) + b"abc" + bytes(4)
REQMOD = (
    b"REQMOD icap://h/avscan ICAP/1.0\r\nAllow: 204\r\nEncapsulated: req-hdr=0, req-body=18\r\n\r\n"
    b"PUT / HTTP/1.1\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)


class _NeverDone(FakeUpload):
    async def finish(self, *, cut: bool = False) -> Answer:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError


class _AtFault(FakeUpload):
    async def finish(self, *, cut: bool = False) -> Answer:
        """Fail as no code should."""
        raise KeyError("canary-4711")


class _Intake(FakeIntake):
    kind: type[FakeUpload] = FakeUpload

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[FakeUpload] = []

    def begin(self, rules: DoorRules, ref: bytes | None = None, *more: object) -> FakeUpload:
        """A body of the kind that is tried."""
        self.begun.append(self.kind(self, rules, ref, None, True))
        return self.begun[-1]


@pytest.fixture
def intake() -> _Intake:
    """An intake whose uploads are to be chosen."""
    return _Intake()


@pytest.fixture
def said() -> list[str]:
    """What the listeners said."""
    return []


@pytest.fixture
def ports(intake: _Intake, said: list[str], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """clamd and ICAP, two connections at a time each."""
    clamd, icap, rules = tcp_socket(), tcp_socket(), DoorRules("door")
    with running(
        lambda: ClamdListener(clamd, intake, rules, most=2, say=said.append),
        lambda: IcapListener(icap, intake, rules, tmp_path, most=2, say=said.append),
    ):
        yield port_of(clamd), port_of(icap)


def ask(port: int, sent: bytes) -> bytes:
    """What a connection replies until it ends, or until a whole ICAP head came."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as sock:
        sock.sendall(sent)
        got = b""
        while not got.endswith(b"\r\n\r\n") and (received := sock.recv(65536)):
            got += received
        return got


def test_a_fault_is_an_error_to_the_client_and_told_without_what_it_says(
    ports: tuple[int, int], intake: _Intake, said: list[str]
) -> None:
    """An end without a word would be read as OK; the next connection is served."""
    intake.kind = _AtFault
    assert ask(ports[0], STREAM).endswith(b" ERROR\0")
    assert ask(ports[1], REQMOD).startswith(b"ICAP/1.0 503 ")
    intake.kind = FakeUpload
    assert b"stream: OK\0" == ask(ports[0], STREAM)
    assert ask(ports[1], REQMOD).startswith(b"ICAP/1.0 204 ")

    assert 2 == len(said)
    assert all(each.startswith("door: a connection ended by a fault") and "KeyError" in each for each in said)
    assert "canary" not in "".join(said)


def test_who_is_cut_off_by_a_stop_is_told(intake: _Intake, tmp_path: Path) -> None:
    """What has no answer when the time is up ends with an error, not with silence."""
    intake.kind = _NeverDone
    clamd, icap, rules = tcp_socket(), tcp_socket(), DoorRules("door")
    asking = []
    with running(lambda: ClamdListener(clamd, intake, rules), lambda: IcapListener(icap, intake, rules, tmp_path)):
        for port, sent in ((port_of(clamd), STREAM), (port_of(icap), REQMOD)):
            asking.append(socket.create_connection(("127.0.0.1", port), timeout=WAIT_S))
            asking[-1].sendall(sent)
        assert b"PONG\0" == ask(port_of(clamd), b"zPING\0")  # so the earlier ones are being served
        assert ask(port_of(icap), b"OPTIONS icap://h/avscan ICAP/1.0\r\n\r\n").startswith(b"ICAP/1.0 200 ")
    assert asking[0].recv(100).endswith(b" ERROR\0")
    assert asking[1].recv(1000).startswith(b"ICAP/1.0 503 ")
    for sock in asking:
        sock.close()


class _Held(FakeUpload):
    async def finish(self, *, cut: bool = False) -> Answer:
        """Judge when that is allowed."""
        while not MAY_FINISH.is_set():
            await asyncio.sleep(0.01)
        return await super().finish(cut=cut)


@pytest.mark.parametrize("door", [0, 1])
def test_who_is_being_served_makes_no_room(door: int, ports: tuple[int, int], intake: _Intake) -> None:
    """Two wait for their answers; the third has to wait too, and is served when they have them."""
    MAY_FINISH.clear()
    intake.kind = _Held
    request, reply = ((STREAM, b"OK\0"), (REQMOD, b" 204 "))[door]
    asking = []
    for number in (1, 2, 3):
        asking.append(socket.create_connection(("127.0.0.1", ports[door]), WAIT_S))
        asking[-1].sendall(request)
        while len(intake.begun) < min(number, 2):
            time.sleep(0.01)
    asking[2].settimeout(2 * UNASKED_S)
    with pytest.raises(TimeoutError):
        asking[2].recv(10)
    asking[2].settimeout(WAIT_S)
    MAY_FINISH.set()
    for each in asking:
        assert reply in each.recv(1000)
        each.close()


@pytest.mark.parametrize(("door", "half"), [(0, b"zINST"), (0, b""), (1, b"REQMOD icap://h/av")])
def test_half_open_connections_keep_nobody_out(door: int, half: bytes, ports: tuple[int, int]) -> None:
    """More than there may be have not asked for anything whole: an honest client does not wait for them to give up."""
    request, reply = ((STREAM, b"OK\0"), (REQMOD, b" 204 "))[door]
    halves = [socket.create_connection(("127.0.0.1", ports[door]), WAIT_S) for _ in range(4)]
    for each in halves:
        with contextlib.suppress(OSError):  # it has made room already
            each.sendall(half)
    with socket.create_connection(("127.0.0.1", ports[door]), WAIT_S) as honest:
        honest.sendall(request)
        got = honest.recv(1000)
    held = [each for each in halves if is_open(each)]
    for each in halves:
        each.close()

    assert reply in got
    assert len(held) < 2  # it was not their own time that was up


def is_open(sock: socket.socket) -> bool:
    """Whether the other side keeps a connection."""
    sock.settimeout(0.01)
    try:
        while sock.recv(1000):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_who_makes_room_is_not_told_ok(ports: tuple[int, int]) -> None:
    """A connection that ends without a word would be read as OK by what speaks to clamd."""
    first = socket.create_connection(("127.0.0.1", ports[0]), WAIT_S)
    first.sendall(b"zINSTREAM")
    others = [socket.create_connection(("127.0.0.1", ports[0]), WAIT_S) for _ in range(2)]
    said = first.recv(1000)
    for each in (first, *others):
        each.close()

    assert said.endswith(b" ERROR\0")


POST = b"POST /v1/scan HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"


@pytest.fixture
def http(tmp_path: Path) -> Iterator[tuple[Face, int]]:
    """HTTP, two connections at a time, with little time for a body."""
    face, sock = Face(tmp_path / "home", receive_s=0.2), tcp_socket()
    config = checked_listener({"kind": DoorKind.HTTP, "address": parse_address("127.0.0.1:0"), "max_connections": 2})
    with running(lambda: HttpListener(config, sock, application(face.door))):
        yield face, port_of(sock)
    face.ledger.close()


@pytest.mark.parametrize("half", [b"", POST[:-2], b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_half_requests_and_idle_connections_keep_nobody_out_of_http(http: tuple[Face, int], half: bytes) -> None:
    """Nor those that have had an answer and ask for nothing more."""
    halves = [socket.create_connection(("127.0.0.1", http[1]), WAIT_S) for _ in range(4)]
    for each in halves:
        with contextlib.suppress(OSError):
            each.sendall(half)
    with socket.create_connection(("127.0.0.1", http[1]), WAIT_S) as honest:
        honest.sendall(POST + b"abc")
        got = honest.recv(1000)
    held = [each for each in halves if is_open(each)]
    for each in halves:
        each.close()

    assert got.startswith(b"HTTP/1.1 200 ")
    assert len(held) < 2


@pytest.mark.parametrize("goes", [True, False])
@pytest.mark.parametrize("path", [b"/v1/scan", b"/v1/requests"])
def test_a_body_that_never_ends_counts_as_cut_in_http(http: tuple[Face, int], path: bytes, goes: bool) -> None:
    """Whether its sender goes away or keeps on; who is still there is told, and the connection ended."""
    got = b""
    with socket.create_connection(("127.0.0.1", http[1]), WAIT_S) as slow:
        slow.sendall(POST.replace(b"/v1/scan", path) + b"ab")
        if not goes:
            got = slow.recv(1000)
    while not http[0].intake.counted:
        time.sleep(0.01)

    assert [("http", "cut")] == http[0].intake.counted
    assert goes or (got.startswith(b"HTTP/1.1 422 ") and b"connection: close" in got)


def test_the_room_sends_away_who_keeps_it_waiting_longest() -> None:
    """Nobody asked before the silent, no one who is served, and nobody for a pause of the network."""
    now_s = 0.0
    room, gone = Room(4, lambda: now_s), list[str]()
    seats = {name: room.seat(functools.partial(gone.append, name)) for name in ("served", "body", "owed", "idle")}
    seats["served"].is_served()
    seats["body"].awaits_body()
    seats["owed"].busy = lambda: True
    seats["idle"].awaits_request()

    assert not room.has_room()
    now_s = UNASKED_S
    assert room.has_room()
    assert ["idle"] == gone
    assert room.has_room()
    room.seat(lambda: gone.append("new")).is_served()
    now_s = SILENT_S
    seats["body"].awaits_body()
    assert not room.has_room()
    now_s = 2 * SILENT_S
    assert room.has_room()
    assert ["idle", "body"] == gone
    seats["body"].awaits_request()
    seats["body"].close()
    room.seat(lambda: None).is_served()
    assert not room.has_room()
    seats["served"].close()
    assert room.has_room()


def test_few_bytes_buy_a_sender_no_time_beyond_the_bound() -> None:
    """Silence, next to nothing, and a steady trickle that would take weeks: each has its end."""
    now_s = 0.0
    pace = Pace(10, 100, lambda: now_s)

    assert 10 == pace.left_s(0)
    now_s = 9.0
    assert 1 == pace.left_s(0)
    assert 10 == pace.left_s(100 * LEAST_BYTES_PER_S)
    now_s = 95.0
    assert 5 == pace.left_s(1000 * LEAST_BYTES_PER_S)
    now_s = 101.0
    assert pace.left_s(10**9) < 0


@pytest.mark.parametrize("door", [0, 1])
def test_a_body_that_comes_for_ever_is_cut(door: int, intake: _Intake, tmp_path: Path) -> None:
    """A sender who keeps to the least rate is told so when the listener's time is up; it counts as cut."""
    sock, rules = tcp_socket(), DoorRules("door", receive_s=0.2)
    made = (lambda: ClamdListener(sock, intake, rules), lambda: IcapListener(sock, intake, rules, tmp_path))[door]
    request, reply = ((STREAM[:-5], b"TIMED OUT\0"), (REQMOD[:-8], b" 408 "))[door]
    with running(made), socket.create_connection(("127.0.0.1", port_of(sock)), WAIT_S) as slow:
        slow.sendall(request)
        got = slow.recv(1000)

    assert reply in got
    assert [("door", "cut")] == intake.counted


def test_a_system_that_cannot_hold_what_is_configured_is_told() -> None:
    """Connections that the limit on open files does not allow are named before they are missed."""
    one = checked_listener({"kind": DoorKind.CLAMD, "address": parse_address("127.0.0.1:0"), "max_connections": 1000})

    assert [] == check_files([one], 10_000)
    (said,) = check_files([one], 1024)
    assert "1,024 files open" in said
