"""`python -m bench imports`: a list of md5, sha1 and PDQ values imported and indexed, against plain sqlite-utils
inserts into tables with the same columns and indexes.

Rules
- Each in a process of its own, in turns, over the same list file: processor time, time waited, most memory.
- The peer does what a plain program would: it reads the list line by line and inserts dictionaries. It keeps no
  versions, compares with nothing and builds no index to match with; ours does all of that and is measured with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import sqlite_utils

from bench.measure import WrongAnswer
from bench.works import Figure
from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.store import Store

SEED = 2026
TYPES = {"md5": 16, "sha1": 20, "pdq": 32}
GOAL = 3
_AT_ONCE = 30_000


def run(rows: int = 1_000_000, rounds: int = 3) -> Figure:
    """The figure of a list of so many values. Raises WrongAnswer where not all is listed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        write_list(path, rows)
        turns = [{who: _in_process(who, path, Path(folder) / f"{who}{turn}") for who in ("ours", "peer")}
                 for turn in range(rounds)]  # fmt: skip
    if any(turn[who]["entries"] != rows for turn in turns for who in turn):
        raise WrongAnswer("an import lists more or less than its list")
    median = {
        f"{who}_{what}": float(np.median([turn[who][what] for turn in turns]))
        for who in ("ours", "peer") for what in ("cpu_seconds", "seconds", "megabytes")
    }  # fmt: skip
    ratio = float(np.median([turn["peer"]["cpu_seconds"] / turn["ours"]["cpu_seconds"] for turn in turns]))
    return Figure("import", "sqlite-utils", ratio, GOAL, {"rows": rows, "rounds": rounds, **median})


def write_list(path: Path, rows: int, types: Mapping[str, int] = TYPES) -> None:
    """A list of random values, as many of each type (its bytes) in no order, `<type> <hex>` a line."""
    rng = np.random.default_rng(SEED)
    names = list(types)
    with path.open("w", encoding="ascii") as file:
        for first in range(0, rows, _AT_ONCE):
            count = min(_AT_ONCE, rows - first)
            chosen, drawn = rng.integers(0, len(names), count).tolist(), rng.bytes(32 * count)
            for number, kind in enumerate(chosen):
                value = drawn[32 * number : 32 * number + types[names[kind]]]
                file.write(f"{names[kind]} {value.hex()}\n")


def _in_process(who: str, path: Path, home: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.imports", who, str(path), str(home)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def _ours(path: Path, home: Path) -> int:
    with Store.open(home) as store:
        return import_list(store, "measured", FileSource(path, complete=True), day="2026-01-01").entries


def _peer(path: Path, home: Path) -> int:
    with Store.open(home) as store:  # for its tables and indexes, as they are today
        numbers = {name: type_id.number for name, type_id in store._interned.types.items()}
    database = sqlite_utils.Database(home / "hashsets.db")
    database.execute("PRAGMA synchronous = NORMAL")
    database.table("entry").insert_all(_entries(path))
    database.table("signal").insert_all(_signals(path, numbers))
    return int(database.table("signal").count)


def _values(path: Path) -> Iterator[tuple[int, str, bytes]]:
    with path.open(encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            name, text = line.split()
            yield number, name, bytes.fromhex(text)


def _entries(path: Path) -> Iterator[dict[str, object]]:
    for number, name, value in _values(path):
        hashed = hashlib.blake2b(name.encode() + b"\0" + value, digest_size=8).digest()
        yield {"id": number, "set_id": 1, "key_hash": int.from_bytes(hashed, signed=True), "first_version": 1,
               "labels": 0, "ref": os.urandom(16), "key": None}  # fmt: skip


def _signals(path: Path, numbers: dict[str, int]) -> Iterator[dict[str, object]]:
    for number, name, value in _values(path):
        yield {"set_id": 1, "entry_id": number, "type": numbers[name], "value": value, "added": 1, "withdrawn": None,
               "frames": 0, "quality": None, "frame": None, "frame_ms": None}  # fmt: skip


def _main(who: str, path: str, home: str) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    entries = {"ours": _ours, "peer": _peer}[who](Path(path), Path(home))
    told = {
        "entries": entries,
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - wall,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    _main(*sys.argv[1:])
