"""The client of `hashward serve`: verdicts, and what a door that fails comes to."""

from __future__ import annotations

import ast
import io
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scanner import clients
from scanner.clients.door import UNREACHABLE, Door, Upload, Verdict, is_whole, pieces_of, verdict_of
from tests.scanner.clients.serving import FakeServe

LISTED = b"a listed picture"


@pytest.fixture(params=["tcp", "unix"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[FakeServe, str]]:
    """A running serve that lists one text, and its address."""
    made = FakeServe(LISTED)
    with made.listening(tmp_path if request.param == "unix" else None) as address:
        yield made, address


def test_verdicts(serve: tuple[FakeServe, str]) -> None:
    """What is listed matches by an opaque name, what is not is clear, in one piece or in many."""
    made, address = serve
    door = Door(address, token="t0ken")
    matched = door.scan([LISTED], ref=b"bucket/a b\xff", content_type="image/png")
    clear = door.scan([b"some", b"thing ", b"", b"else" * 100_000])

    assert (("matched", None), False) == ((matched.verdict, matched.reason), door.allows(matched))
    assert matched.name.startswith("Policy.Blocked.")
    assert (Verdict("clear", block=False), True) == (clear, door.allows(clear))
    assert b"something " + b"else" * 100_000 == made.intake.seen[-1]
    assert ("Bearer t0ken", "image/png") == (made.heads[0]["authorization"], made.heads[0]["content-type"])
    assert "bucket/a b\xff" == made.heads[0]["hashward-ref"]


def test_a_file_object_is_read_in_pieces(serve: tuple[FakeServe, str]) -> None:
    """From where it stands."""
    file = io.BytesIO(b"xx" + LISTED)
    file.seek(2)

    assert "matched" == Door(serve[1]).scan(pieces_of(file)).verdict


def test_an_upload_that_is_given_up_is_not_judged(serve: tuple[FakeServe, str]) -> None:
    """Nothing is kept of it."""
    made, address = serve
    upload = Upload(Door(address))
    upload.write(b"part of " * 20_000)
    upload.abort()
    Door(address).scan([b"another"])

    assert [b"another"] == made.intake.seen


@contextmanager
def saying(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does what it likes with one connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        talk, _ = server.accept()
        with talk:
            answer(talk)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    thread.join(60)
    server.close()


def _read_all_then(text: bytes) -> Callable[[socket.socket], None]:
    def answer(talk: socket.socket) -> None:
        got = b""
        while b"0\r\n\r\n" not in got:
            got += talk.recv(65_536)
        talk.sendall(text)

    return answer


BODY = b'{"verdict": "clear"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        HEAD + BODY[:-3],
        HEAD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n[[[[",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 60_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"verdict": "fine"}',
        b'HTTP/1.1 200 OK\r\n\r\n{"verdict": "clear", "name": 7}',
        b'HTTP/1.1 503 No\r\n\r\n{"verdict": "clear", "block": false}',
        b'HTTP/1.1 503 No\r\n\r\n{"verdict": "undecidable", "block": false, "reason": "busy"}',
        b'HTTP/1.1 401 No\r\n\r\n{"detail": "a token is needed"}',
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\noops!",
        b"SMTP ready\r\n",
        b"x" * 200_000,
    ],
    ids=[
        "nothing",
        "head",
        "cut",
        "no-body",
        "empty",
        "no-json",
        "deep",
        "word",
        "name",
        "status",
        "busy",
        "refused",
        "proxy",
        "other",
        "endless",
    ],
)
def test_an_answer_that_is_none_is_undecidable(text: bytes) -> None:
    """Whatever stands there: never clear, and no exception."""
    with saying(_read_all_then(text)) as address:
        door = Door(address, timeout_s=30)
        said = door.scan([b"anything"])

    assert ("undecidable", False) == (said.verdict, door.allows(said))
    assert Door(address, allow_undecidable=True).allows(said)


def test_a_whole_answer_is_believed_without_an_end_of_the_connection() -> None:
    """Some servers keep it open whatever they were asked."""
    held: list[socket.socket] = []

    def answer(talk: socket.socket) -> None:
        _read_all_then(HEAD + BODY)(talk)
        held.append(talk.dup())

    with saying(answer) as address:
        assert Verdict("clear", block=False) == Door(address).scan([b"anything"])
    held[0].close()


def test_a_door_that_does_not_answer_is_undecidable_in_time() -> None:
    """The deadline holds over drips too."""
    end = threading.Event()

    def drip(talk: socket.socket) -> None:
        while not end.wait(0.05):
            talk.sendall(b"H")

    with saying(drip) as address:
        said = Door(address, timeout_s=0.3).scan([b"anything"])
        end.set()

    assert UNREACHABLE == said


def test_nobody_there_is_undecidable(tmp_path: Path) -> None:
    """Refused, or no such socket."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert UNREACHABLE == Door(f"http://127.0.0.1:{port}", timeout_s=5).scan([b"anything"])
    assert UNREACHABLE == Door(f"unix:{tmp_path}/none").scan([b"anything"])


def test_a_clear_of_half_a_body_is_not_believed() -> None:
    """It answered and closed before everything was sent: of what followed nothing is known."""

    def answer(talk: socket.socket) -> None:
        talk.recv(1024)
        talk.sendall(HEAD + BODY)

    with saying(answer) as address:
        said = Door(address, timeout_s=30).scan(b"x" * 65_536 for _ in range(400))

    assert UNREACHABLE == said


@pytest.mark.parametrize("address", ["", "ftp://x", "unix:relative", "http://", "http://host/path", "/run/s"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """When it is configured, not when the first upload comes."""
    with pytest.raises(ValueError, match="the address of hashward"):
        Door(address)


def test_no_header_can_be_planted() -> None:
    """Neither a content type nor a token nor a ref can begin a line of its own."""
    head = Door(token="a\r\nX: 1").head(b"r\r\nY: 2", "image/png\r\nZ: 3")

    assert 7 == head.count(b"\r\n") - 1
    assert b"\nX" not in head
    assert b"\nY" not in head
    assert b"\nZ" not in head


def test_the_listeners_own_rules_count() -> None:
    """Set to let pass what it cannot judge it says so, and to block that it says so too."""
    said = [
        verdict_of(b'HTTP/1.1 200 OK\r\n\r\n{"verdict": "undecidable", "reason": "cut", "block": %b}' % block)
        for block in (b"true", b"false")
    ]

    assert [False, True] == [Door().allows(each) for each in said]


def test_is_whole_needs_the_length() -> None:
    """What does not say how long it is ends with the connection."""
    assert is_whole(HEAD + BODY)
    assert not is_whole(HEAD)
    assert not is_whole(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)
    assert Verdict("clear", block=False) == verdict_of(b"HTTP/1.1 200 OK\r\n\r\n" + BODY)


def test_clients_import_the_standard_library_and_their_host_alone() -> None:
    """So that `pip install --no-deps` is enough in the process of another program."""
    hosts = {"django.py": {"django"}, "synapse.py": {"synapse"}}
    foreign = []
    for path in sorted(Path(clients.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                library = name.partition(".")[0]
                allowed = library in sys.stdlib_module_names or library in hosts.get(path.name, ())
                if not allowed and not name.startswith("scanner.clients"):
                    foreign.append(f"{path.name}: {name}")

    assert [] == foreign
