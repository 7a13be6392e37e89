"""Killed anywhere and started again, the ledger comes to the same end as one that was left in peace.

A child process scans, re-scans over a delta, and seals a small tree, and kills itself with SIGKILL at its n-th SQL
statement. Afterwards the same work is done again to its end, and everything that lasts is compared.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hashsets import sqlite
from hashsets.types import Bounds
from scanner.counts import CountRule
from scanner.ledger import coverage
from scanner.ledger.sealing import Listener
from scanner.reports import system_random
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256_entry
from tests.statements import die_at

LISTENERS = (
    Listener("sink", frozenset({"A"}), "urn:test"),
    Listener("counted", frozenset({"A"}), "urn:test", CountRule()),
)
FILES = 70  # more than one transaction of a walk
KILLS = 40


def contents() -> list[bytes]:
    """A tree's worth: some near each other, one in two places, one owed another look."""
    made = [fake_media(pdq(number % 9, number % 5), comment=str(number)) for number in range(FILES - 2)]
    return [*made, made[0], fake_media(pdq(77), pdq(78), sees=1)]


def prepare(base: Path) -> None:
    """A tree, a set at two versions, the first of which everything has met, and sealed reports; and a set whose second
    version brings so much, and withdraws what was told, that it is held."""
    (base / "media").mkdir(parents=True)
    for number, content in enumerate(contents()):
        (base / "media" / f"{number}").write_bytes(content)
    with Site(base / "home") as site:
        site.list_entries("A", sha256_entry(contents()[1], "r1"), entry_of(pdq(2), ref="r2"))
        site.store.set_bounds("A", Bounds(share=1.0))
        site.list_entries("H", sha256_entry(contents()[2], "h1"))
        site.upload(contents()[1], b"upload", base)
        site.upload(contents()[2], b"other upload", base)
        # Lies nowhere in the tree, so it meets a version in a re-scan alone: else a walk that was slow enough to record
        # a few files first would have the version judged by these.
        site.upload(fake_media(pdq(500)), b"upload that lies nowhere else", base)
        site.rescan()
        site.seal()
        added = [entry_of(pdq(3), ref="r3"), sha256_entry(contents()[0], "r4"), entry_of(pdq(78), ref="r5")]
        site.list_entries("A", *added, removed=[sha256_entry(contents()[1]).key])
        site.list_entries("H", *(entry_of(pdq(n), ref=f"h{n}") for n in (4, 5)), complete=True)


def work(base: Path) -> None:
    """What is killed: one walk and one re-scan, sealed, then the tree changes, and once more."""
    with Site(base / "home") as site:
        for _ in range(2):
            site.scan(base / "media")
            site.rescan()
            site.ledger.sealing.seal(system_random(), LISTENERS, site.day)
            moved = base / "media" / "5"
            if moved.exists():
                moved.rename(base / "media" / "moved")
            (base / "media" / "6").unlink(missing_ok=True)


def end(base: Path) -> dict[str, object]:
    """Everything that must not depend on whether there was a kill."""
    with Site(base / "home") as site:
        db = site.ledger.db
        names = dict(db.execute("SELECT seq, sha256 FROM content").fetchall())
        where = dict(db.execute("SELECT id, key FROM asset").fetchall())
        said = db.execute(
            "SELECT asset_id, entry_key, kind, withdraws IS NOT NULL, report_id IS NOT NULL FROM report ORDER BY id"
        )
        top = max(names)
        covered = {
            known.name: {coverage.at(db, known.uid, seq) for seq in range(1, top + 1)}
            for known in site.store.hash_sets()
        }
        return {
            "contents": set(names.values()),
            "signals": set(db.execute("SELECT sha256, extent, signals FROM content").fetchall()),
            "assets": set(db.execute("SELECT root_id, key, missing_at IS NULL, gone FROM asset").fetchall()),
            "held": {(key, names[seq]) for key, seq in db.execute("SELECT key, content_seq FROM asset")},
            "matches": site.matches(),
            "coverage": covered,
            "speech": {known.name: site.ledger.probation.of(known.uid) for known in site.store.hash_sets()},
            "said": Counter((where[asset], *rest) for asset, *rest in said),
            "pending": site.ledger.sealing.pending(),
            "counted": set(db.execute("SELECT hash_set, day, cell, reports FROM sealed_cell").fetchall()),
            "volume": set(db.execute("SELECT lane, media, extent, items, contents, bytes FROM volume").fetchall()),
            "flags": Counter(
                (names[seq], *rest)
                for seq, *rest in db.execute("SELECT content_seq, set_uid, hash_type, cause FROM flag").fetchall()
            ),
            "owed": Counter(report.body.ref for owed in site.ledger.sealing.owed() for report in owed.batch.reports),
        }


