"""A process that kills itself, or fails, at one system call after another while the audit log is written, and looks.

`python -m tests.scanner.accountability.trials FOLDER EVERY` prints one JSON object: how many operations the undisturbed
work takes, and every trial after which something was lost, doubled or broken. One process, so that a trial is a fork.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from scanner.accountability.audit import Event
from tests.durability.syscalls import Plan, Supervisor, hand_over, supported
from tests.scanner.accountability.site import Site
from tests.statements import die_at

KINDS = ("open", "sync", "rename", "unlink", "truncate", "write", "mkdir")
OWED = 3


def prepare(folder: Path) -> str:
    """A log of some lines, and deeds that are owed more; the verification key."""
    site = Site(folder)
    site.begin()
    site.owe(OWED)
    site.audit.drain()
    site.owe(OWED)
    site.db.close()
    return site.shown[0]


def work(folder: Path) -> None:
    """What is disturbed: drain what is owed, then one line that is written at once."""
    site = Site(folder)
    site.audit.append_now(Event.CASE_OPENED, {"by": "somebody"})
    site.db.close()


def begin(folder: Path) -> None:
    """The other thing that is disturbed: the beginning. What was shown is kept as a person would keep it."""
    site = Site(folder)

    def keep(key: str) -> None:
        (folder.parent / "key").write_text(key)

    site.files.begin(site.first(), keep)
    site.db.close()


def disturbed(folder: Path, plan: Plan, does: Callable[[Path], None], statement: int = 0) -> dict[str, int]:
    """The work in a child under a plan; how many operations it came to."""
    said, say = os.pipe()
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        _be_child(folder, theirs, say, does, statement)
    os.close(say)
    theirs.close()
    supervisor = Supervisor(child, ours, [str(folder)], plan)
    supervisor.watch()
    ours.close()
    os.waitpid(child, 0)
    with os.fdopen(said) as answer:
        return {**supervisor.counted, "statement": int(answer.read() or 0)}


def _be_child(folder: Path, channel: socket.socket, say: int, does: Callable[[Path], None], statement: int) -> None:
    counted = die_at(statement)
    try:
        hand_over(channel, KINDS)
        does(folder)
        os.write(say, str(counted["statements"]).encode())
    finally:
        os._exit(0)


def fault_after(folder: Path, key: str) -> str:
    """What is wrong once somebody goes on from there; empty: nothing."""
    site = Site(folder)
    site.shown.append(key)
    try:
        before = site.audit.verify(key=site.key)
        if not before.sound:
            return f"as it was left: {before.problems}"
        pinned = site.audit.pin()
        site.audit.append_now(Event.CASE_OPENED, {"by": "whoever comes next"})
        after = site.audit.verify(pinned, site.key)
        numbers = site.numbers
        if not after.sound or after.unfinished:
            return f"after the next line: {after.problems}"
        if numbers != [*range(OWED), *range(OWED)] or site.audit.owed():
            return f"deeds on record: {numbers}"
        return ""
    finally:
        site.db.close()


def fault_after_begin(folder: Path) -> str:
    """The same of a log that was being begun: there is one whose key was shown, or none and it can be begun."""
    site = Site(folder)
    try:
        kept = folder.parent / "key"
        if site.audit.begun:
            site.shown.append(kept.read_text())
        else:
            site.begin()
        site.audit.append_now(Event.CASE_OPENED, {"by": "whoever comes next"})
        found = site.audit.verify(key=site.key)
        return "" if found.sound else f"{found.problems}"
    finally:
        site.db.close()


def main(base: Path, every: int) -> None:
    """All trials, or one of so many."""
    prepared, empty, trial = base / "prepared", base / "empty", base / "trial"
    key = prepare(prepared)
    Site(empty).db.close()
    wrong: dict[str, str] = {}
    counts: dict[str, int] = {}
    trials = 0
    for what, source, does, check in (
        ("append", prepared, work, lambda: fault_after(trial, key)),
        ("begin", empty, begin, lambda: fault_after_begin(trial)),
    ):

        def fresh(source: Path = source) -> None:
            shutil.rmtree(trial, ignore_errors=True)
            shutil.copytree(source, trial)
            (base / "key").unlink(missing_ok=True)

        fresh()
        counted = disturbed(trial, Plan(), does)
        counts |= {f"{what} {kind}": counted[kind] for kind in ("any", "statement") if counted.get(kind)}
        for fault in ("kill", "ENOSPC", "EIO"):
            for number in range(1, counted["any"] + 1, every):
                fresh()
                trials += 1
                disturbed(trial, Plan("any", number, number, fault), does)
                if found := check():
                    wrong[f"{what}, {fault} at operation {number}"] = found
        for number in range(1, counted["statement"] + 1, every):
            fresh()
            trials += 1
            disturbed(trial, Plan(), does, number)
            if found := check():
                wrong[f"{what}, kill at statement {number}"] = found
    print(json.dumps({"counts": counts, "trials": trials, "wrong": wrong}))


if __name__ == "__main__":
    if not supported():
        print(json.dumps({"unsupported": True}))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]))
