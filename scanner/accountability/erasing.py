"""How contents, places, reports and names are erased from the ledger. Rows; runs inside the caller's transaction.

What retention decides (`retention.py`), this does: knows no policy, no clock and no file.

Rules
- A content goes with everything that leads to it or from it: signals, digests, places, matches, actions, opaque names,
  what was spooled; a mapped segment that holds it counts no more, and its files are nobody's then.
- A sealed report that stands in the world stays, and points nowhere: its place becomes a row that says nothing, and
  the key of its entry goes, which for an exact match is the content's own digest.
- What is on its way is not erased: an upload that is yet to be compared, a report that is not sealed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hashsets.sqlite import Database
from scanner.ledger.ages import Stretch

ERASED_ROOT: Final = -1  # where rows of places go that only a sealed report still needs

# A match that stands: one that counts, or whose withdrawal waits for its version to be settled. Not of what vouches.
_STANDS: Final = (
    "SELECT 1 FROM match m JOIN met_set s USING (set_uid) WHERE m.content_seq = c.seq AND s.role != 'known_good'"
    " AND (m.state IN ('active', 'held') OR (m.state = 'withdrawn' AND m.version >"
    " coalesce((SELECT p.version FROM speech p WHERE p.set_uid = m.set_uid), 0)))"
)
_HELD: Final = "SELECT 1 FROM hold h WHERE h.content_seq = c.seq AND h.ended_day IS NULL"
_WAITS: Final = (
    "EXISTS (SELECT 1 FROM accepted a WHERE a.content_seq = c.seq)"
    " OR EXISTS (SELECT 1 FROM asset a JOIN report r ON r.asset_id = a.id WHERE a.content_seq = c.seq"
    " AND +r.report_id IS NULL)"  # the plus keeps SQLite from going through all that is pending for each
    " OR EXISTS (SELECT 1 FROM case_file f WHERE f.content_seq = c.seq AND f.state != 'decided')"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one step erased: contents, places, and rows of any kind; and the files of the spool that are to go."""

    contents: int = 0
    places: int = 0
    rows: int = 0
    spooled: tuple[str, ...] = ()

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.contents + other.contents,
            self.places + other.places,
            self.rows + other.rows,
            self.spooled + other.spooled,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What is past its date and stays: by a hold, or because it is on its way (an open case, a report not sealed)."""

    held: int = 0
    waiting: int = 0


def unmatched(db: Database, stretch: Stretch, above: int, most: int) -> list[int]:
    """The next contents of a stretch that match nothing and may go."""
    rows = db.execute(
        f"SELECT seq FROM content c WHERE seq > ? AND seq BETWEEN ? AND ? AND NOT EXISTS ({_STANDS})"
        f" AND NOT EXISTS ({_HELD}) AND NOT ({_WAITS}) ORDER BY seq LIMIT ?",
        (above, stretch.seq_lo, stretch.seq_hi, most),
    )
    return [seq for (seq,) in rows]


def unmatched_kept(db: Database, stretch: Stretch) -> Kept:
    """Contents of a stretch that match nothing and stay."""
    return _kept(db, f"c.seq BETWEEN ? AND ? AND NOT EXISTS ({_STANDS})", (stretch.seq_lo, stretch.seq_hi))


def matched(db: Database, before: str, above: int, most: int) -> list[int]:
    """The next contents identified before a day, of which a match stands, that may go."""
    rows = db.execute(
        "SELECT seq FROM identified i JOIN content c ON c.seq = i.content_seq WHERE i.content_seq > ? AND i.day < ?"
        f" AND EXISTS ({_STANDS}) AND NOT EXISTS ({_HELD}) AND NOT ({_WAITS}) ORDER BY seq LIMIT ?",
        (above, before, most),
    )
    return [seq for (seq,) in rows]


def matched_kept(db: Database, before: str) -> Kept:
    """Contents identified before a day, of which a match stands, that stay."""
    condition = f"c.seq IN (SELECT content_seq FROM identified WHERE day < ?) AND EXISTS ({_STANDS})"
    return _kept(db, condition, (before,))


def _kept(db: Database, condition: str, parameters: Sequence[object]) -> Kept:
    row = db.execute(
        f"SELECT count(*) FILTER (WHERE EXISTS ({_HELD})), count(*) FILTER (WHERE NOT EXISTS ({_HELD})) FROM content c"
        f" WHERE {condition} AND (EXISTS ({_HELD}) OR {_WAITS})",
        parameters,
    ).fetchone()
    return Kept(*row)


def contents(db: Database, seqs: Sequence[int]) -> Taken:
    """Erase contents, with all that leads to them."""
    chosen = (json.dumps(list(seqs)),)
    these = "IN (SELECT value FROM json_each(?1))"
    ids = [row[0] for row in db.execute(f"SELECT id FROM asset WHERE content_seq {these}", chosen)]
    spooled = tuple(row[0] for row in db.execute(f"SELECT name FROM spooled WHERE content_seq {these}", chosen))
    places(db, ids)
    rows = 0
    for table in ("action", "action_due", "match", "shown_code", "spooled", "overturned", "identified"):
        rows += db.execute(f"DELETE FROM {table} WHERE content_seq {these}", chosen).rowcount
    digests = f"SELECT sha256 FROM content WHERE seq {these}"
    rows += db.execute(f"DELETE FROM vouching_due WHERE sha256 IN ({digests})", chosen).rowcount
    # The number of the newest look rises, so that a segment under way, built from what is erased now, will not count.
    db.execute("INSERT OR REPLACE INTO relooked (seq) VALUES (?)", (seqs[0],))
    db.execute(f"DELETE FROM relooked WHERE seq {these}", chosen)
    db.execute(f"UPDATE report SET entry_key = x'' WHERE content_seq {these}", chosen)
    db.execute(
        f"UPDATE case_file SET content_seq = NULL, set_uid = NULL, entry_key = NULL WHERE content_seq {these}", chosen
    )
    db.execute(f"UPDATE hold SET content_seq = NULL WHERE content_seq {these}", chosen)
    _uncount_segments(db, chosen[0])
    rows += db.execute(f"DELETE FROM content WHERE seq {these}", chosen).rowcount
    return Taken(len(seqs), len(ids), rows + len(ids), spooled)


def _uncount_segments(db: Database, chosen: str) -> None:
    """Let the mapped segments that hold any of these contents count no more."""
    stamps = db.execute(
        "SELECT stamp FROM inventory WHERE EXISTS (SELECT 1 FROM json_each(?) WHERE value BETWEEN seq_lo AND seq_hi)",
        (chosen,),
    ).fetchall()
    for table in ("inventory_column", "inventory"):
        db.connection.executemany(f"DELETE FROM {table} WHERE stamp = ?", stamps)


def places(db: Database, ids: Sequence[int]) -> None:
    """Erase rows of places; one of which a sealed report speaks says nothing from then on."""
    chosen = (json.dumps(list(ids)),)
    these = "id IN (SELECT value FROM json_each(?1))"
    told = "EXISTS (SELECT 1 FROM report r WHERE r.asset_id = asset.id)"
    db.execute(f"DELETE FROM action WHERE asset_{these}", chosen)
    db.execute(f"DELETE FROM leaving WHERE asset_{these}", chosen)
    db.execute(
        f"UPDATE asset SET root_id = {ERASED_ROOT}, key = CAST(id AS BLOB), box = NULL, content_seq = NULL,"
        " reason = NULL, dev = NULL, ino = NULL, size_bytes = NULL, mtime_ns = NULL, ctime_ns = NULL, settled = 0,"
        f" born_walk = 0, missing_at = NULL, gone = 1 WHERE {these} AND {told}",
        chosen,
    )
    db.execute(f"UPDATE report SET entry_key = x'' WHERE asset_{these}", chosen)
    db.execute(f"DELETE FROM asset WHERE {these} AND NOT {told}", chosen)
    db.execute("DELETE FROM root WHERE id > 0 AND name IS NULL AND id NOT IN (SELECT root_id FROM asset)")
    db.execute("DELETE FROM graft WHERE root_id NOT IN (SELECT id FROM root)")


def notice_gone(db: Database, day: str) -> None:
    """Note since when places hold nothing; forget it of those that are back."""
    db.execute("DELETE FROM leaving WHERE asset_id NOT IN (SELECT id FROM asset WHERE gone)")
    db.execute(
        "INSERT OR IGNORE INTO leaving (asset_id, day) SELECT id, ? FROM asset"
        f" WHERE gone AND root_id != {ERASED_ROOT}",
        (day,),
    )


def gone(db: Database, before: str, above: int, most: int) -> list[int]:
    """The next places that have held nothing since before a day, and of whose content nothing is held or waits."""
    rows = db.execute(
        "SELECT l.asset_id FROM leaving l JOIN asset a ON a.id = l.asset_id"
        " LEFT JOIN content c ON c.seq = a.content_seq WHERE l.asset_id > ? AND l.day < ?"
        f" AND NOT EXISTS ({_HELD}) AND NOT EXISTS"
        " (SELECT 1 FROM report r WHERE r.asset_id = a.id AND +r.report_id IS NULL) ORDER BY l.asset_id LIMIT ?",
        (above, before, most),
    )
    return [asset_id for (asset_id,) in rows]


def reports(db: Database, before: str) -> Taken:
    """Erase what was said and handed over before a day, where nothing of it stands any more.

    A chain goes whole: it ended in a withdrawal, or its place is one that only it still needs.
    """
    chains = (  # SQLite: the bare column `kind` is of the row that max() found
        "SELECT asset_id, set_uid, entry_key, kind, max(id), count(*) - count(report_id) AS pending,"
        " sum(day >= ?1) AS recent FROM report GROUP BY asset_id, set_uid, entry_key"
    )
    ended = (
        f"SELECT asset_id, set_uid, entry_key FROM ({chains}) WHERE NOT pending AND NOT recent AND (kind = 'withdrawal'"
        f" OR asset_id IN (SELECT id FROM asset WHERE root_id = {ERASED_ROOT}))"
    )
    held = "SELECT content_seq FROM hold WHERE ended_day IS NULL AND content_seq IS NOT NULL"
    over = f"(asset_id, set_uid, entry_key) IN ({ended}) AND content_seq NOT IN ({held})"
    ids = [row[0] for row in db.execute(f"SELECT id FROM report WHERE {over} ORDER BY id DESC", (before,))]
    db.connection.executemany("DELETE FROM report WHERE id = ?", [(each,) for each in ids])
    stubs = f"root_id = {ERASED_ROOT} AND NOT EXISTS (SELECT 1 FROM report r WHERE r.asset_id = asset.id)"
    db.execute(f"DELETE FROM asset WHERE {stubs}")
    batches = db.execute("DELETE FROM batch WHERE delivered_day IS NOT NULL AND sealed_day < ?", (before,)).rowcount
    return Taken(rows=len(ids) + batches)


def refusals(db: Database, before: str) -> Taken:
    """Forget the refs of uploads refused before a day, and whose they were."""
    tables = ("refused", "brought")
    return Taken(rows=sum(db.execute(f"DELETE FROM {table} WHERE day < ?", (before,)).rowcount for table in tables))


def cases(db: Database, before: str) -> Taken:
    """Erase from cases decided and holds ended before a day who decided, and what leads elsewhere."""
    old = "SELECT case_id FROM case_file WHERE state = 'decided' AND decided_day < ?"
    words = db.execute(
        "UPDATE case_word SET who = NULL, ticket = NULL, request_key = NULL WHERE"
        f" (who IS NOT NULL OR ticket IS NOT NULL OR request_key IS NOT NULL) AND case_id IN ({old})",
        (before,),
    ).rowcount
    files = db.execute(
        "UPDATE case_file SET content_seq = NULL, set_uid = NULL, entry_key = NULL, report_id = NULL WHERE"
        f" (content_seq IS NOT NULL OR report_id IS NOT NULL) AND case_id IN ({old})",
        (before,),
    ).rowcount
    holds = db.execute(
        "UPDATE hold SET content_seq = NULL, request = NULL, extension = NULL, receipt = NULL WHERE ended_day < ?"
        " AND (content_seq IS NOT NULL OR request IS NOT NULL OR extension IS NOT NULL OR receipt IS NOT NULL)",
        (before,),
    ).rowcount
    return Taken(rows=words + files + holds)
