"""Counts for `status` and the closing object of a scan. Reads only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hashsets.sqlite import Database
from scanner.types import Extent, Reason


@dataclass(slots=True)
class Outcomes:
    """How assets stand, each counted under one of `matched`, `clear`, `not_media`, `partial`, `unscannable`.

    Beside that: `matched_partial` of the matched were looked at only in part; `held` of them match only what is known
    good too, so that no report leaves; `suppressed` of the others are near something listed, but known good.
    """

    assets: int = 0
    contents: int = 0
    matched: int = 0
    matched_partial: int = 0
    held: int = 0
    suppressed: int = 0
    clear: int = 0
    not_media: int = 0
    owed: int = 0
    partial: Counter[str] = field(default_factory=Counter)
    unscannable: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcomes) -> None:
        """Fold another tally in; contents that stand in both count twice."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.partial += other.partial
        self.unscannable += other.unscannable


_NUMBERS = ("assets", "contents", "matched", "matched_partial", "held", "suppressed", "clear", "not_media", "owed")

# Matched first: what a part of a file shows stays shown. Then what stands in the way of the place, then of the content.
# Not media is what is neither that nor, as a container, holds any: nothing is in its packed signals but their mark.
# The last column is the strongest state of a match that is no known-good set's own: 3 active, 2 held, 1 suppressed.
_ROWS = """
SELECT a.id, a.content_seq, a.reason, c.media = 'other' AND length(c.signals) <= 4, c.extent, c.reason,
    coalesce((
    SELECT max(CASE m.state WHEN 'active' THEN 3 WHEN 'held' THEN 2 WHEN 'suppressed' THEN 1 END)
    FROM match m JOIN met_set s USING (set_uid)
    WHERE m.content_seq = a.content_seq AND s.role != 'known_good'), 0)
FROM asset a LEFT JOIN content c ON c.seq = a.content_seq
WHERE NOT a.gone AND a.missing_at IS NULL
"""
_HELD, _SUPPRESSED = 2, 1
_IDS_AT_ONCE = 1000

_RETRYABLE = {reason.value for reason in Reason if reason.retryable}


def outcomes(db: Database, ids: Iterable[int] | None = None) -> Outcomes:
    """Tally the present assets of these ids (of all, uploads too, without any)."""
    tally = Outcomes()
    seqs = set()
    for _, seq, place_reason, not_media, extent, reason, state in _rows(db, ids):
        seqs.add(seq)
        tally.owed += any(why in _RETRYABLE for why in (place_reason, reason))
        tally.held += state == _HELD
        tally.suppressed += state == _SUPPRESSED
        _count(tally, place_reason, bool(not_media), extent, reason, state >= _HELD)
    tally.contents = len(seqs - {None})
    return tally


def _count(
    tally: Outcomes, place_reason: str | None, not_media: bool, extent: str | None, reason: str | None, matched: bool
) -> None:
    tally.assets += 1
    if matched:
        tally.matched += 1
        tally.matched_partial += extent != Extent.WHOLE
    elif place_reason is not None:
        tally.unscannable[place_reason] += 1
    elif extent == Extent.DIGESTS_ONLY:
        tally.unscannable[str(reason)] += 1
    elif extent == Extent.PARTIAL:
        tally.partial[str(reason)] += 1
    elif not_media:
        tally.not_media += 1
    else:
        tally.clear += 1


def _rows(db: Database, ids: Iterable[int] | None) -> Iterator[tuple[Any, ...]]:
    """The rows of present assets: of all, or of these ids, at a cost of these alone however many there are beside."""
    if ids is None:
        yield from db.execute(_ROWS)
        return
    with db.read():
        wanted = iter(ids)
        while some := list(islice(wanted, _IDS_AT_ONCE)):
            yield from db.execute(_ROWS + " AND a.id IN (SELECT value FROM json_each(?))", (json.dumps(some),))


def matched_assets(db: Database, ids: Iterable[int] | None = None) -> list[int]:
    """Those of these assets (of all, without any) that are present and have a match that counts."""
    return [row[0] for row in _rows(db, ids) if row[-1] >= _HELD]


def holding(db: Database, seqs: Iterable[int]) -> int:
    """How many present assets hold one of these contents."""
    (count,) = db.execute(
        "SELECT count(*) FROM asset WHERE content_seq IN (SELECT value FROM json_each(?)) AND NOT gone"
        " AND missing_at IS NULL",
        (json.dumps(list(seqs)),),
    ).fetchone()
    return int(count)


def contents(db: Database) -> int:
    """How many distinct contents are on record."""
    return int(db.execute("SELECT count(*) FROM content").fetchone()[0])


def match_states(db: Database) -> dict[str, int]:
    """Match rows by state; those of known-good sets, which only vouch, under `known_good`."""
    rows = db.execute(
        "SELECT CASE WHEN s.role = 'known_good' AND m.state = 'active' THEN 'known_good' ELSE m.state END AS standing,"
        " count(*) FROM match m JOIN met_set s USING (set_uid) GROUP BY standing ORDER BY standing"
    )
    return dict(rows.fetchall())


def actions(db: Database) -> dict[str, int]:
    """Actions that the operator's own system took, those owed (failing: tried in vain so far), and dropped ones."""
    names = ("delivered", "owed", "failing", "dropped")
    row = db.execute(
        "SELECT count(*) FILTER (WHERE delivered_at IS NOT NULL),"
        " count(*) FILTER (WHERE delivered_at IS NULL AND dropped_at IS NULL),"
        " count(*) FILTER (WHERE delivered_at IS NULL AND dropped_at IS NULL AND attempts > 0),"
        " count(*) FILTER (WHERE delivered_at IS NULL AND dropped_at IS NOT NULL) FROM action"
    ).fetchone()
    return dict(zip(names, row, strict=True))


def said(db: Database) -> dict[str, int]:
    """Reports pending and sealed, and batches still owed to a sink."""
    pending, sealed = db.execute(
        "SELECT count(*) FILTER (WHERE report_id IS NULL), count(report_id) FROM report"
    ).fetchone()
    (owed,) = db.execute("SELECT count(*) FROM batch WHERE delivered_day IS NULL").fetchone()
    return {"pending": pending, "sealed": sealed, "batches_owed": owed}
