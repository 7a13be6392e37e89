"""The benchmark measures right answers: the small form of every case, every engine that is installed, every work."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from pytest_benchmark.fixture import BenchmarkFixture

from bench import cases, matching, measure, report, works
from bench.__main__ import main
from bench.engines import ENGINES, EngineMissing, NumPy, Ours, engine
from bench.populations import population

CASES = cases.load()

# SWIG's own types name no module; that is faiss's business.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_small_form_of_a_case_is_answered_right(case: cases.Case, benchmark: BenchmarkFixture) -> None:
    """A case's population is the one it was defined with, and ours finds every true pair and no other."""
    small = case.small()
    made = population(small.distribution, small.bits, small.rows, 200, small.seed)
    truth = matching.judge(small, made)
    ours = Ours(small.bits)
    ours.build(made.listed, small.radius)
    answer = benchmark(ours.ask, made.asked[: matching.JUDGED], small.radius)

    assert len(truth[0]) == case.small_hits
    assert [part.tolist() for part in truth] == [part.tolist() for part in ours.pairs(answer)]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_finds_what_it_promises(name: str) -> None:
    """Every engine finds all true pairs and none that is not, on one list they can all hold."""
    made = population("skewed", 256, 500, 60, 3)
    try:
        asked = engine(name, 256)
        asked.build(made.listed, 31)
    except EngineMissing as missing:
        pytest.skip(str(missing))
    brute = NumPy(256)
    brute.build(made.listed, 31)
    truth = brute.pairs(brute.ask(made.asked, 31))

    assert measure.recall(asked, truth, made.asked, 31) == 1
    assert len(truth[0]) > 10


def test_a_wrong_answer_is_not_timed() -> None:
    """An engine that invents a pair, or a population that is not the defined one, stops the run."""
    made = population("uniform", 256, 100, 10, 1)
    ours = Ours(256)
    ours.build(made.listed, 31)
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    with pytest.raises(measure.WrongAnswer):
        measure.recall(ours, nothing, made.listed[:5], 31)
    small = CASES[0].small()
    with pytest.raises(measure.WrongAnswer):
        matching.run(replace(small, peer="numpy", hits=10**6))


def test_populations_are_functions_of_their_arguments() -> None:
    """The same arguments give the same values; another seed, other ones; skew shows in crowded chunks."""
    first, again = population("skewed", 256, 4000, 10, 1), population("skewed", 256, 4000, 10, 1)
    other, even = population("skewed", 256, 4000, 10, 2), population("uniform", 256, 4000, 10, 1)

    assert np.array_equal(first.listed, again.listed)
    assert np.array_equal(first.asked, again.asked)
    assert not np.array_equal(first.listed, other.listed)
    crowd = [np.bincount(p.listed.view(np.uint16)[:, 0]).max() for p in (first, even)]
    assert crowd[0] > 2 * crowd[1]


def test_the_command_answers_with_one_object() -> None:
    """`matching --json` ends with what other programs rely on; without it there is a table."""
    arguments = ["matching", "--size", "2000", "--queries", "50", "--against", "numpy", "--distribution", "skewed"]
    result = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    told = json.loads(result.stdout.splitlines()[-1])

    assert result.exit_code == 0
    assert {"ratio", "recall", "ours_us", "peer_us", "bytes_per_entry", "build_seconds", "kernel"} <= told.keys()
    assert told["recall"] == 1
    assert "| ratio |" in CliRunner().invoke(main, arguments, catch_exceptions=False).stdout


def test_works_measure_what_they_check() -> None:
    """Changing, streaming, digests and the compact form work at a size of no consequence."""
    figures = [*works.digests(3000, 600), *works.bit_order(9000), works.compact(3000, 20)]
    try:
        engine("faiss", 256)
    except EngineMissing:
        pass  # what stands against faiss is measured where faiss is
    else:
        figures += [works.build(2000), *works.open_and_change(3000, 100), works.stream(3000, 50, 500)]

    assert all(figure.ratio > 0 for figure in figures)
    assert report.chart(figures).count("<rect") == len(figures)
    assert report.table(figures).count("\n") == len(figures) + 1
