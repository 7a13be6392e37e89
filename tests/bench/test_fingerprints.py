"""The benchmark of stills in its small form: ours right, every process counted, every case a figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import fingerprints, pictures, report
from bench.__main__ import main
from bench.engines import EngineMissing
from bench.hashers import Ours
from bench.measure import WrongAnswer

CASES = fingerprints.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore")  # of peers
def test_the_small_form_is_right(case: fingerprints.FingerprintCase) -> None:
    """Every case is within 2 bits of full resolution (else it raises), and so is the peer where it gives PDQ."""
    try:
        figure = fingerprints.run(case.small())
    except EngineMissing as missing:
        pytest.skip(str(missing))

    assert figure.ratio > 0
    assert figure.more.get("peer_bits_off", 0) <= 2


def test_pictures_are_functions_of_their_arguments() -> None:
    """The same picture for one seed, another for another."""
    one, again, other = (pictures.picture(seed, (64, 48), 4).tobytes() for seed in (1, 1, 2))

    assert one == again != other


def test_children_s_time_counts() -> None:
    """The time of a process below this one, and below that one, is part of the family's."""
    busy = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass\ninput()"
    start = fingerprints.family_cpu_s()
    with subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE) as child:
        while fingerprints.family_cpu_s() - start < 0.2:
            time.sleep(0.01)

        assert child.pid in set(fingerprints.below(os.getpid()))
        child.communicate(b"\n")


def test_the_time_of_children_that_ended_counts() -> None:
    """A replaced worker would take its time along otherwise: files would look cheaper the more there are."""
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    start = fingerprints.family_cpu_s()
    subprocess.run([sys.executable, "-c", busy], check=True)

    assert fingerprints.family_cpu_s() - start >= 0.27


def test_a_wrong_hash_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ours is off, there is no figure."""
    wrong = iter((bytes(32), b"\xff" * 32))
    monkeypatch.setattr(Ours, "hash", lambda self, path: next(wrong))
    case = next(case for case in CASES if case.peer == "imagehash-phash")

    with pytest.raises(WrongAnswer):
        fingerprints.run(case.small())


def test_the_command_writes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object a line on standard output, and a folder with the figures."""
    monkeypatch.setattr(report, "RUNS", tmp_path)
    (case,) = [case for case in CASES if case.name == "jpeg-1mpx-imagehash"]
    monkeypatch.setattr(fingerprints, "load", lambda: [case.small()])
    monkeypatch.setattr(fingerprints, "WORKS", {})
    result = CliRunner().invoke(main, ["fingerprints"], catch_exceptions=False)
    told = json.loads(result.stdout.splitlines()[0])

    assert 0 == result.exit_code
    assert {"name", "ratio", "ours_ms", "peer_ms", "bits_off"} <= told.keys()
    assert {"README.md", "figures.json", "ratios.svg"} == {path.name for path in next(tmp_path.iterdir()).iterdir()}


def test_memory_is_counted_from_the_idle_worker() -> None:
    """Both forms of a JPEG have a figure in MiB, within what the picture can need."""
    figures = fingerprints.memory((1600, 1200))

    assert ["memory-jpeg", "memory-progressive"] == [figure.name for figure in figures]
    assert all(0 <= figure.more["mib"] < 60 for figure in figures)
