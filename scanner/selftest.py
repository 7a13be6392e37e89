"""The self-test: plant files the canary set lists, and see the whole chain find them.

Runs in a home of its own below the temporary folder with this installation's limits, fingerprint settings, kernel and
worker processes, so that nothing of it enters the real ledger; then asks the real index for entries it must hold.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashsets.refresh import import_list
from hashsets.snapshots import current
from hashsets.sources.file import FileSource
from hashsets.types import Mode, Role, Shape
from scanner.api import Scanner
from scanner.clock import utc_day
from scanner.config import Home, SinkConfig, SinkKind
from scanner.hashing.digests import digest_fd
from scanner.isolation import warming
from scanner.ledger.packing import QueryBuilder, pack
from scanner.types import Extent

SET = "selftest-canary"
NAME_CANARY = "selftest-name-canary"
ENTRIES_ASKED = 100  # of each set: enough to notice an index that is missing or stale


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the self-test saw, or failed to see."""

    story: str
    passed: bool


def run(scanner: Scanner) -> Iterator[Step]:
    """Every step, in order."""
    with tempfile.TemporaryDirectory(prefix="hashward-selftest-") as folder:
        yield from _planted(scanner, Path(folder))
    yield from _listed(scanner)


def picture(phase: float = 0.0) -> NDArray[np.uint8]:
    """A made picture of the size (192, 256, 3), busy enough for a PDQ of full quality; another for another `phase`."""
    rows, columns = np.mgrid[0:192, 0:256] / 16.0
    waves = sum(
        np.sin(rows * (k + 1) * 0.37 + k * (1 + phase)) * np.cos(columns * (5 - k) * 0.29 - k + phase * k * k)
        for k in range(5)
    )
    grey = np.clip(128 + 50 * waves, 0, 255)
    return np.stack([grey, np.clip(grey * 0.8 + 20, 0, 255), 255 - grey], axis=2).astype(np.uint8)


def ppm(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, 3) as a binary PPM file."""
    return b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


def _planted(real: Scanner, folder: Path) -> Iterator[Step]:
    storage, sent = folder / f"storage-{NAME_CANARY}", folder / "sent"
    storage.mkdir()
    exact, near = storage / f"{NAME_CANARY}-1.ppm", storage / f"{NAME_CANARY}-2.ppm"
    exact.write_bytes(ppm(picture()))
    near.write_bytes(ppm((picture() * 0.9).astype(np.uint8)))
    frames = [picture(1.0), picture(), picture(3.0)]
    (storage / f"{NAME_CANARY}-3.gif").write_bytes(warming.animation(frames))
    (storage / f"{NAME_CANARY}-4.mkv").write_bytes(warming.film(frames))
    (storage / "clean.ppm").write_bytes(ppm(picture(2.0)))
    sink = SinkConfig("selftest", SinkKind.JSONL, path=sent, hash_sets=frozenset({SET}))
    config = replace(real.config, sinks=(sink,))
    with Scanner(Home(folder / "home"), config, real.clock) as scanner:
        scanner.allow_unsandboxed = real.allow_unsandboxed
        _list_canary(scanner, exact, folder)
        summary = scanner.scan([storage])
        outcomes = summary.outcomes
        yield Step(
            "worker processes decoded three planted pictures, an animation and a video",
            outcomes.assets == 5 and not summary.could_not_look,
        )
        yield Step(
            "the listed picture, its edited copy, an animation and a video that show it were found, a clean one not",
            outcomes.matched == 4,
        )
        scanner.seal()
        scanner.deliver()
        yield Step("the reports of all four left as one sealed batch, and say nothing of names", _is_told(sent))


def _list_canary(scanner: Scanner, exact: Path, folder: Path) -> None:
    """List the planted picture as a list file would: its SHA-256 and its PDQ."""
    with exact.open("rb") as file:
        digests = digest_fd(file.fileno())
        fingerprint = scanner.pool.fingerprint(file.fileno())
    values = [f"sha256 {digests.sha256.hex()}"]
    values += [f"pdq {signal.value.hex()}" for signal in fingerprint.signals if signal.hash_type == "pdq"][:1]
    listed = folder / "canary.txt"
    listed.write_text("\n".join(values) + "\n")
    import_list(
        scanner.store,
        SET,
        FileSource(listed, complete=True),
        day=utc_day(scanner.clock),
        role=Role.CANARY,
        mode=Mode.ACTIVE,
    )
    assert fingerprint.looked.extent is Extent.WHOLE or len(values) == 1


def _is_told(sent: Path) -> bool:
    lines = [line for file in sorted(sent.glob("*")) for line in file.read_bytes().splitlines()]
    told = [json.loads(line)["data"] for line in lines]
    said = sorted((each["media"], each["proximity"]) for each in told)
    expected = [("image", "exact"), ("image", "near"), ("image", "near"), ("image", "near"), ("video", "near")]
    return said == expected and not any(NAME_CANARY.encode() in line for line in lines)


def _listed(scanner: Scanner) -> Iterator[Step]:
    """Ask the index in force for entries of every set in force."""
    snapshot = current(scanner.store)
    for each in scanner.store.hash_sets():
        if not each.in_force or not each.entries:
            continue
        entries = [e for e in islice(scanner.store.entries(each.uid), ENTRIES_ASKED) if e.shape is Shape.ITEM]
        builder = QueryBuilder()
        for owner, entry in enumerate(entries):
            exact = [s for s in entry.signals if s.hash_type in ("md5", "sha1", "sha256")]
            builder.add(owner, exact, pack(s for s in entry.signals if s not in exact))
        found = {(hit.owner, hit.entry_key) for hit in snapshot.match(builder.queries()) if hit.set_uid == each.uid}
        missed = sum((owner, entry.key) not in found for owner, entry in enumerate(entries))
        yield Step(f"{len(entries)} entries of set {each.name} are found by the index in force", missed == 0)
