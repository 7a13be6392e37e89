"""A disk that is full, read-only, failing or gone: a clear message, no damage, no false clear, and on it goes after."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanner.ledger import tallies
from tests.durability import work
from tests.durability.conftest import Trials
from tests.durability.nursery import Ending
from tests.durability.syscalls import Plan
from tests.durability.test_kills import KINDS, spread
from tests.scanner.fakes import Site

# What may be said of a failing disk: each names what is wrong or what to do.
CLEAR = re.compile(
    "disk is full|I/O error|read-only|cannot be opened|cannot be used|could not be read|could not be written"
    "|disk|Input/output error|No space left|Read-only file system"
)
FAULTS = ("EIO", "ENOSPC")
HOME = ("home", "out")


def failing(trials: Trials, fault: str, kind: str, number: int, *, stays: bool = False) -> Ending:
    """One run whose home and reports lie on a disk that fails at this operation, and from there on where it `stays`."""
    step, at = trials.step_of(kind, number, HOME)
    trials.fresh(step)
    last = len(work.STEPS) if stays else step + 1
    ending = trials.run(Plan(kind, at, 10**9 if stays else at, fault), first=step, last=last, below=HOME)
    assert ending.ours, ending.error
    assert ending.error == "" or CLEAR.search(ending.error), ending.error
    return ending


@pytest.mark.parametrize("fault", FAULTS)
def test_one_failed_operation_harms_nothing(trials: Trials, fault: str) -> None:
    """Any one call on the home fails: the work goes on or ends with a clear message; repeated, it comes to its end."""
    for number in spread(trials.count("any", HOME), 9):
        trials.recover(failing(trials, fault, "any", number))


def test_a_disk_that_stays_full_harms_nothing(trials: Trials) -> None:
    """From some write on there is no room; once there is, the same work comes to its end."""
    for number in spread(trials.count("write", HOME), 6):
        ending = failing(trials, "ENOSPC", "write", number, stays=True)
        assert ending.error
        trials.recover(ending)


@pytest.mark.prove
@pytest.mark.timeout(0)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_single_operation_may_fail(trials: Trials, fault: str, kind: str, proof: Callable[..., None]) -> None:
    """The same at each, alone and for ever."""
    count = trials.count(kind, HOME)
    for number in range(1, count + 1):
        trials.recover(failing(trials, fault, kind, number))
        trials.recover(failing(trials, fault, kind, number, stays=True))
    proof("durability", f"{fault} at every {kind}, once and for ever", trials=2 * count, lost=0, doubled=0)


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A small disk of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, timeout=100).returncode:
        pytest.skip("mounting a small disk needs root and a container that allows it")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=100)


def hashward(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The real command."""
    return subprocess.run(
        ["python", "-m", "scanner", "--home", str(home), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=Path(__file__).parents[2],
    )


def pictures(folder: Path, first: int, last: int) -> Path:
    """Distinct small pictures."""
    folder.mkdir()
    for each in range(first, last):
        (folder / f"{each}.pgm").write_bytes(
            b"P5 64 64 255\n" + bytes((each * 7 + at * at) % 256 for at in range(4096))
        )
    return folder


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_the_command_on_a_small_disk(tmp_path: Path, trouble: str) -> None:
    """The real command on a disk without room, or mounted read-only: one sentence; then all is well."""
    media = pictures(tmp_path / "media", 0, 30)
    home = tmp_path / "disk"
    with mounted(home, "3m"):
        assert hashward(home, "scan", media).returncode == 0
        more = pictures(tmp_path / "more", 30, 60)
        if trouble == "full":
            (home / "filler").write_bytes(b"")
            with contextlib.suppress(OSError), (home / "filler").open("wb", 0) as filler:
                while True:
                    filler.write(bytes(4096))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True, timeout=100)
        failed = hashward(home, "scan", more)
        if trouble == "read-only":
            subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True, timeout=100)
        (home / "filler").unlink(missing_ok=True)

        assert failed.returncode not in (0, 1, 3)
        assert CLEAR.search(failed.stderr), failed.stderr
        assert "Traceback" not in failed.stderr
        assert str(tmp_path) not in failed.stderr
        assert hashward(home, "scan", more).returncode == 0
        with Site(home) as site:
            assert 60 == tallies.contents(site.ledger.db)
            assert [("ok",)] == site.ledger.db.execute("PRAGMA integrity_check").fetchall()


def test_media_that_cannot_be_read_is_never_clear(trials: Trials) -> None:
    """A disk of media that fails while it is read leaves its files owed, and the next scan looks at them."""
    trials.fresh()
    trials.run(Plan("open", 1, 10**9, "EIO"), below=("media",))

    assert work.faults(trials.base) == []
    with Site(trials.base / "home") as site:
        assert {b"upload", b"other upload"} >= {
            key for (key,) in site.ledger.db.execute("SELECT key FROM asset WHERE content_seq IS NOT NULL")
        }
        site.scan(trials.base / "media")
        assert not site.ledger.db.execute("SELECT 1 FROM asset WHERE content_seq IS NULL AND NOT gone").fetchall()
