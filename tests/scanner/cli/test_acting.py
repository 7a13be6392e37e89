"""`actions` and `forget` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import Hashward
from tests.scanner.fakes import Site, fake_media, sha256_entry

REF = b"canary-ref-7f3a"


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """A home in which one upload matches, and a program that takes what it is told unless `down` exists."""
    with Site(tmp_path / "home") as site:
        site.upload(fake_media(), REF)
        site.list_entries("set", sha256_entry(fake_media(), "r"))
        site.rescan()
    act = tmp_path / "act"
    act.write_text(f"#!/bin/sh\ncd {tmp_path} || exit 1\n[ -e down ] && exit 1\ncat >>heard\n")
    act.chmod(0o700)
    (tmp_path / "home" / "config.toml").write_text(f'[actions]\ncommand = ["{act}"]\n')
    return Hashward(tmp_path / "home")


def test_owed_until_it_is_taken(hashward: Hashward, tmp_path: Path) -> None:
    """Exit 9 while it is owed, then 0; the record shows it, and the ref only to who asks."""
    (tmp_path / "down").touch()
    down = hashward("actions", "deliver")
    (tmp_path / "down").unlink()
    waiting, taken = hashward("actions", "deliver"), hashward("actions", "deliver", "--now", "--json")
    listed, shown = hashward("actions", "list", "--json"), hashward("actions", "list", "--show-paths")

    assert [9, 9, 0] == [down.code, waiting.code, taken.code]
    assert {"delivered": 1, "failed": 0, "waiting": 0} == taken.object
    assert REF.decode() == json.loads((tmp_path / "heard").read_text())["ref"]
    assert [("restrict", "delivered", 2)] == [(row["verb"], row["state"], row["attempts"]) for row in listed.objects]
    assert REF.decode() not in listed.out + down.out + down.err + waiting.out
    assert REF.decode() in shown.out


def test_status_counts_what_is_owed_and_taken(hashward: Hashward, tmp_path: Path) -> None:
    """Owed and failing while the target is down, taken after that; a line of its own for people."""
    (tmp_path / "down").touch()
    hashward("actions", "deliver")
    down = hashward.json("status")["actions"]
    (tmp_path / "down").unlink()
    hashward("actions", "deliver", "--now")

    assert {"configured": True, "delivered": 0, "owed": 1, "failing": 1, "dropped": 0} == down
    assert {"configured": True, "delivered": 1, "owed": 0, "failing": 0, "dropped": 0} == hashward.json("status")[
        "actions"
    ]
    assert "actions  1 taken, 0 owed\n" in hashward("status").out


def test_without_a_target_it_says_what_to_set(hashward: Hashward) -> None:
    """Nothing is lost meanwhile: the action is drawn when there is somebody to tell."""
    (hashward.home / "config.toml").unlink()
    done = hashward("actions", "deliver")

    assert (2, True) == (done.code, "[actions]" in done.err)


def test_forget_takes_refs_and_prints_none(hashward: Hashward) -> None:
    """One that is known, one that is not; the second time neither is."""
    done, again = hashward("forget", REF.decode(), "other", "--json"), hashward("forget", REF.decode())

    assert {"forgotten": 1, "unknown": 1} == done.object
    assert "0 uploads forgotten, 1 not known." == again.out.strip()
    assert REF.decode() not in done.out + done.err + again.out + again.err


@pytest.mark.parametrize(("end", "options"), [(b"\n", []), (b"\0", ["-z"])], ids=["lines", "nul"])
def test_forget_reads_refs_from_standard_input(hashward: Hashward, end: bytes, options: list[str]) -> None:
    """Many of them, in any bytes; the last needs no end."""
    many = end.join([b"\xff%d" % number for number in range(20_000)] + [REF])
    done = hashward.real("forget", "-", *options, "--json", stdin=many)

    assert {"forgotten": 1, "unknown": 20_000} == json.loads(done.out)


LONG = [b"x" * 600, b"a\n" + b"x" * 600 + b"\nb\n", b"x" * 10**6]


@pytest.mark.parametrize("stdin", LONG, ids=["at-end", "between", "big"])
def test_a_ref_that_cannot_be_one_is_refused(hashward: Hashward, stdin: bytes) -> None:
    """Exit 2 and a sentence that repeats nothing of it."""
    done = hashward.real("forget", "-", stdin=stdin)

    assert 2 == done.code
    assert "xxx" not in done.err
