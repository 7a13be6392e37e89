"""A process that has imported everything and forks a child for each trial: a tenth of the time of a new one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hashsets.errors import HashsetsError
from scanner.errors import ScannerError
from tests.durability import work
from tests.durability.syscalls import Plan, Supervisor, hand_over
from tests.statements import die_at

KINDS = ("open", "sync", "rename", "unlink", "truncate", "write", "mkdir")


@dataclass(frozen=True)
class Ending:
    """How a trial went: the steps it finished, whether it was killed, what it raised, what it did."""

    steps: int
    killed: bool
    error: str = ""
    ours: bool = True
    counted: dict[str, int] | None = None


class Nursery:
    """Runs trials in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.durability.nursery"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def trial(
        self,
        base: Path,
        first: int = 0,
        plan: Plan | None = None,
        *,
        below: Sequence[Path] = (),
        last: int = len(work.STEPS),
        statement: int = 0,
        seconds: float = 0.0,
    ) -> Ending:
        """The steps from `first` to before `last`, under a plan for what lies below some folders (none: all of `base`),
        or killed at an SQL statement or after so many seconds."""
        order = {
            "base": str(base),
            "first": first,
            "last": last,
            "below": [str(folder) for folder in below],
            "plan": None if plan is None else asdict(plan),
            "statement": statement,
            "seconds": seconds,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Ending(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=100)


def _run(order: dict[str, Any]) -> Ending:
    said, say = os.pipe()
    ours, theirs = socket.socketpair()
    plan = None if order["plan"] is None else Plan(**order["plan"])
    child = os.fork()
    if not child:
        os.close(said)
        _be_child(order, say, theirs if plan is not None else None)
    os.close(say)
    theirs.close()
    supervisor = None
    if plan is not None:
        supervisor = Supervisor(child, ours, order["below"] or [order["base"]], plan)
        supervisor.watch()
    elif order["seconds"]:
        os.read(said, 1)  # it is at work
        time.sleep(order["seconds"])
        os.kill(child, signal.SIGKILL)
    ours.close()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(said) as answers:
        lines = answers.read().splitlines()
    steps = lines.count("step")
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    counted = dict(supervisor.counted) if supervisor else {}
    return Ending(
        steps=order["first"] + steps,
        killed=status == -signal.SIGKILL,
        error=last.get("error", "" if status in (0, -signal.SIGKILL) else f"status {status}"),
        ours=last.get("ours", status in (0, -signal.SIGKILL)),
        counted=counted | {"statement": last.get("statements", 0)},
    )


def _be_child(order: dict[str, Any], say: int, channel: socket.socket | None) -> None:
    counted = die_at(order["statement"])
    outcome: dict[str, object] = {"error": "", "ours": True}
    try:
        if channel is not None:
            kind = order["plan"]["kind"]
            hand_over(channel, KINDS if kind == "any" else (kind,))
        os.write(say, b"\n")
        for step in work.STEPS[order["first"] : order["last"]]:
            step(Path(order["base"]))
            os.write(say, b"step\n")
    except BaseException as error:
        outcome = {
            "error": f"{type(error).__name__}: {error}",
            "ours": isinstance(error, HashsetsError | ScannerError | OSError),
        }
    os.write(say, json.dumps({**outcome, "statements": counted["statements"]}).encode() + b"\n")
    os._exit(0)


def main() -> None:
    """Obey until standard input closes."""
    for line in sys.stdin:
        print(json.dumps(asdict(_run(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
