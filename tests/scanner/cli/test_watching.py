"""`watch`: the daemon as a real process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Hashward

WAIT_S = 60  # "within a minute" is what it promises


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_walks_compares_and_ends_when_told(
    how: signal.Signals, hashward: Hashward, folder: Path, listed: Path
) -> None:
    """A list imported by another process is matched and in the outbox within a minute; a second daemon is refused."""
    hashward("root", "add", "storage", folder)
    with hashward.process("watch") as daemon:
        until(lambda: 3 == hashward.json("status")["assets"])
        hashward("hashset", "import", "set", listed)
        until(lambda: 1 == hashward.json("status")["reports"]["pending"])
        standing, second = hashward.json("status")["watch"], hashward("watch")
        daemon.send_signal(how)
        out, err = daemon.communicate(timeout=WAIT_S)

    assert {"walk", "re-scan", "reports"} == set(standing)
    assert (2, 0, "") == (second.code, daemon.returncode, out)
    assert "3 files, 3 of them read" in err
    assert err.strip().endswith("stopped")
    assert str(folder) not in err
    assert hashward.json("status")["watch"] is None


def test_a_daemon_that_was_killed_is_missed_and_can_be_started_again(hashward: Hashward) -> None:
    """The lock goes with the process; `status` says that nothing happens by itself."""
    for _ in range(2):
        with hashward.process("watch") as daemon:
            until(lambda: hashward.json("status")["watch"] is not None)
            daemon.kill()
        assert "not running" in hashward("status").out
