"""`python -m bench video`: films to PDQ frames against vpdq, and whether keyframes find what dense lists hold.

Rules
- The same file for both, in turns, each once before it counts. CPU time of this process and of all below it.
- Ours must be right before it is timed: dense, every good frame within 12 bits of the peer's of the same number, and
  none missing; sampled, every frame one of the dense ones.
- Dense, the decoder alone is timed too: `decoder_ratio` is what nobody could exceed who decodes by it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from bench import cases, films, measure
from bench.engines import EngineMissing, library
from bench.fingerprints import below, bits, family_cpu_s
from bench.works import Figure
from scanner.fingerprint import Limits, Options
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.types import WHOLE, Fingerprinter

LIMITS = Limits(video_s=6000, video_most_s=6000)
MOST_BITS, RADIUS, FLOOR, SHARE = 12, 31, 50, 0.8
Hashed = dict[int, tuple[bytes, int]]  # frame number -> PDQ, quality


@dataclass(frozen=True, slots=True)
class VideoCase:
    """One measurement: a film of `size` and `seconds` with a keyframe every `gop` frames; `work` is query or dense."""

    name: str
    why: str
    work: str
    size: tuple[int, int]
    seconds: int
    gop: int
    codec: str
    through: str
    peer: str
    rounds: int
    seed: int
    goal: float
    small_seconds: int

    def small(self) -> VideoCase:
        """The form that runs as a test."""
        return replace(self, size=(160, 120), seconds=self.small_seconds, rounds=1)


def load(path: Path = cases.DEFINITIONS / "video.toml") -> list[VideoCase]:
    """The defined cases."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    made = [{**document["default"], **case} for case in document["case"]]
    return [VideoCase(**{**each, "size": tuple(each["size"])}) for each in made]


# -- who hashes --------------------------------------------------------------------------------------------------------


class Hasher(Protocol):
    """One way from a path to the PDQ of frames."""

    name: str

    def frames(self, path: Path) -> Hashed:
        """The frames taken."""
        ...


class Ours:
    """hashward, in this process or through the sandboxed worker."""

    def __init__(self, through: str, *, dense: bool) -> None:
        self.name = f"hashward ({through})"
        options = Options(dense=dense)
        self.pool = WorkerPool(1, LIMITS, options, allow_unsandboxed=True) if through == "worker" else None
        self._fingerprinter: Fingerprinter = self.pool or InProcess(options, LIMITS)

    def frames(self, path: Path) -> Hashed:
        """See Hasher."""
        fd = os.open(path, os.O_RDONLY)
        try:
            signals = self._fingerprinter.fingerprint(fd).signals
        finally:
            os.close(fd)
        # By time: sampled, a frame's number is its packet's.
        return {round((s.frame_ms or 0) * films.RATE / 1000): (s.value, s.quality or 0) for s in signals}


class VPDQ:
    """The vpdq package: every frame decoded, one a second or all of them hashed, one hashing thread."""

    name = "vpdq"

    def __init__(self, *, dense: bool) -> None:
        self._package: Any = library("vpdq")
        self._seconds = 0.0 if dense else 1.0

    def frames(self, path: Path) -> Hashed:
        """See Hasher."""
        found = self._package.computeHash(str(path), seconds_per_hash=self._seconds, thread_count=1)
        return {each.frame_number: (bytes.fromhex(each.hex), each.quality) for each in found}


class PdqHash:
    """PyAV's frames in RGB through pdqhash, which vpdq does with FFmpeg and the same C++."""

    name = "pyav+pdqhash"

    def __init__(self, *, dense: bool) -> None:
        self._package: Any = library("pdqhash")
        self._every = 1 if dense else films.RATE

    def frames(self, path: Path) -> Hashed:
        """See Hasher."""
        found: Hashed = {}
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for number, frame in enumerate(container.decode(video=0)):
                if number % self._every == 0:
                    vector, quality = self._package.compute(frame.to_ndarray(format="rgb24"))
                    found[number] = np.packbits(np.asarray(vector, dtype=np.uint8)).tobytes(), int(quality)
        return found


