"""Matches that people found to be none, each of one content. Rows; runs inside the caller's transaction.

An overturned match is recorded and compared as any other, and counts for nothing, until the decision is taken back.
"""

from __future__ import annotations

from hashsets.sqlite import Database


def is_overturned(db: Database, seq: int, set_uid: bytes, entry_key: bytes) -> bool:
    """Whether a match was found to be none."""
    found = db.execute(
        "SELECT 1 FROM overturned WHERE content_seq = ? AND set_uid = ? AND entry_key = ?", (seq, set_uid, entry_key)
    )
    return found.fetchone() is not None


def put(db: Database, seq: int, set_uid: bytes, entry_key: bytes, day: str) -> None:
    """A match was found to be none."""
    db.execute(
        "INSERT OR IGNORE INTO overturned (content_seq, set_uid, entry_key, day) VALUES (?, ?, ?, ?)",
        (seq, set_uid, entry_key, day),
    )


def take_back(db: Database, seq: int, set_uid: bytes, entry_key: bytes) -> None:
    """It is one after all."""
    db.execute(
        "DELETE FROM overturned WHERE content_seq = ? AND set_uid = ? AND entry_key = ?", (seq, set_uid, entry_key)
    )
