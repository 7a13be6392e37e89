"""How old what we hold is, to the day. Rows; runs inside the caller's transaction.

Contents are numbered in the order in which they come, so one row for each day on which any came tells the age of all.

Rules
- A content's day is that of the last mark that is not above its number. Contents that came before any mark was made
  count from the first mark on: their age is not known, and nothing is erased before its time.
- A clock that jumped ahead or back moves nothing into the past: days never fall from one mark to the next, and a mark
  of a day to come is of the day on which that was found out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hashsets.sqlite import Database
from scanner.ledger import contents


@dataclass(frozen=True, slots=True)
class Stretch:
    """Contents seq_lo..seq_hi, both included, all first recorded on `day`."""

    seq_lo: int
    seq_hi: int
    day: str


def mark(db: Database, day: str) -> bool:
    """Contents recorded from now on are of this day; whether they were already."""
    row = db.execute("SELECT day FROM recorded_from ORDER BY seq_lo DESC LIMIT 1").fetchone()
    if row is not None and row[0] == day:
        return True
    seq_lo = 1 if row is None else contents.top_seq(db) + 1
    db.execute(
        "INSERT INTO recorded_from (seq_lo, day) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET day = ?2", (seq_lo, day)
    )
    return False


def correct(db: Database, today: str) -> None:
    """Let nothing be of a day to come, and begin to count where nobody has."""
    for table in ("recorded_from", "identified", "leaving"):
        db.execute(f"UPDATE {table} SET day = ?1 WHERE day > ?1", (today,))
    mark(db, today)


def stretches(db: Database) -> list[Stretch]:
    """All contents there may be, in order, by the day on which they were first recorded."""
    marks = db.execute("SELECT seq_lo, day FROM recorded_from ORDER BY seq_lo").fetchall()
    if not marks:
        return []
    ends = [*(seq_lo for seq_lo, _ in marks[1:]), contents.top_seq(db) + 1]
    found, latest = [], ""
    for (start, day), end in zip(marks, ends, strict=True):
        latest = max(latest, day)
        if end > start:
            found.append(Stretch(start, end - 1, latest))
    return found


def identify(db: Database, seqs: Iterable[int], day: str) -> None:
    """These contents have a match now: the first day counts."""
    db.connection.executemany(
        "INSERT OR IGNORE INTO identified (content_seq, day) VALUES (?, ?)", [(seq, day) for seq in seqs]
    )