class Decoder:
    """The decoder alone, as ours uses it: no frame of a dense list costs less than this."""

    name = "decoder"

    def frames(self, path: Path) -> Hashed:
        """See Hasher; hashes nothing."""
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            return {number: (b"", 0) for number, _ in enumerate(container.decode(video=0))}


def peer(name: str, *, dense: bool) -> Hasher:
    """The peer, or the nearest that is installed. Raises EngineMissing where none is."""
    try:
        return VPDQ(dense=dense) if name == "vpdq" else PdqHash(dense=dense)
    except EngineMissing:
        return PdqHash(dense=dense)


# -- speed -------------------------------------------------------------------------------------------------------------


def run(case: VideoCase) -> Figure:
    """Measure one case. Raises WrongAnswer where ours is off, EngineMissing without any peer."""
    dense = case.work == "dense"
    path = films.kept(case.seed, case.size, case.seconds, case.gop, case.codec)
    other, ours = peer(case.peer, dense=dense), Ours(case.through, dense=dense)
    try:
        mine, theirs = ours.frames(path), other.frames(path)
        off = _judged(mine, theirs if dense else Ours("process", dense=True).frames(path), all_of_them=dense)
        turns = [(ours, len(mine)), (other, len(theirs)), *([(Decoder(), len(mine))] if dense else [])]
        spent = np.array([[_cpu_s(each, path, count) for each, count in turns] for _ in range(case.rounds)])
    finally:
        if ours.pool is not None:
            ours.pool.close()
    seconds = np.median(spent, axis=0)
    more = {
        "ours_s": float(seconds[0]), "peer_s": float(seconds[1]), "ours_frames": len(mine), "peer_frames": len(theirs),
        "film_s": case.seconds, "most_bits_off": off,
    }  # fmt: skip
    if dense:
        more |= {"decoder_s": float(seconds[2]), "decoder_ratio": float(np.median(spent[:, 1] / spent[:, 2]))}
    return Figure(case.name, other.name, float(np.median(spent[:, 1] / spent[:, 0])), case.goal, more)


def _judged(mine: Hashed, true: Hashed, *, all_of_them: bool) -> int:
    """The most bits a good frame of ours is off. Raises WrongAnswer for too many, or for frames missing or invented."""
    if not mine or not mine.keys() <= true.keys() or (all_of_them and mine.keys() != true.keys()):
        raise measure.WrongAnswer("ours shows other frames than there are: nothing was timed")
    off = max((bits(mine[n][0], true[n][0]) for n in mine if true[n][1] >= FLOOR), default=0)
    if off > MOST_BITS:
        raise measure.WrongAnswer(f"a frame of ours is {off} bits off: nothing was timed")
    return off


def _cpu_s(hasher: Hasher, path: Path, frames: int) -> float:
    before = _spent_s()
    found = hasher.frames(path)
    spent_s = _spent_s() - before
    if len(found) != frames:
        raise measure.WrongAnswer(
            f"{hasher.name} shows {len(found)} frames where it showed {frames}: nothing was timed"
        )
    return spent_s


