"""The re-scan's benchmark: matches that are right, files that stay closed, watched by a hook that sees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import rescan
from bench.__main__ import main
from bench.engines import EngineMissing, engine

CASES = rescan.load()


@pytest.fixture
def _faiss() -> None:
    try:
        engine("faiss", 256)
    except EngineMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.usefixtures("_faiss")
@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_small_form_records_what_faiss_finds_and_opens_nothing(case: rescan.RescanCase) -> None:
    """Matches equal over all rounds (a difference raises), every planted entry is among them, no file is opened."""
    small = case.small()
    figure = rescan.run(small)

    assert figure.more["matches"] >= small.rounds * small.planted
    assert figure.more["opened_files"] == 0
    assert figure.ratio > 0


@pytest.mark.usefixtures("_faiss")
@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")
def test_the_command_answers_with_one_object() -> None:
    """`rescan --json` ends with what was measured."""
    result = CliRunner().invoke(
        main, ["rescan", "--contents", "500", "--delta", "20", "--json"], catch_exceptions=False
    )
    told = json.loads(result.stdout.splitlines()[-1])

    assert result.exit_code == 0
    assert {"ratio", "contents", "delta", "matches", "opened_files", "peak_megabytes"} <= told.keys()


def test_the_hook_sees_what_is_opened(tmp_path: Path) -> None:
    """A file below the folder, its listing, and a process count; a file elsewhere does not, nor anything afterwards."""
    media, beside = tmp_path / "media", tmp_path / "media beside"
    media.mkdir()
    for path in (media / "file", beside):
        path.write_bytes(b"")
    with rescan.opened_below(media) as opened:
        beside.read_bytes()
        assert opened == []
        (media / "file").read_bytes()
        list(media.iterdir())
        subprocess.run([sys.executable, "-c", ""], check=True, timeout=60)
    (media / "file").read_bytes()

    assert opened[0] == "open"
    assert "os.listdir" in opened
    assert "subprocess.Popen" in opened
