"""matrix-content-scanner, which asks a script about a file before anybody downloads it: ours speaks as clamscan."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scanner.selftest import picture, ppm
from tests.command import PROJECT, Hashward
from tests.scanner.doors.served import listing

PYTHON = PROJECT / ".venv" / "content-scanner" / "bin" / "python"
START_S = 100.0
HELD = {"listed": ppm(picture()), "fine": b"something harmless", "cut": ppm(picture())[:-400]}
CONFIG = """
web: {{host: 127.0.0.1, port: {port}}}
scan: {{script: {folder}/script, temp_directory: {folder}/temp, removal_command: rm}}
result_cache: {{exit_codes_to_ignore: [2]}}
download: {{base_homeserver_url: "{origin}"}}
crypto: {{pickle_path: {folder}/pickle, pickle_key: only-a-test}}
"""


class Origin(BaseHTTPRequestHandler):
    """The media of a homeserver."""

    def do_GET(self) -> None:
        """A file by the last part of its address."""
        body = HELD.get(self.path.partition("?")[0].rpartition("/")[2])
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing."""


@contextlib.contextmanager
def origin() -> Iterator[str]:
    """A homeserver's media at an address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def content_scanner(folder: Path) -> Iterator[str]:
    """It, at an address, until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "temp").mkdir()
    with origin() as media:
        (folder / "c.yaml").write_text(CONFIG.format(port=port, folder=folder, origin=media))
        with (folder / "said").open("wb") as said:
            command: list[str | Path] = [PYTHON, "-m", "matrix_content_scanner.mcs", "-c", folder / "c.yaml"]
            process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        try:
            until = time.monotonic() + START_S
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/_matrix/media_proxy/unstable"
        finally:
            process.kill()
            process.wait()


def asked(address: str) -> tuple[int, bytes]:
    """Status and answer."""
    try:
        with urllib.request.urlopen(address, timeout=200) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.skipif(not PYTHON.exists(), reason="needs PyPI's matrix-content-scanner (.ci/run installs it)")
def test_what_is_listed_or_cannot_be_judged_is_not_downloaded(hashward: Hashward, tmp_path: Path) -> None:
    """Clean is only what was looked at whole; a listed file, and one that is cut, stay where they are."""
    listed = hashlib.sha256(HELD["listed"]).hexdigest()
    assert 0 == hashward("hashset", "import", "mine", listing(tmp_path / "list.txt", listed), "--approve").code
    script = tmp_path / "script"
    script.write_text(
        f'#!/bin/sh\ncd {PROJECT} && exec {sys.executable} -m scanner --home {hashward.home} scan --clamscan "$1"\n'
    )
    script.chmod(0o755)
    with content_scanner(tmp_path) as address:
        judged = {name: asked(f"{address}/scan/localhost/{name}") for name in HELD}
        fetched = {name: asked(f"{address}/download/localhost/{name}") for name in HELD}

    clean = {name: json.loads(answer)["clean"] for name, (_, answer) in judged.items()}
    assert {"listed": False, "fine": True, "cut": False} == clean, (tmp_path / "said").read_text()
    assert {"listed": 403, "fine": 200, "cut": 403} == {name: status for name, (status, _) in fetched.items()}
    assert HELD["fine"] == fetched["fine"][1]
    assert str(tmp_path) not in judged["listed"][1].decode() + fetched["listed"][1].decode()
