"""Connections of the clamd and ICAP doors: a bounded number, a stop in good order, and a fault that is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.doors.answers import Answer
from scanner.doors.clamd import ClamdListener
from scanner.doors.icap import IcapListener
from scanner.doors.rules import DoorRules
from tests.scanner.doors.fakes import FakeIntake, FakeUpload
from tests.scanner.doors.running import WAIT_S, port_of, running, tcp_socket

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

    def begin(self, rules: DoorRules, ref: bytes | None = None, *more: object) -> FakeUpload:
        """A body of the kind that is tried."""
        return self.kind(self, rules, ref, None, True)


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


def test_more_connections_than_are_taken_wait_for_their_turn(ports: tuple[int, int]) -> None:
    """Two are held open by clients that say nothing; the third is answered when one of them goes."""
    held = [socket.create_connection(("127.0.0.1", ports[0]), timeout=WAIT_S) for _ in range(2)]
    third = socket.create_connection(("127.0.0.1", ports[0]), timeout=WAIT_S)
    third.sendall(b"zPING\0")
    third.settimeout(0.3)
    with pytest.raises(TimeoutError):
        third.recv(10)
    held.pop().close()
    third.settimeout(WAIT_S)

    assert b"PONG\0" == third.recv(10)
    for sock in (*held, third):
        sock.close()
