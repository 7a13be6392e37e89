"""The demonstration: the whole job on generated files, every line of it an assertion.

    python -m samples.demo

Runs the real command in a home of its own below the temporary folder and removes both at the end. A line that is untrue
ends the demonstration with exit 1, and says which.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashsets import hashtypes
from hashsets.matching import build, kernel_name
from hashsets.matching.reference import BruteForce
from samples.make_samples import Expected, add_odd_entries, make
from scanner import Scanner
from scanner.clock import SystemClock, utc_day
from scanner.ledger import tallies
from scanner.opening import RACY_NS

CONFIG = """
[[sink]]
name = "provider"
kind = "jsonl"
path = "left-this-machine"
hash_sets = ["demo"]
"""
SMALL_FILES = 400  # for the kill: enough that it falls into the middle
MOST_KILLS = 10  # tries until it does, on a machine that does other things
MILLION = 1_000_000


class Untrue(Exception):
    """A line of the demonstration does not hold."""


def say(line: str, holds: bool = True) -> None:
    """Print a line, if it is true."""
    if not holds:
        raise Untrue(line)
    print(line, flush=True)


class Demo:
    """One run, below one folder."""

    def __init__(self, folder: Path, made: Path | None = None) -> None:
        """Make the samples, or copy them from where they were `made` before."""
        self.folder = folder
        self.samples = folder / "samples"
        self.storage = self.samples / "storage"
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        (self.home / "config.toml").write_text(CONFIG)
        if made is None:
            make(self.samples)
        else:
            shutil.copytree(made, self.samples)
        self.odd = len(add_odd_entries(self.storage))
        self.manifest = json.loads((self.samples / "manifest.json").read_bytes())

    def hashward(self, *words: str | Path, home: Path | None = None, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """Run the command with --json; its last line."""
        command = [sys.executable, "-m", "scanner", "--home", home or self.home, *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            raise Untrue(f"hashward {words[0]} ended with exit {done.returncode}: {done.stderr.strip()[-500:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
        return answer

    def expected(self, version: str) -> dict[str, str]:
        """What each file of the storage should turn out to be under a version of the list, by its path."""
        return {f["path"]: f[version] for f in self.manifest["files"] if f["path"].startswith("storage/")}

    def left(self) -> list[dict[str, Any]]:
        """Every event that left this machine."""
        files = sorted((self.home / "left-this-machine").iterdir())
        return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def scan(demo: Demo) -> None:
    """Import version 1, scan the storage, take an upload, and let the reports leave."""
    lists = demo.samples / "lists"
    alert = demo.hashward("hashset", "import", "demo", lists / "alert-v1.csv")
    approved = demo.hashward("hashset", "approve", "demo")
    good = demo.hashward("hashset", "import", "good", lists / "known-good.csv", "--role", "known_good")
    say(
        f"1. Hash set demo, version 1: {alert['added']} entries, approved; good, a known-good list: {good['added']}.",
        bool(alert["added"]) and approved["mode"] == "active",
    )
    _settle(demo.storage)
    found = demo.hashward("scan", demo.storage, codes=(1,))
    expected = Counter(demo.expected("v1").values())
    matched = expected[Expected.EXACT] + expected[Expected.NEAR] + expected[Expected.FRAME]
    clear = expected[Expected.CLEAR] + expected[Expected.SUPPRESSED]
    could_not = sum((Counter(found["partial"]) + Counter(found["unscannable"])).values())
    seen = found["clear"] + found["not_media"]
    as_expected = (found["matched"], seen, could_not) == (matched, clear, expected[Expected.COULD_NOT_LOOK])
    passed_by = ", ".join(f"{number} {reason}" for reason, number in sorted(found["ignored"].items()))
    reasons = ", ".join(sorted({*found["partial"], *found["unscannable"]}))
    say(
        f"2. Scanned {found['assets']} files: {expected[Expected.EXACT]} exact, {expected[Expected.NEAR]} near,"
        f" {expected[Expected.FRAME]} by a frame; {found['clear']} clear"
        f" ({found['suppressed']} of them near but known good), {found['not_media']} not media;",
        as_expected
        and found["suppressed"] == expected[Expected.SUPPRESSED]
        and _as_recorded(demo) == demo.expected("v1"),
    )
    say(
        f"   could not look whole: {could_not} ({reasons}), so not clear; passed by: {passed_by}",
        could_not > 0 and sum(found["ignored"].values()) == demo.odd,
    )
    with Scanner(demo.home) as scanner, (demo.samples / "upload" / "garden.jpg").open("rb") as file:
        outcome = scanner.scan_upload(file.fileno(), ref=b"upload-17")
        say(
            "3. Upload of a picture that nobody lists yet: clear. Its signals are kept, the picture is not.",
            outcome.clear,
        )
    again = demo.hashward("scan", demo.storage, codes=(1,))
    say(
        f"4. The same again: {again['skipped']} of {again['assets']} files unchanged, {again['opened_files']} opened.",
        again["opened_files"] == 0 and again["matched"] == found["matched"],
    )
    sealed = demo.hashward("reports", "seal")
    delivered = demo.hashward("reports", "deliver")
    say(
        f"5. {sealed['sealed']} reports sealed (random ids, shuffled) and sent in one batch.",
        delivered["delivered"] == 1,
    )


def _settle(storage: Path) -> None:
    """Wait until no file is new: a scan does not believe of one just written that it stands."""
    newest_ns = max(path.lstat().st_ctime_ns for path in storage.rglob("*"))
    while time.time_ns() < newest_ns + RACY_NS:
        time.sleep(0.05)


def _as_recorded(demo: Demo) -> dict[str, str]:
    """How the ledger has each file of the storage, in the manifest's words, by its path."""
    with Scanner(demo.home) as scanner:
        db = scanner.ledger.db
        rows = db.execute(
            "SELECT c.sha256, c.extent, m.state, m.hash_type, c.media FROM content c"
            " LEFT JOIN match m ON m.content_seq = c.seq"
            " AND m.set_uid IN (SELECT set_uid FROM met_set WHERE role = 'alert')"
        ).fetchall()
    said: dict[str, str] = {}
    for sha256, extent, state, hash_type, media in rows:
        if state == "active":
            near = Expected.NEAR if media == "image" else Expected.FRAME
            word = Expected.EXACT if hash_type == "sha256" else near
        elif state == "suppressed":
            word = Expected.SUPPRESSED
        else:
            word = Expected.CLEAR if extent == "whole" else Expected.COULD_NOT_LOOK
        said[sha256.hex()] = word
    return {
        f["path"]: said.get(f["sha256"], "lost") for f in demo.manifest["files"] if f["path"] in demo.expected("v1")
    }


