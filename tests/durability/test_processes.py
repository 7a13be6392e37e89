"""Several processes on one home, checkpoints forced all the time: no write is lost, nothing is said twice."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashsets import sqlite
from hashsets.errors import DriverRefused
from scanner import delivery
from scanner.ledger import coverage
from scanner.reports import system_random
from tests.durability import stress, work
from tests.scanner.fakes import Site, parse_fake, sha256


def run(base: Path, seconds: float) -> list[dict[str, object]]:
    """All roles at once for so long; what they said was done."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    (base / "config.toml").write_text('[[sink]]\nname = "file"\nkind = "jsonl"\npath = "out"\nhash_sets = ["A"]\n')
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.durability.stress", role, str(base), str(seconds)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in stress.ROLES
    ]
    answers = [process.communicate(timeout=seconds + 600) for process in processes]
    assert {0} == {process.returncode for process in processes}, "\n".join(errors for _, errors in answers)
    assert {""} == {errors for _, errors in answers}
    return [json.loads(line) for said, _ in answers for line in said.splitlines()]


def check(base: Path, said: list[dict[str, object]]) -> dict[str, int]:
    """Everything said to be done is so, and what follows from it is exactly what brute force says; the counts."""
    held = {(role, number) for one in said for role, number in one.get("held", ())}  # type: ignore[attr-defined]
    version = max(one["listed"] for one in said if "listed" in one)  # type: ignore[type-var]
    listed = stress.listed(version)  # type: ignore[arg-type]
    with Site(base / "home") as site:
        site.rescan()
        delivery.seal(site.ledger, work.settings(base), site.clock, system_random())
        delivery.deliver(site.ledger, work.settings(base), site.clock, even_if_waiting=True)
        db = site.ledger.db
        for database in (site.store, db):
            with database.read() as reading:
                assert [("ok",)] == reading.execute("PRAGMA integrity_check").fetchall()
        assert [] == site.store.verify("A")
        (known,) = site.store.hash_sets()
        assert known.entries == len(listed)
        contents = dict(db.execute("SELECT sha256, seq FROM content").fetchall())
        assert {sha256(stress.content(*one)) for one in held} == set(contents)
        assert len(held) == db.execute("SELECT count(*) FROM asset WHERE NOT gone").fetchone()[0]
        target = coverage.Met(known.rule_revision, known.version)
        assert {target} == {coverage.at(db, known.uid, seq) for seq in contents.values()}
        rows = db.execute(
            "SELECT c.sha256, substr(m.entry_key, 5) FROM match m JOIN content c ON c.seq = m.content_seq"
            " WHERE m.state = 'active'"
        )
        matches = Counter((digest, bytes(key).decode()) for digest, key in rows)
    expected = {
        (sha256(content), ref) for one in held for content in [stress.content(*one)] for ref in met(content, listed)
    }
    assert Counter(expected) == matches
    events = check_events(base, matches)
    return {"contents": len(held), "versions": version, "matches": len(expected), "events": events}  # type: ignore[dict-item]


def met(content: bytes, listed: dict[str, tuple[str, bytes]]) -> Iterator[str]:
    """The refs a content meets, by brute force."""
    (signal,) = parse_fake(content).signals
    digest, number = sha256(content), int.from_bytes(signal.value)
    for ref, (hash_type, value) in listed.items():
        if value == digest if hash_type == "sha256" else (number ^ int.from_bytes(value)).bit_count() <= 31:
            yield ref


def check_events(base: Path, matches: Counter[tuple[bytes, str]]) -> int:
    """What left, added up, says of each entry what is true of it now, and no event left twice; how many left."""
    events = work.left(base)
    assert len({event["id"] for event in events}) == len(events)
    standing: Counter[str] = Counter()
    for event in events:
        standing[event["data"]["ref"]] += 1 if event["data"]["kind"] == "match" else -1
    withdrawn = [event["data"]["withdraws"] for event in events if event["data"]["withdraws"]]
    assert len(set(withdrawn)) == len(withdrawn)
    assert {event["id"] for event in events} >= set(withdrawn)
    assert Counter(ref for _, ref in matches) == +standing
    return len(events)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where there is one: more writes a second."""
    with tempfile.TemporaryDirectory(prefix="stress-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder) / "base"


def test_processes_that_share_a_home_lose_nothing(base: Path) -> None:
    """Two scans, uploads, re-scans, imports, sealing and delivery at once."""
    counts = check(base, run(base, 5))

    assert counts["contents"] > 60
    assert counts["versions"] > 3


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_an_hour_of_it(base: Path, pytestconfig: pytest.Config, proof: Callable[..., None]) -> None:
    """The same for an hour, or `--stress-minutes`; a new home every six minutes, so that none grows without end."""
    minutes = pytestconfig.getoption("stress_minutes")
    total: Counter[str] = Counter()
    homes = max(1, round(minutes / 6))
    for number in range(1, homes + 1):
        total += Counter(check(base / str(number), run(base / str(number), 60 * minutes / homes)))
        proof("durability", "processes on one home", minutes=minutes * number / homes, homes=number, lost=0, **total)


def test_an_affected_sqlite_is_refused_beside_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a SQLite that loses writes, a second process on the home is refused, and told what to do."""
    monkeypatch.setattr(sqlite, "multi_process_safe", lambda _version: False)
    with Site(tmp_path / "home"):
        refused = command(tmp_path / "home")

    assert refused.returncode not in (0, 1, 3)
    assert "another process uses this home alone" in refused.stderr.lower()
    assert "pysqlite3" in refused.stderr
    assert command(tmp_path / "home").returncode == 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.durability.stress", "rescan", str(tmp_path), "20"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
    ) as other:
        wait_for_holder(tmp_path / "home")
        with pytest.raises(DriverRefused, match="loses writes"):
            Site(tmp_path / "home")
        other.kill()


def command(home: Path) -> subprocess.CompletedProcess[str]:
    """`hashward rescan`."""
    return subprocess.run(
        [sys.executable, "-m", "scanner", "--home", str(home), "rescan"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[2],
    )


def wait_for_holder(home: Path) -> None:
    """Until a process holds the home."""
    deadline = time.monotonic() + 100
    with (home / "process.lock").open("rb+") as lock:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(0.02)
    raise AssertionError("nobody came")
