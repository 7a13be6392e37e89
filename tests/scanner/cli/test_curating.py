"""What a person decides about sets, through the command: approve, diff, rollback, retire, mute."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.command import Hashward
from tests.scanner.fakes import Site, fake_media

SINK = '[[sink]]\nname = "provider"\nkind = "jsonl"\npath = "sent"\nhash_sets = ["set"]\n'
CONTENTS = [fake_media(comment=str(number)) for number in range(30)]
DIGESTS = [hashlib.sha256(content).hexdigest() for content in CONTENTS]


def write(path: Path, numbers: range) -> Path:
    """A list of some of the contents."""
    path.write_text("type,value,ref,scheme,code\n" + "".join(f"sha256,{DIGESTS[n]},r{n},s,A{n % 2}\n" for n in numbers))
    return path


@pytest.fixture
def hashward(hashward: Hashward, tmp_path: Path) -> Hashward:
    """A home with thirty contents, and a set of one of them that may be reported of and was."""
    with Site(hashward.home) as site:
        for number, content in enumerate(CONTENTS):
            site.upload(content, b"ref %d" % number)
    (hashward.home / "config.toml").write_text(SINK)
    hashward("hashset", "import", "set", write(tmp_path / "v1", range(1)))
    hashward("hashset", "approve", "set")
    tell(hashward)
    return hashward


def tell(hashward: Hashward) -> int:
    """Seal and deliver; how many reports were sealed."""
    sealed = hashward.json("reports", "seal")["sealed"]
    hashward("reports", "deliver")
    return int(sealed)


def sent(hashward: Hashward) -> list[dict[str, Any]]:
    """What left, in any order."""
    files = sorted((hashward.home / "sent").glob("*"))
    return [json.loads(line)["data"] for file in files for line in file.read_bytes().splitlines()]


def test_a_new_set_matches_in_shadow_until_it_is_approved(hashward: Hashward, tmp_path: Path) -> None:
    """The verdict is there at once, the first import says what comes next, and nothing leaves before."""
    imported = hashward("hashset", "import", "new", write(tmp_path / "list", range(2)))
    hashward("rescan")
    before, status = tell(hashward), hashward.json("status")
    (shown,) = [each for each in status["hash_sets"] if each["name"] == "new"]
    approved = hashward.json("hashset", "approve", "new")

    assert "nothing" not in imported.err
    assert "`hashward hashset approve new`" in imported.out.splitlines()[-1]
    assert (0, "shadow") == (before, shown["mode"])
    assert {"matches": 2, "contents": 2} == shown["waiting"]
    assert ("active", 1, 2, 2) == tuple(approved[key] for key in ("mode", "approved", "new_matches", "new_contents"))
    assert 2 == tell(hashward)
    assert {"new": "active", "set": "active"} == {e["name"]: e["mode"] for e in hashward.json("hashset", "list")}


def test_a_poisoned_version_is_held_and_nothing_of_it_leaves(hashward: Hashward, tmp_path: Path) -> None:
    """It would match a third of the contents: 0 reports leave, and every command that shows the set says so."""
    hashward("hashset", "import", "set", write(tmp_path / "v2", range(11)), "--complete")
    rescanned = hashward.real("rescan")
    status = hashward.json("status")["hash_sets"][0]
    history = hashward.json("hashset", "history", "set")

    assert 11 == rescanned.code
    assert "version 2 is held" in rescanned.err
    assert 0 == tell(hashward)
    assert 1 == len(sent(hashward))
    assert ["share"] == status["held"]["reasons"]
    assert {"matches": 10, "contents": 10} == status["waiting"]
    assert ["speaks", "held"] == [each["standing"] for each in history]
    assert "HELD" in hashward("status").out
    assert "version held" in hashward("hashset", "list").out
    assert "version 2 is held" in hashward("hashset", "show", "set").out


def test_a_storm_of_false_positives_is_stopped_by_one_command_and_its_reports_are_withdrawn(
    hashward: Hashward, tmp_path: Path
) -> None:
    """Somebody let a bad version speak; rolling it back withdraws every report it made, and no other."""
    hashward("hashset", "import", "set", write(tmp_path / "v2", range(11)), "--complete")
    hashward("hashset", "approve", "set")
    storm = tell(hashward)
    done = hashward("hashset", "rollback", "set", "--to", "1")
    withdrawn = tell(hashward)
    events = sent(hashward)
    undone = {each["withdraws"] for each in events if each["kind"] == "withdrawal"}

    assert (0, 10, 10) == (done.code, storm, withdrawn)
    assert {"set"} == {each["cause"] for each in events if each["kind"] == "withdrawal"}
    assert 10 == len(undone)
    assert {"r0"} == {e["ref"] for e in events} - {e["ref"] for e in events if e["kind"] == "withdrawal"}
    assert [None, None, 1] == [each["rollback_to"] for each in hashward.json("hashset", "history", "set")]
    assert hashward("hashset", "rollback", "set", "--to", "1").out.startswith("Nothing to take back")


def test_a_held_version_is_rolled_back_before_anything_of_it_left(hashward: Hashward, tmp_path: Path) -> None:
    """What a later version brings is measured against the list that was let speak."""
    hashward("hashset", "import", "set", write(tmp_path / "v2", range(11)), "--complete")
    hashward("rescan")
    hashward("hashset", "rollback", "set", "--to", "1")
    hashward("hashset", "import", "set", write(tmp_path / "v3", range(3)), "--complete")

    assert 0 == hashward("rescan").code
    assert 2 == tell(hashward)
    assert Counter({"match": 3}) == Counter(each["kind"] for each in sent(hashward))


@pytest.mark.parametrize("wrong", ["0", "2", "9"])
def test_a_set_goes_back_to_earlier_versions_only(wrong: str, hashward: Hashward, tmp_path: Path) -> None:
    """And a version that is no longer kept is refused by name."""
    hashward("hashset", "import", "set", write(tmp_path / "v2", range(2)), "--complete")

    assert 2 == hashward("hashset", "rollback", "set", "--to", wrong).code
    assert 2 == hashward("hashset", "approve", "set", "--version", "9").code


def test_a_difference_is_told_by_type_and_classification_and_by_refs(hashward: Hashward, tmp_path: Path) -> None:
    """Counts, and refs only where they are asked for; values never."""
    hashward("hashset", "import", "set", write(tmp_path / "v2", range(1, 4)), "--complete")
    hashward("rescan")
    told = hashward.json("hashset", "diff", "set", "--from", "1", "--entries")
    text = hashward("hashset", "diff", "set", "--from", "1", "--to", "2", "--entries").out

    assert (1, 2, 3, 1, 0) == tuple(told[key] for key in ("from", "to", "added", "withdrawn", "changed"))
    assert {"sha256": {"added": 3, "withdrawn": 1}} == told["types"]
    assert {"added": 2, "withdrawn": 0} == told["classifications"]["s:A1"]
    assert {"added": ["r1", "r2", "r3"], "withdrawn": ["r0"]}.items() <= told["entries"].items()
    assert "withdrawn r0" in text
    assert not [digest for digest in DIGESTS if digest in text or digest in json.dumps(told)]
    assert 2 == hashward("hashset", "diff", "set", "--from", "2", "--to", "1").code


def test_a_retired_set_withdraws_its_matches_and_may_come_back(hashward: Hashward) -> None:
    """`disable` withdraws nothing; `retire` does, and keeps the list."""
    hashward("hashset", "disable", "set")
    hashward("rescan")
    disabled = tell(hashward)
    hashward("hashset", "enable", "set")
    retired = hashward.json("hashset", "retire", "set")
    withdrawn, again = tell(hashward), hashward.json("hashset", "retire", "set")
    hashward("rescan")
    hashward("hashset", "approve", "set")

    assert (0, 1) == (disabled, withdrawn)
    assert ("retired", 1) == (retired["mode"], again["entries"])
    assert 1 == tell(hashward)
    assert {("match", None): 2, ("withdrawal", "set"): 1} == Counter((e["kind"], e["cause"]) for e in sent(hashward))


def test_an_entry_is_muted_for_a_time(hashward: Hashward) -> None:
    """With a reason, until a day; it is listed, and can be taken back."""
    mute = ("hashset", "mute", "set", "r0")
    wrong = [
        hashward(*mute).code,
        hashward(*mute, "--until", "2999-01-01").code,
        hashward(*mute, "--until", "1999-01-01", "--reason", "late").code,
        hashward(*mute, "--until", "tomorrow", "--reason", "when").code,
        hashward("hashset", "mute", "set", "r7", "--until", "2999-01-01", "--reason", "not listed").code,
        hashward(*mute, "--end").code,
    ]
    said = hashward(*mute, "--until", "2999-12-31", "--reason", "under appeal").out
    listed = hashward.json("hashset", "mute", "set")
    withdrawn = tell(hashward)
    shown = hashward("hashset", "show", "set").out
    ended = hashward(*mute, "--end").code

    assert [2] * 6 == wrong
    assert "1 content match" in said
    assert [("r0", "2999-12-31", "under appeal")] == [(m["ref"], m["until"], m["reason"]) for m in listed]
    assert (1, 0, 1) == (withdrawn, ended, tell(hashward))
    assert "muted until 2999-12-31: r0 (under appeal)" in shown
    assert {"rule", None} == {each["cause"] for each in sent(hashward)}
    assert not [each for each in sent(hashward) if "appeal" in json.dumps(each)]


def test_the_entries_that_match_most_are_named(hashward: Hashward, tmp_path: Path) -> None:
    """By ref, with how many contents."""
    hashward("hashset", "import", "set", write(tmp_path / "more", range(2)), "--add")
    hashward("rescan")

    assert [("r0", 1), ("r1", 1)] == [(e["ref"], e["contents"]) for e in hashward.json("hashset", "show", "set")["top"]]
    assert "matches most: r0 (1 content)" in hashward("hashset", "show", "set").out


def test_rules_and_bounds_are_switches_of_the_set(hashward: Hashward) -> None:
    """Each can be set and unset, and what cannot be followed is refused."""
    words = ("hashset", "set", "set")
    changed = hashward.json(
        *words, "--types", "sha256", "--types", "pdq", "--only", "s:A0", "--agreeing", 2,
        "--hold-matches", 7, "--hold-share", 0.5, "--hold-growth", 3, "--refuse-shrink", 0.1,
    )  # fmt: skip
    shown = hashward("hashset", "show", "set").out
    back = hashward.json(*words, "--types", "all", "--only", "all", "--agreeing", 1)
    wrong = [("--types", "photodna"), ("--agreeing", 0), ("--hold-share", 2), ("--hold-matches", -1), ("--only", "")]

    assert ["pdq", "sha256"] == changed["types"]
    assert (["s:A0"], 2) == (changed["only"], changed["agreeing"])
    assert {"matches": 7, "share": 0.5, "growth": 3.0, "shrink": 0.1} == changed["bounds"]
    assert "2 hash types of an entry must agree" in shown
    assert ([], [], 1) == (back["types"], back["only"], back["agreeing"])
    assert [2] * len(wrong) == [hashward(*words, *each).code for each in wrong]
