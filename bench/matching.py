"""`python -m bench matching`: one population, one radius, ours against one peer, judged by brute force."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import measure
from bench.cases import Case
from bench.engines import Engine, NumPy, Ours, Pairs, engine
from bench.populations import Population, kept

JUDGED = 100  # questions whose answers are compared with brute force: 10 M rows take it three seconds
PEER_ROUNDS = 3
PEER_PAIRS = 2_000_000_000  # a peer that compares every pair costs the same for each question: it is asked so many
SINGLE_BLOCKS = 5
POOL = 1_200  # distinct questions of a single-query case
REAL = Path(__file__).resolve().parents[2] / "shared" / "vectors"


@dataclass(frozen=True, slots=True)
class Result:
    """What one case measured. Times are medians of CPU microseconds per question; `ratio` is peer over ours."""

    name: str
    distribution: str
    bits: int
    radius: int
    rows: int
    questions: int
    peer: str
    kernel: str
    ratio: float
    goal: float
    ours_us: float
    ours_p99_us: float
    peer_us: float
    recall: float
    peer_recall: float
    hits: int
    bytes_per_entry: float
    build_seconds: float
    peer_build_seconds: float
    real_seeds: int

    def as_json(self) -> dict[str, object]:
        """Plain values, rounded to what they mean."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def run(case: Case, real: NDArray[np.uint8] | None = None) -> Result:
    """Measure one case. Raises WrongAnswer where ours misses or invents a pair, EngineMissing for a missing peer."""
    made = kept(case.distribution, case.bits, case.rows, max(case.questions, POOL), case.seed, real)
    ours, peer = Ours(case.bits), engine(case.peer, case.bits)
    build_seconds = measure.cpu_seconds(lambda: ours.build(made.listed, case.radius))
    peer_build_seconds = measure.cpu_seconds(lambda: peer.build(made.listed, case.radius))
    truth = judge(case, made)
    if case.hits and len(truth[0]) != case.hits:
        raise measure.WrongAnswer("the population is not the one the definition means: its true pairs differ")
    recall = measure.recall(ours, truth, made.asked[:JUDGED], case.radius)
    if recall < 1:
        raise measure.WrongAnswer(f"ours finds {recall:.4%} of the true pairs: nothing was timed")
    mine, theirs = _timed(case, ours, peer, made)
    return Result(
        name=case.name,
        distribution=case.distribution,
        bits=case.bits,
        radius=case.radius,
        rows=case.rows,
        questions=case.questions,
        peer=case.peer,
        kernel=ours.kernel,
        ratio=theirs.median / max(mine.median, 1e-3),
        goal=case.goal,
        ours_us=mine.median,
        ours_p99_us=mine.p99,
        peer_us=theirs.median,
        recall=recall,
        peer_recall=measure.recall(peer, truth, made.asked[:JUDGED], case.radius),
        hits=len(truth[0]),
        bytes_per_entry=ours.nbytes / max(case.rows, 1),
        build_seconds=build_seconds,
        peer_build_seconds=peer_build_seconds,
        real_seeds=0 if real is None else len(real),
    )


def judge(case: Case, made: Population) -> Pairs:
    """The true pairs of the judged questions."""
    brute = NumPy(case.bits)
    brute.build(made.listed, case.radius)
    return brute.pairs(brute.ask(made.asked[:JUDGED], case.radius))


def _timed(case: Case, ours: Engine, peer: Engine, made: Population) -> tuple[measure.Timed, measure.Timed]:
    ours.ask(made.asked[: measure.BLOCK], case.radius)
    if case.questions == 1:
        mine, theirs = measure.singles([ours, peer], made.asked, case.radius, SINGLE_BLOCKS)
    else:
        most = [case.questions, min(case.questions, max(JUDGED, PEER_PAIRS // max(case.rows, 1)))]
        mine, theirs = measure.batches([ours, peer], made.asked[: case.questions], case.radius, PEER_ROUNDS, most)
    return mine, theirs


def real_values() -> NDArray[np.uint8] | None:
    """PDQ values of real pictures, where the shared material lies beside the project: they seed some families."""
    path = REAL / "needles.txt"
    if not path.is_file():
        return None
    words = [word for word in path.read_text(encoding="ascii").split() if len(word) == 64]
    return np.array([list(bytes.fromhex(word)) for word in words], dtype=np.uint8)
