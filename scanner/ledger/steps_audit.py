"""The schema step of what the audit log is owed."""

from __future__ import annotations

AUDIT = """
-- Lines owed to the audit log. Written inside the transaction of the deed; dies once the line is in the log.
CREATE TABLE audit_due (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,            -- random; the line has it too, so that it is written once
    at_ns INTEGER NOT NULL,
    event TEXT NOT NULL,
    particulars TEXT NOT NULL,           -- JSON
    tried INTEGER NOT NULL DEFAULT 0     -- it was handed to the log's keeper: the line may be there
);
-- What the audit log was last told, or is owed, of each thing that may change (see accountability/changes.py). Written
-- with the line that is owed; dies when the thing is gone and that is owed too.
CREATE TABLE audit_told (
    subject TEXT PRIMARY KEY,            -- software, config, set:<uid>
    told TEXT NOT NULL                   -- JSON
) WITHOUT ROWID;
-- The salted root hash of what a set listed at a version. Written when the version is told; kept.
CREATE TABLE set_root (
    set_uid BLOB NOT NULL,
    version INTEGER NOT NULL,
    root TEXT NOT NULL,
    PRIMARY KEY (set_uid, version)
) WITHOUT ROWID;
-- The salt of this ledger's root hashes: one row, random, drawn with the first. Kept.
CREATE TABLE root_salt (id INTEGER PRIMARY KEY CHECK (id = 1), salt BLOB NOT NULL);
"""
