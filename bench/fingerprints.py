"""`python -m bench fingerprints`: stills from a path to three digests and PDQ, against peers that give one hash.

Rules
- The same file for both, in turns of `TURN` files each (large ones singly), one turn before it counts: a scan hashes
  one file after another too. CPU time of this process and of all below it, those that ended included.
- Each case in a process of its own: whether glibc gives back what a picture took, so that it is faulted in again by the
  next, depends on what was freed before. The peer's megapixel took 19 ms with 2,700 faults when fresh, 23 with 4,100
  after twelve megapixels, 14 with none after three.
- Ours must be right before it is timed: within 2 bits of full resolution, by `--exact`'s rule.
- Memory is the worker's peak over what it held when idle and warm, as the kernel counts it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench import cases, measure, pictures
from bench.hashers import LIMITS, Hasher, Ours, peer
from bench.works import Figure
from scanner.fingerprint import Options
from scanner.hashing import digest_fd
from scanner.isolation.pool import WorkerPool

MOST_BITS = 2
TURN = 8  # files an engine is given before the other has its turn, and the caches
_TURN_PIXELS = 4_000_000  # of the largest picture that is given so often
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class FingerprintCase:
    """One measurement: a picture of `size` (width, height) with so much `grain` in a `form`; ours goes `through` this
    process or a worker, against one peer."""

    name: str
    why: str
    size: tuple[int, int]
    form: str
    through: str
    peer: str
    rounds: int
    seed: int
    grain: int
    goal: float
    small_size: tuple[int, int]

    def small(self) -> FingerprintCase:
        """The form that runs as a test."""
        return replace(self, size=self.small_size, rounds=1)


def load(path: Path = cases.DEFINITIONS / "fingerprints.toml") -> list[FingerprintCase]:
    """The defined cases."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    made = [{**document["default"], **case} for case in document["case"]]
    return [FingerprintCase(**{**each, "size": tuple(each["size"]), "small_size": tuple(each["small_size"])})
            for each in made]  # fmt: skip


def run(case: FingerprintCase) -> Figure:
    """Measure one case. Raises WrongAnswer where ours is off, EngineMissing for a missing peer."""
    path = pictures.kept(case.seed, case.size, case.form, case.grain)
    other = peer(case.peer)
    exact = Ours(options=Options(exact=True)).hash(path)
    ours = Ours(case.through)
    try:
        off = bits(ours.hash(path), exact)
        if off > MOST_BITS:
            raise measure.WrongAnswer(f"ours is {off} bits from full resolution: nothing was timed")
        times = TURN if case.size[0] * case.size[1] <= _TURN_PIXELS else 1
        spent = np.array([[_cpu_ms(each, path, times) for each in (ours, other)] for _ in range(case.rounds + 1)][1:])
    finally:
        ours.close()
    mine, theirs = np.median(spent, axis=0)
    more = {"ours_ms": mine, "peer_ms": theirs, "bits_off": off, "file_bytes": path.stat().st_size}
    if case.peer == "threatexchange":
        more["peer_bits_off"] = bits(other.hash(path), exact)
    return Figure(case.name, case.peer, float(np.median(spent[:, 1] / spent[:, 0])), case.goal, more)


def apart(case: FingerprintCase) -> Figure:
    """`run` in a fresh process. Raises what it raises."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(run, case).result()


def bits(one: bytes, other: bytes) -> int:
    """Differing bits."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def _cpu_ms(hasher: Hasher, path: Path, times: int) -> float:
    before = family_cpu_s()
    for _ in range(times):
        hasher.hash(path)
    return (family_cpu_s() - before) * 1000 / times


def family_cpu_s(first: int | None = None) -> float:
    """CPU seconds of a process (None: this one) and of all below it: the living to the nanosecond, those that ended to
    a tick."""
    first = os.getpid() if first is None else first
    return sum(_cpu_s(pid) + _ended_s(pid) for pid in (first, *below(first)))


def _ended_s(pid: int) -> float:
    """CPU seconds of the children that a process has reaped, and of theirs (proc(5): cutime and cstime)."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / _TICKS
    return 0.0


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)  # the kernel's clock id of another process
    return 0.0


def below(pid: int) -> Iterator[int]:
    """The processes below one, children before their own."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield int(child)
            yield from below(int(child))


# -- works that are no comparison with a peer --------------------------------------------------------------------------


def memory(size: tuple[int, int] = (4000, 3000)) -> list[Figure]:
    """What a worker's memory peaks at over what it held idle, for a JPEG of that size, in MiB."""
    return [
        Figure(f"memory-{form}", f"{limit} MiB", limit / max(peak := _peak_mib(size, form), 0.1), 1, {"mib": peak})
        for form, limit in (("jpeg", 16), ("progressive", 60))
    ]


def _peak_mib(size: tuple[int, int], form: str) -> float:
    small = pictures.kept(7, (320, 240), form)
    with WorkerPool(1, LIMITS, allow_unsandboxed=True) as pool, open(small, "rb") as warm:
        for _ in range(3):
            pool.fingerprint(warm.fileno())
        # The spare that the zygote holds ready is idle and does not grow.
        before = {pid: _status_kib(pid, "VmRSS") for pid in below(os.getpid())}
        for pid in before:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak starts again from here
        with open(pictures.kept(7, size, form), "rb") as file:
            pool.fingerprint(file.fileno())
        return max(_status_kib(pid, "VmHWM") - kib for pid, kib in before.items()) / 1024


def _status_kib(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def throughput(size: tuple[int, int] = (2016, 1512), files: int = 200) -> list[Figure]:
    """Files a second with two workers against one, digests and all, on the wall clock; and files a CPU second."""
    path = pictures.kept(7, size, "jpeg")
    one, two = (sorted(_files_a_second(path, lanes, files) for _ in range(3)) for lanes in (1, 2))
    cpu_s = family_cpu_s()
    with WorkerPool(1, LIMITS, allow_unsandboxed=True) as pool:
        _work(path, pool, 2)
        cpu_s = family_cpu_s()
        _work(path, pool, files)
        cpu_s = family_cpu_s() - cpu_s
    more = {
        "one_worker": one[1],
        "two_workers": two[1],
        "files_a_cpu_second": files / cpu_s,
        "load": os.getloadavg()[0],
    }
    return [
        Figure("throughput-two-workers", "one worker", two[1] / one[1], 1.9, more),
        Figure("throughput-a-core", "190 files/s", files / cpu_s / 190, 1, {}),
    ]


def _files_a_second(path: Path, lanes: int, files: int) -> float:
    with WorkerPool(lanes, LIMITS, allow_unsandboxed=True) as pool:
        threads = [threading.Thread(target=_work, args=(path, pool, files // lanes)) for _ in range(lanes)]
        _work(path, pool, 2)
        start = time.perf_counter()
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return files / (time.perf_counter() - start)


def _work(path: Path, pool: WorkerPool, times: int) -> None:
    for _ in range(times):
        with open(path, "rb", buffering=0) as file:
            digest_fd(file.fileno())
            pool.fingerprint(file.fileno())


WORKS: dict[str, Callable[[], Figure | list[Figure]]] = {
    "fingerprint-memory": memory,
    "fingerprint-throughput": throughput,
}


def chosen(only: str = "") -> dict[str, Callable[[], Figure | list[Figure]]]:
    """Every case and work whose name holds `only`."""
    every: dict[str, Callable[[], Figure | list[Figure]]] = {case.name: partial(apart, case) for case in load()}
    return {name: work for name, work in {**every, **WORKS}.items() if only in name}