def update(demo: Demo) -> None:
    """Version 2 lists the upload and withdraws an entry; the storage is taken away while the re-scan runs."""
    new = demo.hashward("hashset", "import", "demo", demo.samples / "lists" / "alert-v2.csv", "--complete")
    say(
        f"6. Version {new['version']} of demo: {new['added']} entry more, {new['withdrawn']} withdrawn.",
        (new["added"], new["withdrawn"]) == (1, 1),
    )
    away = demo.storage.rename(demo.folder / "taken-away")
    done = demo.hashward("rescan")
    away.rename(demo.storage)
    say(
        f"7. Re-scan with the storage taken away: {done['opened_files']} media files opened, the earlier upload found,"
        f" the withdrawn match withdrawn ({done['seconds']} s).",
        (done["opened_files"], done["matches_added"], done["matches_withdrawn"]) == (0, 1, 1),
    )
    demo.hashward("reports", "seal")
    say("8. Both told: one match, one withdrawal.", demo.hashward("reports", "deliver")["delivered"] == 1)


def kill(demo: Demo) -> None:
    """Kill a scan in its middle, run it again, and compare with one that nobody disturbed."""
    many, calm = demo.folder / "many", demo.folder / "calm"
    many.mkdir()
    rng = np.random.default_rng(17)
    for number in range(SMALL_FILES):
        pixels = np.kron(rng.integers(0, 256, (8, 8), dtype=np.uint8), np.ones((12, 12), np.uint8))
        (many / f"{number}.pgm").write_bytes(b"P5 96 96 255\n" + pixels.tobytes())
    for attempt in range(MOST_KILLS):
        home = demo.folder / f"killed-{attempt}"
        kept = _killed(home, many)
        if kept < SMALL_FILES:
            break  # else this process was given no time until the scan was over
    resumed = demo.hashward("scan", many, home=home)
    undisturbed = demo.hashward("scan", many, home=calm)
    lost = undisturbed["contents"] - resumed["contents"]
    doubled = resumed["assets"] - SMALL_FILES
    say(
        f"9. A scan of {SMALL_FILES} files killed (SIGKILL) after {kept}, run again: {lost} lost, {doubled} doubled.",
        0 < kept < SMALL_FILES and lost == doubled == 0 and resumed["clear"] == SMALL_FILES,
    )


