"""Ways to be told "clear" of what was not looked at, and to lose or leak: each was tried, and is closed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scanner.doors import s3_records
from scanner.doors.answers import Reason, Undecided, Verdict, undecidable
from scanner.doors.bodies import Body, Memory
from scanner.doors.http_bodies import BadForm, FormFile, TooSlow
from scanner.doors.http_requests import saying
from scanner.doors.icap import IcapListener
from scanner.doors.icap_wire import behind_head
from scanner.doors.lines import Line
from scanner.doors.rules import DoorRules
from scanner.errors import LedgerError
from tests.scanner.doors.faces import Face
from tests.scanner.doors.fakes import FakeIntake
from tests.scanner.doors.houses import RULES, house, run
from tests.scanner.doors.running import port_of, running, tcp_socket
from tests.scanner.doors.test_intake import BlockedSets
from tests.scanner.fakes import Site, entry_of, fake_media, pdq

LISTED = b"a listed picture"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00" + LISTED + b";"
FORM = {"Content-Type": "multipart/form-data; boundary=B"}


@pytest.fixture
def face(tmp_path: Path) -> Iterator[Face]:
    """A door that lists one text."""
    made = Face(tmp_path / "home", LISTED, max_bytes=100_000)
    yield made
    made.ledger.close()


def form(*parts: tuple[bytes, bytes]) -> bytes:
    """A form of parts, each its head and its bytes."""
    return b"".join(b"--B\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + b"--B--\r\n"


CLEAN_PART = (b'Content-Disposition: form-data; name="f"; filename="a"', b"nothing")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=\"g\"; filename*=utf-8''b.png",
        b'Content-Disposition: form-data; name="g"; filename*0="b.png"',
        b'Content-Disposition: form-data; name="g"\r\nContent-Type: image/png',
        b'Content-Disposition: form-data; name="g"; filename="b"\r\nContent-Disposition: form-data; name="g"',
        b'Content-Disposition: form-data; name="g"',
        b'Content-Disposition: form-data; name="g"; filename="b"\r\nContent-Transfer-Encoding: base64',
        b'Content-Disposition: form-data; name="g"\r\nContent-Type: multipart/mixed; boundary=C',
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_second_file_hides_in_a_form(face: Face, head: bytes, first: bool) -> None:
    """A picture beside the file that is looked at refuses the form, however other parsers may read its head."""
    parts = (CLEAN_PART, (head, GIF))
    reply = face.client.post("/v1/scan", content=form(*(parts[::-1] if first else parts)), headers=FORM)

    assert 400 == reply.status_code


def test_a_form_with_plain_fields_beside_its_file_is_looked_at(face: Face) -> None:
    """Texts, JSON, and what says that it is sent as it is."""
    field = b'Content-Disposition: form-data; name="a"\r\nContent-Type: application/json'
    body = (CLEAN_PART[0] + b"\r\nContent-Transfer-Encoding: binary", LISTED)
    reply = face.client.post("/v1/scan", content=form((field, b"{}"), body), headers=FORM)

    assert (200, "matched") == (reply.status_code, reply.json()["verdict"])


@pytest.mark.parametrize(
    "path", ["/v1/scan", "/pict-rs", "/v1/media/", "/api/v1/scan/x", "/xrpc/com.atproto.unspecced.scanBlob"]
)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Encoding", "gzip")], 415),
        ([("Content-Encoding", "identity"), ("Content-Encoding", "br")], 415),
        ([("Content-Type", "image/png"), ("Content-Type", "multipart/form-data; boundary=B")], 400),
        ([("Content-Type", "multipart/related; boundary=B")], 400),
        ([("Content-Type", "multipart/form-data; boundary=B; boundary=C")], 400),
        ([("Content-Range", "bytes 0-9/100")], 422),
    ],
)
def test_a_body_that_others_read_as_other_bytes_is_not_judged(
    face: Face, path: str, headers: list[tuple[str, str]], status: int
) -> None:
    """Coded, in parts, or a part of something: an error in every face, whatever its bytes look like."""
    assert status == face.client.post(path, content=gzip.compress(b"x"), headers=headers).status_code


@pytest.mark.parametrize("reason", [Undecided.CUT, Undecided.OVER_LIMIT, Undecided.NOT_READY])
def test_what_was_not_seen_never_passes(tmp_path: Path, reason: Undecided) -> None:
    """Even where the listener lets pass what cannot be judged; what nobody can look at does pass there."""
    face = Face(tmp_path / "home", on_undecidable="ok")
    face.intake.answers = {b"part": undecidable(reason), b"locked": undecidable(Reason.ENCRYPTED)}
    for path in ("/v1/scan", "/v1/requests", "/pict-rs", "/v1/media", "/xrpc/com.atproto.unspecced.scanBlob"):
        assert 400 <= face.client.post(path, content=b"part").status_code < 600, path
        assert 200 == face.client.post(path, content=b"locked").status_code, path
    empty = face.client.post("/v1/scan", content=b"")
    face.ledger.close()

    assert 400 == empty.status_code


def test_a_form_of_other_parts_is_looked_at_part_by_part(face: Face) -> None:
    """multipart/related, as some stores take uploads; and a picture sent as a short text."""
    related = {"Content-Type": "multipart/related; boundary=B"}
    inside = form((b"Content-Type: application/json", b"{}"), (b"Content-Type: image/png", LISTED))
    as_text = form((b'Content-Disposition: form-data; name="g"', GIF))

    assert "matched" == face.client.post("/v1/requests", content=inside, headers=related).json()["verdict"]
    assert LISTED in face.intake.seen
    assert "matched" == face.client.post("/v1/requests", content=as_text, headers=FORM).json()["verdict"]
    assert GIF in face.intake.seen


def test_a_request_of_two_lengths_is_refused(face: Face) -> None:
    """Whoever stands before us may believe the other, and take the rest of it for a request of somebody else's."""
    both = {"Content-Length": "16", "Transfer-Encoding": "chunked"}
    reply = face.client.post("/v1/scan", content=LISTED, headers=both)

    assert (400, "close") == (reply.status_code, reply.headers["connection"])


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_body_hidden_in_a_head_is_seen(end: bytes) -> None:
    """An ICAP head's offsets say where the HTTP head ends, and so does its empty line."""
    head = b"POST / HTTP/1.1" + end + b"Host: x" + end + end

    assert b"" == behind_head(head)
    assert b"" == behind_head(head[: -len(end)])
    assert LISTED == behind_head(head + LISTED)


