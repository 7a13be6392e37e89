"""Hash types that others bring: what is refused, and that pairs are those of the plug-in's own distance."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hashsets import plugins
from hashsets.errors import MatchingError
from hashsets.hashtypes import HashType
from hashsets.matching import build, filing, segments
from hashsets.plugins import Refused, checked, installed
from tests.plugin_example.average_blocks import AverageBlocks, algorithm

TYPE = HashType(
    algorithm.name, 8 * algorithm.size_bytes, "plugin", default_radius_bits=algorithm.threshold,
    distances=algorithm.distances,
)  # fmt: skip


def having(**changes: Any) -> AverageBlocks:
    """The example with some attributes changed."""
    changed = AverageBlocks()
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Photo DNA"}, {"name": 7}, {"size_bytes": 0}, {"size_bytes": 256}, {"size_bytes": 16.0},
        {"revision": 0}, {"threshold": -1}, {"threshold": True},
        {"distances": lambda asked, listed: np.zeros((len(listed), len(asked)))},
        {"distances": lambda asked, listed: np.ones((len(asked), len(listed)))},
        {"distances": lambda asked, listed: np.zeros((len(asked), len(listed)))},
    ],
)  # fmt: skip
def test_a_plug_in_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    """Before a value is compared by it."""
    with pytest.raises(Refused):
        checked(having(**changes))


@dataclass(frozen=True)
class Entry:
    """An entry point."""

    name: str
    offered: Any

    def load(self) -> Any:
        """What it names, or what its import raises."""
        if isinstance(self.offered, Exception):
            raise self.offered
        return self.offered


def test_what_cannot_be_used_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken import, a name of our own, a name taken twice; the rest is used."""
    entries = [
        Entry("broken", ImportError("/secret/path")),
        Entry("good", algorithm),
        Entry("same", algorithm),
        Entry("own", having(name="pdq")),
        Entry("nothing", None),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == plugins.GROUP else [])
    found = installed(frozenset({"pdq"}))

    assert ["average_blocks"] == list(found.plugins)
    assert {"broken", "same", "own", "nothing"} == set(found.refused)
    assert "ImportError" in found.refused["broken"]
    assert "secret" not in str(found.refused)


@given(
    listed=arrays(np.uint8, st.tuples(st.integers(0, 40), st.just(16)), elements=st.integers(0, 12)),
    asked=arrays(np.uint8, st.tuples(st.integers(0, 20), st.just(16)), elements=st.integers(0, 12)),
    radius=st.integers(0, 60),
)
def test_pairs_are_those_of_the_plug_ins_distance(
    listed: np.ndarray[Any, np.dtype[np.uint8]], asked: np.ndarray[Any, np.dtype[np.uint8]], radius: int
) -> None:
    """All of them, once, in order."""
    distances = algorithm.distances(asked, listed)
    hits = build(TYPE, listed).query(asked, radius)
    pairs = [(int(q), int(r), int(distances[q, r])) for q, r in zip(*np.nonzero(distances <= radius), strict=True)]

    assert pairs == list(zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True))


def test_a_segment_of_a_plug_ins_values_outlasts_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with values that stand twice; and never as another type's."""
    values = np.random.default_rng(1).integers(0, 256, (50, 16), dtype=np.uint8)
    values[7] = values[3]
    segment = segments.build(TYPE, values, np.arange(50))
    filing.save(tmp_path / "segment", segment, b"stamp")
    loaded = filing.load(tmp_path / "segment", TYPE, b"stamp")

    assert (segments.values_of(loaded) == values).all()
    assert (
        segment.matcher.query(values[:9], 40).distances.tolist()
        == loaded.matcher.query(values[:9], 40).distances.tolist()
    )


def test_distances_of_a_wrong_shape_are_an_error_not_an_answer() -> None:
    """A plug-in that worked when it was tried may still fail later."""
    wrong = HashType("wrong", 128, "plugin", distances=lambda asked, listed: np.zeros((1, 1), np.int64))
    with pytest.raises(MatchingError, match="wrong shape"):
        build(wrong, np.zeros((3, 16), np.uint8)).query(np.zeros((2, 16), np.uint8), 0)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages where the example is installed beside ours."""
    folder, root = tmp_path / "site", Path(__file__).parents[2]
    info = folder / "average_blocks-1.0.dist-info"
    info.mkdir(parents=True)
    for package in ("scanner", "hashsets"):
        (folder / package).symlink_to(root / package)
    (folder / "average_blocks.py").write_text((root / "tests/plugin_example/average_blocks.py").read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: average-blocks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\naverage_blocks = average_blocks:algorithm\n")
    return folder


def test_an_installed_plug_in_is_computed_listed_compared_and_reported(site: Path, tmp_path: Path) -> None:
    """From the file through the confined worker to the match, as any type; without it the list is counted, not read."""
    from samples.scenes import scene

    media = tmp_path / "media"
    media.mkdir()
    picture = scene(5, (160, 120))
    picture.save(media / "brighter.png")
    value = algorithm.compute(np.asarray(picture))
    assert value is not None
    nearly = bytes([value[0] ^ 1]) + value[1:]
    (tmp_path / "list").write_text(f"average_blocks {nearly.hex()}\n")

    def hashward(*words: object, with_plugin: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "scanner", "--home", str(tmp_path / "home"), *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(site)} if with_plugin else None,
            cwd=tmp_path if with_plugin else Path(__file__).parents[2],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    refused = hashward("hashset", "import", "other", tmp_path / "list", with_plugin=False)
    imported = hashward("hashset", "import", "set", tmp_path / "list", "--approve")
    scanned = hashward("scan", media)
    reported = hashward("reports", "list")

    assert 4 == refused.returncode
    assert (0, 1) == (imported.returncode, scanned.returncode), imported.stderr + scanned.stderr
    assert "average_blocks" in reported.stdout
    assert "near" in reported.stdout
    assert "plug-ins average_blocks" in hashward("status").stdout
