"""The `case` and `hold` groups and `retain`, as somebody at a terminal meets them."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scanner.cli import main
from tests.command import Done, Hashward
from tests.scanner.accountability.people import Office

CANARIES = ("upload-near", "upload-exact")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Matches and people, today."""
    made = Office(tmp_path / "home", start_ns=time.time_ns())
    yield made
    made.close()


@pytest.fixture
def hashward(office: Office) -> Hashward:
    """The command over that home."""
    return Hashward(office.site.home)


def fed(hashward: Hashward, stdin: bytes, *words: str) -> Done:
    """Run with something on standard input."""
    done = CliRunner().invoke(main, ["--home", str(hashward.home), *words], input=stdin)
    return Done(done.exit_code, done.stdout, done.stderr)


def test_a_case_from_report_to_register(hashward: Hashward) -> None:
    """Opened, found, decided by two, contested, overturned, and in the register without anybody's name."""
    cases = hashward.json("case", "review", "--next", 5)
    near = next(each["case"] for each in cases if each["proximity"] == "near")
    for who in ("ann", "abe"):
        said = ("case", "outcome", near, "confirmed", "--reason", "listed_material", "--by", who, "--viewed")
        state = hashward.json(*said)["state"]
    appealed = hashward.json("case", "appeal", near, "--ticket", "T-1")
    for who in ("sue", "sid"):
        hashward("case", "outcome", near, "not_confirmed", "--reason", "other_picture", "--by", who, "--viewed")
    shown = hashward.json("case", "show", near)
    rows = list(csv.DictReader(io.StringIO(hashward("case", "register", "--csv").out)))
    text = hashward("case", "show", near).out + hashward("case", "list").out + hashward("case", "register").out

    assert 2 == len(cases)
    assert "decided" == state
    assert ["senior"] == [each["level"] for each in appealed]
    assert ("decided", "not_confirmed", 2) == (shown["state"], shown["outcome"], shown["round"])
    assert ["confirmed", "", "not_confirmed"] == [row["outcome"] for row in sorted(rows, key=lambda row: row["level"])][
        :3
    ]
    assert not any(canary in text for canary in CANARIES)
    assert not any(name in json.dumps(rows) for name in ("abe", "sue", "T-1", near))


def test_a_complaint_by_ref_comes_by_standard_input(hashward: Hashward) -> None:
    """So that the ref shows in no list of processes; what it is about is not told."""
    done = fed(hashward, b"upload-near\n", "case", "appeal", "-", "--json")
    unknown = fed(hashward, b"canary-unknown\n", "case", "appeal", "-")

    assert ["near"] == [each["proximity"] for each in done.object]
    assert 2 == unknown.code
    assert "canary" not in unknown.err


def test_a_hold_and_what_retention_does(hashward: Hashward, office: Office) -> None:
    """What is held stays, what is not is erased, and status tells both."""
    held = fed(hashward, b"upload-near", "hold", "place", "-", "--request", "REQ-1", "--json").object
    hashward("hold", "receipt", held["hold"], "STORE-9")
    office.site.upload(b"fake image\nplain", b"plain-canary")
    (hashward.home / "config.toml").write_text('[retain]\nunmatched = "none"\nmatched = 365\nrules = ["eu"]\n')
    done = hashward.json("retain")
    standing = hashward.json("status")["retention"]
    shown = hashward("hold", "list").out + hashward("retain").out + hashward("status").out

    assert 1 == done["erased"]["unmatched"]["contents"]
    assert ("STORE-9", False) == (hashward.json("hold", "list")[0]["receipt"], held["over_eu_ceiling"])
    assert (1, 1, []) == (standing["erased_unmatched"], standing["holds"], standing["conflicts"])
    assert "STORE-9" in shown
    assert "unmatched none, matched 365 days" in shown
    assert not any(canary in shown for canary in (*CANARIES, "plain-canary"))


@pytest.mark.parametrize(
    "words",
    [
        ("case", "show", "case-canary"),
        ("case", "review"),
        ("case", "review", "canary"),
        ("case", "appeal", "canary"),
        ("case", "outcome", "case-2222222222", "confirmed", "--reason", "wrong_entry", "--by", "ann"),
        ("case", "outcome", "case-2222222222", "canary", "--reason", "wrong_entry", "--by", "ann"),
        ("case", "reviewer", "add", "Canary Name", "--level", "analyst"),
        ("case", "reviewer", "end", "canary"),
        ("case", "register", "--from", "canary"),
        ("case", "export", "case-2222222222", "", "--by", "ann"),
        ("hold", "place", "canary"),
        ("hold", "extend", "hold-canary", "--request", "x"),
    ],
    ids=lambda words: "-".join(word for word in words if word)[:40],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(hashward: Hashward, words: tuple[str, ...]) -> None:
    """And repeats nothing that was typed."""
    done = hashward(*words)

    assert 2 == done.code
    assert done.err.startswith("hashward: ")
    assert "canary" not in done.err.lower()