def _killed(home: Path, many: Path) -> int:
    """Kill a scan as soon as it has recorded something; how much it had by then."""
    command: list[str | Path] = [sys.executable, "-m", "scanner", "--home", home, "scan", many]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with Scanner(home) as watching:
            while process.poll() is None and tallies.contents(watching.ledger.db) == 0:
                time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    with Scanner(home) as after:
        return tallies.contents(after.ledger.db)


def show_what_left(demo: Demo) -> None:
    """Everything that left, in full, and a search of it."""
    events = demo.left()
    folder = demo.home / "left-this-machine"
    sent = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    envelope = {"specversion": "1.0", "source": "urn:hashward", "day": utc_day(SystemClock())}
    constant = all(e["specversion"] == "1.0" and e["source"] == envelope["source"] for e in events)
    say(f"10. Everything that left this machine, in full ({len(sent):,} bytes, {len(events)} CloudEvents):", constant)
    said = ("kind", "hash_set", "listed_version", "ref", "hash_type", "proximity", "media", "trigger", "day")
    for event in events:
        data = event["data"]
        assert set(data) == {*said, "withdraws", "cause", "classifications"}
        classes = ",".join(f"{c['scheme']}:{c['code']}" for c in data["classifications"])
        undone = f" withdraws {data['withdraws']} cause {data['cause']}" if data["withdraws"] else ""
        print("   ", event["id"], *(data[name] for name in said), classes + undone)
    words = [*demo.manifest["canaries"], "upload-17", "alice", "bob", "carol", os.uname().nodename]
    words += [Path(file["path"]).name for file in demo.manifest["files"]]
    words += [file["sha256"] for file in demo.manifest["files"]]
    hits = sum(sent.count(word.encode()) for word in words)
    say(
        f"11. Searched for {len(words)} file names, owners, digests, the host and an EXIF canary: {hits} found.",
        hits == 0,
    )


def million(_demo: Demo) -> None:
    """A million listed hashes, and what a query costs here and now."""
    rng = np.random.default_rng(1)
    listed = rng.integers(0, 256, (MILLION, 32), dtype=np.uint8)
    queries = rng.integers(0, 256, (200, 32), dtype=np.uint8)
    planted = rng.choice(MILLION, 100, replace=False)
    queries[:100] = listed[planted]
    for row in range(100):
        for bit in rng.choice(256, row % 32, replace=False):
            queries[row, bit // 8] ^= 1 << (bit % 8)
    pdq = hashtypes.get("pdq")
    matcher = build(pdq, listed)
    matcher.query(queries[:1], 31)
    started = time.process_time()
    hits = [matcher.query(queries[row : row + 1], 31) for row in range(200)]
    micros = (time.process_time() - started) / 200 * 1e6
    truth = BruteForce(pdq, listed).query(queries[:20], 31)
    same = [tuple(hit.listed_rows) for hit in hits[:20]] == [
        tuple(truth.listed_rows[truth.query_rows == row]) for row in range(20)
    ]
    found = sum(planted[row] in hits[row].listed_rows for row in range(100))
    say(
        f"12. {MILLION:,} hashes: {micros:,.0f} microseconds a query within 31 bits, {found} of 100 planted found"
        f" ({kernel_name()}).",
        found == 100 and same,
    )


PARTS = (scan, update, kill, show_what_left, million)


def run(demo: Demo, parts: Sequence[Callable[[Demo], None]] = PARTS) -> int:
    """Run the parts in order; 0 when every line was true, 1 at the first that was not."""
    started = time.monotonic()
    print("hashward: the whole job on generated files. Every line is checked; an untrue one ends the run.")
    try:
        for part in parts:
            part(demo)
    except Untrue as untrue:
        print(f"UNTRUE: {untrue}")
        return 1
    seconds = time.monotonic() - started
    print(
        f"All true, in {seconds:.0f} s. Next: five minutes with your own files (README), or .venv/bin/hashward --help"
    )
    return 0


def main() -> int:
    """Run everything in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hashward-demo-") as folder:
        return run(Demo(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
