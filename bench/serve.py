"""`python -m bench serve`: what the doors cost, by a real process and real connections.

Rules
- Known content: 1 KB by clamd's protocol, one connection each, in turns with ClamAV's own daemon over a list of two
  lines, where it is installed. Wall time of the client, as a platform sees it; the ratio is theirs over ours.
- New content: CPU time of the serving process and all below it for 3 Mpx JPEGs that differ in their last bytes, over
  what their fingerprints (three digests and PDQ) cost in a process that does nothing else, in turns: one such process
  alone on the machine, and as many at once as there are processors, as all of these work on uploads too.
- Every answer is judged: a wrong one ends the measurement.
- Listed against unlisted under `accept`: the share of pairs in which the listed one took longer (0.5: nothing to tell),
  with the interval that holds it in 95 of 100 measurements. What is sent is alike in all but its listing, in random
  order, over one connection.
- Half-open connections: see `serve_halfopen`.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from bench import pictures, report, serve_halfopen, serve_lists, serve_load
from bench.measure import WrongAnswer
from bench.serve_doors import Serving, Uploader, clamd, go_ahead, instream, serving
from scanner.hashing import digest_fd
from scanner.isolation.in_process import InProcess

SIZE = (2048, 1536)  # 3 Mpx
BUSY = 16  # levels of grain: 850 kB, as a camera's JPEG of that size has; 4 gives 320 kB, as messengers make them
_LANES = 4
HALVES = 1000  # connections that make no request
KNOWN, NEW, LOAD, ACCEPT, HALFOPEN = PARTS = ("known", "new", "load", "accept", "halfopen")
_TEXT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how often, and over what: lists of as many PDQ values and digests, in a home that is kept.

    `ahead`: the kernel is told to let what is measured go before all else on a machine that others use too.
    """

    parts: Sequence[str] = PARTS
    rounds: int = 5
    turn: int = 20
    pairs: int = 4000
    load_s: float = 30.0
    pdq: int = 0
    digests: int = 0
    grain: int = BUSY
    halves: int = HALVES
    ahead: bool = False
    home: Path | None = None


def known(ours: Serving, theirs: Serving | None, body: bytes, rounds: int, block: int = 60) -> dict[str, float]:
    """Known content of 1 KB: blocks in turns; medians in microseconds, and the ratio where there is a peer."""
    doors = {"ours": ours} if theirs is None else {"ours": ours, "clamd": theirs}
    instream(ours.ports["clamd"], body)
    times: dict[str, list[float]] = {name: [] for name in doors}
    spent = dict.fromkeys(doors, 0.0)
    for _ in range(rounds):
        for name, door in doors.items():
            before = sum(door.cpu_s())
            times[name] += [instream(door.ports["clamd"], body) for _ in range(block)]
            spent[name] += sum(door.cpu_s()) - before
    found = {f"known_{name}_us": statistics.median(taken) * 1e6 for name, taken in times.items()}
    found |= {f"known_{name}_cpu_us": cpu_s / rounds / block * 1e6 for name, cpu_s in spent.items()}
    if theirs is not None:
        found["known_ratio"] = found["known_clamd_us"] / found["known_ours_us"]
    return found


def picture(number: int, grain: int = BUSY) -> bytes:
    """A 3 Mpx JPEG, equal to the others but for what follows its end: each is a content of its own."""
    return _picture(grain) + number.to_bytes(8, "big")


@cache
def _picture(grain: int) -> bytes:
    return pictures.kept(1, SIZE, "jpeg", grain).read_bytes()


def new(door: Serving, rounds: int, turn: int, first: int, grain: int = BUSY) -> dict[str, float]:
    """New 3 Mpx JPEGs over http in turns with their fingerprints alone; CPU per file, and files a second."""
    rows = []
    lines = [Uploader(door.ports["http"]) for _ in range(_LANES)]
    processors = len(os.sched_getaffinity(0))
    beside = ProcessPoolExecutor(processors, get_context("spawn"))
    with ThreadPoolExecutor(_LANES) as askers, beside:
        for number in range(rounds + 1):
            numbers = range(first + number * turn, first + (number + 1) * turn)
            bodies = [picture(one, grain) for one in numbers]
            at_once_s = sum(
                beside.map(_at_once_s, (numbers[at::processors] for at in range(processors)), repeat(grain))
            )
            alone_s = _fingerprints_s(bodies)
            (own_s, below_s), began = door.cpu_s(), perf_counter()
            list(askers.map(_upload, lines, (bodies[at::_LANES] for at in range(_LANES))))
            took = perf_counter() - began
            own_s, below_s = (after - before for after, before in zip(door.cpu_s(), (own_s, below_s), strict=True))
            alone_s = (alone_s + _fingerprints_s(bodies)) / 2
            spent_s = own_s + below_s
            rows.append((own_s, below_s, alone_s, spent_s / alone_s, took, at_once_s, spent_s / at_once_s))
    for line in lines:
        line.close()
    medians = (statistics.median(column) for column in zip(*rows[1:], strict=True))
    own, below, alone, ratio, took, at_once, ratio_at_once = medians
    return {
        "new_serving_ms": own / turn * 1e3,
        "new_workers_ms": below / turn * 1e3,
        "fingerprint_ms": alone / turn * 1e3,
        "new_ratio": ratio,
        "fingerprints_at_once_ms": at_once / turn * 1e3,
        "new_ratio_at_once": ratio_at_once,
        "new_per_second": turn / took,
        "new_per_cpu_second": turn / (own + below),
    }


