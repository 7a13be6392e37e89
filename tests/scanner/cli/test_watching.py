"""`watch`: the daemon as a real process."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samples.feed_servers import NCMECServer, StopNCIIServer, entry, tombstone
from tests.command import Hashward

WAIT_S = 60  # "within a minute" is what it promises


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@contextmanager
def watching(hashward: Hashward) -> Iterator[subprocess.Popen[str]]:
    """The daemon, which does not outlive a test that fails."""
    with hashward.process("watch") as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_walks_compares_and_ends_when_told(
    how: signal.Signals, hashward: Hashward, folder: Path, listed: Path
) -> None:
    """A list imported by another process is matched and in the outbox within a minute; a second daemon is refused."""
    hashward("root", "add", "storage", folder)
    with watching(hashward) as daemon:
        until(lambda: 3 == hashward.json("status")["assets"])
        hashward("hashset", "import", "set", listed, "--approve")
        until(lambda: 1 == hashward.json("status")["reports"]["pending"])
        standing, second = hashward.json("status")["watch"], hashward("watch")
        daemon.send_signal(how)
        out, err = daemon.communicate(timeout=WAIT_S)

    assert {"walk", "re-scan", "reports", "health", "uploads", "audit", "retention", "reminders"} == set(standing)
    assert (2, 0, "") == (second.code, daemon.returncode, out)
    assert "3 files, 3 of them read" in err
    assert err.strip().endswith("stopped")
    assert str(folder) not in err
    assert hashward.json("status")["watch"] is None


def test_a_daemon_that_was_killed_is_missed_and_can_be_started_again(hashward: Hashward) -> None:
    """The lock goes with the process; `status` says that nothing happens by itself."""
    for _ in range(2):
        with watching(hashward) as daemon:
            until(lambda: hashward.json("status")["watch"] is not None)
            daemon.kill()
        assert "not running" in hashward("status").out


EVERY_S = 3
SOURCES = """
[[source]]
hash_set = "csam"
kind = "ncmec"
url = "{ncmec}"
environment = "industry-csam"
username = "user"
secret_file = "password"
every_minutes = 0.05
[[source]]
hash_set = "adults"
kind = "stopncii"
url = "{stopncii}"
secret_file = "keys"
every_minutes = 0.05
[watch]
metrics_file = "hashward.prom"
metrics_port = {port}
"""


def test_what_is_listed_upstream_is_in_the_outbox_within_a_minute(hashward: Hashward, folder: Path) -> None:
    """Beyond the interval, with nobody's help; what is withdrawn there is unsaid; trouble is told in closed words."""
    ncmec, stopncii = NCMECServer(), StopNCIIServer()
    ncmec.records = [entry(1_500_000_000, "image", 42, "other", f"<md5>{7:032x}</md5>")]
    stopncii.records = [
        {"lastModtimestamp": 11, "signalType": "VideoMD5", "hashValue": f"{8:032x}", "hashStatus": "Active"}
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hashward.home.mkdir(mode=0o700, exist_ok=True)
    (hashward.home / "config.toml").write_text(SOURCES.format(ncmec=ncmec.base, stopncii=stopncii.base, port=port))
    (hashward.home / "password").write_text("secret")
    (hashward.home / "keys").write_text("one\ntwo\n")
    hashward("root", "add", "storage", folder)

    def states() -> dict[str, str]:
        return {each["hash_set"]: each["state"] for each in hashward.json("status")["sources"]}

    def pending() -> int:
        return int(hashward.json("status")["reports"]["pending"])

    with ncmec.running(), watching(hashward) as daemon:
        with stopncii.running():
            until(lambda: {"csam": "ok", "adults": "ok"} == states() and 3 == hashward.json("status")["assets"])
            _approve(hashward)
            digest = hashlib.md5((folder / "one.ppm").read_bytes()).hexdigest()
            listed_at = time.monotonic()
            now = int(time.time())
            ncmec.records.append(entry(now, "image", 42, "new", f"<md5>{digest}</md5>"))
            stopncii.records.append(
                {"lastModtimestamp": now, "signalType": "VideoMD5", "hashValue": digest, "hashStatus": "Active"}
            )
            until(lambda: 2 == pending())
            took_s = time.monotonic() - listed_at
            stopncii.records[-1] = {**stopncii.records[-1], "lastModtimestamp": now + 60, "hashStatus": "Withdrawn"}
            until(lambda: 1 == pending())
            ncmec.records.append(tombstone(int(time.time()), "deletedImage", 42, "new"))
            until(lambda: 0 == pending())
        until(lambda: "unreachable" == states()["adults"])
        until(lambda: not json.loads((hashward.home / "health.json").read_text())["ok"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
            metrics = answer.read().decode()
        daemon.send_signal(signal.SIGTERM)
        _, err = daemon.communicate(timeout=WAIT_S)

    assert took_s < EVERY_S + 60
    assert 1 == hashward.json("hashset", "show", "adults")["entries"]
    assert ["source adults: unreachable"] == json.loads((hashward.home / "health.json").read_text())["problems"]
    assert 'hashward_source_state{hash_set="adults",state="unreachable"} 1.0' in metrics
    assert "hashward_readable 1.0" in (hashward.home / "hashward.prom").read_text()
    assert not any(canary in err + metrics for canary in (digest, "one.ppm", str(folder), "secret"))


def _approve(hashward: Hashward) -> None:
    """Let what is in force speak, where a first version may not by itself."""
    for each in hashward.json("hashset", "list"):
        if each["mode"] == "shadow":
            assert 0 == hashward("hashset", "approve", each["name"]).code
