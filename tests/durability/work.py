"""A small operator's life in steps, each as a command does it: import, scan, re-scan, seal, deliver, and again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashsets.refresh import import_list
from hashsets.sources import FileSource
from hashsets.types import Bounds, Mode
from scanner import config, delivery
from scanner.config import Config, Home
from scanner.ledger import coverage
from scanner.reports import system_random
from tests.scanner.fakes import MovableClock, Site, fake_media, pdq, sha256, value

FILES = 40


def contents() -> list[bytes]:
    """A tree's worth: some near each other, one in two places, one owed another look."""
    made = [fake_media(pdq(number % 9, number % 5), comment=str(number)) for number in range(FILES - 2)]
    return [*made, made[0], fake_media(pdq(77), pdq(78), sees=1)]


def _listed(*rows: tuple[str, bytes, str]) -> dict[str, tuple[str, bytes]]:
    return {ref: (hash_type, listed) for hash_type, listed, ref in rows}


# What each version of the list holds, by ref.
LISTS = {
    1: _listed(("sha256", sha256(contents()[1]), "r1"), ("pdq", value("pdq", 2), "r2")),
    2: _listed(
        ("pdq", value("pdq", 2), "r2"),
        ("pdq", value("pdq", 3), "r3"),
        ("sha256", sha256(contents()[0]), "r4"),
        ("pdq", value("pdq", 78), "r5"),
    ),
    3: _listed(
        ("pdq", value("pdq", 3), "r3"),
        ("sha256", sha256(contents()[0]), "r4"),
        ("sha256", sha256(contents()[7]), "r6"),
        ("pdq", value("pdq", 5), "r7"),
    ),
}


def should_match(content: bytes, version: int, seen: int | None = None) -> set[str]:
    """The refs of a version that a content meets, by brute force over `seen` of its signals (None: all)."""
    from tests.scanner.fakes import parse_fake

    signals = parse_fake(content).signals[:seen]
    found = set()
    for ref, (hash_type, listed) in LISTS[version].items():
        if hash_type == "sha256":
            near = listed == sha256(content)
        else:
            near = any((int.from_bytes(s.value) ^ int.from_bytes(listed)).bit_count() <= 31 for s in signals)
        if near:
            found.add(ref)
    return found


def write_lists(base: Path) -> None:
    """The lists as files an operator imports."""
    for version, listed in LISTS.items():
        rows = [f"{hash_type},{value.hex()},{ref}" for ref, (hash_type, value) in listed.items()]
        (base / f"list-{version}.csv").write_text("\n".join(["type,value,ref", *rows, ""]))


def prepare(base: Path, url: str | None = None) -> None:
    """A tree, a home whose uploads have met version 1 of set A, one sealed report and two sinks."""
    (base / "media").mkdir(parents=True)
    for number, content in enumerate(contents()):
        (base / "media" / f"{number}").write_bytes(content)
    write_lists(base)
    (base / "config.toml").write_text(
        '[[sink]]\nname = "file"\nkind = "jsonl"\npath = "out"\nhash_sets = ["A"]\n'
        + (f'[[sink]]\nname = "net"\nkind = "http"\nurl = "{url}"\nhash_sets = ["A"]\n' if url else "")
    )
    take_list(base, 1)
    with Site(base / "home") as site:
        site.upload(contents()[1], b"upload", base)
        site.upload(contents()[2], b"other upload", base)
    rescan(base)
    seal(base)


def settings(base: Path) -> Config:
    """The configuration, read as the command reads it."""
    return config.load(Home(base / "home"), base / "config.toml", {})


def take_list(base: Path, version: int) -> None:
    """`hashset import A list.csv --complete`."""
    with Site(base / "home") as site:
        source = FileSource(base / f"list-{version}.csv", complete=True)
        import_list(site.store, "A", source, day=site.day, mode=Mode.ACTIVE, allow_shrink=True)
        site.store.set_bounds("A", Bounds(matches=10**6, share=1.0, growth=1e6))  # what is held is tested elsewhere


def scan(base: Path, clock: MovableClock | None = None) -> None:
    """`scan media`: catch up, walk, catch up."""
    with Site(base / "home", clock=clock or MovableClock()) as site:
        site.rescan()
        site.scan(base / "media")
        site.rescan()


def rescan(base: Path) -> None:
    """`rescan`."""
    with Site(base / "home") as site:
        site.rescan()


def seal(base: Path) -> None:
    """`reports seal`."""
    with Site(base / "home") as site:
        delivery.seal(site.ledger, settings(base), site.clock, system_random())


