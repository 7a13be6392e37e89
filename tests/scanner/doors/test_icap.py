"""The ICAP listener, spoken to in raw bytes: previews, echoes, forms, codings, and what is no request at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.doors.answers import undecidable
from scanner.doors.icap import IcapListener
from scanner.doors.icap_session import Patience
from scanner.doors.rules import DoorRules
from tests.scanner.doors.fakes import FAKE_CODE, FakeIntake
from tests.scanner.doors.running import WAIT_S, port_of, running, tcp_socket

NAME = f"Policy.Blocked.{FAKE_CODE}".encode()
LIMIT = 3_000_000
PUT = b"PUT http://x/up HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Reply:
    """A reply as it came."""

    status: int
    fields: dict[str, str]
    heads: bytes
    body: bytes

    @property
    def encapsulated(self) -> str:
        """What it says that it carries."""
        return self.fields["encapsulated"]


class Client:
    """A connection, as a strict client would use it."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._file = self.sock.makefile("rb")

    def send(self, *data: bytes) -> None:
        """Some bytes."""
        for each in data:
            self.sock.sendall(each)

    def reply(self) -> Reply:
        """The next reply, its body unchunked."""
        line = self._file.readline()
        assert line.startswith(b"ICAP/1.0 "), line
        fields = {}
        while (each := self._file.readline().rstrip(b"\r\n")) != b"":
            name, _, value = each.decode().partition(": ")
            fields[name.lower()] = value
        heads = body = b""
        listed = dict(each.strip().split("=") for each in fields.get("encapsulated", "null-body=0").split(","))
        (last, length), *_ = reversed(listed.items())
        heads = self._file.read(int(length))
        if last != "null-body":
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                assert self._file.read(2) == b"\r\n"
            assert self._file.readline() == b"\r\n"
        return Reply(int(line.split()[1]), fields, heads, body)

    def rest(self) -> bytes:
        """What comes until the end."""
        return self._file.read()

    def close(self) -> None:
        """End it."""
        self._file.close()
        self.sock.close()


@dataclass
class Door:
    """An ICAP listener with the intake behind it."""

    intake: FakeIntake
    port: int
    spool: Path

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A connection."""
        client = Client(self.port)
        try:
            yield client
        finally:
            client.close()

    def ask(self, *sent: bytes) -> Reply:
        """The reply to one request."""
        with self.client() as client:
            client.send(*sent)
            return client.reply()


@contextlib.contextmanager
def icap(folder: Path, patience: Patience | None = None, **rules: object) -> Iterator[Door]:
    """A running door."""
    own = DoorRules("icap", **({"max_bytes": LIMIT} | rules))  # type: ignore[arg-type]
    intake, sock = FakeIntake(b"listed"), tcp_socket()
    how = patience or Patience(drain_s=5.0)
    with running(lambda: IcapListener(sock, intake, own, folder, how, most=50)):  # type: ignore[arg-type]
        yield Door(intake, port_of(sock), folder)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A door as it is usually set."""
    with icap(tmp_path) as running_door:
        yield running_door


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + end


