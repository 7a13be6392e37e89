"""Schema steps of ledger.db, append-only: a released step is never edited.

Every table says who writes it and when its rows die. Days are UTC dates (ISO 8601), times nanoseconds since 1970.
"""

from __future__ import annotations

from hashsets.sqlite import Migration
from scanner.ledger.steps_audit import AUDIT
from scanner.ledger.steps_cases import CASES
from scanner.ledger.steps_counting import COUNTING
from scanner.ledger.steps_doors import BROUGHT
from scanner.ledger.steps_figures import FIGURES
from scanner.ledger.steps_locations import LOCATIONS
from scanner.ledger.steps_publications import PUBLICATIONS
from scanner.ledger.steps_requests import REQUESTS

_FIRST = """
-- One row a configured storage location; id 0 stands for uploads. Written by `root ...` and the end of a walk;
-- dies with its last asset's row.
CREATE TABLE root (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,                    -- NULL: removed, kept for the assets' rows
    path BLOB UNIQUE,
    dev INTEGER,
    ino INTEGER,
    suspect TEXT,                        -- why nothing may be called missing here; NULL: not suspect
    accept_loss INTEGER NOT NULL DEFAULT 0,
    walks INTEGER NOT NULL DEFAULT 0,    -- walks begun
    completed_walk INTEGER NOT NULL DEFAULT 0,
    completed_at INTEGER                 -- end of the last completed walk
);
INSERT INTO root (id, name, path) VALUES (0, 'uploads', x'');

-- One row a sequence of bytes. Written when a content is recorded; kept until retention erases it. seq is never reused.
CREATE TABLE content (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL UNIQUE,
    sha1 BLOB NOT NULL,
    md5 BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    media TEXT NOT NULL,
    extent TEXT NOT NULL,
    reason TEXT,
    attempts INTEGER NOT NULL,           -- looks taken so far that got no further than the one before
    recipes INTEGER NOT NULL,            -- what its signals were made by (recipes.py)
    signals BLOB NOT NULL,               -- see packing.py
    resume BLOB                          -- where the next look goes on (scanner/resuming.py); NULL: at the start
);
CREATE INDEX content_reason ON content (reason) WHERE reason IS NOT NULL;
-- Of what can owe a recipe.
CREATE INDEX content_recipes ON content (media, recipes) WHERE extent != 'digests_only';

-- Combinations of recipes (JSON, sorted), interned. Written with contents; never die.
CREATE TABLE recipes (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);

-- One row a place where a content is held. Written by walks and uploads; a gone asset's row stays under retention.
CREATE TABLE asset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root_id INTEGER NOT NULL REFERENCES root (id),
    key BLOB NOT NULL,                   -- relative to the root, bytes; for uploads the caller's ref
    content_seq INTEGER REFERENCES content (seq),
    reason TEXT,                         -- why the place could not be read; NULL: it was
    dev INTEGER, ino INTEGER, size_bytes INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
    settled INTEGER NOT NULL DEFAULT 0,  -- the stat columns may be trusted to tell a change
    born_walk INTEGER NOT NULL,          -- the walk of the root that first met it
    missing_at INTEGER,                  -- end of the completed walk that first missed it; NULL: present
    gone INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root_id, key)
);
CREATE INDEX asset_content ON asset (content_seq);

-- Which mapped segments of signals count (see inventory.py). Written when one is made; dies when they are made anew.
CREATE TABLE inventory (
    seq_lo INTEGER PRIMARY KEY,
    seq_hi INTEGER NOT NULL,
    stamp BLOB NOT NULL UNIQUE,
    contents INTEGER NOT NULL
);
CREATE TABLE inventory_column (
    stamp BLOB NOT NULL,
    hash_type TEXT NOT NULL,
    PRIMARY KEY (stamp, hash_type)
) WITHOUT ROWID;
-- Contents whose signals have changed since they were put into a segment. Written with a content's signals; dies when a
-- segment takes the content in.
CREATE TABLE relooked (
    look INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL UNIQUE
);

-- For every set the partition of 1..highest seq by what its contents have met: version 0 is "nothing yet". Written with
-- every record and sweep; dies when the set is removed.
CREATE TABLE coverage (
    set_uid BLOB NOT NULL,
    seq_lo INTEGER NOT NULL,
    seq_hi INTEGER NOT NULL,
    rule_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (set_uid, seq_lo)
) WITHOUT ROWID;

-- What the ledger knows of each set it has met, so that a report can name it after the set is gone. Written by re-scan.
CREATE TABLE met_set (
    set_uid BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    mode TEXT NOT NULL
) WITHOUT ROWID;

-- One row per (content, set, entry), with the best evidence. Written by record and sweep; stays when withdrawn.
CREATE TABLE match (
    content_seq INTEGER NOT NULL REFERENCES content (seq),
    set_uid BLOB NOT NULL,
    entry_key BLOB NOT NULL,
    state TEXT NOT NULL,                 -- active, suppressed, held, withdrawn
    ref TEXT NOT NULL,
    classifications TEXT NOT NULL,       -- JSON [[scheme, code], ...]
    first_version INTEGER NOT NULL,
    hash_type TEXT NOT NULL,
    distance INTEGER NOT NULL,
    exact_types TEXT NOT NULL,           -- space-separated, sorted
    PRIMARY KEY (content_seq, set_uid, entry_key)
) WITHOUT ROWID;
CREATE INDEX match_entry ON match (set_uid, entry_key);

-- What a person decided about entries that are listed and known good at once. Written by `hashset resolve`; dies when
-- taken back, or when the set is removed.
CREATE TABLE resolution (
    set_uid BLOB NOT NULL,
    entry_key BLOB NOT NULL,
    decided TEXT NOT NULL,               -- report, known_good
    day TEXT NOT NULL,
    PRIMARY KEY (set_uid, entry_key)
) WITHOUT ROWID;

-- The outbox and what became of it: one row a thing said of (asset, set, entry). `body` is what a report may say; ids
-- are drawn at sealing. Written with the match; erased when unsaid while pending; kept once sealed, under retention.
CREATE TABLE report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asset_id INTEGER NOT NULL REFERENCES asset (id),
    content_seq INTEGER NOT NULL,
    set_uid BLOB NOT NULL,
    entry_key BLOB NOT NULL,
    kind TEXT NOT NULL,                  -- match, withdrawal
    withdraws INTEGER REFERENCES report (id),
    body BLOB NOT NULL,                  -- canonical JSON without the id
    report_id TEXT UNIQUE,               -- NULL: pending
    day TEXT NOT NULL
);
CREATE INDEX report_of ON report (asset_id, set_uid, entry_key, id);
CREATE INDEX report_entry ON report (set_uid, entry_key, content_seq);
CREATE INDEX report_pending ON report (id) WHERE report_id IS NULL;

-- A sealed batch for one sink. Written by sealing, marked by delivery; `payload` (JSON Lines) never changes.
CREATE TABLE batch (
    batch_id TEXT NOT NULL,
    sink TEXT NOT NULL,
    source TEXT NOT NULL,
    sealed_day TEXT NOT NULL,
    reports INTEGER NOT NULL,
    payload BLOB NOT NULL,
    delivered_day TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,  -- the receiver will not take it as it is: an alarm, still owed
    PRIMARY KEY (batch_id, sink)
);
CREATE INDEX batch_owed ON batch (next_try_at) WHERE delivered_day IS NULL;

-- One row a sealing, so that it happens once a day. Written by sealing; kept.
CREATE TABLE sealing (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    day TEXT NOT NULL,
    reports INTEGER NOT NULL
);
"""