@pytest.mark.parametrize("field", [b"Content-Length: 16\r\n", b"Transfer-Encoding: gzip\r\n"])
def test_an_icap_request_that_does_not_show_its_body_does_not_pass(tmp_path: Path, field: bytes) -> None:
    """A body in the head, or none where the head has one; what has none passes."""
    sock = tcp_socket()
    intake: Any = FakeIntake(LISTED)

    def ask(head: bytes, body: bytes) -> bytes:
        kind = b"req-body" if body else b"null-body"
        said = b"REQMOD icap://h/avscan ICAP/1.0\r\nAllow: 204\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", port_of(sock)), 60) as line:
            line.sendall(said + b"Encapsulated: req-hdr=0, %b=%d\r\n\r\n" % (kind, len(head)) + head + body)
            return line.recv(16)

    with running(lambda: IcapListener(sock, intake, DoorRules("icap"), tmp_path)):
        replies = [
            ask(b"POST / HTTP/1.1\r\n" + field + b"\r\n", b""),
            ask(b"POST / HTTP/1.1\r\n\r\n" + LISTED, b"0\r\n\r\n"),
            ask(b"GET / HTTP/1.1\r\n\r\n", b""),
        ]

    assert [b"ICAP/1.0 500", b"ICAP/1.0 400", b"ICAP/1.0 204"] == [reply[:12] for reply in replies]


def test_who_is_too_slow_hears_so_in_every_face() -> None:
    """It is no fault of ours."""

    async def slow(_request: Any) -> Any:
        raise TooSlow

    reply = asyncio.run(saying("detail", slow)(None))  # type: ignore[arg-type]

    assert 408 == reply.status_code


# -- tus and S3 -------------------------------------------------------------------------------------------------------


def pre_finish(path: Path, **upload: Any) -> dict[str, Any]:
    """tusd's hook for a file."""
    said = {"ID": "u", "Size": path.stat().st_size, "Storage": {"Type": "filestore", "Path": str(path)}, **upload}
    return {"Type": "pre-finish", "Event": {"Upload": said, "HTTPRequest": {}}}


class NoMemory:
    """Refusals of a ledger that another process holds."""

    def holds(self, ref: bytes) -> bool:
        """Nothing is on record."""
        return False

    def remember(self, ref: bytes, day: str) -> None:
        """It cannot be."""
        raise LedgerError("locked")

    def bring(self, ref: bytes, door: str, day: str) -> None:
        """Neither can this."""
        raise LedgerError("locked")


def test_a_refusal_that_cannot_be_remembered_is_still_one(tmp_path: Path) -> None:
    """An error would be a success at the client's next try."""
    face = Face(tmp_path / "home", LISTED, roots=(bytes(tmp_path.resolve()),))
    refusals: Any = NoMemory()
    face.door.refusals = refusals
    (tmp_path / "u").write_bytes(LISTED)
    reply = face.client.post("/v1/tus", json=pre_finish(tmp_path / "u"))
    face.ledger.close()

    assert 422 == reply.json()["HTTPResponse"]["StatusCode"]


def test_an_upload_that_is_said_to_be_empty_is_looked_at(tmp_path: Path) -> None:
    """Its file counts, not the number in the hook."""
    face = Face(tmp_path / "home", LISTED, roots=(bytes(tmp_path.resolve()),))
    (tmp_path / "u").write_bytes(LISTED)
    (tmp_path / "e").write_bytes(b"")
    lie = face.client.post("/v1/tus", json=pre_finish(tmp_path / "u", Size=0)).json()
    truth = face.client.post("/v1/tus", json=pre_finish(tmp_path / "e", ID="e")).json()
    face.ledger.close()

    assert (422, {}) == (lie["HTTPResponse"]["StatusCode"], truth)