def reqmod(body: bytes | None, http: bytes = PUT, *fields: str, allow: bool = True, service: str = "avscan") -> bytes:
    """A REQMOD request."""
    http += b"\r\n"
    lines = [
        f"REQMOD icap://127.0.0.1/{service} ICAP/1.0",
        "Host: 127.0.0.1",
        *(("Allow: 204",) if allow else ()),
        *fields,
        f"Encapsulated: req-hdr=0, {'null' if body is None else 'req'}-body={len(http)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + http + (body or b"")


def respmod(body: bytes, http: bytes = b"HTTP/1.1 200 OK\r\n", *fields: str, allow: bool = True) -> bytes:
    """A RESPMOD request."""
    asked, http = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", http + b"\r\n"
    lines = [
        "RESPMOD icap://127.0.0.1/avscan ICAP/1.0",
        *(("Allow: 204",) if allow else ()),
        *fields,
        f"Encapsulated: req-hdr=0, res-hdr={len(asked)}, res-body={len(asked) + len(http)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + asked + http + body


def test_options_say_what_the_service_does(door: Door) -> None:
    """With and without `Encapsulated`; the ISTag changes with the catalogue."""
    plain = b"OPTIONS icap://127.0.0.1:1344/avscan_req ICAP/1.0\r\nHost: x\r\n\r\n"
    reply = door.ask(plain)
    door.intake.number += 1
    later = door.ask(plain.replace(b"\r\n\r\n", b"\r\nEncapsulated: null-body=0\r\n\r\n"))

    assert 200 == reply.status == later.status
    assert ("REQMOD", "204", "1024", "*", "50") == tuple(
        reply.fields[name] for name in ("methods", "allow", "preview", "transfer-preview", "max-connections")
    )
    assert reply.fields["istag"] != later.fields["istag"]
    assert all(each["istag"][0] == each["istag"][-1] == '"' for each in (reply.fields, later.fields))
    assert len(reply.fields["istag"]) <= 34
    assert "null-body=0" == reply.encapsulated


def test_clear_and_listed_bodies(door: Door) -> None:
    """Not modified, or a page in its place that says nothing but an opaque name; both ways of asking."""
    for make in (reqmod, respmod):
        assert 204 == door.ask(make(chunked(b"fine"))).status
        blocked = door.ask(make(chunked(b"a lis", b"ted one")))
        assert 200 == blocked.status
        assert blocked.heads.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert f"res-hdr=0, res-body={len(blocked.heads)}" == blocked.encapsulated
        assert f"Type=0; Resolution=2; Threat={NAME.decode()};" == blocked.fields["x-infection-found"]
        assert NAME.decode() == blocked.fields["x-virus-id"]
        assert NAME in blocked.body
        assert f"Content-Length: {len(blocked.body)}".encode() in blocked.heads


@pytest.mark.parametrize("size", [0, 5, 70_000, 2_500_000])
def test_what_came_is_given_back_whole_where_204_is_not_allowed(door: Door, size: int) -> None:
    """squid allows none above 64 KiB: head and body come back byte by byte, and nothing of it stays."""
    body = os.urandom(size)
    http = PUT + b"X-Strange:  kept as it is \r\nContent-Length: %d\r\n" % size
    reply = door.ask(reqmod(chunked(*([body] if size else [])), http, allow=False))

    assert (200, http + b"\r\n", body) == (reply.status, reply.heads, reply.body)
    assert f"req-hdr=0, req-body={len(reply.heads)}" == reply.encapsulated
    assert [] == list(door.spool.iterdir())
    assert [body] == door.intake.seen or size == 0

    head = b"HTTP/1.1 200 OK\r\nX: y\r\n"
    back = door.ask(respmod(chunked(b"page"), head, allow=False))
    assert (200, head + b"\r\n", b"page") == (back.status, back.heads, back.body)
    assert f"res-hdr=0, res-body={len(back.heads)}" == back.encapsulated


def test_a_request_without_a_body_goes_on(door: Door) -> None:
    """There is nothing to look at; it is given back where 204 is not allowed."""
    http = b"GET http://x/ HTTP/1.1\r\n"
    assert 204 == door.ask(reqmod(None, http)).status
    assert 204 == door.ask(reqmod(None, http, "Preview: 0", allow=False)).status
    reply = door.ask(reqmod(None, http, allow=False))

    assert (200, http + b"\r\n", b"") == (reply.status, reply.heads, reply.body)
    assert f"req-hdr=0, null-body={len(reply.heads)}" == reply.encapsulated
    assert [] == door.intake.seen


@pytest.mark.parametrize("allow", [True, False])
def test_a_preview_is_no_verdict(door: Door, allow: bool) -> None:
    """The rest is asked for; only a preview that is the whole body is answered at once."""
    with door.client() as client:
        client.send(reqmod(chunked(b"four"), PUT, "Preview: 4", allow=allow))
        assert b"ICAP/1.0 100 Continue\r\n\r\n" == client.sock.recv(25)
        client.send(chunked(b" and more"))
        reply = client.reply()
        assert (
            (204, b"") == (reply.status, reply.body) if allow else (200, b"four and more") == (reply.status, reply.body)
        )
        client.send(reqmod(chunked(b"four", end=b"0; ieof\r\n\r\n"), PUT, "Preview: 4", allow=allow))
        assert 204 == client.reply().status
        client.send(reqmod(chunked(), PUT, "Preview: 0", allow=allow))
        assert b"ICAP/1.0 100 Continue\r\n\r\n" == client.sock.recv(25)
        client.send(chunked(b"listed"))
        assert NAME.decode() == client.reply().fields["x-virus-id"]

    assert [b"four and more", b"four", b"listed"] == door.intake.seen


def test_requests_come_one_after_the_other_on_one_connection(door: Door) -> None:
    """Also before the reply to the last, byte by byte, and with line ends between them; until `Connection: close`."""
    with door.client() as client:
        client.send(reqmod(chunked(b"one")) + b"\r\n" + respmod(chunked(b"listed")) + reqmod(None))
        assert [204, 200, 204] == [client.reply().status for _ in range(3)]
        client.send(*(bytes([each]) for each in reqmod(chunked(b"two"), PUT, "Connection: close")))
        reply = client.reply()
        assert (204, "close") == (reply.status, reply.fields["connection"])
        assert b"" == client.rest()


def test_chunk_extensions_trailers_and_bare_line_feeds_are_read(door: Door) -> None:
    """Whatever RFC 3507's clients may send around a body."""
    body = b'3;name="v"\r\nlis\r\n0003 \r\nted\r\n000;x=1\r\nDigest: abc\r\nOther: y\r\n\r\n'
    with door.client() as client:
        client.send(reqmod(body), reqmod(chunked(b"x").replace(b"\r\n", b"\n")))
        assert NAME.decode() == client.reply().fields["x-virus-id"]
        assert 204 == client.reply().status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nEncapsulated: req-body=5, req-hdr=0\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nEncapsulated: req-hdr=0, req-body=-1\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nEncapsulated: req-hdr=0, req-body=999999999\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nEncapsulated: req-hdr=0, res-body=3\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nBad Name: x\r\nEncapsulated: null-body=0\r\n\r\n", 400),
        (b"REQMOD icap://x/avscan ICAP/1.0\r\nPreview: many\r\nEncapsulated: null-body=0\r\n\r\n", 400),
        (b"OPTIONS icap://x/nothing ICAP/1.0\r\n\r\n", 404),
        (reqmod(chunked(b"x"), service="avscan_resp"), 405),
        (respmod(chunked(b"x")).replace(b"/avscan", b"/reqmod"), 405),
        (b"DELETE icap://x/avscan ICAP/1.0\r\n\r\n", 501),
        (b"OPTIONS icap://x/avscan ICAP/2.0\r\n\r\n", 505),
        (reqmod(b"zz\r\nx\r\n0\r\n\r\n"), 400),
        (reqmod(b"-1\r\nx\r\n0\r\n\r\n"), 400),
        (reqmod(b"3\r\nabcdef\r\n0\r\n\r\n"), 400),
        (reqmod(b"f" * 5000), 400),
        (reqmod(chunked(b"longer than it says"), PUT, "Preview: 4"), 400),
        (b"X" * 70_000, 400),
        (reqmod(b"1\r\na\r\n0\r\n" + b"T: x\r\n" * 10_000), 400),
        (b"OPTIONS icap://x/avscan ICAP/1.0\r\nEncapsulated: opt-body=0\r\n\r\n3\r\nabcdef\r\n", 400),
    ],
)
def test_what_is_no_request_is_told_so(door: Door, sent: bytes, status: int) -> None:
    """With its status and an ISTag; then the connection ends, and what was still sent is read away."""
    with door.client() as client:
        client.send(sent)
        reply = client.reply()
        assert (status, "close") == (reply.status, reply.fields["connection"])
        assert "istag" in reply.fields
        client.sock.shutdown(socket.SHUT_WR)
        assert b"" == client.rest()


