"""`python -m bench rescan`: a delta against everything held, end to end, over a real ledger with its inventory.

Ours is what `hashward rescan` does between reading its arguments and printing: finding what is behind, comparing,
recording matches, reports and coverage, purging. The peer reads every stored signal from the same database and asks
faiss; it records nothing. Both are timed in CPU seconds, in turns, a new delta each round.

Rules
- The matches recorded must be the pairs faiss finds, each round: else there is no figure.
- Files opened below the media root, and processes started, are counted by an audit hook, not believed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import cases, measure
from bench.engines import FaissFlat
from bench.populations import listed_values
from bench.works import Figure
from hashsets.store import Store
from hashsets.types import Delta, Entry, Signal
from scanner.clock import SystemClock
from scanner.ledger import Ledger, contents, matches
from scanner.ledger.packing import QueryBuilder
from scanner.rescan import Rescan
from scanner.types import Digests, Extent, Fingerprint, Looked, MediaKind

RADIUS = 31  # the default of a set
PLANTED_BITS = 20
READ_BYTES = 64 * 2**20  # of packed signals the peer reads at once
WATCHED_FILES = 100


@dataclass(frozen=True, slots=True)
class RescanCase:
    """One measurement: so many contents held, so many entries new each round, `planted` of them near a content."""

    name: str
    why: str
    contents: int
    delta: int
    planted: int
    rounds: int
    seed: int
    goal: float
    small_contents: int
    small_delta: int

    def small(self) -> RescanCase:
        """The form that runs as a test."""
        planted = self.planted * self.small_delta // self.delta
        return replace(self, contents=self.small_contents, delta=self.small_delta, planted=max(planted, 5), rounds=2)


def load(path: Path = cases.DEFINITIONS / "rescan.toml") -> list[RescanCase]:
    """The defined cases."""
    return [RescanCase(**case) for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]]


def run(case: RescanCase) -> Figure:
    """Measure one case. Raises WrongAnswer where the matches are not faiss's, EngineMissing without faiss."""
    FaissFlat(256)  # before a million contents are written for nothing
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        media = _media(root / "media")
        with Store.open(root / "home") as store, closing(Ledger.open(root / "home")) as ledger:
            held = listed_values("uniform", 256, case.contents, case.seed)
            _fill(ledger, held)
            store.create("measured")
            rescan = Rescan(store, ledger, SystemClock())
            _delta(store, held, case, 0)
            inventory_seconds = measure.cpu_seconds(ledger.inventory.keep_up)
            rescan.run()
            rounds = [_round(case, store, ledger, held, media, number + 1) for number in range(case.rounds)]
    ours, theirs, read, wall, peak, grown, opened, found = (np.array(column) for column in zip(*rounds, strict=True))
    more: dict[str, float] = {
        "contents": case.contents,
        "delta": case.delta,
        "matches": int(found.sum()),
        "opened_files": int(opened.sum()),
        "seconds": float(np.median(ours)),
        "wall_seconds": float(np.median(wall)),
        "peer_seconds": float(np.median(theirs)),
        "peer_reading_seconds": float(np.median(read)),
        "peak_megabytes": float(peak.max()),
        "grown_megabytes": float(grown.max()),
        "inventory_seconds": inventory_seconds,
    }
    return Figure(case.name, "database and faiss", float(np.median(theirs / ours)), case.goal, more)


def _round(
    case: RescanCase, store: Store, ledger: Ledger, held: NDArray[np.uint8], media: Path, number: int
) -> tuple[float, ...]:
    """One delta: ours, then the peer; CPU seconds of both and of the peer's reading, wall seconds, resident
    megabytes at most and more than before, opened, matches."""
    new = _delta(store, held, case, number)
    before = _megabytes("VmRSS")
    with _peak_reset(), opened_below(media) as opened:
        start = time.perf_counter()
        ours = measure.cpu_seconds(lambda: Rescan(store, ledger, SystemClock()).run())
        wall = time.perf_counter() - start
    peak = _megabytes("VmHWM")
    uid = store.hash_set("measured").uid
    prefix = number.to_bytes(4)
    recorded = {(seq, key) for seq, key in matches.of_set(ledger.db, uid) if key.startswith(prefix)}
    answers: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    reading = [0.0]
    theirs = measure.cpu_seconds(lambda: answers.extend(_peer(ledger, new, reading)))
    found = {
        (int(seq), prefix + int(row).to_bytes(4)) for seqs, rows in answers for seq, row in zip(seqs, rows, strict=True)
    }
    if found != recorded or len(found) < case.planted:
        raise measure.WrongAnswer("the matches recorded are not the pairs faiss finds")
    return ours, theirs, reading[0], wall, peak, peak - before, len(opened), len(found)


