"""Unmodified clients of clamd against a serving process, and Debian's own clamd beside it as the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aioclamd
import clamav_client
import clamd
import pytest

from tests.command import Hashward
from tests.scanner.doors.served import Served, served
from tests.shared_material import media

WAIT_S = 100.0
EICAR = b"no picture, but listed: a text stands for any content"
NAMES = re.compile(r"Policy\.Blocked\.[2-9A-Z]{6,}|Listed\.UNOFFICIAL")
CONFIG = """
[[serve.listener]]
name = "tcp"
kind = "clamd"
address = "127.0.0.1:0"
deadline_seconds = 60
roots = [{roots}]

[[serve.listener]]
name = "unix"
kind = "clamd"
address = "{socket}"
deadline_seconds = 60
roots = [{roots}]

[[serve.listener]]
name = "small"
kind = "clamd"
address = "127.0.0.1:0"
max_mb = 1

[[serve.listener]]
name = "icap"
kind = "icap"
address = "127.0.0.1:0"
"""


@dataclass
class Doors:
    """A serving process with what it lists, and folders of files."""

    served: Served
    socket: Path
    files: Path
    folder: Path

    @property
    def port(self) -> int:
        """Where clamd is spoken over TCP."""
        return self.served.ports["tcp"]


def _pictures() -> list[Path]:
    """Ordinary pictures and a clip, small ones: enough to have every kind."""
    return [path for path in sorted(media().rglob("*")) if path.is_file() and path.stat().st_size < 200_000][:24]


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    """One process for the module: clients only ask."""
    with tempfile.TemporaryDirectory(prefix="doors") as name:
        folder = Path(name).resolve()
        files = folder / "files"
        (files / "sub").mkdir(parents=True)
        (files / "listed").write_bytes(EICAR)
        (files / "sub" / "listed too").write_bytes(EICAR)
        (files / "fine").write_bytes(b"nothing of interest")
        (files / "empty").write_bytes(b"")
        lists = [EICAR]
        with contextlib.suppress(pytest.skip.Exception):
            lists += [path.read_bytes() for path in _pictures()[::3]]
        hashward = Hashward(folder / "home")
        (folder / "list").write_text("".join(hashlib.sha256(each).hexdigest() + "\n" for each in lists))
        assert 0 == hashward("hashset", "import", "mine", folder / "list", "--type", "sha256", "--approve").code
        assert 0 == hashward("hashset", "approve", "mine").code
        (folder / "db").mkdir()
        (folder / "db" / "list.hsb").write_text(
            "".join(f"{hashlib.sha256(each).hexdigest()}:{len(each)}:Listed\n" for each in lists)
        )
        roots = ", ".join(json.dumps(str(each)) for each in {files, *_roots()})
        config = CONFIG.format(roots=roots, socket=folder / "s")
        with served(hashward, config=config) as process:
            yield Doors(process, folder / "s", files, folder)


def _roots() -> list[Path]:
    with contextlib.suppress(pytest.skip.Exception):
        return [media().resolve()]
    return []


@pytest.fixture(scope="module")
def real(doors: Doors) -> Iterator[tuple[int, Path]]:
    """Debian's clamd with a list of the same files: its port and socket."""
    program = shutil.which("clamd")
    if program is None:
        pytest.skip("needs clamd (Debian: clamav-daemon)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (doors.folder / "t").mkdir()
    config = doors.folder / "real.conf"
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    config.write_text(
        f"TCPSocket {port}\nTCPAddr 127.0.0.1\nLocalSocket {doors.folder}/r\nDatabaseDirectory {doors.folder}/db\n"
        f"TemporaryDirectory {doors.folder}/t\nForeground yes\nUser {user}\n"
    )
    with subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + WAIT_S
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=WAIT_S):
                    break
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            yield port, doors.folder / "r"
        finally:
            process.terminate()


