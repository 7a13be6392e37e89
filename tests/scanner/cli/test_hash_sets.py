"""The `hashset` group: lists in, sets shown and changed."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashsets.migrations import MIGRATIONS
from hashsets.sqlite import Database
from samples.scenes import scene
from scanner.hashing import pdq
from tests.command import Hashward

VALUES = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(300)]


def write(path: Path, values: list[str]) -> Path:
    path.write_text("".join(f"sha256 {value}\n" for value in values))
    return path


@pytest.fixture
def full(hashward: Hashward, tmp_path: Path) -> Hashward:
    """A home with a set of three hundred entries."""
    assert 0 == hashward("hashset", "import", "set", write(tmp_path / "v1", VALUES)).code
    return hashward


def test_every_set_command_speaks_json(full: Hashward) -> None:
    """Each prints one JSON document and nothing else."""
    assert ["set"] == [each["name"] for each in full.json("hashset", "list")]
    assert 300 == full.json("hashset", "show", "set")["entries"]
    assert [300] == [each["added"] for each in full.json("hashset", "history", "set")]
    assert [] == full.json("hashset", "verify", "set")["problems"]
    assert {"pdq": 20} == full.json("hashset", "set", "set", "--radius", "pdq=20")["radius_bits"]
    assert not full.json("hashset", "disable", "set")["enabled"]
    assert full.json("hashset", "enable", "set")["enabled"]
    assert {"removed": "set"} == full.json("hashset", "remove", "set")
    assert [] == full.json("hashset", "list")


def test_every_set_command_speaks_to_people(full: Hashward) -> None:
    """Each says what it did and what comes next."""
    assert "alert" in full("hashset", "list").out
    assert full("hashset", "show", "set").out.startswith("set: 300 entries at version 1\n")
    assert "complete" in full("hashset", "history", "set").out
    assert "Nothing wrong.\n" == full("hashset", "verify", "set").out
    assert "rescan" in full("hashset", "set", "set", "--mode", "active").out
    assert "Nothing to change.\n" == full("hashset", "set", "set", "--mode", "active").out
    assert "Nothing is withdrawn" in full("hashset", "disable", "set").out
    assert "rescan" in full("hashset", "enable", "set").out
    assert "rescan" in full("hashset", "remove", "set").out
    assert "hashset import" in full("hashset", "list").out


def test_a_dry_run_says_what_would_be_and_changes_nothing(full: Hashward, tmp_path: Path) -> None:
    """The version it names is the one that would come."""
    said = full("hashset", "import", "set", write(tmp_path / "v2", VALUES[:299]), "--complete", "--dry-run").out

    assert "would be version 2, 299 entries (0 added, 0 changed, 1 withdrawn, 299 unchanged)" in said
    assert said.endswith("its entries match 0 of 0 contents held\n")
    assert 300 == full.json("hashset", "show", "set")["entries"]


def test_a_dry_run_of_a_list_that_only_withdraws_matches_nothing(full: Hashward, tmp_path: Path) -> None:
    """There is nothing to join."""
    path = tmp_path / "gone"
    signals = [{"type": "md5", "value": f"{77:032x}"}]
    path.write_text(json.dumps({"ref": "r", "signals": signals, "withdrawn": True}) + "\n")
    told = full.json("hashset", "import", "set", str(path), "--add", "--dry-run")

    assert {"contents": 0, "of": 0} == told["would_match"]


def test_a_list_of_one_is_told_in_the_singular(hashward: Hashward, tmp_path: Path) -> None:
    """One entry is an entry."""
    assert "1 entry (1 added" in hashward("hashset", "import", "set", write(tmp_path / "v1", VALUES[:1])).out


def test_a_second_list_must_say_whether_it_adds_or_replaces(full: Hashward, tmp_path: Path) -> None:
    """Neither is guessed, and a list that would empty a set is held back until it is allowed."""
    short = write(tmp_path / "v2", VALUES[:100])

    assert 2 == full("hashset", "import", "set", short).code
    assert 0 == full.json("hashset", "import", "set", short, "--add")["withdrawn"]
    assert 4 == full("hashset", "import", "set", short, "--complete").code
    assert 200 == full.json("hashset", "import", "set", short, "--complete", "--allow-shrink")["withdrawn"]


@pytest.mark.parametrize(
    "written",
    [
        VALUES[0].upper().encode(),
        b"\xef\xbb\xbf" + VALUES[0].encode() + b"\r\n",
        f"\ufeff{VALUES[0]}\r\n".encode("utf-16-le"),
        base64.b64encode(bytes.fromhex(VALUES[0])),
    ],
)
def test_lists_are_read_however_they_were_saved(written: bytes, hashward: Hashward, tmp_path: Path) -> None:
    """Upper case, byte order marks, line ends of another system, UTF-16 and base64 list the same value."""
    (tmp_path / "list").write_bytes(written)

    assert 1 == hashward.json("hashset", "import", "set", tmp_path / "list", "--type", "sha256")["added"]
    assert 1 == hashward("lookup", "sha256", VALUES[0]).code


def test_a_list_may_come_through_a_pipe(hashward: Hashward) -> None:
    """`-` is standard input; an empty one is refused and leaves no set behind."""
    full, empty = (
        hashward.real("hashset", "import", name, "-", "--json", stdin=text)
        for name, text in (("set", f"sha256 {VALUES[0]}"), ("other", ""))
    )

    assert 1 == full.object["added"]
    assert 4 == empty.code
    assert ["set"] == [each["name"] for each in hashward.json("hashset", "list")]


@pytest.mark.parametrize(
    "change",
    ["--radius pdq=65", "--radius sha256=1", "--radius pdq", "--floor pdq=101", "--floor phash=1", "--query-share nan"],
)
def test_an_impossible_rule_is_refused(change: str, full: Hashward) -> None:
    """A rule under which everything matches, or nothing can, is not taken."""
    before = full.json("hashset", "show", "set")
    done = full("hashset", "set", "set", *change.split())

    assert 2 == done.code
    assert before == full.json("hashset", "show", "set")


def test_problems_of_a_set_end_in_6(full: Hashward) -> None:
    """Rows that do not agree are found and told."""
    with Database.open(full.home / "hashsets.db", MIGRATIONS) as database, database.write() as connection:
        connection.execute("DELETE FROM entry WHERE id = (SELECT min(id) FROM entry)")
    done = full("hashset", "verify", "set")

    assert 6 == done.code
    assert done.out != "Nothing wrong.\n"


def test_edits_to_undo_are_part_of_the_rule(full: Hashward) -> None:
    """Named one by one, taken back by `none`, told to people and programs; an unknown one is refused."""
    assert ["trimmed", "uncropped"] == full.json("hashset", "set", "set", "--undo", "trimmed", "--undo", "uncropped")[
        "edits"
    ]
    assert "edited: trimmed, uncropped" in full("hashset", "show", "set").out
    assert ["trimmed", "uncropped"] == full.json("hashset", "set", "set", "--radius", "pdq=20")["edits"]
    assert 2 == full("hashset", "set", "set", "--undo", "blurred").code
    assert [] == full.json("hashset", "set", "set", "--undo", "none")["edits"]


def test_a_letterboxed_copy_is_found_once_a_set_asks(hashward: Hashward, tmp_path: Path) -> None:
    """Not before; then what was scanned owes the reading, and pays with `scan --owed`; taken back, the match goes."""
    original = scene(4, (400, 300))
    boxed = Image.new("RGB", (400, 400))
    boxed.paste(original, (0, 50))
    (tmp_path / "media").mkdir()
    boxed.save(tmp_path / "media" / "boxed.png")
    (tmp_path / "list").write_text(f"pdq {pdq(np.asarray(original))[0].value.hex()}\n")
    hashward("hashset", "import", "set", tmp_path / "list")

    assert 0 == hashward.json("scan", tmp_path / "media")["matched"]
    hashward("hashset", "set", "set", "--undo", "trimmed")
    assert 0 == hashward.json("rescan")["matched"]
    assert 1 == hashward.json("scan", "--owed", tmp_path / "media")["matched"]
    hashward("hashset", "set", "set", "--undo", "none")
    assert 1 == hashward.json("rescan")["matches_withdrawn"]
