"""Which contents have met which version of which set: per set a partition of 1..highest seq into intervals.

The invariant of the whole system lives here: for every set the ledger has met, the intervals neither overlap nor gap,
and neighbours differ. State (0, 0) is "has met nothing". All functions run inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hashsets.sqlite import Database


@dataclass(frozen=True, slots=True)
class Met:
    """What a stretch of contents has met of a set: its rule revision and version."""

    rule_revision: int
    version: int


NOTHING = Met(0, 0)


@dataclass(frozen=True, slots=True)
class Interval:
    """Contents seq_lo..seq_hi, both included, and what they have met."""

    seq_lo: int
    seq_hi: int
    met: Met


def sets(db: Database) -> list[bytes]:
    """The uids of all sets that have coverage."""
    return [uid for (uid,) in db.execute("SELECT DISTINCT set_uid FROM coverage")]


def intervals(db: Database, set_uid: bytes) -> list[Interval]:
    """The partition of one set, in order."""
    rows = db.execute(
        "SELECT seq_lo, seq_hi, rule_revision, version FROM coverage WHERE set_uid = ? ORDER BY seq_lo", (set_uid,)
    )
    return [Interval(lo, hi, Met(rule, version)) for lo, hi, rule, version in rows]


def at(db: Database, set_uid: bytes, seq: int) -> Met:
    """What one content has met of a set."""
    row = db.execute(
        "SELECT seq_hi, rule_revision, version FROM coverage WHERE set_uid = ? AND seq_lo <= ?"
        " ORDER BY seq_lo DESC LIMIT 1",
        (set_uid, seq),
    ).fetchone()
    return Met(row[1], row[2]) if row is not None and row[0] >= seq else NOTHING


def first_behind(db: Database, set_uid: bytes, target: Met, top_seq: int) -> Interval | None:
    """The first interval of a set that is not at `target`, counting contents the set has no row for; None: all are."""
    end = 0
    for interval in intervals(db, set_uid):
        if interval.met != target:
            return interval
        end = interval.seq_hi
    return Interval(end + 1, top_seq, NOTHING) if end < top_seq else None


def count_behind(db: Database, set_uid: bytes, target: Met, top_seq: int) -> int:
    """How many contents up to `top_seq` are not at `target`."""
    return top_seq - sum(i.seq_hi - i.seq_lo + 1 for i in intervals(db, set_uid) if i.met == target)


def assign(db: Database, set_uid: bytes, seq_lo: int, seq_hi: int, met: Met) -> None:
    """Put seq_lo..seq_hi at `met`, splitting and merging neighbours; what lay unknown below becomes NOTHING."""
    if _grown(db, set_uid, seq_lo, seq_hi, met):
        return
    end = db.execute("SELECT max(seq_hi) FROM coverage WHERE set_uid = ?", (set_uid,)).fetchone()[0] or 0
    if end < seq_lo - 1:
        assign(db, set_uid, end + 1, seq_lo - 1, NOTHING)
    touched = _touching(db, set_uid, seq_lo, seq_hi)
    db.connection.executemany(
        "DELETE FROM coverage WHERE set_uid = ? AND seq_lo = ?", [(set_uid, interval.seq_lo) for interval in touched]
    )
    pieces = list(_merged(_pieces(touched, Interval(seq_lo, seq_hi, met))))
    db.connection.executemany(
        "INSERT INTO coverage (set_uid, seq_lo, seq_hi, rule_revision, version) VALUES (?, ?, ?, ?, ?)",
        [(set_uid, p.seq_lo, p.seq_hi, p.met.rule_revision, p.met.version) for p in pieces],
    )


def _grown(db: Database, set_uid: bytes, seq_lo: int, seq_hi: int, met: Met) -> bool:
    """Whether the last interval was at `met` up to seq_lo, as where new contents come; it is then longer."""
    return bool(
        db.execute(
            "UPDATE coverage SET seq_hi = ?3 WHERE set_uid = ?1 AND seq_hi = ?2 - 1 AND rule_revision = ?4"
            " AND version = ?5 AND seq_lo = (SELECT max(seq_lo) FROM coverage WHERE set_uid = ?1)",
            (set_uid, seq_lo, seq_hi, met.rule_revision, met.version),
        ).rowcount
    )


def _touching(db: Database, set_uid: bytes, seq_lo: int, seq_hi: int) -> list[Interval]:
    """The intervals that overlap seq_lo..seq_hi or lie against it."""
    rows = db.execute(
        "SELECT seq_lo, seq_hi, rule_revision, version FROM coverage WHERE set_uid = ?1 AND seq_lo <= ?3 + 1"
        " AND seq_lo >= coalesce((SELECT max(seq_lo) FROM coverage WHERE set_uid = ?1 AND seq_lo < ?2), 0)"
        " ORDER BY seq_lo",
        (set_uid, seq_lo, seq_hi),
    )
    return [Interval(lo, hi, Met(rule, version)) for lo, hi, rule, version in rows if hi >= seq_lo - 1]


def _pieces(touched: list[Interval], new: Interval) -> list[Interval]:
    pieces = [new]
    for old in touched:
        if old.seq_lo < new.seq_lo:
            pieces.append(Interval(old.seq_lo, min(old.seq_hi, new.seq_lo - 1), old.met))
        if old.seq_hi > new.seq_hi:
            pieces.append(Interval(max(old.seq_lo, new.seq_hi + 1), old.seq_hi, old.met))
    return sorted(pieces, key=lambda piece: piece.seq_lo)


def _merged(pieces: list[Interval]) -> Iterator[Interval]:
    current = pieces[0]
    for piece in pieces[1:]:
        if piece.met == current.met:
            current = Interval(current.seq_lo, piece.seq_hi, current.met)
        else:
            yield current
            current = piece
    yield current


def all_at(db: Database, set_uid: bytes, seq_lo: int, seq_hi: int, met: Met) -> bool:
    """Whether every content of seq_lo..seq_hi stands at `met` just now."""
    end = db.execute("SELECT max(seq_hi) FROM coverage WHERE set_uid = ?", (set_uid,)).fetchone()[0] or 0
    if end < seq_hi and met != NOTHING:
        return False
    inside = [i for i in _touching(db, set_uid, seq_lo, seq_hi) if i.seq_lo <= seq_hi and i.seq_hi >= seq_lo]
    return all(interval.met == met for interval in inside)


def forget(db: Database, set_uid: bytes) -> None:
    """Drop a removed set's coverage."""
    db.execute("DELETE FROM coverage WHERE set_uid = ?", (set_uid,))


def least_version(db: Database, set_uid: bytes) -> int:
    """The lowest version any content stands at: rows withdrawn up to it have been passed by all."""
    row = db.execute("SELECT min(version) FROM coverage WHERE set_uid = ?", (set_uid,)).fetchone()
    return int(row[0] or 0)