_ACTIONS = """
-- Contents of which a match has moved since actions were last drawn. Written where reports are brought in line; dies
-- when actions are drawn. Kept where no target is configured: a later one hears of everything that then stands.
CREATE TABLE action_due (content_seq INTEGER PRIMARY KEY);

-- What the operator's own system was told or is to be told about (asset, content), in order. Written by drawing, marked
-- by telling; kept, under retention: the record of what was asked for and when it was taken.
CREATE TABLE action (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asset_id INTEGER NOT NULL,
    content_seq INTEGER NOT NULL,
    verb TEXT NOT NULL,                  -- restrict, review, release
    tier TEXT NOT NULL,                  -- exact, near
    drawn_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, -- counted before each: from the first on it may have been taken
    next_try_at INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,                -- when the target took it
    dropped_at INTEGER                   -- when it was no longer true
);
CREATE INDEX action_of ON action (content_seq, id);
CREATE INDEX action_owed ON action (next_try_at, id) WHERE delivered_at IS NULL AND dropped_at IS NULL;
"""

_UPLOADS = """
-- Uploads that were answered before they were compared (on_match = accept). Written with an upload's signals, whatever
-- is listed; dies when its content has met every set and what follows of its place was told.
CREATE TABLE accepted (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content_seq INTEGER NOT NULL REFERENCES content (seq)
);
-- Files in the spool: films whose look is not finished. Written by `serve`; dies just before the file goes.
CREATE TABLE spooled (
    name TEXT PRIMARY KEY,               -- random
    content_seq INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    looks INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX spooled_content ON spooled (content_seq);
-- What people were shown in place of anything about a matched content. Written when first shown; kept under retention.
CREATE TABLE shown_code (
    code TEXT PRIMARY KEY,               -- random
    content_seq INTEGER NOT NULL UNIQUE
) WITHOUT ROWID;
-- Bearer tokens of the upload doors. Written by `token ...`; dies when removed.
CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,                -- space-separated, sorted
    made_day TEXT NOT NULL,
    ends_ns INTEGER                      -- NULL: it has no end
);
"""

