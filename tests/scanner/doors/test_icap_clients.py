"""Unmodified clients of ICAP against a serving process: c-icap-client, python-icap, squid, c-icap's bridge to clamd."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import icap
import pytest

from tests.command import Hashward
from tests.scanner.doors.served import served

WAIT_S = 100.0
LISTED = b"no picture, but listed: a text stands for any content. " * 8
LONG = b"a listed text longer than what squid keeps for a 204. " * 3000
FINE = {size: (b"nothing of interest, but long. " * 10_000)[:size] for size in (5, 1023, 1024, 1025, 65_536, 300_000)}
CONFIG = """
[[serve.listener]]
name = "icap"
kind = "icap"
address = "127.0.0.1:0"
deadline_seconds = 60

[[serve.listener]]
name = "clamd"
kind = "clamd"
address = "{socket}"
deadline_seconds = 60
"""


@dataclass
class Door:
    """Where ICAP is spoken, and clamd for the bridge."""

    port: int
    clamd: Path
    folder: Path


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """One process for the module: clients only ask."""
    with tempfile.TemporaryDirectory(prefix="icap") as name:
        folder = Path(name).resolve()
        hashward = Hashward(folder / "home")
        (folder / "list").write_text("".join(hashlib.sha256(each).hexdigest() + "\n" for each in (LISTED, LONG)))
        assert 0 == hashward("hashset", "import", "mine", folder / "list", "--type", "sha256", "--approve").code
        assert 0 == hashward("hashset", "approve", "mine").code
        with served(hashward, config=CONFIG.format(socket=folder / "s")) as process:
            yield Door(process.ports["icap"], folder / "s", folder)


def program(name: str, package: str) -> str:
    """Where a client is; skips without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian: {package})")
    return found


