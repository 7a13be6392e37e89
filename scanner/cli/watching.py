"""`watch`: the daemon."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hashsets.locking import be_present, is_present
from scanner.api import Scanner
from scanner.cli.groups import allow_unsandboxed
from scanner.config import Home, notify_address
from scanner.errors import UsageError

EXIT_CUT_SHORT = 71
LOCK_NAME, STANDING_NAME = "watch-lock", "watch.json"


@click.command()
@allow_unsandboxed
@click.pass_obj
def watch(scanner: Scanner) -> None:
    """Keep everything up to date by itself until told to stop: the daemon.

    Walks every root in its cycle, re-scans within seconds of a hash set's change, seals the reports of days that are
    over and delivers what is owed. One for each home. SIGTERM or Ctrl-C ends it; what was finished is recorded.
    """
    from scanner.duties import duties
    from scanner.observing import Observer
    from scanner.watch import Watch, notify, say_on_stderr

    manager = notify_address()
    lock = _only_one(scanner.home)
    say = say_on_stderr(scanner.clock)
    scanner.store, scanner.ledger, scanner.pipeline  # noqa: B018 - opened before a thread is: worker processes are exec'd
    standing = _Standing(scanner.home.folder / STANDING_NAME)
    observer = Observer(scanner, say)

    def told(duties: Mapping[str, dict[str, object]]) -> None:
        observer.duties(duties)
        standing.write(duties)

    loop = Watch([*duties(scanner), *observer.chores()], scanner.clock, say=say, told=told)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.stop())
    observer.serve()
    say("watching")
    notify(manager, "READY=1")
    try:
        ended = loop.run(lambda: notify(manager, "WATCHDOG=1"))
        notify(manager, "STOPPING=1")
        say("stopped" if ended else "stopped in the middle of a piece of work, which the next run does again")
    finally:
        os.close(lock)
    if not ended:
        os._exit(EXIT_CUT_SHORT)  # a duty that does not listen must not hold the process: nothing is lost by a kill


def _only_one(home: Home) -> int:
    home.create()
    lock = be_present(home.folder / LOCK_NAME, alone=True)
    if lock is None:
        raise UsageError("Another `hashward watch` keeps this home: one is enough.")
    return lock


def is_watched(home: Home) -> bool:
    """Whether a daemon keeps this home just now."""
    return is_present(home.folder / LOCK_NAME)


class _Standing:
    """How the duties stand, in a file of the home that monitoring may read: always whole, replaced in one rename."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, standing: Mapping[str, dict[str, object]]) -> None:
        """Replace it."""
        partial = self._path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"pid": os.getpid(), "duties": standing}, file)
        os.replace(partial, self._path)


def standing(home: Home) -> dict[str, Any] | None:
    """How the duties of the daemon stand; None where none is running."""
    if not is_watched(home):
        return None
    try:
        return dict(json.loads((home.folder / STANDING_NAME).read_text())["duties"])
    except (OSError, ValueError, KeyError):
        return {}


COMMANDS = (watch,)
