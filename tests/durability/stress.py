"""One of several processes that use one home at once: `python -m tests.durability.stress ROLE BASE SECONDS`.

Each says on standard output, a JSON line at a time, what it was told is done: what is said may not be lost.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hashsets.refresh import import_list
from hashsets.sources import FileSource
from hashsets.types import Bounds, Mode, Signal
from scanner import delivery
from scanner.ledger.ledger import Stale
from scanner.reports import system_random
from tests.durability import work
from tests.scanner.fakes import Site, fake_media, pdq, sha256, value

ROLES = ("scan-a", "scan-b", "upload", "rescan", "import", "seal")
LISTED_PDQ = 12
LEAST_ROUNDS = 4


def content(role: str, number: int) -> bytes:
    """The number-th content that a role brings; every second one is near some value that may be listed."""
    near: Signal = pdq(number % LISTED_PDQ, number % 7) if number % 2 else pdq(10_000 + number)
    return fake_media(near, comment=f"{role} {number}")


def listed(version: int) -> dict[str, tuple[str, bytes]]:
    """What the list of that version holds, by ref: contents not brought yet among them, and each time others."""
    draw = random.Random(version)
    rows: dict[str, tuple[str, bytes]] = {}
    for _ in range(40):
        role, number = draw.choice(("scan-a", "scan-b", "upload")), draw.randrange(400)
        rows[f"{role}-{number}"] = ("sha256", sha256(content(role, number)))
    for number in draw.sample(range(LISTED_PDQ), 4):
        rows[f"pdq-{number}"] = ("pdq", value("pdq", number))
    return rows


def say(**done: object) -> None:
    """Tell that something is done."""
    print(json.dumps(done), flush=True)


def _scan(base: Path, role: str) -> Iterator[None]:
    """A tree that grows by some files between scans."""
    folder = base / role
    folder.mkdir()
    number = 0
    while True:
        fresh = range(number, number + 15)
        for number in fresh:
            (folder / str(number)).write_bytes(content(role, number))
        number += 1
        with Site(base / "home") as site:
            site.scan(folder)
            say(held=[[role, each] for each in fresh])
            site.ledger.db.checkpoint()
        yield


def _upload(base: Path, role: str) -> Iterator[None]:
    with Site(base / "home") as site:
        number = 0
        while True:
            site.upload(content(role, number), f"{role} {number}".encode(), base)
            say(held=[[role, number]])
            site.ledger.db.checkpoint()
            number += 1
            yield


def _rescan(base: Path, role: str) -> Iterator[None]:
    with Site(base / "home") as site:
        while True:
            site.rescan()
            site.ledger.db.checkpoint()
            yield


def _import(base: Path, role: str) -> Iterator[None]:
    version = 0
    while True:
        version += 1
        rows = [f"{hash_type},{value.hex()},{ref}" for ref, (hash_type, value) in listed(version).items()]
        (base / "list.csv").write_text("\n".join(["type,value,ref", *rows, ""]))
        with Site(base / "home") as site:
            source = FileSource(base / "list.csv", complete=True)
            import_list(site.store, "A", source, day=site.day, mode=Mode.ACTIVE, allow_shrink=True)
            site.store.set_bounds("A", Bounds(matches=10**6, share=1.0, growth=1e6))  # what is held is tested elsewhere
            say(listed=version)
        yield
        time.sleep(0.05)


def _seal(base: Path, role: str) -> Iterator[None]:
    settings = work.settings(base)
    with Site(base / "home") as site:
        while True:
            delivery.seal(site.ledger, settings, site.clock, system_random())
            delivery.deliver(site.ledger, settings, site.clock, even_if_waiting=True)
            site.ledger.db.checkpoint()
            yield
            time.sleep(0.05)


_WORK: dict[str, Callable[[Path, str], Iterator[None]]] = {
    "scan-a": _scan,
    "scan-b": _scan,
    "upload": _upload,
    "rescan": _rescan,
    "import": _import,
    "seal": _seal,
}


def main(role: str, base: str, seconds: str) -> None:
    """Do one role's work for so long, and some of it however slow the machine is."""
    end = time.monotonic() + float(seconds)
    rounds = 0
    for _ in _WORK[role](Path(base), role):
        rounds += 1
        if rounds >= LEAST_ROUNDS and time.monotonic() > end:
            break
    say(rounds=rounds)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Stale:
        raise SystemExit("the sets kept changing") from None
