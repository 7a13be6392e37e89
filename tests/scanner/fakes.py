"""A site to test on: real Store, real Ledger, real files; what decodes media and what tells the time are stand-ins.

A fake media file says in plain lines what its signals are, so that a test states what a content looks like:

    fake image
    pdq 0f..(64 digits) 80
    phash 0f..(16 digits)
    frame 12 400 pdq 0f.. 80        (frame number, milliseconds)
    sees 1                          (the first look ends in a timeout after so many signals, the next sees all)
    steps 2                         (every look ends in a timeout after so many signals, the next goes on behind them)
    anything else is a comment
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hashsets.store import Store
from hashsets.types import Delta, Entry, HashSet, Signal, Version, entry_key
from scanner.accountability import sealed_locations
from scanner.accountability.sealed_locations import Standing
from scanner.clock import utc_day
from scanner.ledger import Ledger, Place, Recorded, locations
from scanner.ledger.assets import UPLOADS
from scanner.ledger.inventory import Inventory
from scanner.ledger.ledger import SEGMENTS
from scanner.ledger.sealing import Listener
from scanner.location_keys import LocationKeys, OpeningKey, WalkKey
from scanner.opening import as_file
from scanner.pipeline import Pipeline, SetsInForce
from scanner.rescan import Rescan, RescanSummary
from scanner.types import WHOLE as LOOKED_WHOLE
from scanner.types import (
    Fingerprint,
    Looked,
    MediaKind,
    Reason,
    Resume,
    Source,
    Stop,
    Trigger,
    digests_only,
    never,
    partial,
)
from scanner.worker import RootWalk, Walked

DAY_NS = 86_400 * 10**9


class MovableClock:
    """A clock that stands until it is moved. It starts where every file made in a test is long settled."""

    def __init__(self, start_ns: int = 4_102_444_800 * 10**9) -> None:  # 2100-01-01
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now_ns

    def move(self, days: float) -> None:
        """Let time pass."""
        self._now_ns += int(days * DAY_NS)


def parse_fake(content: bytes) -> Fingerprint:
    """What a look that is not cut short sees in a content."""
    lines = content.decode("utf-8", "replace").splitlines()
    first = lines[0].split() if lines else []
    if len(first) != 2 or first[0] != "fake":
        return Fingerprint(MediaKind.OTHER, LOOKED_WHOLE, ())
    media = MediaKind(first[1])
    signals = [signal for line in lines[1:] if (signal := _signal(media, line.split())) is not None]
    return Fingerprint(media, LOOKED_WHOLE, tuple(signals))


def _signal(media: MediaKind, words: list[str]) -> Signal | None:
    frame = frame_ms = None
    if words[:1] == ["frame"]:
        frame, frame_ms = int(words[1]), int(words[2])
        words = words[3:]
    if not words or words[0] not in ("pdq", "phash", "dhash", "ahash", "whash"):
        return None
    quality = int(words[2]) if words[0] == "pdq" else None
    recipe = f"{media.value}/{words[0]}/1"
    return Signal(words[0], bytes.fromhex(words[1]), recipe, quality, frame=frame, frame_ms=frame_ms)


def fake_media(
    *signals: Signal,
    kind: MediaKind = MediaKind.IMAGE,
    sees: int | None = None,
    steps: int | None = None,
    comment: str = "",
) -> bytes:
    """The bytes of a file with these signals."""
    lines = [f"fake {kind.value}"]
    for signal in signals:
        quality = "" if signal.quality is None else f" {signal.quality}"
        frame = "" if signal.frame is None else f"frame {signal.frame} {signal.frame_ms or 0} "
        lines.append(f"{frame}{signal.hash_type} {signal.value.hex()}{quality}")
    if sees is not None:
        lines.append(f"sees {sees}")
    if steps is not None:
        lines.append(f"steps {steps}")
    if comment:
        lines.append(comment)
    return ("\n".join(lines) + "\n").encode()


class FakeFingerprinter:
    """Reads the signals a file says it has, of the hash types it knows.

    Counts its looks by sha256; `given` is the time each was given.
    """

    def __init__(self) -> None:
        self.given: list[float | None] = []
        self.looks: Counter[bytes] = Counter()
        self.hash_types = {"pdq", "phash", "dhash", "ahash", "whash"}
        self._mutex = threading.Lock()

    def wanted(self, media: MediaKind) -> frozenset[str]:
        """A recipe a hash type."""
        return frozenset(self.hash_types)

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """Parse the content."""
        self.given.append(within_s)
        with as_file(source) as fd:
            seen = self._look(fd, resume)
        known = tuple(signal for signal in seen.signals if signal.hash_type in self.hash_types)
        made = frozenset() if seen.media is MediaKind.OTHER else self.wanted(seen.media)
        return replace(seen, signals=known, made=made)

    def _look(self, fd: int, resume: Resume | None) -> Fingerprint:
        content = os.pread(fd, os.fstat(fd).st_size, 0)
        sha256 = hashlib.sha256(content).digest()
        with self._mutex:
            self.looks[sha256] += 1
            first = self.looks[sha256] == 1
        whole = parse_fake(content)
        steps = _number(content, b"steps")
        if steps is not None:
            return _step(whole, steps, resume)
        sees = _number(content, b"sees")
        if sees is None or not first:
            return whole
        seen = whole.signals[:sees]
        looked: Looked = partial(Reason.TIMEOUT) if seen else digests_only(Reason.TIMEOUT)
        return Fingerprint(whole.media, looked, seen)


def _step(whole: Fingerprint, steps: int, resume: Resume | None) -> Fingerprint:
    """A look at the next few signals."""
    start = 0 if resume is None else resume.at
    end = start + steps
    seen = whole.signals[start:end]
    if end >= len(whole.signals):
        return Fingerprint(whole.media, LOOKED_WHOLE, seen, resume)
    return Fingerprint(whole.media, partial(Reason.TIMEOUT), seen, resume, Resume(end))


def _number(content: bytes, word: bytes) -> int | None:
    for line in content.splitlines():
        if line.startswith(word + b" "):
            return int(line.split()[1])
    return None


OPENING_KEY = OpeningKey(bytes(range(32)))
LOCATION_KEYS = LocationKeys(WalkKey(bytes(range(32, 64))), OPENING_KEY.public())


@dataclass
class Site:
    """A home with its store, ledger and pipeline, and a clock to move. Two Sites on one home are as two processes."""

    home: Path
    clock: MovableClock = field(default_factory=MovableClock)
    fingerprinter: FakeFingerprinter = field(default_factory=FakeFingerprinter)
    lanes: int = 2
    least_tail: int = 3  # so that few contents make a segment
    sealed: bool = False  # locations are
    keys: Callable[[], LocationKeys] = lambda: LOCATION_KEYS  # the same ones in every home

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Open store and ledger (again)."""
        self.store = Store.open(self.home)
        self.ledger = Ledger.open(self.home, keys=self.keys)
        if self.sealed and sealed_locations.standing(self.ledger.db) is not Standing.SEALED:
            sealed_locations.seal(self.ledger.db, self.keys(), self.clock)
            self.ledger.close()
            self.ledger = Ledger.open(self.home, keys=self.keys)
        self.ledger.inventory = Inventory(self.ledger.db, self.home / SEGMENTS, least_tail=self.least_tail)
        self.pipeline = Pipeline(SetsInForce(self.store), self.ledger, self.fingerprinter, self.clock)

    def close(self) -> None:
        """Close both."""
        self.store.close()
        self.ledger.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def day(self) -> str:
        """Today."""
        return utc_day(self.clock)

    # -- what is listed ----------------------------------------------------------------------------------------------

    def list_entries(
        self, name: str, *entries: Entry, removed: Iterable[bytes] = (), complete: bool = False
    ) -> Version:
        """Commit a delta to a set, creating the set where there is none of that name."""
        if name not in {known.name for known in self.store.hash_sets()}:
            self.store.create(name)
        self.store.stage(name, Delta(added=entries, removed=tuple(removed)))
        return self.store.activate(name, complete=complete, checkpoint=None, day=self.day)

    def hash_set(self, name: str) -> HashSet:
        """The set of that name."""
        return self.store.hash_set(name)

    # -- what is held ------------------------------------------------------------------------------------------------

    def scan(self, path: Path, *, look_at_owed: bool = False) -> Walked:
        """Walk a folder as a root, made one at first sight."""
        raw = os.fsencode(path)
        root = self.ledger.places.root_holding(raw) or self.ledger.places.add_root(raw)
        walk = RootWalk(self.ledger, self.pipeline, self.clock, lanes=self.lanes, look_at_owed=look_at_owed)
        return walk.run(root)

    def upload(self, content: bytes, ref: bytes | None, scratch: Path | None = None) -> Recorded:
        """Scan bytes as an upload; without a `ref` nothing is held."""
        path = (scratch or self.home) / "upload.tmp"
        path.write_bytes(content)
        with path.open("rb") as file:
            place = None if ref is None else Place(UPLOADS, ref)
            return self.pipeline.scan_one(file.fileno(), place, Trigger.UPLOAD)

    def places(self, ids: Sequence[int]) -> list[bytes | None]:
        """The paths and refs of assets."""
        return [self.where(asset_id) for asset_id in ids]

    def where(self, asset_id: int) -> bytes | None:
        """The path or ref of an asset, opened where it is sealed."""
        boxes = locations.boxes(self.ledger.db, asset_id)
        return self.ledger.places.where(asset_id, {box: OPENING_KEY.open(box) for box in boxes})

    def rescan(self) -> RescanSummary:
        """Bring every content up to every set."""
        return Rescan(self.store, self.ledger, self.clock).run()

    def seal(self, seed: int = 0, listeners: Sequence[Listener] = ()) -> int:
        """Seal what is pending, with a random source of that seed."""
        return self.ledger.sealing.seal(random.Random(seed), listeners, self.day)

    # -- what became of it -------------------------------------------------------------------------------------------

    def matches(self) -> set[tuple[bytes, str, bytes, str]]:
        """(sha256, set name, entry key, state) of every match row."""
        rows = self.ledger.db.execute(
            "SELECT c.sha256, s.name, m.entry_key, m.state FROM match m JOIN content c ON c.seq = m.content_seq"
            " JOIN met_set s USING (set_uid)"
        )
        return set(rows.fetchall())

    def said(self) -> list[tuple[str, str, str | None]]:
        """(kind, ref, cause) of every report, sealed or pending, in the order they were made."""
        rows = self.ledger.db.execute("SELECT kind, body ->> 'ref', body ->> 'cause' FROM report ORDER BY id")
        return rows.fetchall()


