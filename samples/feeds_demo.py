"""The demonstration of feeds: lists refreshed from servers that have bad days, every line of it an assertion.

    python -m samples.feeds_demo

The servers are this process's own, on loopback, and speak the real formats (`samples.feed_servers`). The command is the
real one, in a home of its own that is removed at the end. A line that is untrue ends the demonstration with exit 1.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from samples.demo import Untrue, say
from samples.feed_servers import CUT, DROP, NCMECServer, Reply, StopNCIIServer, entry, tombstone
from scanner.cli import main as main_command

LONG_AGO = 1_500_000_000  # 2017-07-14
LISTED = 5_000  # of one second: more than a page, which no window of time can divide
PAGES = 5
WAIT_S = 60.0
EVERY_S = 3
CONFIG = """
[report]
seal = "manual"
[[sink]]
name = "provider"
kind = "jsonl"
path = "left-this-machine"
hash_sets = ["csam", "intimate"]
[[source]]
hash_set = "csam"
kind = "ncmec"
url = "{ncmec}"
environment = "industry-csam"
username = "demo"
secret_file = "password"
every_minutes = {minutes}
[[source]]
hash_set = "intimate"
kind = "stopncii"
url = "{stopncii}"
secret_file = "keys"
every_minutes = {minutes}
"""


class HoldingServer(NCMECServer):
    """One that can be made to keep a request waiting for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.hold_from: int | None = None  # the request of that number, and those after it
        self.held = threading.Event()
        self.release = threading.Event()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """See Server."""
        if self.hold_from is not None and len(self.requests) >= self.hold_from:
            self.held.set()
            self.release.wait(WAIT_S)
        return super().answer(path, headers, body)


class Feeds:
    """One run: two servers, a home, and a picture that will be listed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ncmec, self.stopncii = HoldingServer(), StopNCIIServer()
        self.ncmec.retry_after_s = 1  # longer than would be waited of one's own accord
        self.ncmec.records = [
            entry(LONG_AGO, "image", 42, f"e{number}", f"<md5>{number + 1:032x}</md5>") for number in range(LISTED)
        ]
        self.home = folder / "home"
        self.storage = folder / "storage"
        self.storage.mkdir()
        pixels = np.kron(np.random.default_rng(3).integers(0, 256, (8, 8), np.uint8), np.ones((16, 16), np.uint8))
        (self.storage / "picture.pgm").write_bytes(b"P5 128 128 255\n" + pixels.tobytes())
        self.digest = hashlib.md5((self.storage / "picture.pgm").read_bytes()).hexdigest()
        self.configure(self.home)

    def configure(self, home: Path, minutes: float = 60) -> None:
        """Make a home whose configuration names both sources."""
        home.mkdir(mode=0o700, exist_ok=True)
        text = CONFIG.format(ncmec=self.ncmec.base, stopncii=self.stopncii.base, minutes=minutes)
        (home / "config.toml").write_text(text)
        (home / "password").write_text("secret")
        (home / "keys").write_text("one\ntwo\n")

    def hashward(self, *words: str | Path, home: Path | None = None, codes: Sequence[int] = (0,)) -> list[Any]:
        """Run the command with --json; what it printed, an object a line."""
        done = subprocess.run([*self.line(*words, home=home), "--json"], capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            raise Untrue(f"hashward {words[0]} ended with exit {done.returncode}: {done.stderr.strip()[-500:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def line(self, *words: str | Path, home: Path | None = None) -> list[str | Path]:
        """The command line."""
        return [sys.executable, "-m", "scanner", "--home", home or self.home, *words]

    def status(self) -> dict[str, Any]:
        """How everything stands; asked in this process, as it is asked often."""
        done = CliRunner().invoke(main_command, ["--home", str(self.home), "status", "--json"])
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def states(self) -> dict[str, str]:
        """The word of each source, by its hash set."""
        return {each["hash_set"]: each["state"] for each in self.status()["sources"]}


def _until(true: Callable[[], bool], what: str) -> float:
    """Wait until something is so; how long that took."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > WAIT_S:
            raise Untrue(f"not within a minute: {what}")
        time.sleep(0.2)
    return time.monotonic() - started


