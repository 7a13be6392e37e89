"""Contents and their signals: one row a sequence of bytes. All functions run inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hashsets.sqlite import Database
from hashsets.types import Signal
from scanner.ledger.packing import pack, unpack
from scanner.types import Digests, Extent, Fingerprint, Looked, MediaKind, Reason

# A content that stays owed is looked at three times by ordinary scans; after that only when asked (`scan --owed`).
MAX_LOOKS = 3


_DIGEST_BYTES = 100  # what three digests and a row cost, about


@dataclass(frozen=True, slots=True)
class Content:
    """A known content: its number, kind, how far it was looked at, and how many looks were taken."""

    seq: int
    media: MediaKind
    looked: Looked
    attempts: int

    @property
    def owed(self) -> bool:
        """Whether another look may find more."""
        return self.looked.reason is not None and self.looked.reason.retryable


@dataclass(frozen=True, slots=True)
class StoredSignals:
    """A content as re-scan reads it: its number, digests, and packed signals."""

    seq: int
    md5: bytes
    sha1: bytes
    sha256: bytes
    blob: bytes

    @property
    def digests(self) -> tuple[Signal, Signal, Signal]:
        """The three digests as signals."""
        return Signal("md5", self.md5), Signal("sha1", self.sha1), Signal("sha256", self.sha256)


def find(db: Database, sha256: bytes) -> Content | None:
    """The content of that digest, if known."""
    row = db.execute("SELECT seq, media, extent, reason, attempts FROM content WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else _content(*row)


def by_seq(db: Database, seq: int) -> Content:
    """The content of that number, which exists."""
    row = db.execute("SELECT seq, media, extent, reason, attempts FROM content WHERE seq = ?", (seq,)).fetchone()
    return _content(*row)


def _content(seq: int, media: str, extent: str, reason: str | None, attempts: int) -> Content:
    looked = Looked(Extent(extent), None if reason is None else Reason(reason))
    return Content(seq, MediaKind(media), looked, attempts)


def insert(db: Database, digests: Digests, fingerprint: Fingerprint) -> int:
    """Add a content nobody knew and return its seq."""
    cursor = db.execute(
        "INSERT INTO content (sha256, sha1, md5, size_bytes, media, extent, reason, attempts, signals)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (
            digests.sha256,
            digests.sha1,
            digests.md5,
            digests.size_bytes,
            fingerprint.media.value,
            fingerprint.looked.extent.value,
            None if fingerprint.looked.reason is None else fingerprint.looked.reason.value,
            pack(fingerprint.signals),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def fold(db: Database, seq: int, fingerprint: Fingerprint) -> Fingerprint:
    """Another look at a known content, with what is on record folded in (see `folded`)."""
    old = by_seq(db, seq)
    return folded(Fingerprint(old.media, old.looked, signals(db, seq)), fingerprint)


def folded(before: Fingerprint, fingerprint: Fingerprint) -> Fingerprint:
    """What two looks at one content come to.

    A whole look replaces what was there. A look that again saw only part adds to it: what was once seen is kept.
    """
    if fingerprint.looked.extent is Extent.WHOLE:
        return fingerprint
    if before.looked.extent is Extent.WHOLE:
        return before
    have = set(fingerprint.signals)
    kept = (*fingerprint.signals, *(signal for signal in before.signals if signal not in have))
    looked = fingerprint.looked
    if kept and looked.reason is not None:
        looked = Looked(Extent.PARTIAL, looked.reason)
    return Fingerprint(fingerprint.media, looked, kept)


def _mark_relooked(db: Database, seq: int) -> None:
    """The content's rows in the inventory are old from now on (see inventory.py)."""
    db.execute("INSERT OR REPLACE INTO relooked (seq) VALUES (?)", (seq,))


def look_again(db: Database, seq: int, fingerprint: Fingerprint) -> bool:
    """Write another look at a known content, already folded; True when its signals changed."""
    changed = set(fingerprint.signals) != set(signals(db, seq))
    looked = fingerprint.looked
    db.execute(
        "UPDATE content SET media = ?, extent = ?, reason = ?, attempts = attempts + 1, signals = ? WHERE seq = ?",
        (
            fingerprint.media.value,
            looked.extent.value,
            None if looked.reason is None else looked.reason.value,
            pack(fingerprint.signals),
            seq,
        ),
    )
    if changed:
        _mark_relooked(db, seq)
    return changed


def signals(db: Database, seq: int) -> tuple[Signal, ...]:
    """The perceptual signals of a content."""
    (blob,) = db.execute("SELECT signals FROM content WHERE seq = ?", (seq,)).fetchone()
    return unpack(blob)


def stored(db: Database, seq_lo: int, seq_hi: int, max_bytes: int) -> Iterator[StoredSignals]:
    """Contents seq_lo..seq_hi in order, ending once their packed signals pass `max_bytes` (at least one comes)."""
    total = 0
    rows = db.execute(
        "SELECT seq, md5, sha1, sha256, signals FROM content WHERE seq BETWEEN ? AND ? ORDER BY seq", (seq_lo, seq_hi)
    )
    for seq, md5, sha1, sha256, blob in rows:
        yield StoredSignals(seq, md5, sha1, sha256, blob)
        total += len(blob) + _DIGEST_BYTES
        if total > max_bytes:
            return


def weight(content: StoredSignals) -> int:
    """What a content counts for towards `max_bytes` of `stored`."""
    return len(content.blob) + _DIGEST_BYTES


def top_seq(db: Database) -> int:
    """The highest number any content has ever had."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'content'").fetchone()
    return int(row[0]) if row else 0