def clamdscan(folder: Path, where: int | Path, *words: object) -> tuple[int, list[str]]:
    """clamdscan's exit code and lines, names made equal."""
    program = shutil.which("clamdscan")
    if program is None:
        pytest.skip("needs clamdscan (Debian: clamdscan)")
    config = folder / "client.conf"
    address = f"TCPSocket {where}\nTCPAddr 127.0.0.1\n" if isinstance(where, int) else f"LocalSocket {where}\n"
    config.write_text(address)
    done = subprocess.run(
        [program, "-c", config, "--no-summary", *map(str, words)], capture_output=True, text=True, timeout=300
    )
    return done.returncode, sorted(NAMES.sub("NAME", done.stdout).splitlines())


@pytest.mark.parametrize("mode", [[], ["--stream"], ["--fdpass"], ["--multiscan"], ["--stream", "--multiscan"],
                                  ["--fdpass", "--multiscan"], ["-z"]], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_clamdscan_says_of_hashward_what_it_says_of_clamd(
    doors: Doors, real: tuple[int, Path], mode: list[str], kind: str
) -> None:
    """The same lines and exit codes over ordinary media, in every way of handing files over."""
    where: list[object] = [
        doors.files,
        doors.files / "listed",
        doors.files / "fine",
        doors.files / "empty",
        *_pictures(),
    ]
    ours, theirs = (doors.port, real[0]) if kind == "tcp" else (doors.socket, real[1])
    for words in (where, [doors.files / "fine"], [doors.files / "missing"]):
        expected = clamdscan(doors.folder, theirs, *mode, *words)
        got = clamdscan(doors.folder, ours, *mode, *words)
        assert (expected[0], set(expected[1])) == (got[0], set(got[1]))


ABUSE = [
    b"zPING\0", b"nPING\n", b"PING\n", b"PING", b"nPING\r\n", b"zPING\0zPING\0", b"zping\0", b"zPING x\0", b"z\0",
    b"n\n", b"\n", b"WHAT\n", b"zWHAT\0", b"GET / HTTP/1.1\r\n\r\n", b"zINSTREAM\0\0\0\0\0", b"INSTREAM\n", b"STATS\n",
    b"zEND\0", b"zSCAN\0", b"nSCAN\n", b"zSTREAM\0", b"zSESSION\0",
    b"zINSTREAM\0" + struct.pack("!I", len(EICAR)) + EICAR + bytes(4),
    b"nINSTREAM\n" + struct.pack("!I", 4) + b"fine" + bytes(4),
    b"zINSTREAM\0" + b"".join(struct.pack("!I", 1) + bytes([each]) for each in EICAR) + bytes(4),
    b"zINSTREAM\0\xff\xff\xff\xff",
    b"zIDSESSION\0zPING\0nPING\nzEND\0", b"zIDSESSION\0zEND\0", b"zIDSESSION\0zRELOAD\0", b"zIDSESSION\0zWHAT\0",
    b"zIDSESSION\0zINSTREAM\0" + struct.pack("!I", len(EICAR)) + EICAR + bytes(4) + b"zEND\0",
    b"zIDSESSION\0zPING\0zINSTREAM\0\xff\xff\xff\xff",
]  # fmt: skip


def _said(where: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", where), timeout=WAIT_S) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while received := sock.recv(65536):
                got += received
    return NAMES.sub("NAME", got.decode()).encode()


def test_clamd_and_hashward_answer_abuse_alike(doors: Doors, real: tuple[int, Path]) -> None:
    """Thirty-odd ways to be wrong, byte for byte; in none of them is more said or less."""
    for sent in ABUSE:
        assert _said(real[0], sent) == _said(doors.served.ports["small"], sent), sent


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # clamav-client leaves the files it sends open
def test_python_clients(doors: Doors) -> None:
    """clamd, aioclamd and clamav-client from PyPI, over both kinds of socket."""
    for client in (
        clamd.ClamdNetworkSocket("127.0.0.1", doors.port, WAIT_S),
        clamd.ClamdUnixSocket(str(doors.socket), WAIT_S),
    ):
        assert "PONG" == client.ping()
        assert re.fullmatch(r"ClamAV \S+/\d+/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", client.version())
        assert client.stats().rstrip().endswith("END")
        status, name = client.instream(io.BytesIO(EICAR))["stream"]
        assert ("FOUND", "Policy.Blocked.") == (status, name[:15])
        assert {"stream": ("OK", None)} == client.instream(io.BytesIO(b"x" * 5000))
        assert {("FOUND", name)} == set(client.contscan(str(doors.files)).values())
        assert {("FOUND", name)} == set(client.multiscan(str(doors.files)).values())
        assert {str(doors.files / "fine"): ("OK", None)} == client.scan(str(doors.files / "fine"))
        assert ("ERROR", "Undecidable cut") == client.instream(io.BytesIO(bytes(26_214_400)))["stream"]
    asking = aioclamd.ClamdAsyncClient("127.0.0.1", doors.port, timeout=WAIT_S)
    assert ("FOUND", name) == asyncio.run(asking.instream(io.BytesIO(EICAR)))["stream"]
    for address in (f"127.0.0.1:{doors.port}", str(doors.socket)):
        scanner = clamav_client.get_scanner({"backend": "clamd", "address": address, "timeout": WAIT_S, "stream": True})
        assert ("FOUND", False) == ((found := scanner.scan(str(doors.files / "listed"))).state, found.passed)
        assert scanner.scan(str(doors.files / "fine")).passed
        assert scanner.info().version.startswith("ClamAV")


def test_pyclamd(doors: Doors) -> None:
    """Debian's package of it, by Debian's Python."""
    script = (
        "import json, pyclamd, sys\n"
        "made = pyclamd.ClamdNetworkSocket('127.0.0.1', int(sys.argv[1]), 100)\n"
        "print(json.dumps([made.ping(), made.scan_stream(sys.argv[2].encode()), made.scan_stream(b'fine'),"
        " made.multiscan_file(sys.argv[3])]))"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", script, str(doors.port), EICAR.decode(), str(doors.files)],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    if "No module named 'pyclamd'" in done.stderr or not os.path.exists("/usr/bin/python3"):
        pytest.skip("needs pyclamd (Debian: python3-pyclamd)")
    ping, found, fine, several = json.loads(done.stdout)

    assert (True, None, 2) == (ping, fine, len(several))
    assert "FOUND" == found["stream"][0]


def test_django_clamd(doors: Doors) -> None:
    """Its validator refuses a listed file and takes another: in a process of its own, for Django's settings."""
    script = (
        "import sys, io\nfrom django.conf import settings\n"
        "settings.configure(CLAMD_SOCKET=sys.argv[1], CLAMD_USE_TCP=False, CLAMD_ENABLED=True)\n"
        "from django_clamd.validators import validate_file_infection as validate\n"
        "from django.core.exceptions import ValidationError\n"
        "validate(io.BytesIO(b'fine'))\n"
        "try:\n    validate(io.BytesIO(sys.argv[2].encode()))\nexcept ValidationError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(doors.socket), EICAR.decode()],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip

    assert ("refused\n", 0) == (done.stdout, done.returncode), done.stderr


_NODE = """
const NodeClam = require('clamscan'), fs = require('fs');
(async () => {
  const [port, socket, listed, fine] = process.argv.slice(2);
  for (const where of [{host: '127.0.0.1', port: +port}, {socket}]) {
    const client = await new NodeClam().init({clamscan: {active: false}, preference: 'clamdscan', clamdscan:
      {...where, localFallback: false, active: true, bypassTest: false, timeout: 100000}});
    const both = async ask => [(await ask(listed)).isInfected, (await ask(fine)).isInfected];
    console.log(JSON.stringify([!!(await client.ping()), await both(path => client.isInfected(path)),
      await both(path => client.scanStream(fs.createReadStream(path)))]));
  }
})().catch(fault => { console.error(fault); process.exit(1); });
"""


def test_the_client_of_npm(doors: Doors) -> None:
    """Bare old-style commands, paths over the Unix socket and streams over both."""
    modules = Path(__file__).resolve().parents[3] / ".venv" / "npm" / "node_modules"
    node = shutil.which("node")
    if node is None or not (modules / "clamscan").is_dir():
        pytest.skip("needs Node and npm's clamscan (.ci/run installs it where npm is)")
    done = subprocess.run(
        [node, "-e", _NODE, "x", str(doors.port), str(doors.socket), doors.files / "listed", doors.files / "fine"],
        capture_output=True, text=True, timeout=200, env=os.environ | {"NODE_PATH": str(modules)},
    )  # fmt: skip

    answer = [True, [True, False], [True, False]]
    assert [answer, answer] == [json.loads(line) for line in done.stdout.splitlines()], done.stderr


# -- cut streams -----------------------------------------------------------------------------------------------------


def _stream(sock: socket.socket, *pieces: bytes) -> bytes:
    sock.sendall(b"nINSTREAM\n")
    for piece in pieces:
        sock.sendall(struct.pack("!I", len(piece)) + piece)
    sock.sendall(bytes(4))
    return sock.makefile("rb").readline()


@pytest.mark.parametrize("limit", [None, "25M"], ids=["default", "debian"])
def test_a_file_longer_than_clamdscan_sends_is_never_ok(doors: Doors, limit: str | None) -> None:
    """It sends 100 MiB, or 25 by Debian's configuration, and ends the stream as if that were all."""
    program = shutil.which("clamdscan")
    if program is None:
        pytest.skip("needs clamdscan (Debian: clamdscan)")
    long = doors.folder / "long"
    with open(long, "wb") as made:
        made.write(b"\x89PNG\r\n\x1a\n")
        made.truncate(110_000_000)
    config = doors.folder / "cut.conf"
    config.write_text(
        f"TCPSocket {doors.port}\nTCPAddr 127.0.0.1\n" + ("" if limit is None else f"StreamMaxLength {limit}\n")
    )
    done = subprocess.run([program, "-c", config, "--stream", "--no-summary", long], capture_output=True, text=True)
    long.unlink()

    assert 2 == done.returncode
    assert "OK" not in done.stdout


def test_nextclouds_pieces_are_never_ok(doors: Doors) -> None:
    """Each connection takes 26,214,400 bytes with their headers; the next begins with a repeat of the last piece."""
    content = b"\x89PNG\r\n\x1a\n" + os.urandom(30_000_000)
    pieces = [content[at : at + 8192] for at in range(0, len(content), 8192)]
    said, at = [], 0
    while at < len(pieces):
        sent, start = 0, max(at - 1, 0)
        at = start
        while at < len(pieces) and sent + len(pieces[at]) + 4 <= 26_214_400:
            sent += len(pieces[at]) + 4
            at += 1
        with socket.create_connection(("127.0.0.1", doors.port), timeout=WAIT_S) as sock:
            said.append(_stream(sock, *pieces[start:at]))

    assert 2 == len(said)
    assert all(b"ERROR" in each for each in said)


def test_clients_read_that_it_was_too_much(doors: Doors) -> None:
    """Where clamd resets the connection, PyPI's client gets its own error for it."""
    client = clamd.ClamdNetworkSocket("127.0.0.1", doors.served.ports["small"], WAIT_S)
    with pytest.raises(clamd.BufferTooLongError):
        client.instream(io.BytesIO(bytes(3_000_000)))


def test_no_name_or_path_gets_into_what_the_process_prints(doors: Doors) -> None:
    """Metrics and logs are for people who may not know who sent what."""
    canary = doors.files / "canary-3f9c.png"
    canary.write_bytes(EICAR)
    clamdscan(doors.folder, doors.port, canary)
    clamdscan(doors.folder, doors.socket, "--fdpass", canary)

    assert "canary" not in doors.served.said
    assert hashlib.sha256(EICAR).hexdigest() not in doors.served.said
