"""Works other than range search: building, opening, changing, streaming, digests, and a hundred million.

Each gives one `Figure`: what was measured, against what, and the goal it has.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import measure
from bench.engines import FaissFlat, FaissMultiHash, NumPy, Ours
from bench.populations import kept, listed_values, questions_of
from hashsets import hashtypes
from hashsets.hashtypes import HashType
from hashsets.matching import filing, joins, segments
from hashsets.matching.changeable import Change
from hashsets.matching.exact import ExactMatcher
from hashsets.matching.hamming import HammingMatcher
from hashsets.matching.kernel import source_bits
from hashsets.matching.shelf import Shelf

PDQ = hashtypes.get("pdq")
SEED = 2025


@dataclass(frozen=True, slots=True)
class Figure:
    """One work: `ratio` against the peer (or against the limit that is the goal), and what else was measured."""

    name: str
    peer: str
    ratio: float
    goal: float
    more: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        values = asdict(self)
        more = values.pop("more")
        return {key: round(value, 6) if isinstance(value, float) else value for key, value in (values | more).items()}


def build(rows: int = 1_000_000) -> Figure:
    """Index a list from its values, against faiss's index of the same kind."""
    listed = kept("uniform", 256, rows, 1, SEED).listed
    ours = measure.cpu_seconds(lambda: Ours(256).build(listed, 31))
    theirs = measure.cpu_seconds(lambda: FaissMultiHash(256).build(listed, 31))
    return Figure("build", "faiss-multihash", theirs / ours, 5, {"rows": rows, "seconds": ours, "peer_seconds": theirs})


def open_and_change(rows: int = 10_000_000, changed: int = 10_000) -> list[Figure]:
    """Open a list from disk against faiss reading its own; then add and withdraw ten thousand. Wall time."""
    listed = kept("uniform", 256, rows, 1, SEED).listed
    faiss = importlib.import_module("faiss")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shelf = Shelf.create([PDQ], folder / "ours")
        shelf.change({"pdq": Change(listed, np.arange(rows))})
        peer = FaissFlat(256)
        peer.build(listed, 31)
        faiss.write_index_binary(peer._index, str(folder / "theirs"))
        size = sum(path.stat().st_size for path in (folder / "ours").iterdir())
        ours = min(_wall(partial(Shelf.open, [PDQ], folder / "ours")) for _ in range(5))
        theirs = min(_wall(partial(faiss.read_index_binary, str(folder / "theirs"))) for _ in range(3))
        values = listed_values("uniform", 256, changed, SEED + 1)
        gone = np.sort(np.random.default_rng(SEED).choice(rows, changed, replace=False))
        ids = np.arange(rows, rows + changed)
        seconds = _wall(lambda: shelf.change({"pdq": Change(values, ids, withdrawn=gone)}))
        view = shelf.held.views["pdq"]
        found = view.query(values[:100], 0).listed_rows
        lost = view.query(listed[gone[:100]], 0).listed_rows
        if found.tolist() != ids[:100].tolist() or np.isin(gone[:100], lost).any():
            raise measure.WrongAnswer("a change was not in force after it")
    more = {"rows": rows, "seconds": ours, "peer_seconds": theirs, "bytes_per_entry": size / rows}
    return [
        Figure("open", "faiss", theirs / ours, 200, more),
        Figure("change", "one second", 1 / seconds, 1, {"rows": rows, "changed": 2 * changed, "seconds": seconds}),
    ]


def stream(rows: int = 10_000_000, delta: int = 1_000, peer_rows: int = 20_000) -> Figure:
    """New entries against stored values that have no index, against faiss over the delta (which is asked a part)."""
    stored = kept("uniform", 256, rows, 1, SEED).listed
    new = questions_of(stored, "uniform", delta, SEED)
    ours = measure.cpu_seconds(lambda: joins.against_stream(PDQ, new, [stored], 31))
    peer = FaissFlat(256)
    peer.build(new, 31)
    theirs = measure.cpu_seconds(lambda: peer.ask(stored[:peer_rows], 31)) * rows / peer_rows
    judged = stored[:peer_rows]
    brute = NumPy(256)
    brute.build(judged, 31)
    truth = brute.pairs(brute.ask(new, 31))
    hits = joins.against_stream(PDQ, new, [judged], 31)
    if not all(np.array_equal(a, b) for a, b in zip(truth, (hits.query_rows, hits.listed_rows), strict=True)):
        raise measure.WrongAnswer("the stream does not find what brute force finds")
    more = {"rows": rows, "delta": delta, "seconds": ours, "peer_seconds": theirs}
    return Figure("stream", "faiss", theirs / ours, 0, more)


def bit_order(rows: int = 1_000_000) -> list[Figure]:
    """What the order of bits buys on a skewed list: chunks as they come, and chunks drawn at random, against ours."""
    made = kept("skewed", 256, rows, 600, SEED)
    drawn = np.random.default_rng(3).permutation(256)
    orders: dict[str, NDArray[np.int64]] = {"ours": source_bits(4).astype(np.int64)}
    orders |= {"as they come": np.arange(256), "at random": drawn}
    engines: list[Ours] = []
    for order in orders.values():
        engines.append(Ours(256))
        engines[-1].build(_arranged(made.listed, order), 31)
    asked = [_arranged(made.asked, order) for order in orders.values()]
    spent: list[list[float]] = [[] for _ in orders]
    for block in range(0, len(made.asked), measure.BLOCK):
        for place, engine in enumerate(engines):
            for at in range(block, block + measure.BLOCK):
                spent[place].append(measure.cpu_seconds(partial(engine.ask, asked[place][at : at + 1], 31)) * 1e6)
    counts = {len(engine.ask(part, 31)) for engine, part in zip(engines, asked, strict=True)}
    if len(counts) != 1:
        raise measure.WrongAnswer("an order of bits changed the answer")
    ours, *others = (float(np.median(times)) for times in spent)
    names = list(orders)[1:]
    return [
        Figure(
            f"order-{name.replace(' ', '-')}",
            f"chunks {name}",
            other / ours,
            0,
            {"rows": rows, "ours_us": ours, "peer_us": other},
        )
        for name, other in zip(names, others, strict=True)
    ]


