"""`python -m bench lists`: a delta into a large set through the store, until it is in force here and in
other processes; and what a new process waits until its first answer.

Rules
- Wall time: what is measured is waiting. In force means pinned, and the planted values of the round found (added) or
  not found (withdrawn), in each process.
- The other processes run before the delta comes, as workers do; one more is started for the figure of a new one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bench import cases, measure
from bench.works import Figure
from hashsets.indexes import FOLDER_NAME, Indexes
from hashsets.store import Store
from hashsets.types import Delta, Entry, Queries, Signal, entry_key
from scanner.pipeline import SetsInForce

DAY = "2026-01-01"
OTHERS = 2
PLANTED = 50  # values of a delta that each process asks for
PAGE = 50_000


@dataclass(frozen=True, slots=True)
class ListsCase:
    """One measurement: so many values listed, and so many added and withdrawn each round."""

    name: str
    why: str
    rows: int
    added: int
    withdrawn: int
    rounds: int
    seed: int
    small_rows: int
    small_delta: int

    def small(self) -> ListsCase:
        """The form that runs as a test."""
        return replace(self, rows=self.small_rows, added=self.small_delta, withdrawn=self.small_delta, rounds=2)


def load(path: Path = cases.DEFINITIONS / "lists.toml") -> list[ListsCase]:
    """The defined cases."""
    return [ListsCase(**case) for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]]


def run(case: ListsCase, home: Path | None = None) -> list[Figure]:
    """Measure one case, in a home of its own or in one that is kept and was perhaps filled before.

    Raises WrongAnswer where a process does not find what is in force.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = home or Path(folder) / "home"
        figures = []
        if not home.exists():
            imported, built = fill(home, case)
            more = {"rows": case.rows, "seconds": imported, "index_seconds": built}
            figures.append(Figure("lists-import", "nobody", 0, 0, more))
        return [*measured(home, case), *figures]


def fill(home: Path, case: ListsCase) -> tuple[float, float]:
    """A home whose set lists the case's values; seconds of the import, and of building the index after it."""
    with Store.open(home) as store:
        store.create("measured")
        start = time.perf_counter()
        for first in range(0, case.rows, PAGE):
            rows = np.arange(first, min(first + PAGE, case.rows))
            store.stage("measured", Delta(tuple(_entry(value) for value in _values(case, rows))))
        store.activate("measured", complete=False, checkpoint=None, day=DAY)
        imported = time.perf_counter() - start
        start = time.perf_counter()
        Indexes(store).keep_up(store.hash_set("measured").uid)
        return imported, time.perf_counter() - start


def measured(home: Path, case: ListsCase) -> list[Figure]:
    """The figures of a filled home."""
    size = sum(path.stat().st_size for path in (home / FOLDER_NAME).rglob("*"))
    with ExitStack() as stack:
        others = [stack.enter_context(_other(home)) for _ in range(OTHERS)]
        store = stack.enter_context(Store.open(home))
        sets = SetsInForce(store)
        sets.pin()
        opened = [ask(known=_values(case, np.arange(PLANTED))) for ask in others]
        done = store.hash_set("measured").version - 1  # by an earlier run on a home that is kept
        rounds = [_round(case, store, sets, others, done + number) for number in range(case.rounds)]
    here, there, imported = (float(np.median(column)) for column in zip(*rounds, strict=True))
    worst = max(max(here, there) for here, there, _ in rounds)
    delta = {"rows": case.rows, "added": case.added, "withdrawn": case.withdrawn, "import_seconds": imported}
    first = [one["pin_seconds"] + one["answer_seconds"] for one in opened]
    more = {
        "rows": case.rows,
        "pin_seconds": float(np.median([one["pin_seconds"] for one in opened])),
        "first_answer_seconds": float(np.median(first)),
        "private_megabytes": max(one["private_megabytes"] for one in opened),
        "index_megabytes": size / 1e6,
        "bytes_per_entry": size / case.rows,
    }
    return [
        Figure("lists-delta", "one second", 1 / worst, 1, {**delta, "here_seconds": here, "elsewhere_seconds": there}),
        Figure("lists-open", "a tenth of a second", 0.1 / max(first), 0, more),
    ]


