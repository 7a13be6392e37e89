"""Sealing a home: every location in its ledger becomes a digest and a box. Done once; there is no way back.

    take note of the keys, with the refs of doors -> place by place -> write the file anew -> done, with its line

Rules
- Alone in the home. Each part is a transaction of its own: whoever is killed runs it again, and it goes on.
- Until it is done nothing is walked or taken in: half the places would not be known again.
- Nothing of a location stays in ledger.db or its -wal: the file is written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from hashsets.sqlite import Database
from scanner.accountability.audit import Event, due
from scanner.clock import Clock
from scanner.errors import LedgerError
from scanner.ledger.assets import UPLOADS
from scanner.ledger.locations import OTHER_KEY, Sealed, is_under
from scanner.location_keys import LocationKeys

_AT_ONCE: Final = 2000  # places a transaction, some 0.2 s


class Standing(StrEnum):
    """How the locations of a home are written."""

    READABLE = "readable"
    UNFINISHED = "unfinished"
    SEALED = "sealed"


def standing(db: Database) -> Standing:
    """How those of a ledger are."""
    row = db.execute("SELECT done FROM sealed_locations").fetchone()
    if row is None:
        return Standing.READABLE
    return Standing.SEALED if row[0] else Standing.UNFINISHED


def seal(db: Database, keys: LocationKeys, clock: Clock, progress: Callable[[int], None] = lambda places: None) -> int:
    """Seal what is not sealed yet; how many places. Raises LedgerError, StoreError."""
    written = Sealed.under_way(db, keys)
    _begin(db, keys, written)
    sealed = 0
    while done := _some(db, written):
        sealed += done
        progress(done)
    if standing(db) is Standing.UNFINISHED:
        if not db.compact():
            raise LedgerError("Another program reads ledger.db: end it, then `hashward locations seal` goes on.")
        _end(db, clock)
    return sealed


def _begin(db: Database, keys: LocationKeys, written: Sealed) -> None:
    with db.write():
        if standing(db) is Standing.READABLE:
            db.execute("INSERT INTO sealed_locations (public, key_id) VALUES (?, ?)", (keys.public, keys.walk.id()))
            for table in ("refused", "brought"):
                refs = {ref for (ref,) in db.execute(f"SELECT ref FROM {table}")}
                changed = [(written.key(UPLOADS, ref), ref) for ref in refs]
                db.connection.executemany(f"UPDATE {table} SET ref = ? WHERE ref = ?", changed)
        elif not is_under(db, keys):
            raise LedgerError(OTHER_KEY)


def _some(db: Database, written: Sealed) -> int:
    """Seal the next places; how many."""
    with db.write():
        (up_to,) = db.execute("SELECT up_to FROM sealed_locations").fetchone()
        rows = db.execute(
            "SELECT id, root_id, key FROM asset WHERE id > ? ORDER BY id LIMIT ?", (up_to, _AT_ONCE)
        ).fetchall()
        if rows:
            # Of erased places, which lie in no root, nothing is left to seal.
            places = [(id_, root_id, bytes(key)) for id_, root_id, key in rows if root_id >= UPLOADS]
            db.connection.executemany(
                "UPDATE asset SET key = ?, box = ? WHERE id = ?",
                [(written.key(root_id, key), written.box(root_id, key), id_) for id_, root_id, key in places],
            )
            db.execute("UPDATE sealed_locations SET up_to = ?", (rows[-1][0],))
        return len(rows)


def _end(db: Database, clock: Clock) -> None:
    with db.write():
        (places,) = db.execute("SELECT count(*) FROM asset WHERE box IS NOT NULL").fetchone()
        db.execute("UPDATE sealed_locations SET done = 1")
        due(db, Event.LOCATIONS_SEALED, {"places": places}, at_ns=clock.now_ns())
