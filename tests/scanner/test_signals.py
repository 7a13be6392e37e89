"""The signals of files without any database: every file has an answer, in the order of the walk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanner.errors import UsageError
from scanner.signals import signals_of
from scanner.types import Reason
from scanner.walking import WalkRules
from tests.scanner.fakes import FakeFingerprinter, fake_media


def look(*paths: Path | bytes, rules: WalkRules | None = None) -> dict[bytes, Reason | None]:
    """What became of each path."""
    named = [os.fsencode(path) for path in paths]
    found = list(signals_of(named, FakeFingerprinter(), lanes=2, rules=rules or WalkRules()))

    assert len(found) == len({each.path for each in found})
    return {each.path: each.trouble for each in found}


def test_every_file_below_a_folder_has_an_answer(tmp_path: Path) -> None:
    """More files than fit in hand at once, each once."""
    for number in range(50):
        (tmp_path / f"{number}").write_bytes(fake_media())

    assert {os.fsencode(tmp_path / f"{number}"): None for number in range(50)} == look(tmp_path)


def test_paths_are_given_back_as_they_were_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative stays relative, and bytes that are no text survive."""
    monkeypatch.chdir(tmp_path)
    os.mkdir(b"a")
    Path(os.fsdecode(b"a/\xff")).write_bytes(b"x")

    assert {b"a/\xff": None} == look(b"a")
    assert {b"./a/\xff": None} == look(b"./a/\xff")


def test_a_folder_that_cannot_be_entered_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    """What lies too deep is answered for by its folder."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep").write_bytes(b"x")
    (tmp_path / "top").write_bytes(b"x")

    assert {os.fsencode(tmp_path / "top"): None, os.fsencode(tmp_path / "a" / "b"): Reason.IO} == look(
        tmp_path, rules=WalkRules(max_depth=1)
    )


def test_what_the_rules_leave_out_has_no_answer(tmp_path: Path) -> None:
    """An excluded folder was meant to be left out."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_bytes(b"x")

    assert {} == look(tmp_path, rules=WalkRules(exclude=(b"out/",)))


@pytest.mark.parametrize("what", ["nothing", "fifo", "dangling", "empty", "nul"])
def test_a_path_that_is_neither_file_nor_folder_is_refused_before_any_answer(what: str, tmp_path: Path) -> None:
    """A FIFO would make us wait for ever; a mistyped path must not pass for an empty folder."""
    (tmp_path / "good").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nothing")
    bad = {"empty": b"", "nul": b"a\0b"}.get(what, os.fsencode(tmp_path / what))
    answers = signals_of([os.fsencode(tmp_path / "good"), bad], FakeFingerprinter(), lanes=1, rules=WalkRules())

    with pytest.raises(UsageError):
        next(answers)
