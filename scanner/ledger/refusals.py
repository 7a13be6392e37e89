"""Uploads that a door brought, or refused while the platform may hold them. One public method, one transaction.

A resumable upload that was refused is complete where it lies: a client that sends again is told so, without a question
to us. So the refusal is remembered by the platform's own ref, until it is forgotten; and only the door that brought an
upload may have it forgotten by what it hears of its id.
"""

from __future__ import annotations

from hashsets.sqlite import Database
from scanner.ledger import assets, contents, matches
from scanner.ledger.locations import Locations
from scanner.types import Extent


class Refusals:
    """The refusals part of the ledger."""

    def __init__(self, db: Database, locations: Locations) -> None:
        self._db = db
        self._locations = locations

    def remember(self, ref: bytes, day: str) -> None:
        """An upload was refused."""
        with self._db.write():
            self._db.execute("INSERT OR IGNORE INTO refused (ref, day) VALUES (?, ?)", (self._key(ref), day))

    def holds(self, ref: bytes) -> bool:
        """Whether it was refused."""
        return self._db.execute("SELECT 1 FROM refused WHERE ref = ?", (self._key(ref),)).fetchone() is not None

    def bring(self, ref: bytes, door: str, day: str) -> None:
        """A door is about to judge an upload: it is that door's, unless it is somebody else's already."""
        with self._db.write():
            if self._doors(ref):
                return
            held = assets.find(self._db, assets.UPLOADS, self._key(ref))
            if (held is None or held.gone) and not self.holds(ref):
                self._db.execute("INSERT INTO brought (ref, door, day) VALUES (?, ?, ?)", (self._key(ref), door, day))

    def is_of(self, ref: bytes, door: str) -> bool:
        """Whether a door brought it."""
        return door in self._doors(ref)

    def forget(self, ref: bytes) -> None:
        """The platform no longer holds it."""
        with self._db.write():
            self._db.execute("DELETE FROM refused WHERE ref = ?", (self._key(ref),))
            self._db.execute("DELETE FROM brought WHERE ref = ?", (self._key(ref),))

    def _doors(self, ref: bytes) -> set[str]:
        return {door for (door,) in self._db.execute("SELECT door FROM brought WHERE ref = ?", (self._key(ref),))}

    def _key(self, ref: bytes) -> bytes:
        return self._locations.key(assets.UPLOADS, ref)

    def may_be_kept(self, ref: bytes) -> bool:
        """Whether an upload was judged, not refused, looked at whole, and matches nothing today."""
        with self._db.read():
            asset = assets.find(self._db, assets.UPLOADS, self._key(ref))
            if self.holds(ref) or asset is None or asset.gone or asset.content_seq is None:
                return False
            whole = contents.by_seq(self._db, asset.content_seq).looked.extent is Extent.WHOLE
            return whole and not matches.verdict(self._db, asset.content_seq)