def deliver(base: Path) -> None:
    """`reports deliver --now`."""
    with Site(base / "home") as site:
        delivery.deliver(site.ledger, settings(base), site.clock, even_if_waiting=True)


def change_tree(base: Path) -> None:
    """One file moves, one goes."""
    moved = base / "media" / "5"
    if moved.exists():
        moved.rename(base / "media" / "moved")
    (base / "media" / "6").unlink(missing_ok=True)


def restore_tree(base: Path) -> None:
    """As it was before `change_tree`; what is in place stays so: a root is known by its inode."""
    moved = base / "media" / "moved"
    if moved.exists():
        moved.rename(base / "media" / "5")
    if not (base / "media" / "6").exists():
        (base / "media" / "6").write_bytes(contents()[6])


STEPS: tuple[Callable[[Path], None], ...] = (
    lambda base: take_list(base, 2),
    scan,
    seal,
    deliver,
    change_tree,
    lambda base: take_list(base, 3),
    rescan,
    scan,
    seal,
    deliver,
)


# -- what became of it -------------------------------------------------------------------------------------------------


def left(base: Path) -> list[dict[str, Any]]:
    """Every event the jsonl sink has, each file whole."""
    files = sorted((base / "out").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines(keepends=True)]


def end(base: Path) -> dict[str, object]:
    """Everything that must not depend on whether anything went wrong on the way."""
    with Site(base / "home") as site:
        db = site.ledger.db
        names = dict(db.execute("SELECT seq, sha256 FROM content").fetchall())
        where = dict(db.execute("SELECT id, key FROM asset").fetchall())
        said = db.execute("SELECT asset_id, entry_key, kind, withdraws IS NOT NULL, report_id IS NOT NULL FROM report")
        targets = {s.uid: coverage.Met(s.rule_revision, s.version) for s in site.store.hash_sets()}
        return {
            "contents": set(names.values()),
            "signals": set(db.execute("SELECT sha256, extent, signals FROM content").fetchall()),
            "assets": set(db.execute("SELECT root_id, key, missing_at IS NULL, gone FROM asset").fetchall()),
            "held": {(key, names[seq]) for key, seq in db.execute("SELECT key, content_seq FROM asset")},
            "matches": site.matches(),
            "behind": [(seq, uid) for uid in targets for seq in names if coverage.at(db, uid, seq) != targets[uid]],
            "said": Counter((where[asset], *rest) for asset, *rest in said),
            "pending": site.ledger.sealing.pending(),
            "owed": [(owed.sink, owed.batch.batch_id) for owed in site.ledger.sealing.owed()],
            "left": Counter(
                (event["data"]["kind"], event["data"]["ref"], event["data"]["cause"]) for event in left(base)
            ),
            "left twice": [one for one, times in Counter(event["id"] for event in left(base)).items() if times > 1],
            "half written": sorted(path.name for path in (base / "out").glob(".*")),
            "left over": sorted(path.name for path in (base / "home" / "segments").glob(".*")),
        }


def faults(base: Path) -> list[str]:
    """What is wrong at any moment, also just after a kill: damage, false clears, and batches lost on the way."""
    found = []
    by_sha256 = {sha256(content): content for content in contents()}
    delivered = {file.name.removesuffix(".jsonl") for file in (base / "out").glob("*.jsonl")}
    left(base)  # each file can be read
    with Site(base / "home") as site:
        for database in (site.store, site.ledger.db):
            connection = getattr(database, "db", database)
            with connection.read() as reading:
                found += [row[0] for row in reading.execute("PRAGMA integrity_check") if row[0] != "ok"]
        (listed,) = site.store.hash_sets()
        found += site.store.verify("A")
        db = site.ledger.db
        rows = db.execute("SELECT c.sha256, substr(m.entry_key, 5) FROM match m JOIN content c ON c.seq = m.content_seq"
                          " WHERE m.state = 'active'")  # fmt: skip
        active = {(digest, bytes(key).decode()) for digest, key in rows}
        for seq, digest, extent in db.execute("SELECT seq, sha256, extent FROM content").fetchall():
            met = coverage.at(db, listed.uid, seq)
            if met.version:
                seen = None if extent == "whole" else 1
                expected = should_match(by_sha256[digest], met.version, seen)
                if expected != {ref for owner, ref in active if owner == digest}:
                    found.append(f"content {seq} has met version {met.version} and has other matches than it should")
        sent = db.execute("SELECT batch_id FROM batch WHERE sink = 'file' AND delivered_day IS NOT NULL")
        found += ["a batch is marked delivered that did not leave" for (batch,) in sent if batch not in delivered]
    return found