@pytest.mark.parametrize("member", ["bucket", "key", "version"])
def test_a_name_no_bytes_stand_for_loses_no_other_event(member: str) -> None:
    """No store has such an object; the records beside it count."""
    names = {"bucket": "b", "key": "k", "version": "v"}
    records = [
        {"eventName": "ObjectCreated:Put",
         "s3": {"bucket": {"name": each["bucket"]}, "object": {"key": each["key"], "versionId": each["version"]}}}
        for each in (names | {member: "\ud800"}, names)
    ]  # fmt: skip
    events = s3_records.parse(json.dumps({"Records": records}).encode())

    assert [b"b/k/v"] == [s3_records.ref_of(each.bucket, key, each.version) for each in events for key in each.keys]


# -- bodies whose senders go ------------------------------------------------------------------------------------------


class Held(ThreadPoolExecutor):
    """A thread that begins when it may."""

    def __init__(self) -> None:
        super().__init__(1)
        self.begun, self.may = threading.Event(), threading.Event()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        def work() -> Any:
            self.begun.set()
            assert self.may.wait(60)
            return fn(*args, **kwargs)

        return super().submit(work)


def test_a_body_given_up_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    """Neither a descriptor nor memory that counts as taken."""

    async def test() -> None:
        with Held() as hashers:
            memory = Memory(2 * 10**6)
            for size in (1_200_000, 3_000_000):  # in memory, and in the spool
                body = Body(tmp_path, memory, hashers)
                writing = asyncio.create_task(body.write(bytes(size)))
                assert await asyncio.to_thread(hashers.begun.wait, 60)
                writing.cancel()
                await asyncio.wait([writing])
                body.close()
                hashers.may.set()
                await asyncio.get_running_loop().run_in_executor(hashers, lambda: None)
                assert memory.take(2 * 10**6)
                memory.give_back(2 * 10**6)
                assert body._fd is None

    run(test)


def test_a_closed_body_is_never_read_as_an_empty_one(tmp_path: Path) -> None:
    """Else an empty look would stand in the ledger as that of its content."""

    async def test() -> None:
        with ThreadPoolExecutor(1) as hashers:
            body = Body(tmp_path, Memory(), hashers)
            await body.write(b"some bytes")
            body.complete()
            body.close()
            with pytest.raises(OSError, match="closed"):
                body.source()
            with pytest.raises(OSError, match="closed"):
                body.write_to(-1)
            with pytest.raises(OSError, match="closed"):
                body.at(0, 1)

    run(test)


def test_an_upload_that_is_being_judged_is_not_taken_from_under_the_judge(tmp_path: Path) -> None:
    """A connection that is ended at our stop gives up what it sent; its look goes on, on all of it."""
    picture = fake_media(pdq(2))

    async def test() -> None:
        with Site(tmp_path / "home") as site:
            site.list_entries("set", entry_of(pdq(2, flipped=3), ref="near"))
            sets = BlockedSets(site.store)
            async with house(site, tmp_path, sets=sets) as made:
                sets.asked.clear()
                sets.may.clear()
                upload = made.intake.begin(RULES)
                await upload.write(picture)
                judging = asyncio.create_task(upload.finish())
                await asyncio.to_thread(sets.asked.wait, 60)
                upload.abort()
                sets.may.set()

                assert Verdict.MATCHED is (await judging).verdict

    run(test)


def test_a_file_that_tells_no_size_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    """Those of procfs have bytes and a size of zero; what they hold is read as if it were sent."""

    async def test() -> None:
        with Site(tmp_path / "home") as site:
            async with house(site, tmp_path) as made:
                with open("/proc/version", "rb") as file:
                    await made.intake.scan_fd(RULES, file.fileno(), b"ref")
                    digest = hashlib.sha256(file.read()).digest()

                assert site.ledger.known(digest) is not None

    run(test)


def test_nothing_follows_a_reply_that_broke_off() -> None:
    """The rest of one and the beginning of the next would be read as one line."""

    async def test() -> None:
        ours, theirs = socket.socketpair()
        line = Line(ours)
        assert not await line.send(bytes(10**7), 0.05)
        received = theirs.recv(2**20)
        assert not await line.send(b"stream: OK\0", 0.05)
        line.close()
        theirs.settimeout(60)
        while piece := theirs.recv(2**20):
            received += piece
        theirs.close()

        assert b"OK" not in received

    run(test)


def test_a_form_read_byte_by_byte_hides_nothing() -> None:
    """However it is cut, the second file is seen."""

    async def test() -> None:
        async def feed(_data: bytes) -> None:
            return None

        body = form(CLEAN_PART, (b'Content-Disposition: form-data; name="g"', GIF))
        taken = FormFile(b"B", feed)

        async def write() -> None:
            for at in range(len(body)):
                await taken.write(body[at : at + 1])

        with pytest.raises(BadForm):
            await write()

    run(test)