def _round(
    case: ListsCase, store: Store, sets: SetsInForce, others: list[_Ask], number: int
) -> tuple[float, float, float]:
    """Seconds from activation until in force here, and at most elsewhere; and of the import before it."""
    new = _values(case, case.rows + number * case.added + np.arange(case.added))
    gone = _values(case, number * case.withdrawn + np.arange(case.withdrawn) + PLANTED)
    before = store.catalogue()
    waiting = [ask.begin(before, found=new[:PLANTED], lost=gone[:PLANTED]) for ask in others]
    start = time.perf_counter()
    store.stage("measured", Delta(tuple(map(_entry, new)), tuple(_entry(value).key for value in gone)))
    store.activate("measured", complete=False, checkpoint=None, day=DAY)
    activated = time.perf_counter()
    Indexes(store).keep_up(store.hash_set("measured").uid)
    _, snapshot = sets.pin()
    here = time.perf_counter() - activated
    both = np.concatenate([new[:PLANTED], gone[:PLANTED]])
    if [hit.owner for hit in snapshot.match(queries(both))] != list(range(PLANTED)):
        raise measure.WrongAnswer("what was pinned is not what was imported")
    there = max(answer()["in_force_at"] for answer in waiting) - activated
    return here, there, activated - start


def _values(case: ListsCase, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The values of these rows: far from each other, and made again rather than held."""
    counted = rows[:, None] * 4 + np.arange(4) + ((case.seed << 40) + 1)
    words: NDArray[np.uint64] = counted.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):  # splitmix64
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return words.view(np.uint8).reshape(len(rows), 32)


def _entry(value: NDArray[np.uint8]) -> Entry:
    signal = Signal("pdq", value.tobytes())
    return Entry(entry_key(signal), (signal,))


def queries(values: NDArray[np.uint8]) -> list[Queries]:
    """Values as a scan asks them, each its own owner."""
    count = len(values)
    return [Queries("pdq", values, np.arange(count), np.full(count, 100, np.uint8), np.zeros(count, np.uint8))]


# -- another process ---------------------------------------------------------------------------------------------------


class _Ask:
    """Asks another process; `begin` without waiting for the answer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, before: int, **values: NDArray[np.uint8]) -> Callable[[], dict[str, float]]:
        """Ask for values once the catalogue is past `before`."""
        assert self._process.stdin is not None
        order = {name: each.tobytes().hex() for name, each in values.items()}
        self._process.stdin.write(json.dumps([before, order]) + "\n")
        self._process.stdin.flush()
        return self._answer

    def __call__(self, **values: NDArray[np.uint8]) -> dict[str, float]:
        return self.begin(0, **values)()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise measure.WrongAnswer("another process did not see what is in force")
        return cast(dict[str, float], json.loads(line))


@contextmanager
def _other(home: Path) -> Iterator[_Ask]:
    command = [sys.executable, "-m", "bench.lists", str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield _Ask(process)
        process.communicate()


def _main(home: str) -> None:
    """Be the other process: pin, then answer line by line; times are of the clock that all processes share."""
    with Store.open(Path(home)) as store:
        sets = SetsInForce(store)
        for line in sys.stdin:
            before, order = json.loads(line)
            asked = {name: np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 32) for name, text in order.items()}
            try:
                print(json.dumps(_seen(sets, before, **asked)), flush=True)
            except measure.WrongAnswer:
                return  # whoever asked says so


def _seen(
    sets: SetsInForce,
    before: int,
    known: NDArray[np.uint8] | None = None,
    found: NDArray[np.uint8] | None = None,
    lost: NDArray[np.uint8] | None = None,
) -> dict[str, float]:
    start = time.perf_counter()
    _, snapshot = sets.pin()
    pinned = time.perf_counter()
    if known is not None:
        snapshot.match(queries(known[:1]))
        answered = time.perf_counter()
        if len(snapshot.match(queries(known))) != len(known):
            raise measure.WrongAnswer("a listed value was not found")
        return {
            "pin_seconds": pinned - start,
            "answer_seconds": answered - pinned,
            "private_megabytes": _private_megabytes(),
        }
    assert found is not None
    assert lost is not None
    while snapshot.catalogue <= before:
        time.sleep(0.005)
        _, snapshot = sets.pin()
    at = time.perf_counter()
    if [hit.owner for hit in snapshot.match(queries(np.concatenate([found, lost])))] != list(range(len(found))):
        raise measure.WrongAnswer("what was pinned is not what was imported")
    return {"in_force_at": at}


def _private_megabytes() -> float:
    """What this process holds beside mapped files, which it shares (Linux; 0 elsewhere)."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


if __name__ == "__main__":
    _main(sys.argv[1])
