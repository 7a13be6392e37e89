"""`scan --clamscan` speaks like clamscan: its options, its lines, its exit codes, and 2 for whatever it cannot do."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from scanner.cli.clamscan import parse
from scanner.errors import UsageError
from tests.command import Hashward

BLOCKED = re.compile(r"Policy\.Blocked\.[2-9A-Z]{6,}")


def picture(colour: int) -> bytes:
    """A small PNG."""
    made = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).point(lambda v: (v + colour) % 256).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def listed(tmp_path: Path) -> Hashward:
    """A home with one listed picture; it and others stand in files/."""
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "listed.png").write_bytes(picture(0))
    (folder / "sub" / "listed too.png").write_bytes(picture(0))
    (folder / "fine.png").write_bytes(picture(99))
    (folder / "empty").write_bytes(b"")
    (folder / "cut.png").write_bytes(picture(50)[:-20])
    command = Hashward(tmp_path / "home")
    (tmp_path / "list").write_text(hashlib.sha256(picture(0)).hexdigest())
    assert 0 == command("hashset", "import", "mine", tmp_path / "list", "--type", "sha256").code
    assert 0 == command("hashset", "approve", "mine").code
    return command


def lines(out: str) -> list[str]:
    """What was printed, the names of what was found made equal, in any order."""
    return sorted(BLOCKED.sub("NAME", line).replace("Listed.UNOFFICIAL", "NAME") for line in out.splitlines())


def test_lines_and_codes_are_clamscans(listed: Hashward, tmp_path: Path) -> None:
    """Files, folders with and without -r, hits alone, what is missing: compared with clamscan itself where it is."""
    clamscan = shutil.which("clamscan")
    if clamscan is None:
        pytest.skip("needs clamscan (Debian: clamav)")
    files = tmp_path / "files"
    (files / "cut.png").unlink()  # clamscan says OK to it
    (tmp_path / "db").mkdir()
    digest, size = hashlib.sha256(picture(0)).hexdigest(), len(picture(0))
    (tmp_path / "db" / "list.hsb").write_text(f"{digest}:{size}:Listed\n")
    for words in (
        [files / "listed.png"],
        [files / "fine.png", files / "empty"],
        ["-i", "-r", files],
        [files],
        ["--max-filesize=2000M", files / "fine.png", "/nonexistent"],
        ["/nonexistent", files / "listed.png"],
        ["--nosuch", files],
    ):
        theirs = subprocess.run(
            [clamscan, "-d", tmp_path / "db", "--no-summary", *words], capture_output=True, text=True, timeout=120
        )
        ours = listed("scan", "--clamscan", "--no-summary", *words)

        assert (theirs.returncode, lines(theirs.stdout)) == (ours.code, lines(ours.out)), words


def test_standard_input_is_read_as_nextcloud_sends_it(listed: Hashward, tmp_path: Path) -> None:
    """`-` is labelled stdin; found, clear, and cut, which is neither: code 2, for which it has no rule."""
    call = ("scan", "--clamscan", "--no-summary", "-")
    found = listed.real(*call, stdin=picture(0))
    assert (1, ["stdin: NAME FOUND"]) == (found.code, lines(found.out))
    cut = listed.real(*call, stdin=bytes(26_214_400))
    assert (2, "stdin: Undecidable cut ERROR\n") == (cut.code, cut.out)
    fine = listed.real(*call, stdin=picture(99))
    assert (0, "stdin: OK\n") == (fine.code, fine.out)


def test_what_cannot_be_judged_ends_as_the_caller_chooses(listed: Hashward, tmp_path: Path) -> None:
    """2 unless it says otherwise: a caller that lets errors pass asks for `found`. What is cut is never OK."""
    cut = tmp_path / "files" / "cut.png"
    assert 2 == listed("scan", "--clamscan", cut).code
    found = listed("scan", "--clamscan", "--no-summary", "--on-undecidable=found", cut)
    assert (1, f"{cut}: Policy.Undecidable FOUND\n") == (found.code, found.out)


def test_the_summary_has_clamscans_form(listed: Hashward, tmp_path: Path) -> None:
    """Unless --no-summary is said."""
    out = listed("scan", "--clamscan", "-ri", tmp_path / "files").out

    assert "----------- SCAN SUMMARY -----------\nKnown viruses: 1\nEngine version: " in out
    assert "\nScanned directories: 2\nScanned files: 4\nInfected files: 2\nTotal errors: 1\n" in out


@pytest.mark.parametrize(
    "words",
    [["--remove", "x"], ["--move=y", "x"], ["--copy", "y", "x"], ["-l", "log", "x"], ["--nosuch"], ["-d"], ["-X"]],
)
def test_what_nobody_does_here_is_refused(words: list[str]) -> None:
    """A caller that counts on a file's removal hears that it does not happen."""
    with pytest.raises(UsageError):
        parse(words)


def test_options_are_read_as_getopt_reads_them(tmp_path: Path) -> None:
    """Joined, apart, short ones together, values of the engine's own thrown away, words after -- are paths."""
    (tmp_path / "list").write_bytes(b"/a\n/b c\n\n")
    words = [
        "-ri",
        "-d/db",
        "--tempdir",
        "/t",
        "--max-files=3",
        "--remove=no",
        "-f",
        str(tmp_path / "list"),
        "-",
        "--",
        "-x",
    ]
    call = parse(words)

    assert [b"/a", b"/b c", b"-", b"-x"] == call.paths
    assert {"recursive", "infected"} == call.flags


def test_no_fault_of_ours_looks_like_an_answer(tmp_path: Path) -> None:
    """A home that cannot be opened is code 2: callers know 0, 1 and 2 and nothing else."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "hashsets.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    done = Hashward(home)("scan", "--clamscan", "--no-summary", "/dev/null")

    assert 2 == done.code
    assert "Traceback" not in done.err
