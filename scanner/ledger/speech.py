"""Which versions of a set may speak, and which entries are muted. Rows; runs inside the caller's transaction.

A set's matches that a version above the one settled last brought, or withdrew, *wait*: they are recorded, and nothing
is said of them. A muted entry's matches are recorded too; what was said of them is withdrawn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hashsets.sqlite import Database
from hashsets.types import EntryHit


@dataclass(frozen=True, slots=True)
class Held:
    """A version that is held: which bounds it is past, and what it would bring."""

    version: int
    reasons: tuple[str, ...]
    matches: int
    contents: int
    day: str


@dataclass(frozen=True, slots=True)
class Speech:
    """Up to which version a set may speak, how many entries were in force then, and what is held since.

    `version` 0: none was settled yet. `approved` is the version that a person let speak before all met it; 0: none.
    """

    version: int
    entries: int
    held: Held | None
    approved: int = 0


@dataclass(frozen=True, slots=True)
class Mute:
    """Entries of a ref that are not spoken of until a UTC day is over."""

    ref: str
    until: str
    reason: str
    day: str


def of(db: Database, set_uid: bytes) -> Speech | None:
    """How a set stands; None where no version was ever settled, held or approved."""
    row = db.execute(
        "SELECT version, entries, approved, held_version, held_reasons, held_matches, held_contents, held_day"
        " FROM speech WHERE set_uid = ?",
        (set_uid,),
    ).fetchone()
    if row is None:
        return None
    version, entries, approved, held_version, reasons, *figures = row
    held = None if held_version is None else Held(held_version, tuple(json.loads(reasons)), *figures)
    return Speech(version, entries, held, approved)


def version(db: Database, set_uid: bytes) -> int:
    """Up to which version a set may speak; 0: none."""
    row = db.execute("SELECT version FROM speech WHERE set_uid = ?", (set_uid,)).fetchone()
    return 0 if row is None else int(row[0])


def settled(db: Database) -> dict[bytes, int]:
    """Up to which version each set may speak of which none is held."""
    return dict(db.execute("SELECT set_uid, version FROM speech WHERE held_version IS NULL").fetchall())


def settle(db: Database, set_uid: bytes, version: int, entries: int, current: int) -> None:
    """Versions up to this one may speak. The set's current version stays held, if it is held and above."""
    db.execute(
        "INSERT INTO speech (set_uid, version, entries) VALUES (?1, ?2, ?3) ON CONFLICT (set_uid) DO UPDATE"
        " SET version = ?2, entries = ?3, approved = CASE WHEN approved > ?2 THEN approved ELSE 0 END,"
        " held_version = CASE WHEN held_version > ?2 AND held_version = ?4 THEN held_version END",
        (set_uid, version, entries, current),
    )


def approve(db: Database, set_uid: bytes, version: int) -> None:
    """A person lets the versions up to this one speak, once all have met them."""
    db.execute(
        "INSERT INTO speech (set_uid, version, entries, approved) VALUES (?1, 0, 0, ?2)"
        " ON CONFLICT (set_uid) DO UPDATE SET approved = ?2",
        (set_uid, version),
    )


def hold(db: Database, set_uid: bytes, held: Held) -> None:
    """Hold a version. One that was held already keeps its day."""
    before = of(db, set_uid)
    assert before is not None
    day = before.held.day if before.held is not None and before.held.version == held.version else held.day
    db.execute(
        "UPDATE speech SET held_version = ?, held_reasons = ?, held_matches = ?, held_contents = ?, held_day = ?"
        " WHERE set_uid = ?",
        (held.version, json.dumps(held.reasons), held.matches, held.contents, day, set_uid),
    )


def waiting(db: Database, set_uid: bytes, above: int, up_to: int) -> list[tuple[int, bytes]]:
    """(content, entry key) of the matches that versions in (above, up_to] brought or withdrew."""
    return db.execute(
        "SELECT content_seq, entry_key FROM match WHERE set_uid = ? AND version > ? AND version <= ?",
        (set_uid, above, up_to),
    ).fetchall()


def brought(db: Database, set_uid: bytes, above: int) -> tuple[int, int]:
    """How many matches, of how many contents, versions above one have brought."""
    row = db.execute(
        "SELECT count(*), count(DISTINCT content_seq) FROM match WHERE set_uid = ? AND version > ?"
        " AND state IN ('active', 'held')",
        (set_uid, above),
    ).fetchone()
    return int(row[0]), int(row[1])


def is_muted(db: Database, hit: EntryHit) -> bool:
    """Whether the entry of a match is muted."""
    found = db.execute("SELECT 1 FROM mute WHERE set_uid = ? AND ref = ?", (hit.set_uid, hit.ref))
    return found.fetchone() is not None


def mutes(db: Database, set_uid: bytes) -> Sequence[Mute]:
    """The mutes of a set, by ref."""
    rows = db.execute("SELECT ref, until, reason, day FROM mute WHERE set_uid = ? ORDER BY ref", (set_uid,))
    return [Mute(*row) for row in rows]


def put_mute(db: Database, set_uid: bytes, mute: Mute) -> None:
    """Mute a ref, in place of what was said of it before."""
    db.execute(
        "INSERT OR REPLACE INTO mute (set_uid, ref, until, reason, day) VALUES (?, ?, ?, ?, ?)",
        (set_uid, mute.ref, mute.until, mute.reason, mute.day),
    )


def drop_mute(db: Database, set_uid: bytes, ref: str) -> bool:
    """Let a ref be spoken of again; whether it was muted."""
    return db.execute("DELETE FROM mute WHERE set_uid = ? AND ref = ?", (set_uid, ref)).rowcount > 0


def ended_mutes(db: Database, today: str) -> list[tuple[bytes, str]]:
    """(set, ref) of the mutes whose last day is over."""
    return db.execute("SELECT set_uid, ref FROM mute WHERE until < ? ORDER BY set_uid, ref", (today,)).fetchall()


def of_ref(db: Database, set_uid: bytes, ref: str) -> list[tuple[int, bytes]]:
    """(content, entry key) of the matches with entries of a ref."""
    return db.execute(
        "SELECT content_seq, entry_key FROM match WHERE set_uid = ? AND ref = ?", (set_uid, ref)
    ).fetchall()


def forget(db: Database, set_uid: bytes) -> None:
    """The set is gone."""
    db.execute("DELETE FROM speech WHERE set_uid = ?", (set_uid,))
    db.execute("DELETE FROM mute WHERE set_uid = ?", (set_uid,))
