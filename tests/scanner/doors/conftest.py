"""A command over an empty home, for tests of doors that need the real process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Hashward

WAIT_S = 60.0


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto server: a store and queues of this machine."""
    pytest.importorskip("moto", reason="moto is not installed: `make test` installs it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait()


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """The command over a home of its own."""
    return Hashward(tmp_path / "home")
