"""The record of transparency reports that were published, as a step of the ledger's schema; see `migrations`."""

from __future__ import annotations

from typing import Final

PUBLICATIONS: Final = """
-- One row a report that was published, so that no other is of a day in it. Written by `transparency --publish`; kept.
CREATE TABLE publication (
    first TEXT PRIMARY KEY,
    last TEXT NOT NULL,
    day TEXT NOT NULL,
    figures TEXT NOT NULL                -- SHA-256 of what it shows
) WITHOUT ROWID;
"""
