"""`hashset resolve`: a person decides what two lists contradict each other about."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.command import Hashward


@pytest.fixture
def held(hashward: Hashward, folder: Path, listed: Path, tmp_path: Path) -> str:
    """A picture that is listed and known good at once; the ref of the entry that lists it."""
    (tmp_path / "refs.csv").write_text(f"type,value,ref\nsha256,{listed.read_text().split()[1]},case-7\n")
    hashward("hashset", "import", "set", tmp_path / "refs.csv", "--approve")
    hashward("hashset", "import", "good", listed, "--role", "known_good")
    hashward("scan", folder)
    assert 1 == hashward.json("status")["outcomes"]["held"]
    return "case-7"


def pending(hashward: Hashward) -> int:
    """Reports that wait to be sealed."""
    return int(hashward.json("status")["reports"]["pending"])


def test_what_is_held_is_listed_and_reported_once_the_list_is_found_right(hashward: Hashward, held: str) -> None:
    """The report follows the decision, and goes again when it is taken back before it left."""
    listed, before = hashward.json("hashset", "resolve", "set"), pending(hashward)
    hashward("hashset", "resolve", "set", held, "--as", "report")
    after = hashward.json("status")
    hashward("hashset", "resolve", "set", held, "--as", "undecided")

    assert [{"ref": held, "contents": 1, "decided": None}] == listed
    assert (0, 1, 0, 1) == (
        before,
        after["reports"]["pending"],
        after["outcomes"]["held"],
        after["outcomes"]["matched"],
    )
    assert (0, 1) == (pending(hashward), hashward.json("status")["outcomes"]["held"])


def test_what_is_known_good_after_all_is_suppressed_and_stays_so(hashward: Hashward, folder: Path, held: str) -> None:
    """Also for a copy found later, and over a re-scan."""
    hashward("hashset", "resolve", "set", held, "--as", "known-good")
    (folder / "copy.ppm").write_bytes((folder / "one.ppm").read_bytes())
    hashward("scan", folder)
    hashward("rescan")
    outcomes = hashward.json("status")["outcomes"]

    assert (0, 0, 2) == (outcomes["matched"], outcomes["held"], outcomes["suppressed"])
    assert 0 == pending(hashward)
    assert [{"ref": held, "contents": 1, "decided": "known_good"}] == hashward.json("hashset", "resolve", "set")


def test_a_decision_holds_for_contents_found_later(hashward: Hashward, folder: Path, tmp_path: Path, held: str) -> None:
    """It is about the entry, not about the file that was at hand."""
    hashward("hashset", "resolve", "set", held, "--as", "report")
    other = b"another content"
    (folder / "other").write_bytes(other)
    digest = hashlib.sha256(other).hexdigest()
    (tmp_path / "more.csv").write_text(f"type,value,ref\nsha256,{digest},case-8\n")
    (tmp_path / "good").write_text(f"sha256 {digest}\n")
    hashward("hashset", "import", "set", tmp_path / "more.csv", "--add")
    hashward("hashset", "import", "good", tmp_path / "good", "--add")
    hashward("rescan")
    hashward("scan", folder)

    assert (1, 1) == (pending(hashward), hashward.json("status")["outcomes"]["held"])


def test_a_decision_about_nothing_held_is_refused(hashward: Hashward, held: str) -> None:
    """With what to do instead; and half a decision is none."""
    assert 2 == hashward("hashset", "resolve", "set", "case-9", "--as", "report").code
    assert 2 == hashward("hashset", "resolve", "set", held).code
    assert 2 == hashward("hashset", "resolve", "set", "--as", "report").code
    assert "Nothing is held." in hashward("hashset", "resolve", "good").out