def _upload(line: Uploader, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        line.post(body)


def _at_once_s(numbers: Sequence[int], grain: int) -> float:
    """In a process beside others."""
    return _fingerprints_s([picture(number, grain) for number in numbers])


def _fingerprints_s(bodies: Sequence[bytes]) -> float:
    """CPU seconds for these files' digests and PDQ in this process: nothing received, compared or recorded."""
    alone = InProcess()
    before = process_time()
    for body in bodies:
        fd = os.memfd_create("body", os.MFD_CLOEXEC)
        try:
            os.write(fd, body)
            digest_fd(fd)
            if not alone.fingerprint(fd).signals:
                raise WrongAnswer("a picture gave no signal")
        finally:
            os.close(fd)
    return process_time() - before


def texts(kind: str, count: int) -> list[bytes]:
    """Contents of one length that nobody can tell apart."""
    rng = random.Random(f"{kind} of serve")
    return [rng.randbytes(_TEXT_BYTES // 2).hex().encode() for _ in range(count)]


def telling(port: int, listed: Sequence[bytes], unlisted: Sequence[bytes]) -> dict[str, float]:
    """How well the time of an answer under `accept` tells listed from unlisted: the area under the ROC curve."""
    sent = [(body, which) for which, bodies in enumerate((unlisted, listed)) for body in bodies]
    random.Random(7).shuffle(sent)
    line = Uploader(port, b'"accepted"')
    taken: tuple[list[float], list[float]] = ([], [])
    for number, (body, which) in enumerate(sent):
        taken[which].append(line.post(body, f"upload-{number}"))
    line.close()
    share, half = area(*taken)
    return {"accept_auc": share, "accept_auc_within": half, "accept_pairs": len(listed)}


def area(negative: Sequence[float], positive: Sequence[float]) -> tuple[float, float]:
    """Area under the ROC curve, and half of its interval of 95 % by DeLong's variance."""
    one, other = np.sort(negative), np.sort(positive)

    def beaten(by: Sequence[float], of: np.ndarray) -> np.ndarray:
        below, upto = (np.searchsorted(of, by, side) for side in ("left", "right"))
        return np.asarray((below + upto) / 2 / len(of))

    above, below = beaten(positive, one), 1 - beaten(negative, other)
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    return float(above.mean()), float(1.96 * np.sqrt(variance))


def run(plan: Plan, say: Callable[[str], None] = lambda text: None) -> dict[str, float]:
    """Every figure that is planned."""
    with tempfile.TemporaryDirectory(prefix="hashward-bench-") as folder:
        home = plan.home or Path(folder) / "home"
        serve_lists.fill(home, plan.pdq, plan.digests)
        # Drawn anew each time: what a kept home has met before would be told by that.
        first = random.SystemRandom().randrange(2**48) << 8
        listed = texts(f"listed {first}", plan.pairs)
        serve_lists.take_contents(home, "probes", listed)
        with serving(home, workers=len(os.sched_getaffinity(0))) as door, clamd(Path(folder), listed[0]) as theirs:
            if plan.ahead:
                go_ahead(os.getpid(), door.pid, *([] if theirs is None else [theirs.pid]))
            found: dict[str, float] = {"load_before": os.getloadavg()[0], "pdq": plan.pdq, "digests": plan.digests}
            for part, measure in _measures(plan, door, theirs, listed, first).items():
                if part in plan.parts:
                    found |= measure()
                    say(f"{part}: done")
            return found | {"resident_mib": door.resident_mib(), "load_after": os.getloadavg()[0]}


def _measures(
    plan: Plan, door: Serving, theirs: Serving | None, listed: Sequence[bytes], first: int
) -> dict[str, Callable[[], dict[str, float]]]:
    """What measures each part; `first` is the number of the first content."""
    text = texts(f"known {first}", 1)[0]
    return {
        KNOWN: lambda: known(door, theirs, text, plan.rounds, 3 * plan.turn),
        NEW: lambda: new(door, plan.rounds, plan.turn, first, plan.grain),
        LOAD: lambda: serve_load.measured(
            door.ports["http"], lambda number: picture(first + 2**32 + number, plan.grain), plan.load_s
        ),
        HALFOPEN: lambda: serve_halfopen.measured(door.ports, text, plan.halves, plan.rounds, 20 * plan.turn),
        ACCEPT: lambda: telling(door.ports["accepting"], listed, texts(f"not {first}", len(listed))),
    }


def record(found: dict[str, float], arguments: Sequence[str]) -> str:
    """Write figures beside the other runs; the run's name."""
    folder, facts = report.new_run(arguments)
    (folder / "serve.json").write_text(json.dumps({"facts": facts, "figures": found}, indent=1) + "\n")
    rows = "\n".join(f"| {name} | {value:g} |" for name, value in found.items())
    (folder / "README.md").write_text(
        "\n".join([*report.headed(facts), "", "| figure | value |", "|---|---|", rows, ""])
    )
    return folder.name
