"""Uploads that a door refused and the platform may hold all the same. One public method, one transaction.

A resumable upload that was refused is complete where it lies: a client that sends again is told so, without a question
to us. So the refusal is remembered by the platform's own ref, until it is forgotten.
"""

from __future__ import annotations

from hashsets.sqlite import Database
from scanner.ledger import assets, contents, matches
from scanner.types import Extent


class Refusals:
    """The refusals part of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def remember(self, ref: bytes, day: str) -> None:
        """An upload was refused."""
        with self._db.write():
            self._db.execute("INSERT OR IGNORE INTO refused (ref, day) VALUES (?, ?)", (ref, day))

    def holds(self, ref: bytes) -> bool:
        """Whether it was refused."""
        return self._db.execute("SELECT 1 FROM refused WHERE ref = ?", (ref,)).fetchone() is not None

    def forget(self, ref: bytes) -> None:
        """The platform no longer holds it."""
        with self._db.write():
            self._db.execute("DELETE FROM refused WHERE ref = ?", (ref,))

    def may_be_kept(self, ref: bytes) -> bool:
        """Whether an upload was judged, not refused, looked at whole, and matches nothing today."""
        with self._db.read():
            asset = assets.find(self._db, assets.UPLOADS, ref)
            if self.holds(ref) or asset is None or asset.gone or asset.content_seq is None:
                return False
            whole = contents.by_seq(self._db, asset.content_seq).looked.extent is Extent.WHOLE
            return whole and not matches.verdict(self._db, asset.content_seq)
