"""A process that kills itself before one SQL statement after another of a decision and of retention, and looks.

`python -m tests.scanner.accountability.killed FOLDER TRIALS` prints one JSON object: how many statements the work takes
undisturbed, and every trial after which the same work, done again, came to another end. TRIALS 0: at every statement.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

from scanner.accountability import vouching
from scanner.accountability.levels import Finding, Reason
from scanner.accountability.retention import Retention
from scanner.accountability.review import Conflict, Reviews, Statement
from scanner.retain_config import RetainConfig
from tests.scanner.accountability.people import EXACT, NEAR, Office
from tests.scanner.fakes import MovableClock, Site, fake_media, pdq, sha256
from tests.statements import die_at

START_NS = 4_102_444_800 * 10**9
DAYS_LATER = 40
PLAIN = [fake_media(pdq(1000 + number), comment=str(number)) for number in range(12)]


def prepare(home: Path) -> None:
    """Matches that are reported, an open case of one of them, contents that match nothing, and a segment of all."""
    office = Office(home, vouches=True)
    for number, content in enumerate(PLAIN):
        office.site.upload(content, f"plain-{number}-canary".encode())
    office.case("near")
    office.site.rescan()
    office.close()


def work(home: Path) -> None:
    """What is disturbed: two people decide, the digest joins the known-good set, and retention does its work."""
    with Site(home, MovableClock(START_NS)) as site:
        db = site.ledger.db
        (case_id,) = db.execute("SELECT case_id FROM case_file").fetchone()
        for who in ("ann", "abe"):
            said = Statement(Finding.NOT_CONFIRMED, Reason.OTHER_PICTURE, who, True, f"key-{who}")
            with contextlib.suppress(Conflict):  # decided, and retention has taken by what the repetition is known
                Reviews(db, site.clock, vouches=True).give(case_id, said)
        vouching.join(site.store, site.ledger, site.clock, "reviewed", site.rescan)
        site.ledger.sealing.seal(random.Random(5), [], site.day)
        site.clock.move(days=DAYS_LATER)
        policy = RetainConfig(unmatched=30, matched=30, gone=30, reports=30, cases=30)
        Retention(db, site.ledger.inventory, site.clock, policy, rescan=site.rescan).run()


def end(home: Path) -> dict[str, object]:
    """Everything that must not depend on whether there was a kill."""
    with Site(home, MovableClock(START_NS)) as site:
        db = site.ledger.db
        told = db.execute("SELECT event, particulars FROM audit_due ORDER BY id").fetchall()
        erased = {
            said["class"]: [said[name] for name in ("contents", "places", "rows")]
            for said in (json.loads(text) for event, text in told if event == "erased")
        }
        said = {
            "words": db.execute("SELECT kind, level, who, outcome FROM case_word ORDER BY id").fetchall(),
            "case": db.execute("SELECT state, outcome, content_seq FROM case_file").fetchall(),
            "steps": sorted(json.loads(text)["step"] for event, text in told if event == "case_outcome"),
            "erased": erased,
            "erasure": db.execute("SELECT class, contents, places, rows, untold, traces FROM erasure").fetchall(),
            "known_good": [e.signals[0].value.hex() for e in site.store.entries(site.hash_set("reviewed").uid)],
            "left": [
                db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("content", "asset", "match")
            ],
            "said": site.said(),
            "overturned": db.execute("SELECT count(*) FROM overturned").fetchone(),
            "whole": db.execute("PRAGMA integrity_check").fetchone(),
        }
    said["traces"] = _traces(home)
    return json.loads(json.dumps(said, default=str))  # type: ignore[no-any-return]


def _traces(home: Path) -> list[str]:
    """Which refs and digests of erased contents lie anywhere but in lists."""
    lists = ("hashsets.db", "listed")
    files = [path for path in home.rglob("*") if path.is_file() and not any(part in str(path) for part in lists)]
    raw = b"\0".join(path.read_bytes() for path in sorted(files))
    contents = {"exact": EXACT, "near": NEAR} | {str(number): content for number, content in enumerate(PLAIN)}
    found = [name for name, content in contents.items() if sha256(content) in raw]
    return found + [ref for ref in ("canary", "upload-near", "upload-exact") if ref.encode() in raw]


def killed_at(home: Path, statement: int) -> int:
    """Do the work in a child that dies before that SQL statement; how many there were, where it came to its end."""
    said, say = os.pipe()
    child = os.fork()
    if not child:
        counted = die_at(statement)
        work(home)
        os.write(say, str(counted["statements"]).encode())
        os._exit(0)
    os.close(say)
    with os.fdopen(said) as answer:
        text = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return int(text or 0)


def main(folder: Path, trials: int) -> dict[str, object]:
    """Every trial."""
    prepare(folder / "prepared")
    shutil.copytree(folder / "prepared", folder / "undisturbed")
    statements = killed_at(folder / "undisturbed", 0)
    expected = end(folder / "undisturbed")
    draw = random.Random(8)
    chosen = range(1, statements + 1) if not trials else sorted(draw.sample(range(1, statements + 1), trials))
    faults = []
    for statement in chosen:
        home = folder / "killed"
        shutil.copytree(folder / "prepared", home)
        killed_at(home, statement)
        killed_at(home, 0)
        found = end(home)
        if found != expected:
            differs = {name: [expected[name], found[name]] for name in found if found[name] != expected[name]}
            faults.append({"statement": statement} | differs)
        shutil.rmtree(home)
    return {"statements": statements, "expected": expected, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