def free_port() -> int:
    """A port nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def listening(port: int, *command: object) -> Iterator[None]:
    """A server of somebody else's, from when it listens to its end; skips the test where it cannot run here."""
    words = list(map(str, command))
    with tempfile.TemporaryFile() as said, subprocess.Popen(words, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + WAIT_S
            while process.poll() is None and time.monotonic() < until:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            else:
                said.seek(0)
                pytest.skip(f"{words[-4]} does not run here: {said.read()[-300:]!r}")
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("method", [[], ["-method", "REQMOD", "-req", "http://x/y"]], ids=["respmod", "reqmod"])
@pytest.mark.parametrize("how", [[], ["-nopreview"], ["-no204"], ["-no204", "-nopreview"]], ids=" ".join)
def test_c_icap_client(door: Door, tmp_path: Path, method: list[str], how: list[str]) -> None:
    """With and without previews and 204: the block page, nothing to change, or the file as it was."""
    client = program("c-icap-client", "c-icap")
    for name, content in (("listed", LISTED), ("long", LONG), ("fine", FINE[300_000])):
        (tmp_path / name).write_bytes(content)
        out = tmp_path / f"{name}.out"
        done = subprocess.run(
            [client, "-i", "127.0.0.1", "-p", str(door.port), "-s", "avscan", "-f", tmp_path / name, "-o", out, "-v",
             *method, *how],
            capture_output=True, timeout=WAIT_S,
        )  # fmt: skip
        said = done.stdout + done.stderr
        if name != "fine":
            assert re.search(rb"X-Infection-Found: Type=0; Resolution=2; Threat=Policy\.Blocked\.\w+;", said)
            assert out.read_bytes().startswith(b"blocked\nPolicy.Blocked.")
        elif "-no204" in how:
            assert content == out.read_bytes()
        else:
            assert b"No modification needed" in said


def test_python_icap(door: Door) -> None:
    """OPTIONS, then bytes: 204, or what was found."""
    with icap.IcapClient("127.0.0.1", port=door.port) as client:
        options = client.options("avscan")
        assert 200 == options.status_code
        assert client.scan_bytes(FINE[5], service="avscan").is_no_modification
        found = client.scan_bytes(LISTED, service="avscan")
        assert (200, "Policy.Blocked.") == (found.status_code, found.headers["X-Virus-ID"][:15])


class _Origin(http.server.BaseHTTPRequestHandler):
    """Takes what is put, and says its digest; gives a page."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(201, hashlib.sha256(body).hexdigest().encode())

    def do_POST(self) -> None:
        self.do_PUT()

    def do_GET(self) -> None:
        self._say(200, LISTED if self.path == "/listed" else FINE[1025])

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


SQUID = """
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query no-digest originserver name=o
cache_peer_access o allow all
http_access allow all
cache deny all
pinger_enable off
icap_enable on
icap_preview_enable on
icap_send_client_ip on
icap_service up reqmod_precache icap://127.0.0.1:{icap}/avscan_req bypass=off
adaptation_access up allow all
icap_service down respmod_precache icap://127.0.0.1:{icap}/avscan_resp bypass=off
adaptation_access down allow all
pid_filename {folder}/pid
access_log none
cache_log {folder}/cache.log
coredump_dir {folder}
shutdown_lifetime 1 seconds
"""


@pytest.fixture(scope="module")
def squid(door: Door) -> Iterator[Callable[[], httpx.Client]]:
    """squid before an origin, with the door for what goes up and what comes down."""
    found = program("squid", "squid")
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    folder, port = door.folder / "squid", free_port()
    folder.mkdir(mode=0o777)
    config = folder / "squid.conf"
    config.write_text(SQUID.format(port=port, origin=origin.server_port, icap=door.port, folder=folder))
    # It does not run as root, and who it would become cannot reach our folder: a user namespace gives it another name.
    as_other = ["unshare", "--user", "--map-user=13", "--map-group=13"] if os.geteuid() == 0 else []
    with listening(port, *as_other, found, "-N", "-f", config):
        yield lambda: httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S, trust_env=False)
    origin.shutdown()
    origin.server_close()


@pytest.mark.parametrize("size", FINE)
def test_squid_lets_through_what_is_not_listed(squid: Callable[[], httpx.Client], size: int) -> None:
    """Around its preview and around the 64 KiB above which it allows no 204: what arrives is what was sent."""
    with squid() as client:
        put = client.put("/up", content=FINE[size])
        assert (201, hashlib.sha256(FINE[size]).hexdigest()) == (put.status_code, put.text)
        form = client.post("/up", files={"file": ("a.txt", FINE[size])})
        assert 201 == form.status_code


def test_squid_shows_the_page_in_place_of_what_is_listed(squid: Callable[[], httpx.Client]) -> None:
    """Raw, in a form beside other fields, long and short; and on the way down."""
    with squid() as client:
        for listed in (LISTED, LONG):
            for answer in (
                client.put("/up", content=listed),
                client.post("/up", data={"user": "x"}, files={"file": ("a.txt", listed)}),
            ):
                assert 403 == answer.status_code
                assert answer.text.startswith("blocked\nPolicy.Blocked.")
        assert FINE[1025] == client.get("/fine").content
        assert 403 == client.get("/listed").status_code


def test_the_bridge_of_c_icap_speaks_clamd_to_us(door: Door, tmp_path: Path) -> None:
    """clamd_mod asks for PING and VERSION at its start, and hands every object over by descriptor."""
    bridge, client = program("c-icap", "c-icap"), program("c-icap-client", "c-icap")
    modules = next(iter(Path("/usr/lib").glob("*/c_icap/virus_scan.so")), None)
    if modules is None:
        pytest.skip("needs virus_scan.so (Debian: libc-icap-mod-virus-scan)")
    port, config = free_port(), tmp_path / "c.conf"
    config.write_text(
        f"PidFile {tmp_path}/pid\nCommandsSocket {tmp_path}/ctl\nPort 127.0.0.1:{port}\nTmpDir {tmp_path}\n"
        f"ServerLog {tmp_path}/log\nAccessLog {tmp_path}/access\nLoadMagicFile /etc/c-icap/c-icap.magic\n"
        f"StartServers 1\nModulesDir {modules.parent}\nServicesDir {modules.parent}\n"
        "Service antivirus_module virus_scan.so\n"
        "ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple\n"
        "virus_scan.DefaultEngine clamd\nvirus_scan.SendPercentData 0\n"
        "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GRAPHICS STREAM DOCUMENT\n"
        f"Module common clamd_mod.so\nclamd_mod.ClamdSocket {door.clamd}\n"
    )
    with listening(port, bridge, "-N", "-f", config):
        said = {}
        for name, content in (("listed", LISTED), ("fine", FINE[1025])):
            (tmp_path / name).write_bytes(content)
            done = subprocess.run(
                [client, "-i", "127.0.0.1", "-p", str(port), "-s", "avscan", "-f", tmp_path / name, "-v"],
                capture_output=True, timeout=WAIT_S,
            )  # fmt: skip
            said[name] = done.stdout + done.stderr

    assert b"Threat=Policy.Blocked." in said["listed"]
    assert b"No modification needed" in said["fine"]