def sha256(content: bytes) -> bytes:
    """The digest of a content."""
    return hashlib.sha256(content).digest()


def sha256_entry(content: bytes, ref: str | None = None) -> Entry:
    """An entry that lists a content by its SHA-256."""
    signal = Signal("sha256", sha256(content))
    return Entry(entry_key(signal), (signal,), ref=ref)


def entry_of(*signals: Signal, ref: str) -> Entry:
    """An entry of these signals under a key of its own."""
    return Entry(b"ref\x00" + ref.encode(), signals, ref=ref)


def value(hash_type: str, seed: int, flipped: int = 0) -> bytes:
    """A value of about half set bits drawn from `seed`, with so many of its first bits flipped."""
    size = {"pdq": 32}.get(hash_type, 8)
    drawn = int.from_bytes(random.Random(f"{hash_type}{seed}").randbytes(size))
    bits = 8 * size
    return (drawn ^ (((1 << flipped) - 1) << (bits - flipped))).to_bytes(size)


def pdq(seed: int, flipped: int = 0, quality: int = 80, frame: int | None = None) -> Signal:
    """A PDQ signal of a content, or of an entry."""
    frame_ms = None if frame is None else 40 * frame
    return Signal("pdq", value("pdq", seed, flipped), quality=quality, frame=frame, frame_ms=frame_ms)
