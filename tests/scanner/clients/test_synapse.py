"""A real Synapse with our module, against a serve in memory: what matches is refused, and all while it is down."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scanner.clients.serving import FakeServe

pytestmark = pytest.mark.skipif(importlib.util.find_spec("synapse") is None, reason="matrix-synapse is not installed")
LISTED = b"a listed picture"
START_S = 200.0
SERVER = [sys.executable, "-m", "synapse.app.homeserver"]


class Homeserver:
    """Synapse on a loopback port, asked as a client asks."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.token = ""

    def ask(self, path: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
        """Status and answer of one POST."""
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": kind})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=100) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def upload(self, body: bytes) -> tuple[int, Any]:
        """Upload media under a name that must reach nobody."""
        return self.ask("/_matrix/media/v3/upload?filename=canary.bin", body, "application/octet-stream")

    def register(self) -> None:
        """Be somebody, as soon as it answers."""
        said = json.dumps({"username": "u", "password": "only-a-test", "auth": {"type": "m.login.dummy"}})
        until = time.monotonic() + START_S
        while time.monotonic() < until and not self.token:
            with contextlib.suppress(OSError):
                self.token = self.ask("/_matrix/client/v3/register", said.encode())[1].get("access_token", "")
            time.sleep(0.2)
        assert self.token


@contextlib.contextmanager
def homeserver(folder: Path, door: str) -> Iterator[Homeserver]:
    """One that is up and has a user."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = ["--server-name", "localhost", "--config-path", "hs.yaml", "--generate-config", "--report-stats=no"]
    subprocess.run([*SERVER, *made], cwd=folder, check=True, timeout=START_S, capture_output=True)
    config = (folder / "hs.yaml").read_text().replace("port: 8008", f"port: {port}")
    (folder / "hs.yaml").write_text(
        f"{config}\nenable_registration: true\nenable_registration_without_verification: true\n"
        f"trusted_key_servers: []\nmodules:\n  - module: scanner.clients.synapse.HashwardModule\n"
        f"    config: {{address: '{door}', timeout_s: 60}}\n"
    )
    (folder / "localhost.log.config").write_text("version: 1\ndisable_existing_loggers: false\n")
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([*SERVER, "-c", "hs.yaml"], cwd=folder, stdout=out, stderr=out)
    server = Homeserver(folder, port)
    try:
        server.register()
        yield server
    finally:
        process.terminate()
        process.wait(100)


def test_media_is_judged_before_it_is_kept(tmp_path: Path) -> None:
    """Clear: kept under server and id. Matched, or not to be judged: 400. hashward away: 500. Neither file stays."""
    serve = FakeServe(LISTED)
    (tmp_path / "hs").mkdir()
    with serve.listening(tmp_path) as address, homeserver(tmp_path / "hs", address) as server:
        clear, matched = server.upload(b"harmless"), server.upload(LISTED)
        media = server.folder / "media_store" / "local_content"
        kept = [path.read_bytes() for path in media.rglob("*") if path.is_file()]
        refs = list(serve.intake.refs)
        serve.intake.ready = False
        unready = server.upload(b"something else")
    down_folder = tmp_path / "down"
    down_folder.mkdir()
    with homeserver(down_folder, f"unix:{tmp_path}/gone") as server:
        down = server.upload(b"harmless")

    assert (200, True) == (clear[0], clear[1]["content_uri"].startswith("mxc://localhost/"))
    assert (400, "Bad content") == (matched[0], matched[1]["error"])
    assert [b"harmless"] == kept
    assert clear[1]["content_uri"].removeprefix("mxc://").encode() in refs
    assert 400 == unready[0]
    assert 500 == down[0]
    assert "canary.bin" not in json.dumps(serve.heads)
