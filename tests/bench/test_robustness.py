"""The robustness bench in its small form: every edit and way has a share, readings that undo an edit earn theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import report, robustness
from bench.edits import EDITS
from samples.scenes import scene


@pytest.fixture(scope="module")
def measured() -> robustness.Robustness:
    """A few scenes, some edits, no photographs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "SHARED", Path("/nowhere"))
        return robustness.run(4, 12, ["none", "crop 5 %", "letterbox", "mirror left-right"])


def test_each_way_finds_what_it_is_for(measured: robustness.Robustness) -> None:
    """A copy as it is by every way; bars by trimming, a cut by uncropping, a mirror by all eight; all by all three."""
    found = measured.found

    assert {1.0} == set(found["none"].values())
    assert found["letterbox"]["pdq, trimmed"] > found["letterbox"]["pdq"]
    assert found["crop 5 %"]["pdq, uncropped"] > found["crop 5 %"]["pdq"]
    assert (0.0, 1.0) == (found["mirror left-right"]["pdq"], found["mirror left-right"]["pdq, all8"])
    assert all(shares["pdq, all three"] == max(shares[way] for way in list(shares)[:5]) for shares in found.values())


def test_strangers_are_pairs_of_different_pictures(measured: robustness.Robustness) -> None:
    """Each ordered pair once, whatever the way; more readings never meet fewer."""
    pdq, every = measured.strangers["pdq"], measured.strangers["pdq, all three"]

    assert 12 * 11 == pdq.pairs == every.pairs
    assert every.least <= pdq.least
    assert pdq.by_normal < every.by_normal < 1


def test_a_run_is_written(measured: robustness.Robustness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with both tables, a chart, and the figures behind them."""
    monkeypatch.setattr(report, "RUNS", tmp_path)
    folder = robustness.write(measured, ["robustness"])
    page = (folder / "README.md").read_text()

    assert "| letterbox |" in page
    assert "| pdq, trimmed | 132 |" in page
    assert (folder / "robustness.svg").read_text().startswith("<svg")
    assert 4 == json.loads((folder / "robustness.json").read_text())["pictures"]


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_gives_a_picture(name: str) -> None:
    """In RGB, the same for one seed, of a size that can be hashed."""
    picture = scene(1, (120, 90))
    one, again = (EDITS[name](picture, np.random.default_rng(3)) for _ in range(2))

    assert isinstance(one, Image.Image)
    assert ("RGB", one.tobytes()) == (one.mode, again.tobytes())
    assert min(one.size) >= 20
