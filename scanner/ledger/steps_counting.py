"""Schema step: how many reports were sealed, for sinks that hear counts. Never edited once released."""

from __future__ import annotations

COUNTING = """
-- How many reports of a set were sealed, by their day and by what a count may say. Written by sealing; dies a quarter
-- of a year after its day, once it was told where anybody is to be told.
CREATE TABLE sealed_cell (
    hash_set TEXT NOT NULL,
    day TEXT NOT NULL,
    cell TEXT NOT NULL,                  -- canonical JSON (scanner/counts.py)
    reports INTEGER NOT NULL,
    PRIMARY KEY (hash_set, day, cell)
) WITHOUT ROWID;
-- Up to which UTC day, that one not included, a set was told in counts: its periods never overlap. Written by sealing;
-- kept.
CREATE TABLE counted (
    hash_set TEXT PRIMARY KEY,
    until TEXT NOT NULL
) WITHOUT ROWID;
"""
