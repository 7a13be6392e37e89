"""The clamd listener, spoken to in raw bytes: what clients send, in pieces, too much, too late, or not at all."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.doors.answers import undecidable
from scanner.doors.clamd import ClamdListener
from scanner.doors.clamd_session import Patience
from scanner.doors.lines import Line
from scanner.doors.rules import DoorRules
from tests.scanner.doors.fakes import FAKE_CODE, FakeIntake
from tests.scanner.doors.running import WAIT_S, port_of, running, tcp_socket, unix_socket

FOUND = f"Policy.Blocked.{FAKE_CODE} FOUND".encode()
LIMIT = 100_000


@dataclass
class Door:
    """A clamd listener on both kinds of socket, with the intake behind it."""

    intake: FakeIntake
    rules: DoorRules
    port: int
    path: Path
    folder: Path

    def connect(self, kind: str = "tcp") -> socket.socket:
        """A connection."""
        if kind == "tcp":
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(WAIT_S)
            sock.connect(str(self.path))
        return sock

    def ask(self, *sent: bytes, kind: str = "tcp", half_close: bool = False) -> bytes:
        """Everything a connection replies to these packets, until it ends."""
        with self.connect(kind) as sock:
            for each in sent:
                sock.sendall(each)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return rest(sock)


@contextlib.contextmanager
def clamd(folder: Path, patience: Patience | None = None, **rules: object) -> Iterator[Door]:
    """A running door, with roots/ below the folder as its root."""
    (folder / "roots").mkdir()
    own = DoorRules("clamd", max_bytes=LIMIT, roots=(os.fsencode(os.path.realpath(folder / "roots")),))
    own = DoorRules(**{name: getattr(own, name) for name in own.__slots__} | rules)  # type: ignore[arg-type]
    intake = FakeIntake(b"listed")
    path = folder / "clamd.sock"
    tcp, unix = tcp_socket(), unix_socket(path)
    how = patience or Patience(drain_s=5.0)
    make = [lambda sock=sock: ClamdListener(sock, intake, own, how) for sock in (tcp, unix)]  # type: ignore[arg-type]
    with running(*make):
        yield Door(intake, own, port_of(tcp), path, folder / "roots")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A door as it is usually set."""
    with clamd(tmp_path) as running_door:
        yield running_door


def rest(sock: socket.socket) -> bytes:
    """What comes until the end."""
    got = bytearray()
    while received := sock.recv(65536):
        got += received
    return bytes(got)


def stream(*chunks: bytes) -> bytes:
    """An INSTREAM body."""
    return b"".join(struct.pack("!I", len(each)) + each for each in chunks) + bytes(4)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"zPING\0", b"PONG\0"),
        (b"nPING\n", b"PONG\n"),
        (b"PING", b"PONG\n"),
        (b"PING\r\n", b"PONG\n"),
        (b"zPING\0zPING\0", b"PONG\0"),
        (b"zINSTREAM\0" + stream(b"fine"), b"stream: OK\0"),
        (b"nINSTREAM\n" + stream(b"lis", b"ted"), b"stream: " + FOUND + b"\n"),
        (b"zINSTREAM\0" + stream(), b"stream: OK\0"),
        (b"zSHUTDOWN\0", b"COMMAND UNAVAILABLE\0"),
        (b"nQUIT\n", b"COMMAND UNAVAILABLE\n"),
        (b"zRELOAD\0", b"COMMAND UNAVAILABLE\0"),
        (b"DETSTATS", b"COMMAND UNAVAILABLE\n"),
        (b"zping\0", b"UNKNOWN COMMAND\0"),
        (b"zSCAN\0", b"UNKNOWN COMMAND\0"),
        (b"zEND\0", b"UNKNOWN COMMAND\0"),
        (b"INSTREAM\n", b"UNKNOWN COMMAND\n"),
        (b"STREAM\n", b"UNKNOWN COMMAND\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"UNKNOWN COMMAND\n"),
        (b"z" + b"A" * 9000 + b"\0", b"UNKNOWN COMMAND\0"),
        (b"zSTREAM", b""),
    ],
)
def test_commands_are_answered_in_their_own_framing(door: Door, kind: str, sent: bytes, reply: bytes) -> None:
    """One command a connection; what follows it is not looked at; what is not known or not allowed is said to be so."""
    if not reply:  # half a command, and then nothing more
        assert b"UNKNOWN COMMAND\0" == door.ask(sent, kind=kind, half_close=True)
    else:
        assert reply == door.ask(sent, kind=kind)


