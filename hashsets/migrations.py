"""The schema of hashsets.db: numbered, append-only steps. A released step is never edited.

Visibility: a signal row is in force at version v when added <= v and (withdrawn IS NULL or withdrawn > v). Rows of a
refresh under way carry the set's version + 1, so nothing sees them until activation raises the version.
"""

from __future__ import annotations

from hashsets.sqlite import Migration

_TABLES = """
-- One row: the number that rises with every change of force in any set, and the next entry id. Ids are never reused,
-- because an old snapshot still asks by them. Written by every change of force and by merging.
CREATE TABLE catalogue (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    next_entry_id INTEGER NOT NULL
);
INSERT INTO catalogue VALUES (1, 0, 1);

-- A set as it stands. Written by create, the setters, stage and activate; dies with remove. AUTOINCREMENT: rows of a
-- removed set are swept later and must never be taken for another set's.
CREATE TABLE hash_set (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    role TEXT NOT NULL,
    mode TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    rule TEXT NOT NULL,               -- JSON
    rule_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    entries INTEGER NOT NULL,         -- in force at version
    checkpoint BLOB,                  -- the source's, opaque
    refreshed TEXT,                   -- UTC day of the last refresh that ended well, with or without a change
    purged_version INTEGER NOT NULL DEFAULT 0,  -- changes up to here can no longer be told apart
    staging_token BLOB,               -- of the refresh under way or crashed
    staging_first_id INTEGER          -- entries of this set from this id on are the refresh's own
);

-- Removed sets: those that listed anything are told for ever, so that their matches are withdrawn even by a re-scan
-- that comes much later. Written by remove; unswept until the rows of the set have been deleted, chunk by chunk.
CREATE TABLE removed_set (
    uid BLOB PRIMARY KEY,
    set_id INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    unswept INTEGER NOT NULL
) WITHOUT ROWID;

-- History: one row per committed delta. Written by activate; dies with remove.
CREATE TABLE version (
    set_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    day TEXT NOT NULL,
    added INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    checkpoint BLOB,
    first_id INTEGER NOT NULL,        -- entries it listed for the first time have ids from here on
    PRIMARY KEY (set_id, version)
) WITHOUT ROWID;

-- Interned names of hash types and combinations of classifications (JSON). Written by stage; never die.
CREATE TABLE hash_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE labels (id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE);
INSERT INTO labels VALUES (0, '[]');

-- A listed thing. Written by merging, in the order of key_hash; dies by purge when its last signal row has gone, or
-- with remove. key is NULL while it is its one signal's type and value: the usual case, and a third of the file.
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    set_id INTEGER NOT NULL,
    key_hash INTEGER NOT NULL,        -- 64 bits of BLAKE2b of the key: an index of 20 bytes instead of 50
    first_version INTEGER NOT NULL,
    labels INTEGER NOT NULL,          -- as first listed; later ones are in relabelled
    ref NOT NULL,                     -- 16 random bytes, or the source's public id as text
    key BLOB
);
CREATE INDEX entry_by_key ON entry (set_id, key_hash);

-- One value of one entry over one span of versions. Written by merging; dies by purge once withdrawn, or with remove.
CREATE TABLE signal (
    set_id INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    type INTEGER NOT NULL,
    value BLOB NOT NULL,
    added INTEGER NOT NULL,
    withdrawn INTEGER,
    frames INTEGER NOT NULL,          -- 1 where the entry's shape over this span is frames
    quality INTEGER,
    frame INTEGER,
    frame_ms INTEGER,
    PRIMARY KEY (set_id, entry_id, type, value, added)
) WITHOUT ROWID;
CREATE INDEX signal_by_withdrawal ON signal (set_id, withdrawn) WHERE withdrawn IS NOT NULL;

-- Which entries, already listed before, a version touched. Entries it lists for the first time are told by
-- entry.first_version. Written by merging; dies by purge, or with remove.
CREATE TABLE change (
    set_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    signals_changed INTEGER NOT NULL, -- 0: only its classifications
    PRIMARY KEY (set_id, version, entry_id)
) WITHOUT ROWID;

-- Classifications that replaced earlier ones from a version on. Written by merging; dies with its entry.
CREATE TABLE relabelled (
    entry_id INTEGER NOT NULL,
    version INTEGER NOT NULL,
    labels INTEGER NOT NULL,
    PRIMARY KEY (entry_id, version)
) WITHOUT ROWID;

-- Pages of a refresh under way, split by key_hash so that they can be merged in order within bounded memory. Written by
-- stage; die by merging or discard.
CREATE TABLE staged (
    id INTEGER PRIMARY KEY,
    set_id INTEGER NOT NULL,
    part INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX staged_by_part ON staged (set_id, part);
"""

# Two histories that reach the same version number (a copy restored, then other imports) are told apart by this.
_TOKENS = """
ALTER TABLE version ADD COLUMN token BLOB;  -- 16 random bytes, drawn at activation
UPDATE version SET token = randomblob(16);
"""

_SOURCES = """
-- How the source of each set stands, by the set's name, which need not exist yet. Written by every refresh from a
-- configured source, by hand or by the daemon; rows of sources no longer configured are left.
CREATE TABLE source_standing (
    hash_set TEXT PRIMARY KEY,
    tried INTEGER,                    -- nanoseconds since the epoch
    succeeded INTEGER,
    changed INTEGER,                  -- when it last had news, or first answered
    failures INTEGER NOT NULL DEFAULT 0,  -- since it last answered
    problem TEXT,                     -- a word of a closed list
    failure TEXT                      -- our own sentence
) WITHOUT ROWID;
"""

_VOTES = """
-- What was voted of entries, to whom shares them. Written by `hashset vote` before it sends; kept, so that nothing is
-- sent twice unknowingly.
CREATE TABLE vote (
    id INTEGER PRIMARY KEY,
    set_uid BLOB NOT NULL,
    ref TEXT NOT NULL,
    hash_type TEXT NOT NULL,
    up INTEGER NOT NULL,
    reason TEXT,
    day TEXT NOT NULL,
    answered INTEGER NOT NULL         -- 0: sent, and whether it arrived is not known
);
CREATE INDEX vote_of ON vote (set_uid, ref);
"""

# What a version may bring without a person's word, JSON, NULL: the defaults; and which versions took others back.
_BOUNDS = """
ALTER TABLE hash_set ADD COLUMN bounds TEXT;
ALTER TABLE version ADD COLUMN rollback_to INTEGER;
"""

MIGRATIONS = (
    Migration(1, "sets, versions, entries, signals and staged pages", _TABLES),
    Migration(2, "each version carries a token, by which indexes on disk know what they hold", _TOKENS),
    Migration(3, "how the source of each set stands", _SOURCES),
    Migration(4, "votes on entries", _VOTES),
    Migration(5, "bounds of what a version may bring, and versions that take others back", _BOUNDS),
)