def _peer(
    ledger: Ledger, new: NDArray[np.uint8], reading: list[float]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Every signal read from the database in blocks, then asked of faiss over the delta: content numbers, delta rows.

    That way round faiss is soonest: the reverse takes it half as long again.
    """
    index = FaissFlat(256)
    index.build(new, RADIUS)
    seq, top = 1, contents.top_seq(ledger.db)
    while seq <= top:
        start = time.process_time()
        builder = QueryBuilder()
        for content in contents.stored(ledger.db, seq, top, READ_BYTES):
            builder.add(content.seq, (), content.blob)
            seq = content.seq + 1
        (stored,) = builder.queries()
        reading[0] += time.process_time() - start
        asked, rows = index.pairs(index.ask(stored.values, RADIUS))
        yield stored.owners[asked], rows


def _fill(ledger: Ledger, held: NDArray[np.uint8]) -> None:
    """A content a value, as scans record them: number i + 1 holds row i."""
    for at in range(0, len(held), 50_000):
        with ledger.db.write(durable=False):
            for value in held[at : at + 50_000]:
                raw = value.tobytes()
                digests = Digests(
                    hashlib.md5(raw).digest(), hashlib.sha1(raw).digest(), hashlib.sha256(raw).digest(), 32
                )
                signals = (Signal("pdq", raw, "image/pdq/1", 100),)
                contents.insert(ledger.db, digests, Fingerprint(MediaKind.IMAGE, Looked(Extent.WHOLE), signals))


def _delta(store: Store, held: NDArray[np.uint8], case: RescanCase, number: int) -> NDArray[np.uint8]:
    """Put a round's entries in force; their values. Keys are the round and the row; the first rows are planted."""
    rng = np.random.default_rng([case.seed, number])
    new = rng.integers(0, 256, (case.delta, 32), dtype=np.uint8)
    for row in range(case.planted):
        bits = np.unpackbits(held[rng.integers(len(held))])
        bits[rng.choice(256, rng.integers(0, PLANTED_BITS + 1), replace=False)] ^= 1
        new[row] = np.packbits(bits)
    entries = [
        Entry(number.to_bytes(4) + row.to_bytes(4), (Signal("pdq", value.tobytes()),)) for row, value in enumerate(new)
    ]
    store.stage("measured", Delta(tuple(entries)))
    store.activate("measured", complete=False, checkpoint=None, day="2026-01-01")
    return new


# -- what is opened, and what is held in memory -----------------------------------------------------------------------

_watching: list[Callable[[str, tuple[object, ...]], None]] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    for watch in _watching:
        watch(event, arguments)


@contextmanager
def opened_below(media: Path) -> Iterator[list[str]]:
    """The events by which a file below `media` was opened or listed, or a process started, while the block runs."""
    seen: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        opens = event in ("open", "os.listdir", "os.scandir") and _below(arguments[0], media)
        if opens or event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"):
            seen.append(event)

    if not _hooked:
        sys.addaudithook(_hook)  # for good: a hook cannot be taken away
        _hooked.append(True)
    _watching.append(watch)
    try:
        yield seen
    finally:
        _watching.remove(watch)


def _below(path: object, media: Path) -> bool:
    return isinstance(path, str | bytes) and Path(os.path.abspath(os.fsdecode(path))).is_relative_to(media)


def _media(media: Path) -> Path:
    media.mkdir()
    for number in range(WATCHED_FILES):
        (media / f"{number}").write_bytes(number.to_bytes(4))
    return media


@contextmanager
def _peak_reset() -> Iterator[None]:
    """Let the highest resident size count from here (Linux; elsewhere the figure is of the whole process)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    yield


def _megabytes(name: str) -> float:
    """Megabytes of a line of /proc/self/status; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)