def test_a_cut_body_never_passes(tmp_path: Path) -> None:
    """Whatever the rule: the sender goes away, less comes than was declared, a range, a known cut length, too much."""
    for rule in ("error", "found", "ok"):
        with icap(tmp_path, on_undecidable=rule, cut_lengths=frozenset({7})) as door:
            requests = [
                reqmod(b"9\r\nonly"),
                reqmod(chunked(b"short"), PUT + b"Content-Length: 6\r\n"),
                reqmod(chunked(b"a part"), PUT + b"Content-Range: bytes 0-5/100\r\n"),
                respmod(chunked(b"a part"), b"HTTP/1.1 206 Partial Content\r\n"),
                reqmod(chunked(b"seven b")),
                reqmod(chunked(*[bytes(2**16)] * 60)),
            ]
            for sent in requests:
                with door.client() as client:
                    client.send(sent)
                    client.sock.shutdown(socket.SHUT_WR)
                    reply = client.reply()
                    if rule == "found":
                        assert reply.heads.startswith(b"HTTP/1.1 403 ")
                    else:
                        assert 500 == reply.status
            with door.client() as client:
                client.send(reqmod(b"fff\r\nthis much is listed"))
                client.sock.shutdown(socket.SHUT_WR)
                assert NAME.decode() == client.reply().fields["x-virus-id"]


