"""Who is measured: ours, the peers, and brute force as the judge of all. Peers are an optional dependency group.

Rules
- One interface: listed values in, pairs within the radius out, in the order (question, row).
- One thread each. A peer that is not installed is named as such, never skipped in silence.
- What a peer cannot promise (a limit of k, an approximation) stands in its docstring and shows in its recall.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hashsets import matching
from hashsets.hashtypes import HashType
from hashsets.matching.hamming import HammingMatcher
from hashsets.matching.reference import BruteForce

Values = NDArray[np.uint8]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


class EngineMissing(Exception):
    """A peer is not installed: `pip install --group bench` installs them all."""


class Engine(Protocol):
    """One way to find listed values within a radius."""

    name: str

    def build(self, listed: Values, radius: int) -> None:
        """Take the listed values."""
        ...

    def ask(self, asked: Values, radius: int) -> Any:
        """Answer all questions, in the engine's own form: what is timed."""
        ...

    def pairs(self, answer: Any) -> Pairs:
        """An answer as pairs in the order (question, row): not timed."""
        ...


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EngineMissing(f"{name.partition('.')[0]} is not installed: pip install --group bench") from error


def _ordered(questions: Any, rows: Any) -> Pairs:
    q, r = np.asarray(questions, np.int64), np.asarray(rows, np.int64)
    order = np.lexsort((r, q))
    return q[order], r[order]


class Ours:
    """hashward: the matcher the factory gives."""

    name = "hashward"

    def __init__(self, bits: int) -> None:
        self._type = HashType("bench", bits, "hamming")
        self.kernel = matching.kernel_name()
        self.nbytes = 0

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        self._matcher = matching.build(self._type, listed)
        if isinstance(self._matcher, HammingMatcher):
            self.nbytes = self._matcher.arrays.nbytes

    def ask(self, asked: Values, radius: int) -> Any:
        """See Engine."""
        return self._matcher.query(asked, radius)

    def pairs(self, answer: Any) -> Pairs:
        """See Engine."""
        return answer.query_rows, answer.listed_rows


class NumPy:
    """Brute force by NumPy's bitwise_count: the judge, and hashward where no kernel was built."""

    name = "numpy"

    def __init__(self, bits: int) -> None:
        self._type = HashType("bench", bits, "hamming")

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        self._matcher = BruteForce(self._type, listed)

    def ask(self, asked: Values, radius: int) -> Any:
        """See Engine."""
        return self._matcher.query(asked, radius)

    def pairs(self, answer: Any) -> Pairs:
        """See Engine."""
        return answer.query_rows, answer.listed_rows


class _Faiss:
    def __init__(self, bits: int) -> None:
        self._faiss = library("faiss")
        self._faiss.omp_set_num_threads(1)
        self._bits = bits
        self._index: Any = None

    def ask(self, asked: Values, radius: int) -> Any:
        """See Engine. faiss finds what is strictly nearer than the radius it is given."""
        return self._index.range_search(asked, radius + 1)

    def pairs(self, answer: Any) -> Pairs:
        """See Engine."""
        limits, _, rows = answer
        counts = np.diff(limits.astype(np.int64))
        return _ordered(np.repeat(np.arange(len(counts)), counts), rows)


class FaissFlat(_Faiss):
    """faiss IndexBinaryFlat, range search: the fastest exact peer at radius 31."""

    name = "faiss"

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        self._index = self._faiss.IndexBinaryFlat(self._bits)
        self._index.add(listed)


class FaissMultiHash(_Faiss):
    """faiss IndexBinaryMultiHash, 16 bits a table; it flips as many bits of each as the radius needs to be exact."""

    name = "faiss-multihash"

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        tables = self._bits // 16
        self._index = self._faiss.IndexBinaryMultiHash(self._bits, tables, 16)
        self._index.nflip = radius // tables
        self._index.add(listed)


class ThreatExchange:
    """python-threatexchange's PDQIndex: hex strings in, matches out; radius 31 and 256 bits only."""

    name = "threatexchange"

    def __init__(self, bits: int) -> None:
        library("faiss").omp_set_num_threads(1)
        self._index_class = library("threatexchange.signal_type.pdq.pdq_index").PDQIndex
        if bits != 256:
            raise EngineMissing("PDQIndex has 256 bits only")

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        if radius != 31:
            raise EngineMissing("PDQIndex has the radius 31 only")
        self._index = self._index_class((value.tobytes().hex(), row) for row, value in enumerate(listed))

    def ask(self, asked: Values, radius: int) -> Any:
        """See Engine."""
        return [[match.metadata for match in self._index.query(value.tobytes().hex())] for value in asked]

    def pairs(self, answer: Any) -> Pairs:
        """See Engine."""
        return _ordered([q for q, rows in enumerate(answer) for _ in rows], [row for rows in answer for row in rows])


class Usearch:
    """usearch's exact search: the nearest ten, so no more than ten matches a question."""

    name = "usearch"
    _NEAREST = 10

    def __init__(self, bits: int) -> None:
        self._library = library("usearch.index")
        self._bits = bits

    def build(self, listed: Values, radius: int) -> None:
        """See Engine."""
        self._listed = listed

    def ask(self, asked: Values, radius: int) -> Any:
        """See Engine."""
        nearest = min(self._NEAREST, len(self._listed))
        metric = self._library.MetricKind.Hamming
        found = self._library.search(self._listed, asked, nearest, metric, exact=True, threads=1)
        return np.atleast_2d(found.keys), np.atleast_2d(found.distances), radius

    def pairs(self, answer: Any) -> Pairs:
        """See Engine."""
        keys, distances, radius = answer
        questions, places = np.nonzero(distances <= radius)
        return _ordered(questions, keys[questions, places])


ENGINES: dict[str, type[Any]] = {
    engine.name: engine for engine in (Ours, FaissFlat, FaissMultiHash, ThreatExchange, Usearch, NumPy)
}
PEERS = tuple(name for name in ENGINES if name != Ours.name)


def engine(name: str, bits: int) -> Engine:
    """The engine of that name. Raises EngineMissing where it is not installed or has no such bits."""
    made: Engine = ENGINES[name](bits)
    return made
