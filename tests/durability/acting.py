"""An operator's system is told of a list that comes and goes, by a process that may be killed before any SQL statement.

Run as a process of its own, which forks one child for each order on its standard input and says how that ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from scanner import actions
from scanner.action_config import ActionsConfig
from tests.scanner.fakes import Site, fake_media, pdq, sha256_entry
from tests.statements import die_at

PICTURE = fake_media(pdq(1))
REFS = [b"upload-%d" % number for number in range(3)]


def prepare(base: Path) -> None:
    """A home that holds uploads nobody lists, and a system that notes what it hears."""
    script = base / "act"
    script.write_text(f"#!/bin/sh\nexec cat >>{base}/heard\n")
    script.chmod(0o700)
    with Site(base / "home") as site:
        for ref in REFS:
            site.upload(PICTURE, ref)


def relist(base: Path, *, listed: bool) -> None:
    """The list has the picture, or no longer."""
    entry = sha256_entry(PICTURE, "r")
    with Site(base / "home") as site:
        site.list_entries("set", *([entry] * listed), removed=[] if listed else [entry.key])
        site.rescan()


def act(base: Path) -> None:
    """`actions deliver --now`."""
    with Site(base / "home") as site:
        actions.act(
            site.ledger,
            ActionsConfig(command=(str(base / "act"),)),
            site.clock,
            site.places,
            even_if_waiting=True,
        )


STEPS: list[Callable[[Path], None]] = [
    lambda base: relist(base, listed=True), act, lambda base: relist(base, listed=False), act
]  # fmt: skip


def heard(base: Path) -> list[dict[str, object]]:
    """What the system was told, in order."""
    return [json.loads(line) for line in (base / "heard").read_text().splitlines()]


def _child(base: Path, first: int, statement: int, say: int) -> None:
    counted = die_at(statement)
    for step in STEPS[first:]:
        step(base)
        os.write(say, b"s")
    os.write(say, b"%d" % counted["statements"])
    os._exit(0)


def _order(base: Path, first: int, statement: int) -> dict[str, int]:
    said, say = os.pipe()
    child = os.fork()
    if not child:
        try:
            _child(base, first, statement, say)
        finally:
            os._exit(1)
    os.close(say)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(said) as answers:
        told = answers.read()
    return {"steps": first + told.count("s"), "status": status, "statements": int(told.strip("s") or 0)}


def main() -> None:
    """Obey until standard input closes."""
    for line in sys.stdin:
        base, first, statement = json.loads(line)
        if not (Path(base) / "act").exists():
            prepare(Path(base))
        print(json.dumps(_order(Path(base), first, statement)), flush=True)


if __name__ == "__main__":
    main()