def test_a_declared_length_shorter_than_the_body_is_no_cut(door: Door) -> None:
    """Nextcloud sends a dummy `Content-Length: 1`, c-icap-client sends two."""
    assert 204 == door.ask(respmod(chunked(b"longer"), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n")).status
    twice = PUT + b"Content-Length: 6\r\nContent-Length: 6\r\n"
    assert 204 == door.ask(reqmod(chunked(b"longer"), twice)).status
    whole = PUT + b"Content-Range: bytes 0-5/6\r\n"
    assert 204 == door.ask(reqmod(chunked(b"longer"), whole)).status


@pytest.mark.parametrize(
    ("rule", "reason", "status", "code"),
    [
        ("error", "encrypted", 500, "password_protected"),
        ("error", "undecodable", 500, "decode_error"),
        ("error", "timeout", 500, None),
        ("error", "busy", 503, None),
        ("ok", "encrypted", 204, None),
        ("found", "encrypted", 200, None),
    ],
)
def test_what_cannot_be_judged_is_said_as_the_listener_is_told(
    tmp_path: Path, rule: str, reason: str, status: int, code: str | None
) -> None:
    """An error, with the code by which platforms tell what nobody can scan; a page; or nothing."""
    with icap(tmp_path, on_undecidable=rule) as door:
        door.intake.answers[b"hard"] = undecidable(reason)
        reply = door.ask(reqmod(chunked(b"hard")))

        assert (status, code) == (reply.status, reply.fields.get("x-error-code"))
        if rule == "found":
            assert "Policy.Undecidable" == reply.fields["x-virus-id"]


def test_nothing_passes_before_the_lists_are_loaded(tmp_path: Path) -> None:
    """Not even what the service can do is said: proxies then take it for down, as it is."""
    with icap(tmp_path, on_undecidable="ok") as door:
        door.intake.ready = False
        sent = (reqmod(chunked(b"x")), reqmod(None), b"OPTIONS icap://x/avscan ICAP/1.0\r\n\r\n")
        assert {503} == {door.ask(each).status for each in sent}


def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    """Inside a head or a body; an idle connection just ends."""
    sock, intake = tcp_socket(), FakeIntake()
    patience = Patience(idle_s=0.5, head_s=0.5, read_s=0.5, drain_s=0.5)
    asking = [Client(port_of(sock)) for _ in range(4)]
    for client, begun in zip(
        asking, (b"REQMOD icap://x/avs", reqmod(None)[:-3], reqmod(b"9\r\nonly"), b""), strict=True
    ):
        client.send(begun)  # before the door begins to take any: it is in a hurry, they may be slow
    with running(lambda: IcapListener(sock, intake, DoorRules("icap"), tmp_path, patience)):  # type: ignore[arg-type]
        assert [408] * 3 == [client.reply().status for client in asking[:3]]
        assert b"" == asking[3].rest()
    for client in asking:
        client.close()


# -- forms and codings -----------------------------------------------------------------------------------------------


def form(*parts: tuple[str, bytes], boundary: str = "B0undary", end: bytes = b"--\r\n") -> tuple[bytes, bytes]:
    """The HTTP head and the body of a form."""
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + mark + end
    return b"POST http://x/ HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=%b\r\n" % boundary.encode(), body


FILE = 'Content-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png'
TEXT = 'Content-Disposition: form-data; name="password"'


def test_the_files_of_a_form_are_looked_at_each(door: Door) -> None:
    """However the form is cut into chunks; short text fields are nobody's business, long ones are looked at."""
    http, body = form((TEXT, b"secret"), (FILE, b"\r\n--B0 one\r\n"), (FILE, b""), (TEXT, b"x" * 5000), (FILE, b"two"))
    for step in (1, 7, 4096):
        door.intake.seen.clear()
        assert (
            204 == door.ask(reqmod(chunked(*(body[at : at + step] for at in range(0, len(body), step))), http)).status
        )
        assert {b"\r\n--B0 one\r\n", b"", b"x" * 5000, b"two"} == {*door.intake.seen, b""}
    for at in range(3):
        files = [b"fine", b"fine", b"fine"]
        files[at] = b"a listed one"
        http, body = form((TEXT, b"listed"), *((FILE, data) for data in files))
        assert NAME.decode() == door.ask(reqmod(chunked(body), http)).fields["x-virus-id"]
    http, body = form((TEXT, b"listed"))
    assert 204 == door.ask(reqmod(chunked(body), http)).status
    echoed = door.ask(reqmod(chunked(body), http, allow=False))
    assert body == echoed.body


@pytest.mark.parametrize("fault", ["end", "boundary", "bare", "encoded", "nested", "twice", "many"])
def test_a_form_that_can_be_read_in_two_ways_never_passes(door: Door, fault: str) -> None:
    """Without an end or a boundary, with delimiters that only some parsers see, with parts in parts or base64."""
    http, body = form((FILE, b"fine"), (FILE, b"also"))
    if fault == "end":
        body = body[:-10]
    elif fault == "boundary":
        http = http.replace(b"; boundary=B0undary", b"")
    elif fault == "bare":
        body = body.replace(b"fine\r\n", b"fine\n")
    elif fault == "encoded":
        http, body = form((FILE + "\r\nContent-Transfer-Encoding: base64", b"bGlzdGVk"))
    elif fault == "nested":
        http, body = form((FILE.replace("image/png", "multipart/mixed; boundary=i"), b"--i\r\n\r\nx\r\n--i--"))
    elif fault == "twice":
        http += b"Content-Type: text/plain\r\n"
    else:
        http, body = form(*[(FILE, b"x")] * 300)

    assert 500 == door.ask(reqmod(chunked(body), http)).status


def test_codings_are_undone(door: Door) -> None:
    """What is looked at is what the receiver will see; what is given back is what came."""
    packed = gzip.compress(b"a listed one", mtime=0)
    http = PUT + b"Content-Encoding: gzip\r\n"
    assert NAME.decode() == door.ask(reqmod(chunked(packed), http)).fields["x-virus-id"]
    fine = gzip.compress(b"fine", mtime=0)
    assert fine == door.ask(reqmod(chunked(fine), http, allow=False)).body
    form_head, body = form((FILE, b"a listed one"))
    packed_form = gzip.compress(body, mtime=0)
    assert (
        NAME.decode()
        == door.ask(reqmod(chunked(packed_form), form_head + b"Content-Encoding: gzip\r\n")).fields["x-virus-id"]
    )
    assert 500 == door.ask(reqmod(chunked(fine[:-2]), http)).status
    assert 500 == door.ask(reqmod(chunked(b"not gzip"), http)).status
    assert 500 == door.ask(reqmod(chunked(b"x"), PUT + b"Content-Encoding: exotic\r\n")).status
    bomb = gzip.compress(bytes(2**23), mtime=0)
    assert 500 == door.ask(reqmod(chunked(bomb), http)).status


def test_a_ref_is_taken_from_the_client_alone(door: Door) -> None:
    """Never from the visitor's own request: another upload under it would take the place of what was there.

    Of several files the later ones are numbered.
    """
    door.ask(reqmod(chunked(b"one"), PUT + b"Hashward-Ref: of-the-visitor\r\n"))
    door.ask(reqmod(chunked(b"two"), PUT + b"Hashward-Ref: of-the-visitor\r\n", "Hashward-Ref: second"))
    http, body = form((FILE, b"three"), (FILE, b"four"))
    door.ask(reqmod(chunked(body), http, "Hashward-Ref: third"))
    door.ask(reqmod(chunked(b"five"), PUT, "Hashward-Ref: " + "x" * 513))

    assert {b"second": b"two", b"third": b"three", b"third#2": b"four"} == door.intake.refs
