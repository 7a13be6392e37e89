"""Where the long proofs write their figures: bench/runs/<date>-<machine>/<name>.json, one record a line of the list."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from hashsets import sqlite

RUNS = Path(__file__).resolve().parents[1] / "bench" / "runs"


def machine() -> str:
    """What the machine is, without its name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return re.sub(r"[^a-z0-9]+", "-", line.partition(":")[2].strip().lower()).strip("-")
    return platform.machine()


def record(name: str, what: str, **figures: object) -> None:
    """Add a proof's figures to today's file of that name, in place of what it said of the same before."""
    now = datetime.now(UTC)
    path = RUNS / f"{now:%Y-%m-%d}-{machine()}" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = json.loads(path.read_text()) if path.exists() else {}
    document["facts"] = {
        "command": "make prove",
        "day": f"{now:%Y-%m-%d}",
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": f"{sqlite.driver_name()} {sqlite.driver_version()}",
    }
    document.setdefault("proofs", {})[what] = figures
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
