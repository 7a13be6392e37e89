"""What a person decides about sets: killed at any statement and decided again, it ends the same."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashsets.types import Mode
from scanner.curation import Curation
from tests.scanner.fakes import Site, fake_media, sha256_entry
from tests.scanner.ledger.test_crash import die_at

CONTENTS = [fake_media(comment=str(number)) for number in range(20)]
SPREAD = 12  # kills of each decision


def curation(site: Site) -> Curation:
    """Decisions about a site."""
    return Curation(site.store, site.ledger, site.clock, site.rescan)


def prepare(home: Path) -> None:
    """Twenty contents; set A speaks at version 1, was let speak at 2, and is held at 3; set B is new and in shadow."""
    with Site(home) as site:
        for number, content in enumerate(CONTENTS):
            site.upload(content, b"ref %d" % number)
        site.list_entries("A", sha256_entry(CONTENTS[0], "r0"))
        site.rescan()
        site.list_entries("A", *(sha256_entry(CONTENTS[n], f"r{n}") for n in range(1, 4)))
        site.rescan()
        site.seal()
        gone = [sha256_entry(CONTENTS[1]).key]
        site.list_entries("A", *(sha256_entry(CONTENTS[n], f"r{n}") for n in range(4, 14)), removed=gone)
        site.store.create("B", mode=Mode.SHADOW)
        site.list_entries("B", *(sha256_entry(CONTENTS[n], f"b{n}") for n in range(9)))
        site.rescan()


DECISIONS: dict[str, Callable[[Site], object]] = {
    "approve": lambda site: curation(site).approve("A"),
    "approve the first": lambda site: curation(site).approve("B"),
    "roll back": lambda site: curation(site).roll_back("A", 1),
    "retire": lambda site: curation(site).retire("A"),
    "mute": lambda site: curation(site).mute("A", "r2", site.day, "a storm"),
}


def end(home: Path) -> dict[str, object]:
    """Everything that must not depend on whether there was a kill."""
    with Site(home) as site:
        a = site.hash_set("A")
        speech = [site.ledger.probation.of(site.hash_set(name).uid) for name in "AB"]
        listed = sorted(entry.ref or "" for entry in site.store.entries(a.uid))
        return {
            "modes": [site.hash_set(name).mode for name in "AB"],
            "listed": listed,
            "matches": site.matches(),
            "said": Counter(site.said()),
            "speech": speech,
            "mutes": list(site.ledger.probation.mutes(a.uid)),
        }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home every trial starts from."""
    base = tmp_path_factory.mktemp("curation")
    prepare(base / "prepared")
    yield base / "prepared"
    shutil.rmtree(base)


def killed(home: Path, decide: Callable[[Site], object], statement: int) -> bool:
    """Decide in a child that dies at that SQL statement; whether it died."""
    child = os.fork()
    if not child:
        die_at(statement)
        with Site(home) as site:
            decide(site)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return bool(status)


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_that_is_killed_and_made_again_ends_the_same(name: str, prepared: Path) -> None:
    """And before it is made again nothing has left that should not."""
    calm, trial = prepared.with_name(f"calm {name}"), prepared.with_name(f"killed {name}")
    shutil.copytree(prepared, calm)
    with Site(calm) as site:
        DECISIONS[name](site)
        allowed = Counter(site.said())
    expected = end(calm)
    statement, step, kills = 1, 3, 0
    while True:
        shutil.copytree(prepared, trial)
        if not killed(trial, DECISIONS[name], statement):
            break
        kills += 1
        with Site(trial) as site:
            assert Counter(site.said()) <= allowed
            DECISIONS[name](site)
        assert expected == end(trial), statement
        shutil.rmtree(trial)
        statement += step
        step = step * 4 // 3 if kills > SPREAD else step

    assert kills > SPREAD


def test_a_held_version_speaks_by_approval_alone(prepared: Path) -> None:
    """What the trials above start from: ten new matches wait, a withdrawal too, and set B says nothing."""
    home = prepared.with_name("held")
    shutil.copytree(prepared, home)
    with Site(home) as site:
        before = Counter(site.said())
        done = curation(site).approve("A")
        after = Counter(site.said())

    assert Counter({("match", f"r{n}", None): 1 for n in range(4)}) == before
    assert (3, 10, 10) == (done.version, done.matches, done.contents)
    assert Counter({("withdrawal", "r1", "entry"): 1}) <= after
    assert 15 == after.total()


def test_a_rollback_lists_exactly_what_the_version_did(prepared: Path) -> None:
    """Entries, refs, values and marks; the source's checkpoint stays where it was."""
    home = prepared.with_name("back")
    shutil.copytree(prepared, home)
    with Site(home) as site:
        uid = site.hash_set("A").uid
        first = list(site.store.entries(uid, 2))
        version, differs = curation(site).roll_back("A", 2)
        now = list(site.store.entries(uid))
        again = curation(site).roll_back("A", 2)

    assert first == now
    assert (4, 2, True, False) == (version.version, version.rollback_to, differs, again[1])