_REFUSED = """
-- Uploads that were refused after their last byte, which the platform may hold all the same. Written by the tus door;
-- dies when the platform says that the upload is gone.
CREATE TABLE refused (
    ref BLOB PRIMARY KEY,
    day TEXT NOT NULL
) WITHOUT ROWID;
"""

# Why a sink did not take a batch the last time it was tried, in one word of a closed list; NULL: not tried yet.
_TROUBLES = """
ALTER TABLE batch ADD COLUMN why TEXT;
"""

_SPEECH = """
-- Of its set: the version that made it a match or, where `cause` says why it was withdrawn, that did so. 0: none did.
ALTER TABLE match ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE match ADD COLUMN cause TEXT;
ALTER TABLE match ADD COLUMN trigger TEXT NOT NULL DEFAULT 'rescan';  -- what made it a match: scan, upload, rescan
CREATE INDEX match_version ON match (set_uid, version);

-- Up to which version a set may speak, and what is held since. Written where versions are settled, held and approved;
-- dies when the set is removed.
CREATE TABLE speech (
    set_uid BLOB PRIMARY KEY,
    version INTEGER NOT NULL,
    entries INTEGER NOT NULL,            -- in force then; 0: not known
    held_version INTEGER,                -- NULL: none is held
    held_reasons TEXT,                   -- JSON: matches, share, growth
    held_matches INTEGER,
    held_contents INTEGER,
    held_day TEXT
) WITHOUT ROWID;
INSERT INTO speech (set_uid, version, entries)
    SELECT set_uid, max(version), 0 FROM coverage GROUP BY set_uid HAVING max(version) > 0;

-- Entries that are not spoken of. Written by `hashset mute`; dies when taken back, when its last day is over, or when
-- the set is removed.
CREATE TABLE mute (
    set_uid BLOB NOT NULL,
    ref TEXT NOT NULL,
    until TEXT NOT NULL,                 -- its last UTC day
    reason TEXT NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (set_uid, ref)
) WITHOUT ROWID;
"""

# A person's word on a version that not every content has met yet: once they have, it speaks whatever it brings.
_APPROVED = """
ALTER TABLE speech ADD COLUMN approved INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS = (
    Migration(1, "roots, assets, contents, coverage, matches, outbox", _FIRST),
    Migration(2, "actions", _ACTIONS),
    Migration(3, "uploads and tokens", _UPLOADS),
    Migration(4, "refusals", _REFUSED),
    Migration(5, "why a sink took no batch", _TROUBLES),
    Migration(6, "versions that may speak, held versions, mutes", _SPEECH),
    Migration(7, "versions approved before they were joined", _APPROVED),
    Migration(8, "what the audit log is owed", AUDIT),
    Migration(9, "what was looked at and flagged, counted", FIGURES),
    Migration(10, "counts in place of reports", COUNTING),
    Migration(11, "cases, holds, ages and what retention erased", CASES),
    Migration(12, "requests of authorities", REQUESTS),
    Migration(13, "which door brought an upload", BROUGHT),
    Migration(14, "transparency reports that were published", PUBLICATIONS),
    Migration(15, "sealed locations", LOCATIONS),
)
