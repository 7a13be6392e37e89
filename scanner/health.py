"""What is wrong with a home, in a few words each, for a health check that reads one small file.

Closed words and names of the operator's own making (hash sets, sinks, roots); whatever is more is for `status`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scanner.api import Scanner
from scanner.schedules import SourceState, state_of

FILE_NAME = "health.json"
WELL = frozenset({SourceState.OK, SourceState.NEW})


def problems(scanner: Scanner, duties: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong, in the order of sources, sets, sinks, duties and roots; nothing where all is well."""
    now = scanner.clock.now_ns()
    states = [
        (each.hash_set, state_of(each, scanner.store.standings.of(each.hash_set), now))
        for each in scanner.config.sources
    ]
    found = [f"source {name}: {state}" for name, state in states if state not in WELL]
    held = ((each, scanner.ledger.probation.held(each)) for each in scanner.store.hash_sets())
    found += [f"hash set {each.name}: version {version.version} held" for each, version in held if version is not None]
    found += [f"sink {name}: {why}" for name, (_, why) in scanner.ledger.sealing.troubles().items() if why]
    found += [f"duty {name}: failing" for name, each in duties.items() if each["failures"]]
    return found + [f"root {root.name}: suspect" for root in scanner.ledger.places.roots() if root.suspect]


def write(folder: Path, wrong: Sequence[str], now_ns: int) -> None:
    """Replace the health file: `ok`, when that was, and what is wrong. Raises OSError.

    A daemon that hangs or was killed leaves it behind: whoever reads it asks how old it is too.
    """
    at = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    partial = folder / f".{FILE_NAME}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"ok": not wrong, "at": at, "problems": list(wrong)}, file)
    os.replace(partial, folder / FILE_NAME)