@pytest.mark.parametrize("sent", [b"zINSTREAM\0" + stream(b"a listed one"), b"nPING\n", b"VERSION\n"])
def test_bytes_may_come_one_by_one(door: Door, sent: bytes) -> None:
    """The reply is the same as to one packet."""
    assert door.ask(sent) == door.ask(*(bytes([byte]) for byte in sent))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_line_feed_behind_an_old_style_command_may_come_after_its_reply(
    door: Door, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command was complete without it; whoever sends it late reads the reply to its end all the same."""
    expected = door.ask(b"VERSION\n", kind=kind)
    send = Line.send

    async def send_and_wait(line: Line, reply: bytes, within_s: float) -> bool:
        sent = await send(line, reply, within_s)
        assert select.select([line._sock], [], [], WAIT_S)[0]  # the line feed is there, and nobody has read it
        return sent

    monkeypatch.setattr(Line, "send", send_and_wait)
    with door.connect(kind) as sock:
        sock.sendall(b"VERSION")
        assert sock.recv(len(expected), socket.MSG_PEEK)
        sock.sendall(b"\n")
        assert expected == rest(sock)


def test_a_client_that_half_closes_after_its_command_gets_its_reply(door: Door) -> None:
    """Saying that nothing more comes is no going away."""
    assert b"PONG\0" == door.ask(b"zPING\0", half_close=True)
    assert b"stream: OK\0" == door.ask(b"zINSTREAM\0" + stream(b"x"), half_close=True)
    assert b"" == door.ask(half_close=True)


def test_version_carries_the_catalogue_number_and_day(door: Door) -> None:
    """Clients that scan again on a new database split it at slashes and compare the second field as a number."""
    product, number, day = door.ask(b"zVERSION\0").rstrip(b"\0").split(b"/")
    door.intake.number = 8

    assert product.startswith(b"ClamAV ")
    assert (7, b"Sun Nov 22 00:00:00 2026") == (int(number), day)
    assert b"/8/" in door.ask(b"nVERSION\n")
    assert b"| COMMANDS: SCAN " in door.ask(b"zVERSIONCOMMANDS\0")
    assert door.ask(b"zVERSION\0").rstrip(b"\0") in door.ask(b"zVERSIONCOMMANDS\0")


def test_statistics_have_clamds_form(door: Door) -> None:
    """Inner lines end in line feeds, and the last word is END."""
    said = door.ask(b"zSTATS\0")

    assert said.startswith(b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1 ")
    assert said.endswith(b"\nEND\0")
    assert 1 == said.count(b"\0")


def test_nothing_is_ok_before_the_lists_are_loaded(tmp_path: Path) -> None:
    """No PONG and no OK, whatever the listener's rule; and never an end without a word."""
    for rule, said in (("ok", b" ERROR\0"), ("error", b" ERROR\0"), ("found", b"Policy.Undecidable FOUND\0")):
        folder = tmp_path / rule
        folder.mkdir()
        with clamd(folder, on_undecidable=rule) as door:
            door.intake.ready = False
            assert b"PONG" not in door.ask(b"zPING\0")
            assert door.ask(b"zPING\0").endswith(b"ERROR\0")
            assert door.ask(b"zINSTREAM\0" + stream(b"fine")).endswith(said)
            assert b"/" not in door.ask(b"zVERSION\0")


@pytest.mark.parametrize(
    ("rule", "reply"),
    [
        ("error", b"stream: Undecidable encrypted ERROR\0"),
        ("found", b"stream: Policy.Undecidable FOUND\0"),
        ("ok", b"stream: OK\0"),
    ],
)
def test_what_cannot_be_judged_is_said_as_the_listener_is_told(tmp_path: Path, rule: str, reply: bytes) -> None:
    """The three replies that callers read, by the listener's rule."""
    with clamd(tmp_path, on_undecidable=rule) as door:
        door.intake.answers[b"locked"] = undecidable("encrypted")

        assert reply == door.ask(b"zINSTREAM\0" + stream(b"locked"))


@pytest.mark.parametrize("rule", ["error", "found", "ok"])
def test_a_cut_stream_is_never_ok(tmp_path: Path, rule: str) -> None:
    """Cut at a known length, at its end, or too long; a match in what came stays a match."""
    with clamd(tmp_path, on_undecidable=rule, cut_lengths=frozenset({7})) as door:
        for sent in (
            b"zINSTREAM\0" + stream(b"seven b"),
            b"zINSTREAM\0\0\0\0\x09only",
            b"zINSTREAM\0" + struct.pack("!I", 4) + b"only",
            b"zINSTREAM\0",
            b"zINSTREAM\0" + struct.pack("!I", LIMIT + 1),
            b"zINSTREAM\0" + struct.pack("!I", 4) + b"only\xff\xff\xff\xff",
        ):
            said = door.ask(sent, half_close=True)
            assert said.endswith(b" FOUND\0" if rule == "found" else b" ERROR\0")
        assert b"stream: " + FOUND + b"\0" == door.ask(b"zINSTREAM\0\0\0\0\x63a listed one", half_close=True)


def test_a_client_that_sends_too_much_reads_the_refusal(door: Door) -> None:
    """It is still sending when the limit is passed: the connection is read on until it has read the reply."""
    body = stream(*[bytes(8188)] * 500)
    with door.connect() as sock:
        sock.sendall(b"zINSTREAM\0")
        sock.sendall(body)  # forty times the limit: neither a reset nor a broken pipe

        assert b"INSTREAM size limit exceeded. ERROR\0" == rest(sock)
    assert b"stream: OK\0" == door.ask(b"zINSTREAM\0" + stream(bytes(LIMIT)))


def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    """For a command, inside one, inside a stream and inside a session."""
    sent = (b"", b"zPI", b"zINSTREAM\0\0\0\0\x04go", b"zIDSESSION\0")
    with hurried(tmp_path, *sent) as (intake, asking):
        replies = [rest(sock) for sock in asking]

    assert [b"COMMAND READ TIMED OUT" + end for end in (b"\n", b"\0", b"\0", b"\0")] == replies
    assert 1 == len(intake.seen)


@contextlib.contextmanager
def hurried(folder: Path, *sent: bytes) -> Iterator[tuple[FakeIntake, list[socket.socket]]]:
    """Connections that have sent these bytes before the door begins to take any: it is in a hurry, they may be slow."""
    intake, sock = FakeIntake(), tcp_socket()
    asking = [socket.create_connection(("127.0.0.1", port_of(sock)), timeout=WAIT_S) for _ in sent]
    for each, begun in zip(asking, sent, strict=True):
        each.sendall(begun)
    patience = Patience(command_s=0.5, read_s=0.5)
    with running(lambda: ClamdListener(sock, intake, DoorRules("clamd"), patience)):  # type: ignore[arg-type]
        yield intake, asking
    for each in asking:
        each.close()


def test_a_client_that_drips_is_not_waited_for(tmp_path: Path) -> None:
    """A byte before each time-out does not hold a connection for ever."""
    with hurried(tmp_path, b"zINSTREAM\0" + struct.pack("!I", LIMIT)) as (_, (sock,)):
        until = time.monotonic() + WAIT_S
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                sock.sendall(b"x")
                time.sleep(0.1)
                sock.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    assert b"COMMAND READ TIMED OUT\0" == sock.recv(100)
                    break
                sock.settimeout(WAIT_S)
        assert time.monotonic() < until


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_numbers_its_replies(door: Door) -> None:
    """Commands of both framings, each line ended as its command was; they may come in any order."""
    sent = b"zIDSESSION\0" + b"zPING\0" + b"nINSTREAM\n" + stream(b"listed") + b"zINSTREAM\0" + stream(b"x") + b"zEND\0"
    said = door.ask(sent)

    assert said.startswith(b"1: PONG\0")
    assert {b"1: PONG\0", b"2: stream: " + FOUND + b"\n", b"3: stream: OK\0"} == {
        each for each in (b"1: PONG\0", b"2: stream: " + FOUND + b"\n", b"3: stream: OK\0") if each in said
    }
    assert len(said) == len(b"1: PONG\0" + b"2: stream: " + FOUND + b"\n" + b"3: stream: OK\0")
    assert b"" == door.ask(b"zIDSESSION\0zEND\0")


def test_discourse_reads_its_replies_until_a_nul(door: Door) -> None:
    """One connection to ping, one to send, each within a session."""
    assert b"1: PONG\0" == door.ask(b"zIDSESSION\0", b"zPING\0", b"zEND\0")
    sent = [b"zIDSESSION\0", b"zINSTREAM\0", *(stream(*[b"x" * 2048] * 9),), b"zEND\0"]
    assert b"1: stream: OK\0" == door.ask(*sent)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"zRELOAD\0", b"1: Command invalid inside IDSESSION. ERROR\0"),
        (b"nWHAT\n", b"1: Command invalid inside IDSESSION. ERROR\n"),
        (b"zIDSESSION\0", b"1: Command invalid inside IDSESSION. ERROR\0"),
        (
            b"PING\n",
            b"1: Only nCMDS\\n and zCMDS\\0 are accepted inside IDSESSION. ERROR\n1: Error processing command. ERROR\n",
        ),
        (b"zPING\0zINSTREAM\0\xff\xff\xff\xff", b"1: PONG\x002: INSTREAM size limit exceeded. ERROR\0"),
        (b"zPING\0zINSTREAM\0\0\0", b"1: PONG\x002: stream: Undecidable cut ERROR\0"),
    ],
)
def test_what_a_session_does_not_take_ends_it(door: Door, sent: bytes, said: bytes) -> None:
    """With a word on what was wrong, after what was asked before is answered."""
    assert said == door.ask(b"zIDSESSION\0" + sent, half_close=True)


