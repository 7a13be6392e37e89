"""Which contents were flagged by which list and hash type, from when until when, and what people found then. Rows.

Runs inside the caller's transaction. Nothing here names a content but its number, which is never reused.

Rules
- A content is *flagged* once one of its matches may be reported: active, of an alert set, of a version that is settled,
  and not muted, whether or not there is an asset that a report could be about. A set that goes into shadow, or a match
  that is held, ends nothing.
- One standing row per (content, set, hash type): more entries of one set that are met by one type flag nothing again.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from hashsets.sqlite import Database
from scanner.ledger import matches
from scanner.ledger.matches import Match
from scanner.report_fields import Cause, Proximity, ReportedMedia, is_exact
from scanner.types import MediaKind


def media_of(media: MediaKind) -> ReportedMedia:
    """The kind under which a content is counted, as reports tell it: an animation is an image."""
    return {MediaKind.IMAGE: ReportedMedia.IMAGE, MediaKind.ANIMATION: ReportedMedia.IMAGE}.get(
        media, ReportedMedia.VIDEO if media is MediaKind.VIDEO else ReportedMedia.OTHER
    )


def raised(db: Database, match: Match, day: str) -> None:
    """A match may be reported: its content is flagged, unless that stands already."""
    hit = match.hit
    standing = db.execute(
        "SELECT 1 FROM flag WHERE content_seq = ? AND set_uid = ? AND hash_type = ? AND ended IS NULL",
        (hit.owner, hit.set_uid, hit.hash_type),
    ).fetchone()
    if standing is not None:
        return
    (media,) = db.execute("SELECT media FROM content WHERE seq = ?", (hit.owner,)).fetchone()
    db.execute(
        "INSERT INTO flag (content_seq, set_uid, hash_type, proximity, media, region, listed_version, classifications,"
        " day) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            hit.owner,
            hit.set_uid,
            hit.hash_type,
            (Proximity.EXACT if is_exact(hit.hash_type) else Proximity.NEAR).value,
            media_of(MediaKind(media)).value,
            _region(db, hit.owner),
            hit.first_version,
            json.dumps([[mark.scheme, mark.code] for mark in hit.classifications]),
            day,
        ),
    )


def lowered(db: Database, match: Match, cause: Cause, day: str, stands: Callable[[Match], bool]) -> None:
    """A match may no longer be reported: what it alone flagged is flagged no more. `stands` judges other matches."""
    hit = match.hit
    rows = db.execute(
        "SELECT id, hash_type FROM flag WHERE content_seq = ? AND set_uid = ? AND ended IS NULL",
        (hit.owner, hit.set_uid),
    ).fetchall()
    if not rows:
        return
    others = {
        other.hit.hash_type
        for other in matches.of_content(db, hit.owner)
        if other.hit.set_uid == hit.set_uid and other.hit.entry_key != hit.entry_key and stands(other)
    }
    for flag_id, hash_type in rows:
        # Evidence gets better while a match stands: with the last match of a set all that it once flagged has ended.
        if not others or (hash_type == hit.hash_type and hash_type not in others):
            db.execute("UPDATE flag SET ended = ?, cause = ? WHERE id = ?", (day, cause.value, flag_id))


def reviewed(
    db: Database, content_seq: int, outcome: str, day: str, *, set_uid: bytes | None = None, upon_appeal: bool = False
) -> int:
    """A person looked at a flagged content: note what was found (confirmed, not_confirmed, undecided).

    It counts for the latest flag of each hash type, of one set or of all; how many flags that were.
    """
    rows = db.execute(
        "SELECT max(id) FROM flag WHERE content_seq = ?1 AND (?2 IS NULL OR set_uid = ?2) GROUP BY set_uid, hash_type",
        (content_seq, set_uid),
    ).fetchall()
    for (flag_id,) in rows:
        db.execute(
            "INSERT INTO flag_review (flag_id, day, outcome, upon_appeal) VALUES (?, ?, ?, ?)",
            (flag_id, day, outcome, int(upon_appeal)),
        )
    return len(rows)


def _region(db: Database, seq: int) -> str:
    """Where a content was first met, as far as anybody has said."""
    row = db.execute("SELECT region FROM upload_region WHERE content_seq = ?", (seq,)).fetchone()
    if row is None:
        row = db.execute(
            "SELECT r.region FROM asset a JOIN root_region r USING (root_id) WHERE a.content_seq = ?"
            " ORDER BY a.id LIMIT 1",
            (seq,),
        ).fetchone()
    return "" if row is None else str(row[0])
