"""What a person decided about entries that are listed and known good at once. Runs inside the caller's transaction.

A decision is about one entry of one set, for every content that meets it, now and later, until it is taken back.
"""

from __future__ import annotations

from enum import StrEnum

from hashsets.sqlite import Database


class Resolution(StrEnum):
    """Which of the two lists was right: `report` lets the match be said, `known_good` suppresses it."""

    REPORT = "report"
    KNOWN_GOOD = "known_good"


def of(db: Database, set_uid: bytes, entry_key: bytes) -> Resolution | None:
    """What was decided about an entry, if anything was."""
    row = db.execute(
        "SELECT decided FROM resolution WHERE set_uid = ? AND entry_key = ?", (set_uid, entry_key)
    ).fetchone()
    return None if row is None else Resolution(row[0])


def put(db: Database, set_uid: bytes, entry_key: bytes, decided: Resolution | None, day: str) -> None:
    """Write a decision over the one before, or take it back (None)."""
    db.execute("DELETE FROM resolution WHERE set_uid = ? AND entry_key = ?", (set_uid, entry_key))
    if decided is not None:
        db.execute(
            "INSERT INTO resolution (set_uid, entry_key, decided, day) VALUES (?, ?, ?, ?)",
            (set_uid, entry_key, decided.value, day),
        )


def forget(db: Database, set_uid: bytes) -> None:
    """The set is gone."""
    db.execute("DELETE FROM resolution WHERE set_uid = ?", (set_uid,))