# -- descriptors -----------------------------------------------------------------------------------------------------


def send_fds(sock: socket.socket, data: bytes, *fds: int) -> None:
    """One message with descriptors."""
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def fildes(door: Door, fds: Sequence[int], *, together: bool = False, start: bytes = b"zFILDES\0") -> bytes:
    """The reply to a descriptor."""
    with door.connect("unix") as sock:
        if together:
            send_fds(sock, start + b"\0", *fds)
        else:
            sock.sendall(start)
            send_fds(sock, b"x", *fds)
        return rest(sock)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A listed file, open for reading at some offset."""
    path = tmp_path / "file"
    path.write_bytes(b"a listed one")
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, 5, os.SEEK_SET)
    yield fd
    os.close(fd)


def open_descriptors() -> set[str]:
    """What this process, in which the door runs too, has open."""
    return {
        f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}"
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    }


@pytest.mark.parametrize("together", [False, True], ids=["apart", "together"])
@pytest.mark.parametrize("start", [b"zFILDES\0", b"nFILDES\n", b"FILDES\n"])
def test_a_descriptor_is_looked_at_in_both_forms(door: Door, file: int, together: bool, start: bytes) -> None:
    """Behind the command in a message of its own, or in the same; the sender's offset stays where it was."""
    before = open_descriptors()
    said = fildes(door, [file], together=together, start=start)

    assert said.startswith(b"fd[")
    assert said[:-1].endswith(b"]: " + FOUND)
    assert 5 == os.lseek(file, 0, os.SEEK_CUR)
    assert before == open_descriptors()


