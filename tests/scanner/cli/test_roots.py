"""The `root` group: where storage lies, said by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import Hashward


def test_every_root_command_speaks_json(hashward: Hashward, folder: Path, tmp_path: Path) -> None:
    """Add, list, move, accept and remove print one document each."""
    added = hashward.json("root", "add", "pictures", folder)
    moved_to = folder.rename(tmp_path / "elsewhere")
    moved = hashward.json("root", "move", "pictures", moved_to)

    assert ("pictures", os.fspath(folder), False) == (added["name"], added["path"], added["completed"])
    assert os.fspath(moved_to) == moved["path"]
    assert "pictures" == hashward.json("root", "accept", "pictures")["name"]
    assert ["pictures"] == [each["name"] for each in hashward.json("root", "list")]
    assert "EU" == hashward.json("root", "region", "pictures", "EU")["region"]
    assert hashward.json("root", "region", "pictures", "--none")["region"] is None
    for wrong in (("pictures",), ("pictures", "a/b"), ("no", "EU")):
        assert 2 == hashward("root", "region", *wrong).code
    assert {"removed": "pictures"} == hashward.json("root", "remove", "pictures")
    assert [] == hashward.json("root", "list")


def test_a_root_that_moved_is_not_read_again(hashward: Hashward, folder: Path, tmp_path: Path) -> None:
    """What was scanned under the old path is known under the new one."""
    hashward("root", "add", "pictures", folder)
    while hashward.json("scan", "pictures")["opened_files"]:  # a file changed just now is read once more
        pass
    hashward("root", "move", "pictures", folder.rename(tmp_path / "elsewhere"))
    done = hashward.json("scan", "pictures")

    assert (3, 3) == (done["assets"], done["skipped"])


def test_a_suspect_root_shows_until_it_is_accepted(hashward: Hashward, folder: Path) -> None:
    """`root list` and `status` name it with the reason; accepting clears it."""
    hashward("root", "add", "pictures", folder)
    hashward("scan", "pictures")
    for file in folder.iterdir():
        file.unlink()
    hashward("scan", "pictures")

    assert "suspect (empty)" in hashward("root", "list").out
    assert "`hashward root accept pictures`" in hashward("status").out
    assert "empty" == hashward.json("root", "list")[0]["suspect"]
    assert 0 == hashward("root", "accept", "pictures").code
    assert hashward.json("root", "list")[0]["suspect"] is None


def test_roots_may_not_overlap(hashward: Hashward, folder: Path) -> None:
    """One file has one place."""
    (folder / "below").mkdir()
    hashward("root", "add", "pictures", folder)

    assert 2 == hashward("root", "add", "below", folder / "below").code
    assert 2 == hashward("root", "add", "above", folder.parent).code
    assert 2 == hashward("root", "add", "pictures", folder.parent).code


@pytest.mark.parametrize("name", [b"strange \x1b[31m", b"no utf-8 \xff"])
def test_a_strange_path_is_listed_harmlessly(name: bytes, hashward: Hashward, tmp_path: Path) -> None:
    """A folder's name cannot drive a terminal, and JSON keeps its bytes."""
    path = os.fsencode(tmp_path) + b"/" + name
    os.mkdir(path)
    assert 0 == hashward.real("root", "add", "strange", path).code
    shown = hashward.real("root", "list")

    assert 0 == shown.code
    assert "\x1b" not in shown.out
    assert path == os.fsencode(hashward.json("root", "list")[0]["path"])