def _arranged(values: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Values whose bits the index, which moves them in its own order, ends up holding in this one."""
    arranged = np.empty_like(values)
    for at in range(0, len(values), 100_000):
        bits = np.unpackbits(values[at : at + 100_000], axis=1, bitorder="little")
        placed = np.empty_like(bits)
        placed[:, source_bits(4)] = bits[:, order]
        arranged[at : at + 100_000] = np.packbits(placed, axis=1, bitorder="little")
    return arranged


def digests(rows: int = 15_000_000, asked: int = 60_000) -> list[Figure]:
    """Exact look-up of sha256 in a mapped index against a Python set of bytes: time of a look-up, and memory.

    Memory is what the kernel counts as resident of the mapped file after questions as uploads ask them, one in 1,000
    listed; for the set, its table and its values. Time is of questions of which every second is listed.
    """
    sha256 = hashtypes.get("sha256")
    rng = np.random.default_rng(SEED)
    listed = rng.integers(0, 256, (rows, 32), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "digests.segment"
        filing.save(path, segments.build(sha256, listed, np.arange(rows)), b"bench")
        matcher = filing.load(path, sha256, b"bench").matcher
        assert isinstance(matcher, ExactMatcher)
        rare = rng.integers(0, 256, (asked, 32), dtype=np.uint8)
        rare[::1000] = listed[rng.integers(0, rows, len(rare[::1000]))]
        if _count([value.tobytes() for value in rare], matcher) != len(rare[::1000]):
            raise measure.WrongAnswer("the digests found are not those listed")
        resident = _resident_bytes(path)
        questions = rng.integers(0, 256, (asked, 32), dtype=np.uint8)
        questions[::2] = listed[rng.integers(0, rows, len(questions[::2]))]
        words = [value.tobytes() for value in questions]
        batch = measure.cpu_seconds(lambda: matcher.query(questions)) / asked * 1e9
        peer = {value.tobytes() for value in listed}
        peer_bytes = sys.getsizeof(peer) + rows * (-(-sys.getsizeof(words[0]) // 16) * 16)
        spent = np.zeros(2)
        for turn in np.array_split(np.arange(asked), 20):
            part = [words[at] for at in turn]
            spent += [measure.cpu_seconds(partial(_count, part, held)) for held in (matcher, peer)]
        if _count(words, matcher) != _count(words, peer):
            raise measure.WrongAnswer("the digests found are not those listed")
    one, their_one = spent / asked * 1e9
    more = {"rows": rows, "ns": one, "batch_ns": batch, "peer_ns": their_one}
    memory = {
        "resident_megabytes": resident / 1e6,
        "file_megabytes": matcher.arrays.nbytes / 1e6,
        "peer_megabytes": peer_bytes / 1e6,
    }
    return [
        Figure("digest-one", "python set", their_one / one, 1, more),
        Figure("digest-batch", "python set", their_one / batch, 0, {"rows": rows}),
        Figure("digest-memory", "python set", peer_bytes / max(resident, 1), 5, memory),
        Figure("digest-size", "600 MB", 600e6 * rows / 15e6 / matcher.arrays.nbytes, 1, {"rows": rows}),
    ]


def _resident_bytes(path: Path) -> int:
    """How much of a mapped file this process holds in memory (Linux; elsewhere all of it)."""
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    except OSError:
        return path.stat().st_size
    resident, ours = 0, False
    for line in lines:
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):
            ours = line.endswith(path.name)
        elif ours and first == "Rss:":
            resident += int(line.split()[1]) * 1024
    return resident


def compact(rows: int = 100_000_000, asked: int = 200) -> Figure:
    """A hundred million in 80 bytes each, against 8 GB (2**33 bytes); one query at a time."""
    rng = np.random.default_rng(SEED)
    listed = np.empty((rows, 32), np.uint8)
    for at in range(0, rows, 1_000_000):
        listed[at : at + 1_000_000] = rng.integers(0, 256, (min(1_000_000, rows - at), 32), dtype=np.uint8)
    questions = listed[rng.integers(0, rows, asked)] ^ np.packbits(np.arange(256) % 16 == 0)
    start = time.process_time()
    matcher = HammingMatcher.build(HashType("bench", 256, "hamming"), listed, form="compact")
    seconds = time.process_time() - start
    del listed
    spent = [measure.cpu_seconds(partial(matcher.query, question[None], 31)) * 1e6 for question in questions]
    if len(matcher.query(questions, 31)) < asked:
        raise measure.WrongAnswer("a planted neighbour was not found")
    size = matcher.arrays.nbytes
    more = {"rows": rows, "gigabytes": size / 1e9, "ours_us": float(np.median(spent)), "build_seconds": seconds}
    return Figure("compact", "8 GB", 2**33 / size, 1, more)


def _count(words: list[bytes], held: ExactMatcher | set[bytes]) -> int:
    return sum(word in held for word in words)


def _wall(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


WORKS: dict[str, Callable[..., Figure | list[Figure]]] = {
    "build": build,
    "open": open_and_change,
    "stream": stream,
    "bit-order": bit_order,
    "digests": digests,
    "compact": compact,
}
