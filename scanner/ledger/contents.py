"""Contents and their signals: one row a sequence of bytes. All functions run inside the caller's transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from hashsets.sqlite import Database
from hashsets.types import Signal
from scanner.ledger import recipes
from scanner.ledger.packing import pack, unpack
from scanner.resuming import BadResume, decode, encode
from scanner.types import Digests, Extent, Fingerprint, Looked, MediaKind, Reason, Resume

# A content that stays owed is looked at three times by ordinary scans; after that only when asked (`scan --owed`).
# Looks that got further into it than any before do not count: a long film is looked at piece by piece to its end.
MAX_LOOKS = 3
# What one content's row can hold: a signal takes some 45 bytes there, and SQLite holds a row of 10^9.
MOST_SIGNALS = 4_000_000


# What two looks are folded from when there was none before.
NEVER_LOOKED = Fingerprint(MediaKind.OTHER, Looked(Extent.DIGESTS_ONLY, Reason.TIMEOUT), ())
_DIGEST_BYTES = 100  # what three digests and a row cost, about


@dataclass(frozen=True, slots=True)
class Content:
    """A known content: its number, kind, how far it was looked at, and how many looks got no further.

    `recipes` is the number of what its signals were made by; `resume` is where the next look goes on; None: at the
    start.
    """

    seq: int
    media: MediaKind
    looked: Looked
    attempts: int
    recipes: int
    resume: Resume | None = None

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


_CONTENT = "SELECT seq, media, extent, reason, attempts, recipes, resume FROM content"


def find(db: Database, sha256: bytes) -> Content | None:
    """The content of that digest, if known."""
    row = db.execute(f"{_CONTENT} WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else _content(*row)


def find_seq(db: Database, seq: int) -> Content | None:
    """The content of that number; None where it was erased."""
    row = db.execute(f"{_CONTENT} WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else _content(*row)


def by_seq(db: Database, seq: int) -> Content:
    """The content of that number, which exists."""
    content = find_seq(db, seq)
    assert content is not None
    return content


def _content(
    seq: int, media: str, extent: str, reason: str | None, attempts: int, made: int, resume: bytes | None
) -> Content:
    looked = Looked(Extent(extent), None if reason is None else Reason(reason))
    return Content(seq, MediaKind(media), looked, attempts, made, _position(resume))


def _position(resume: bytes | None) -> Resume | None:
    """The stored position; one that cannot be read is none: looking from the start is always right."""
    try:
        return None if resume is None else decode(resume)
    except BadResume:
        return None


def insert(db: Database, digests: Digests, fingerprint: Fingerprint, packed: bytes | None = None) -> int:
    """Add a content nobody knew and return its seq; `packed` are its signals, where they were packed already."""
    seq = add(db, digests, fingerprint, packed)
    assert seq is not None
    return seq


def add(db: Database, digests: Digests, fingerprint: Fingerprint, packed: bytes | None = None) -> int | None:
    """`insert`, None where the content is known."""
    looked = fingerprint.looked
    row = (
        digests.sha256,
        digests.sha1,
        digests.md5,
        digests.size_bytes,
        fingerprint.media.value,
        looked.extent.value,
        None if looked.reason is None else looked.reason.value,
        pack(fingerprint.signals) if packed is None else packed,
        None if fingerprint.resume is None else encode(fingerprint.resume),
    )
    seq = _add(db, row, fingerprint.made)
    if seq is None and recipes.is_new(db, fingerprint.made):
        seq = _add(db, row, fingerprint.made)
    return seq


def _add(db: Database, row: tuple[object, ...], made: frozenset[str]) -> int | None:
    """None where the content is known, or the combination of recipes is not."""
    cursor = db.execute(
        "INSERT INTO content (sha256, sha1, md5, size_bytes, media, extent, reason, attempts, recipes, signals, resume)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, id, ?8, ?9 FROM recipes WHERE names = ?10"
        " AND NOT EXISTS (SELECT 1 FROM content WHERE sha256 = ?1)",  # a conflict would use up a number
        (*row, recipes.names_of(made)),
    )
    return cursor.lastrowid if cursor.rowcount else None


@dataclass(frozen=True, slots=True)
class Basis:
    """What a look was folded with: the state of the record, and whether the outcome has other signals than that."""

    state: bytes
    changed: bool


def fold(db: Database, seq: int, fingerprint: Fingerprint) -> tuple[Fingerprint, Basis]:
    """Another look at a known content, with what is on record folded in (see `folded`), and the basis of that."""
    old = by_seq(db, seq)
    made = recipes.names(db, old.recipes)
    before = Fingerprint(old.media, old.looked, signals(db, seq), resume=old.resume, made=made)
    after = folded(before, fingerprint)
    return after, Basis(_state(db, seq), set(after.signals) != set(before.signals))


def is_folded(db: Database, seq: int, fingerprint: Fingerprint, basis: Basis | None) -> Basis | None:
    """The basis of a look with which all that is on record now was folded; None where there is more on record.

    Where the record stands as it did when `basis` was taken, that is all there is to see: for the 100,000 signals of a
    long film everything else takes most of a second, which no other writer should wait for.
    """
    if basis is not None and basis.state == _state(db, seq):
        return basis
    after, now = fold(db, seq, fingerprint)
    return now if after == fingerprint else None


def _state(db: Database, seq: int) -> bytes:
    """A digest of all that `folded` goes by."""
    row = db.execute("SELECT signals, media, extent, reason, recipes, resume FROM content WHERE seq = ?", (seq,))
    blob, *rest = row.fetchone()
    digest = hashlib.blake2b(blob)
    digest.update(repr(rest).encode())
    return digest.digest()


def folded(before: Fingerprint, fingerprint: Fingerprint) -> Fingerprint:
    """What two looks at one content come to.

    A whole look replaces what was there, unless it went on where an earlier one stopped: then it adds to it, and both
    together are whole. A look that saw only part adds to it too: what was once seen is kept. Folding the result in
    again changes nothing.
    """
    if before.looked.extent is Extent.WHOLE and fingerprint.looked.extent is not Extent.WHOLE:
        return before
    if fingerprint.since is not None:
        return _gone_on(before, fingerprint)
    if fingerprint.looked.extent is Extent.WHOLE:
        return fingerprint
    have = set(fingerprint.signals)
    kept = (*fingerprint.signals, *(signal for signal in before.signals if signal not in have))
    looked = _with(fingerprint.looked, kept)
    further = _further(before, fingerprint, looked)
    return Fingerprint(fingerprint.media, looked, kept[:MOST_SIGNALS], resume=further, made=fingerprint.made)


def _gone_on(before: Fingerprint, fingerprint: Fingerprint) -> Fingerprint:
    """What a look that went on comes to with what is on record."""
    have = set(before.signals)
    kept = (*before.signals, *(signal for signal in fingerprint.signals if signal not in have))
    looked, after = fingerprint.looked, fingerprint
    if before.looked.extent is Extent.WHOLE:
        looked = before.looked
    elif not _joins(before, fingerprint):  # what lay before it is no longer on record
        looked, after = Looked(Extent.PARTIAL, Reason.OVER_BUDGET), before
    if len(kept) > MOST_SIGNALS:
        kept, looked, after = kept[:MOST_SIGNALS], Looked(Extent.PARTIAL, Reason.OVER_BUDGET), before
    looked = _with(looked, kept)
    further = _further(before, after, looked)
    return Fingerprint(fingerprint.media, looked, kept, resume=further, made=fingerprint.made)


def _joins(before: Fingerprint, fingerprint: Fingerprint) -> bool:
    """Whether everything before the start of a look that went on was looked at by those on record."""
    since, reached = fingerprint.since, before.resume
    return since is not None and reached is not None and since.rule == reached.rule and since.at <= reached.at


def _with(looked: Looked, kept: tuple[Signal, ...]) -> Looked:
    """The extent as the signals kept bear it out."""
    if looked.reason is None:
        return looked
    return Looked(Extent.PARTIAL if kept else Extent.DIGESTS_ONLY, looked.reason)


def _further(before: Fingerprint, after: Fingerprint, looked: Looked) -> Resume | None:
    """Where to go on after two looks; None where there is nothing to go on with."""
    if looked.reason is None or not looked.reason.retryable:
        return None
    if before.resume is None or after.resume is None:
        return after.resume or before.resume
    if before.resume.rule != after.resume.rule:
        return after.resume
    return max(before.resume, after.resume, key=lambda resume: (resume.at, resume.fruitless))


def _got_further(before: Resume | None, after: Resume | None) -> bool:
    """Whether the last look is to count as one that got somewhere."""
    if after is None:
        return False
    return after.at > 0 if before is None or before.rule != after.rule else after.at > before.at


def _mark_relooked(db: Database, seq: int) -> None:
    """The content's rows in the inventory are old from now on (see inventory.py)."""
    db.execute("INSERT OR REPLACE INTO relooked (seq) VALUES (?)", (seq,))


def look_again(db: Database, seq: int, fingerprint: Fingerprint, basis: Basis, packed: bytes | None = None) -> bool:
    """Write another look at a known content, folded on that basis; True when its signals changed.

    `packed` are its signals, where they were packed already.
    """
    old = by_seq(db, seq)
    looked = fingerprint.looked
    db.execute(
        "UPDATE content SET media = ?, extent = ?, reason = ?, attempts = attempts + ?, recipes = ?, signals = ?,"
        " resume = ? WHERE seq = ?",
        (
            fingerprint.media.value,
            looked.extent.value,
            None if looked.reason is None else looked.reason.value,
            not _got_further(old.resume, fingerprint.resume),
            recipes.number(db, fingerprint.made),
            pack(fingerprint.signals) if packed is None else packed,
            None if fingerprint.resume is None else encode(fingerprint.resume),
            seq,
        ),
    )
    if basis.changed:
        _mark_relooked(db, seq)
    return basis.changed


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
