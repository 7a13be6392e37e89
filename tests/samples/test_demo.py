"""The demonstration convinces only if each of its lines can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from samples import demo
from samples.demo import Demo
from samples.make_samples import make
from tests.command import Hashward

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(900)  # half a minute where nothing else runs


def test_the_demonstration_runs_in_thirty_lines() -> None:
    """As `make demo` runs it: every line true, at most thirty of them, nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "samples.demo"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()

    assert (0, "") == (done.returncode, done.stderr)
    assert len(lines) <= 30
    assert lines[-1].startswith("All true")
    assert [f"{number}." for number in range(1, 13)] == [
        line.split()[0] for line in lines if line[:1].isdigit() and line.split()[0].endswith(".")
    ]


class Quick(Demo):
    """One whose commands run in this process, where that is equal and faster."""

    def hashward(self, *words: str | Path, home: Path | None = None, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """Run the command with --json; its last line."""
        done = Hashward(home or self.home)(*words, "--json")
        assert done.code in codes, done.err
        return dict(done.objects[-1])


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, made once."""
    folder = tmp_path_factory.mktemp("demo") / "samples"
    make(folder)
    return folder


def less_is_listed(made: Demo) -> None:
    """The first entry of the list is lost on the way."""
    listed = made.samples / "lists" / "alert-v1.csv"
    header, _, *rest = listed.read_text().splitlines(keepends=True)
    listed.write_text(header + "".join(rest))


def an_expectation_is_wrong(made: Demo) -> None:
    """The manifest has two files of the storage the wrong way round: the counts agree, the files do not."""
    stored = [each for each in made.manifest["files"] if each["path"].startswith("storage/")]
    near, clear = (next(each for each in stored if each["v1"] == word) for word in ("near", "clear"))
    near["v1"], clear["v1"] = clear["v1"], near["v1"]


def an_odd_entry_is_missing(made: Demo) -> None:
    """One of the links that should be passed by is not there."""
    next(path for path in made.storage.rglob("*") if path.is_symlink()).unlink()


def nothing_may_be_heard(made: Demo) -> None:
    """The sink names no hash set, so nothing is sent."""
    config = made.home / "config.toml"
    config.write_text(config.read_text().replace('hash_sets = ["demo"]', ""))


@pytest.mark.parametrize(
    "damage",
    [
        less_is_listed,
        an_expectation_is_wrong,
        an_odd_entry_is_missing,
        nothing_may_be_heard,
    ],
)
def test_an_untrue_line_ends_the_demonstration(
    damage: Callable[[Demo], None], samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is made untrue is said to be, and the exit code is 1."""
    made = Quick(tmp_path, samples)
    damage(made)

    assert 1 == demo.run(made, [demo.scan])
    assert "\nUNTRUE: " in capsys.readouterr().out


def test_a_leaking_report_would_be_found(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The search of what left finds a file name, were there one."""
    made = Quick(tmp_path, samples)
    assert 0 == demo.run(made, [demo.scan, demo.show_what_left])
    sent = next((made.home / "left-this-machine").iterdir())
    name = Path(made.manifest["files"][0]["path"]).name
    sent.write_bytes(sent.read_bytes().replace(b"demo-1", name.encode()))

    assert 1 == demo.run(made, [demo.show_what_left])
    assert "UNTRUE: 11." in capsys.readouterr().out