def test_a_file_is_found_again_by_the_path_it_has(door: Door, file: int, tmp_path: Path) -> None:
    """As long as it has one: what was unlinked or never had a name has no ref."""
    fildes(door, [file])
    refs = dict(door.intake.refs)
    (tmp_path / "file").unlink()
    fildes(door, [file])
    fildes(door, [os.memfd_create("nameless")])

    assert {os.fsencode(os.path.realpath(tmp_path / "file")): b"a listed one"} == refs == door.intake.refs


def test_what_cannot_be_read_through_a_descriptor_is_an_error(door: Door, tmp_path: Path) -> None:
    """A pipe, a folder, and a file open for writing only, of which clamd itself says OK."""
    listed = tmp_path / "listed"
    listed.write_bytes(b"listed")
    reads, writes = os.pipe()
    for fd in (
        reads, writes, os.open(tmp_path, os.O_RDONLY), os.open(listed, os.O_WRONLY), os.open(listed, os.O_PATH),
    ):  # fmt: skip
        said = fildes(door, [fd])
        os.close(fd)
        assert said.startswith(b"fd[")
        assert said.endswith(b" ERROR\0")
    assert [] == door.intake.seen


def test_a_descriptor_that_is_missing_doubled_or_stray_is_refused(door: Door, file: int) -> None:
    """None, two, one without its byte, and one over TCP, where none can come. None is left open."""
    before = open_descriptors()
    assert b"No file descriptor received. ERROR\0" == fildes(door, [file, file])
    assert b"No file descriptor received. ERROR\0" == fildes(door, [file] * 40)
    assert b"No file descriptor received. ERROR\0" == door.ask(b"zFILDES\0", b"x", kind="unix")
    assert b"No file descriptor received. ERROR\0" == door.ask(b"zFILDES\0", kind="tcp")
    assert b"No file descriptor received. ERROR\0" == door.ask(b"zFILDES\0", kind="unix", half_close=True)
    with door.connect("unix") as sock:
        send_fds(sock, b"zFILDES\0", file)
        assert rest(sock).startswith(b"PROTOCOL ERROR: ancillary data sent without FILDES. ERROR\0")
    with door.connect("unix") as sock:
        send_fds(sock, b"zPING\0", file)
        assert b"PONG\0" == rest(sock)
    with door.connect("unix") as sock:
        send_fds(sock, b"zPI", file)
    assert b"PONG\0" == door.ask(b"zPING\0", kind="unix")
    assert before == open_descriptors()