def _spent_s() -> float:
    """CPU seconds of this process and of all below it, ended ones too: a worker may be replaced meanwhile."""
    spent = time.process_time()
    for pid in below(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return spent


# -- recall ------------------------------------------------------------------------------------------------------------

SIZE = (480, 270)
# How a copy is made: (first frame, last), size, frames a second in terms of every n-th, gop, crf.
EDITS: dict[str, tuple[slice, tuple[int, int], int, int]] = {
    "coarse": (slice(None), SIZE, 60, 36),
    "half-size": (slice(None), (240, 136), 60, 26),
    "larger": (slice(None), (854, 480), 250, 26),
    "one-keyframe": (slice(None), SIZE, 10_000, 28),
    "half-the-rate": (slice(None, None, 2), SIZE, 45, 28),
    "trimmed": (slice(37, 203), SIZE, 250, 28),
    "two-seconds": (slice(111, 171), (320, 180), 250, 30),
}


def recall(films_listed: int = 6, seconds: int = 8) -> list[Figure]:
    """Copies asked by keyframe against dense lists, by the rule for `frames`; and every other film, which is none."""
    found = asked = wrong = negatives = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed, queries = [], []
        for seed in range(films_listed):
            shown = list(films.frames(seed + 1, SIZE, seconds * films.RATE))
            films.encode(folder / "listed.mp4", shown, size=SIZE, gop=60)
            listed.append(_good(Ours("process", dense=True).frames(folder / "listed.mp4")))
            for cut, size, gop, crf in EDITS.values():
                films.encode(folder / "copy.mp4", shown[cut], size=size, gop=gop, crf=crf)
                queries.append((seed, _good(Ours("process", dense=False).frames(folder / "copy.mp4"))))
    for (seed, query), (number, known) in itertools.product(queries, enumerate(listed)):
        met = _meets(query, known)
        if seed == number:
            asked, found = asked + 1, found + met
        else:
            negatives, wrong = negatives + 1, wrong + met
    more: dict[str, float] = {"copies": asked, "found": found, "negatives": negatives, "wrong": wrong}
    if wrong:
        raise measure.WrongAnswer(f"{wrong} of {negatives} films that are no copies are found")
    return [Figure("video-recall", "dense list", found / asked, 1, more)]


def film(minutes: int = 120, size: tuple[int, int] = (1920, 1080)) -> list[Figure]:
    """Five listed seconds in a film of two hours: found, within the budget that such a film has by itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        around, listed, whole = folder / "around.mp4", folder / "listed.mp4", folder / "whole.mp4"
        films.encode(around, films.frames(98, size, 20 * films.RATE), size=size, gop=60, crf=38)
        films.encode(listed, films.frames(99, size, 5 * films.RATE), size=size, gop=60, crf=38)
        count = minutes * 3
        films.chain(whole, [listed if n == count * 3 // 5 else around for n in range(count)])
        known = _good(Ours("process", dense=True).frames(listed))
        fd = os.open(whole, os.O_RDONLY)
        try:
            before = family_cpu_s()
            seen = InProcess().fingerprint(fd)
            spent_s = family_cpu_s() - before
        finally:
            os.close(fd)
    values = np.array([list(s.value) for s in seen.signals if (s.quality or 0) >= FLOOR], dtype=np.uint8)
    near = np.bitwise_count(values[:, None, :] ^ known[None, :, :]).sum(axis=2).min(axis=1) <= RADIUS
    if not near.any() or seen.looked != WHOLE:
        raise measure.WrongAnswer("the five seconds are not found, or the film is not looked at whole")
    budget_s = Limits().cpu_s(moving=True, duration_ms=minutes * 60_000)
    more: dict[str, float] = {"film_s": minutes * 60, "ours_s": spent_s, "frames": len(values), "met": int(near.sum())}
    return [Figure("video-film-2h-1080p", "its budget", budget_s / spent_s, 1, more)]


def _good(hashed: Hashed) -> np.ndarray[Any, np.dtype[np.uint8]]:
    values = {value for value, quality in hashed.values() if quality >= FLOOR}
    return np.array([list(value) for value in sorted(values)], dtype=np.uint8).reshape(-1, 32)


def _meets(query: np.ndarray[Any, np.dtype[np.uint8]], known: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    if not len(query):
        return False
    distances = np.bitwise_count(query[:, None, :] ^ known[None, :, :]).sum(axis=2)
    return bool((distances.min(axis=1) <= RADIUS).mean() >= SHARE)


def chosen(only: str = "") -> dict[str, Callable[[], Figure | list[Figure]]]:
    """Every case and work whose name holds `only`."""
    every: dict[str, Callable[[], Figure | list[Figure]]] = {case.name: partial(run, case) for case in load()}
    return {name: work for name, work in {**every, "video-recall": recall, "video-film": film}.items() if only in name}