def killed(feeds: Feeds) -> None:
    """Killed in the middle of a refresh; run again."""
    feeds.ncmec.hold_from = 3
    with subprocess.Popen(
        feeds.line("hashset", "refresh", "csam"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        reached = feeds.ncmec.held.wait(WAIT_S)
        process.send_signal(signal.SIGKILL)
    feeds.ncmec.hold_from = None
    feeds.ncmec.release.set()
    listed = {each["name"]: each["entries"] for each in feeds.hashward("hashset", "list")[0]}
    say(
        f"1. A refresh from NCMEC killed (SIGKILL) in page 3 of {PAGES}: entries in force {listed.get('csam', 0)}.",
        reached and listed.get("csam", 0) == 0,
    )
    feeds.ncmec.moods = [429, 503, DROP, CUT]
    (done,) = feeds.hashward("hashset", "refresh", "csam")
    calm = feeds.folder / "calm"
    feeds.configure(calm)
    (undisturbed,) = feeds.hashward("hashset", "refresh", "csam", home=calm)
    say(
        f"2. Run again, while the server answers 429, 503, breaks off and cuts an answer short: {done['entries']:,}"
        f" entries, all of one second; undisturbed {undisturbed['entries']:,}.",
        done["entries"] == undisturbed["entries"] == LISTED,
    )


def matched(feeds: Feeds) -> None:
    """Listed by both, matched, approved, reported."""
    feeds.hashward("scan", feeds.storage)
    # Of six seconds ago: a window of time that was told is not asked for again, and ends five seconds ago.
    feeds.ncmec.records.append(entry(int(time.time()) - 6, "image", 42, "new", f"<md5>{feeds.digest}</md5>"))
    record = {"signalType": "VideoMD5", "hashValue": feeds.digest, "hashStatus": "Active"}
    feeds.stopncii.records.append({"lastModtimestamp": LONG_AGO, **record})
    done = feeds.hashward("hashset", "refresh")
    (found,) = feeds.hashward("rescan")
    (early,) = feeds.hashward("reports", "seal")
    for name in ("csam", "intimate"):
        feeds.hashward("hashset", "approve", name)
    feeds.hashward("reports", "seal")
    (delivered,) = feeds.hashward("reports", "deliver")
    say(
        f"3. Both list the MD5 of a file that was scanned before: {sum(each['added'] for each in done)} entries more,"
        f" {found['matches_added']} matches, {found['opened_files']} files opened; {early['sealed']} reports while the"
        " lists are in shadow, one batch once they are approved.",
        (found["matches_added"], found["opened_files"], early["sealed"], delivered["delivered"]) == (2, 0, 0, 1),
    )


def withdrawn(feeds: Feeds) -> None:
    """NCMEC withdraws its entry; the other list's match stands."""
    feeds.ncmec.records.append(tombstone(int(time.time()) - 5, "deletedImage", 42, "new"))

    def gone() -> bool:
        (done,) = feeds.hashward("hashset", "refresh", "csam")
        return bool(done["withdrawn"])

    _until(gone, "the withdrawal is told")
    (found,) = feeds.hashward("rescan")
    feeds.hashward("reports", "seal")
    feeds.hashward("reports", "deliver")
    told = sorted((each["kind"], each["hash_set"]) for each in feeds.hashward("reports", "list"))
    say(
        f"4. NCMEC withdraws its entry: {found['matches_withdrawn']} match withdrawn and told in the next batch;"
        " the other list's match of the same file stands.",
        found["matches_withdrawn"] == 1 and told == [("match", "csam"), ("match", "intimate"), ("withdrawal", "csam")],
    )


def watched(feeds: Feeds) -> None:
    """The daemon: listed upstream to the outbox by itself; a source in trouble."""
    feeds.configure(feeds.home, minutes=EVERY_S / 60)
    with subprocess.Popen(feeds.line("watch"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            _until(lambda: feeds.status()["watch"] is not None, "the daemon runs")
            feeds.ncmec.records.append(entry(int(time.time()), "image", 43, "again", f"<md5>{feeds.digest}</md5>"))
            took = _until(lambda: feeds.status()["reports"]["pending"] == 1, "what is listed is in the outbox")
            say(
                f"5. `hashward watch`, asking every {EVERY_S} s: listed upstream to matched and in the outbox in"
                f" {took:.0f} s, five of which NCMEC's windows take.",
                took < WAIT_S,
            )
            (feeds.home / "keys").write_text("one\nwrong\n")
            _until(lambda: feeds.states() == {"csam": "ok", "intimate": "credentials"}, "the trouble is told")
            entries = {each["name"]: each["entries"] for each in feeds.status()["hash_sets"]}
            say(
                f"6. StopNCII refuses our key: its source is `credentials`, its {entries['intimate']} entry stays in"
                " force, the other source is `ok`.",
                entries["intimate"] == 1,
            )
        finally:
            daemon.terminate()


PARTS = (killed, matched, withdrawn, watched)


def run(feeds: Feeds, parts: Sequence[Callable[[Feeds], None]] = PARTS) -> int:
    """Run the parts in order; 0 when every line was true, 1 at the first that was not."""
    started = time.monotonic()
    print("hashward: lists from servers with bad days. Every line is checked; an untrue one ends the run.")
    try:
        with feeds.ncmec.running(), feeds.stopncii.running():
            for part in parts:
                part(feeds)
    except Untrue as untrue:
        print(f"UNTRUE: {untrue}")
        return 1
    print(f"All true, in {time.monotonic() - started:.0f} s.")
    return 0


def main() -> int:
    """Run everything in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hashward-demo-") as folder:
        return run(Feeds(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