class Nursery:
    """A process that has imported everything and forks a child for each trial: a tenth of the time of a new one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scanner.ledger.test_crash"],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def killed_at(self, base: Path, statement: int) -> bool:
        """Do the work in a child that dies at that SQL statement; whether it died before it was done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{statement} {base}\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, -signal.SIGKILL)
        return status != 0

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=100)


def nurse() -> None:
    """The process behind `Nursery`."""
    for line in sys.stdin:
        statement, base = line.rstrip("\n").split(" ", 1)
        child = os.fork()
        if not child:
            die_at(int(statement))
            work(Path(base))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """One for all trials."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state every trial starts from."""
    base = tmp_path_factory.mktemp("crash") / "prepared"
    prepare(base)
    return base


@pytest.fixture(scope="module")
def undisturbed(prepared: Path) -> tuple[dict[str, object], int]:
    """The end of work left in peace, and how many statements it takes."""
    base = prepared.with_name("undisturbed")
    shutil.copytree(prepared, base)
    counted = die_at(0)
    try:
        work(base)
        statements = counted["statements"]
    finally:
        sqlite.on_connect.pop()
    return end(base), statements


def trial(nursery: Nursery, prepared: Path, statement: int) -> dict[str, object]:
    """Killed there, done again, and where that led."""
    base = prepared.with_name("killed")
    shutil.copytree(prepared, base)
    nursery.killed_at(base, statement)
    work(base)
    last = end(base)
    shutil.rmtree(base)
    return last


def test_killed_anywhere_and_done_again_nothing_is_lost_or_doubled(
    nursery: Nursery, prepared: Path, undisturbed: tuple[dict[str, object], int]
) -> None:
    """A spread of kills over all statements."""
    expected, statements = undisturbed
    spread = [statements * number // KILLS + 1 for number in range(KILLS)]
    draw = random.Random(20)
    for number in [at + draw.randrange(statements // KILLS) for at in spread]:
        assert expected == trial(nursery, prepared, number), number


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_killed_at_every_single_statement_nothing_is_lost_or_doubled(
    nursery: Nursery, prepared: Path, undisturbed: tuple[dict[str, object], int], proof: Callable[..., None]
) -> None:
    """The same at each."""
    expected, statements = undisturbed
    for number in range(1, statements + 1):
        assert expected == trial(nursery, prepared, number), number
    proof("durability", "held versions and a moved tree, killed at every statement", kills=statements, differences=0)


def test_a_version_is_held_in_the_end(undisturbed: tuple[dict[str, Any], int]) -> None:
    """And what it would say and take back is not said: the tests above compare that after every kill."""
    held = undisturbed[0]["speech"]["H"].held

    assert (2, ("share",)) == (held.version, held.reasons)
    assert 1 < held.matches
    assert undisturbed[0]["speech"]["A"].held is None


def test_a_kill_does_happen(nursery: Nursery, prepared: Path) -> None:
    """Else the tests above would show nothing."""
    base = prepared.with_name("shown")
    shutil.copytree(prepared, base)

    assert nursery.killed_at(base, 400)


if __name__ == "__main__":
    nurse()
