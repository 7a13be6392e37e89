"""What was published: each day in one report, whose figures stay what they were.

Two reports that share days can be subtracted from each other, and a revised one from the first: either would tell what
both withhold. So a day is published once, and once more only with the same figures.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hashsets.sqlite import Database
from scanner.accountability.audit import Event, due
from scanner.accountability.document import Document
from scanner.accountability.periods import Period
from scanner.accountability.printing import as_object
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError


def publish(db: Database, document: Document, clock: Clock) -> None:
    """Put on record that a report is published, before it is. Raises UsageError where it may not be."""
    if not document.period.is_over(utc_day(clock)):
        raise UsageError("The period is not over: its figures would be revised.")
    shown = _digest(document)
    with db.write():
        for period, figures in published(db):
            if period == document.period and figures == shown:
                return
            if period.overlaps(document.period):
                raise UsageError(
                    "A day of this period was published in another report, or with other figures: the two subtracted"
                    " from each other would tell what both withhold. Without --publish it is a draft, not to be given"
                    " out."
                )
        db.execute(
            "INSERT INTO publication (first, last, day, figures) VALUES (?, ?, ?, ?)",
            (document.period.first, document.period.last, utc_day(clock), shown),
        )
        told = {"first": document.period.first, "last": document.period.last, "figures": shown}
        due(db, Event.FIGURES_PUBLISHED, told, at_ns=clock.now_ns())


def published(db: Database) -> list[tuple[Period, str]]:
    """Every period that was published, with the digest of what it showed."""
    rows = db.execute("SELECT first, last, figures FROM publication ORDER BY first").fetchall()
    return [(Period(first, last), figures) for first, last, figures in rows]


def _digest(document: Document) -> str:
    """What a report shows of counts, with how it was made: texts may be put better later, figures may not."""
    shown: dict[str, Any] = as_object(document)
    tables = {table["key"]: table["rows"] for section in shown["sections"] for table in section["tables"]}
    counted = {key: rows for key, rows in tables.items() if key not in ("lists", "retention")}
    return hashlib.sha256(json.dumps([document.k, counted], sort_keys=True).encode()).hexdigest()