def test_a_session_takes_descriptors_one_after_the_other(door: Door, file: int) -> None:
    """As clamdscan --multiscan --fdpass sends them."""
    with door.connect("unix") as sock:
        sock.sendall(b"zIDSESSION\0")
        for _ in range(30):
            sock.sendall(b"zFILDES\0")
            send_fds(sock, b"\0", file)
        sock.sendall(b"zEND\0")
        said = rest(sock).split(b"\0")[:-1]

    assert set(range(1, 31)) == {int(line.partition(b":")[0]) for line in said}
    assert all(line.endswith(FOUND) for line in said)


# -- paths -----------------------------------------------------------------------------------------------------------


def test_paths_are_looked_at_below_the_roots_only(door: Door, tmp_path: Path) -> None:
    """Not beside them, not by a link out of them, and in the same words whether something is there or not."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"listed")
    inside = door.folder / "a file"
    inside.write_bytes(b"listed")
    (door.folder / "out").symlink_to(outside)
    (door.folder / "in").symlink_to(inside)
    (tmp_path / "roots2").mkdir()
    (tmp_path / "roots2" / "file").write_bytes(b"listed")
    refused = b": File path check failure: Permission denied. ERROR\0"
    for command in (b"SCAN", b"CONTSCAN", b"MULTISCAN", b"ALLMATCHSCAN"):
        for path in (inside, door.folder / "in"):
            assert os.fsencode(path) + b": " + FOUND + b"\0" == door.ask(
                b"z" + command + b" " + os.fsencode(path) + b"\0"
            )
        for where in (
            outside, tmp_path / "nothing", door.folder / "out", tmp_path / "roots2" / "file",
            door.folder / ".." / "outside", tmp_path, Path("/"), Path("relative"),
        ):  # fmt: skip
            named = os.fsencode(str(where))
            assert named + refused == door.ask(b"z" + command + b" " + named + b"\0")
    missing = os.fsencode(door.folder / "missing")
    assert missing + b": File path check failure: No such file or directory. ERROR\0" == door.ask(
        b"zSCAN " + missing + b"\0"
    )
    assert {os.fsencode(inside), os.fsencode(door.folder / "in")} == set(door.intake.refs)


def test_a_folder_gives_a_line_a_match(door: Door) -> None:
    """SCAN stops at the first, CONTSCAN and MULTISCAN go on; without any the folder is OK. Links are passed by."""
    (door.folder / "sub").mkdir()
    for name in ("a", "sub/b", "sub/c"):
        (door.folder / name).write_bytes(b"listed " + name.encode())
    for number in range(20):
        (door.folder / f"clear{number}").write_bytes(b"x")
    (door.folder / "locked").write_bytes(b"locked")
    door.intake.answers[b"locked"] = undecidable("encrypted")
    (door.folder / "clear folder").mkdir()
    (door.folder / "clear folder" / "link").symlink_to(door.folder / "a")
    os.mkfifo(door.folder / "clear folder" / "pipe")
    top = os.fsencode(door.folder)
    lines = {top + b"/" + name + b": " + FOUND for name in (b"a", b"sub/b", b"sub/c")}
    lines.add(top + b"/locked: Undecidable encrypted ERROR")

    for command in (b"CONTSCAN", b"MULTISCAN"):
        assert lines == set(door.ask(b"n" + command + b" " + top + b"\n").splitlines())
    assert 1 == door.ask(b"zSCAN " + top + b"\0").count(FOUND)
    quiet = top + b"/clear folder"
    assert quiet + b": OK\0" == door.ask(b"zCONTSCAN " + quiet + b"\0")
    pipe = quiet + b"/pipe"
    assert door.ask(b"zSCAN " + pipe + b"\0").endswith(b" ERROR\0")


def test_a_files_name_cannot_speak_for_another(door: Door) -> None:
    """What an uploader called a file ends no line and begins none."""
    folder = os.fsencode(door.folder)
    with open(folder + b"/x: OK\n" + b"y", "wb") as made:
        made.write(b"listed")

    assert [folder + b"/x: OK?y: " + FOUND] == door.ask(b"nCONTSCAN " + folder + b"\n").splitlines()
