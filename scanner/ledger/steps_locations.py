"""Sealed locations, as a step of the ledger's schema; see `migrations` and `locations`."""

from __future__ import annotations

from typing import Final

LOCATIONS: Final = """
-- What opens the location of a place whose key is a digest. Written with the place, once; NULL: the key can be read.
ALTER TABLE asset ADD COLUMN box BLOB;

-- One row, in a home whose locations are sealed. Written by `locations seal`; kept.
CREATE TABLE sealed_locations (
    public BLOB NOT NULL,                -- the key that seals
    key_id BLOB NOT NULL,                -- which key digests are keyed by
    up_to INTEGER NOT NULL DEFAULT 0,    -- the asset up to which all are sealed
    done INTEGER NOT NULL DEFAULT 0      -- all are, and no trace is left of how they were
);

-- Folders of sealed homes that were roots before another root took them in. Written then; dies with the root.
CREATE TABLE graft (
    root_id INTEGER NOT NULL,
    origin INTEGER NOT NULL,             -- the root it was
    folder BLOB NOT NULL,                -- what the keys below begin with
    box BLOB NOT NULL,                   -- the way to it, from the root that first took it in
    PRIMARY KEY (root_id, origin)
) WITHOUT ROWID;
"""
