"""How much was looked at, by day and kind: counters that name no content and no place. Rows.

Runs inside the caller's transaction: what is recorded and what is counted cannot part.

Rules
- An item is a file or upload the first time it holds a content. One that stands as it was is not counted again, nor is
  another look at it; an upload without a ref is counted when nobody had met its content.
- Media, extent and reason are what its first look found.
- A content is counted where nobody had met it before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hashsets.sqlite import Database
from scanner.errors import UsageError
from scanner.ledger.flags import media_of
from scanner.transparency_config import is_region
from scanner.types import Looked, MediaKind, Trigger

if TYPE_CHECKING:
    from scanner.ledger.ledger import Recorded, Recording

NO_REGION: Final = ""
_Kind = tuple[str, MediaKind, Looked]


class Tally:
    """What one transaction counts: filled item by item, then written once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[_Kind, list[int]] = {}
        self._roots: dict[int, str] | None = None

    def add(
        self, root_id: int | None, region: str, media: MediaKind, looked: Looked, size_bytes: int, *, new: bool
    ) -> None:
        """Count an item; `root_id` None or 0: it came as an upload, from `region`."""
        if root_id:
            if self._roots is None:
                self._roots = of_roots(self._db)
            region = self._roots.get(root_id, NO_REGION)
        counts = self._counts.get((region, media, looked))
        if counts is None:
            counts = self._counts[region, media, looked] = [0, 0, 0]
        counts[0] += 1
        counts[1] += new
        counts[2] += size_bytes

    def add_recorded(self, item: Recording, done: Recorded) -> None:
        """Count a recording, where it is one that counts."""
        arrived = done.new if item.place is None else done.arrived
        if arrived if item.counts is None else item.counts:
            root_id = None if item.place is None else item.place.root_id
            seen, new = done.outcome, done.new or bool(item.counts)
            self.add(root_id, item.region, seen.media, seen.looked, item.digests.size_bytes, new=new)

    def write(self, day: str, trigger: Trigger) -> None:
        """Add what was counted to the day's rows."""
        lane = Trigger.UPLOAD if trigger is Trigger.UPLOAD else Trigger.SCAN
        for (region, media, looked), counts in self._counts.items():
            reason = "" if looked.reason is None else looked.reason.value
            self._db.execute(
                "INSERT INTO volume (day, lane, region, media, extent, reason, items, contents, bytes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items,"
                " contents = contents + excluded.contents, bytes = bytes + excluded.bytes",
                (day, lane.value, region, media_of(media).value, looked.extent.value, reason, *counts),
            )


def of_roots(db: Database) -> dict[int, str]:
    """The labels of roots that have one, by the root's id."""
    return dict(db.execute("SELECT root_id, region FROM root_region").fetchall())


def label_root(db: Database, root_id: int, region: str | None) -> None:
    """Give a root its label, or take it back (None): it counts for what is met and flagged from now on."""
    if region is not None and not is_region(region):
        raise UsageError("A region is 1 to 32 letters, digits, blanks, - and _, such as EU.")
    with db.write():
        db.execute("DELETE FROM root_region WHERE root_id = ?", (root_id,))
        if region is not None:
            db.execute("INSERT INTO root_region (root_id, region) VALUES (?, ?)", (root_id, region))


def label_upload(db: Database, content_seq: int, region: str) -> None:
    """A content nobody had met came in by a listener that has a label."""
    if region:
        db.execute("INSERT INTO upload_region (content_seq, region) VALUES (?, ?)", (content_seq, region))
