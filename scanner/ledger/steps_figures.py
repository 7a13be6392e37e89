"""The tables of the numbers that are published, as a step of the ledger's schema; see `migrations`.

None of them holds a place, a name, a digest or a value, so all of them outlive what retention erases.
"""

from __future__ import annotations

from typing import Final

FIGURES: Final = """
-- The label an operator gave a root, such as EU. Written by `root region`; dies when it is taken back.
CREATE TABLE root_region (
    root_id INTEGER PRIMARY KEY,
    region TEXT NOT NULL
);
-- The label of the listener that first took a content in. Written with the content; dies with it.
CREATE TABLE upload_region (
    content_seq INTEGER PRIMARY KEY REFERENCES content (seq) ON DELETE CASCADE,
    region TEXT NOT NULL
);

-- What was looked at: how many files and uploads (items), of how many contents nobody had met, a row a day and kind.
-- Written with every record; kept.
CREATE TABLE volume (
    day TEXT NOT NULL,
    lane TEXT NOT NULL,                  -- scan, upload
    region TEXT NOT NULL,                -- '': none was given
    media TEXT NOT NULL,                 -- image, video, other
    extent TEXT NOT NULL,
    reason TEXT NOT NULL,                -- why it was not looked at whole; '': it was
    items INTEGER NOT NULL,
    contents INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (day, lane, region, media, extent, reason)
) WITHOUT ROWID;

-- One row each time a content began to be reportable by a set and a hash type, and when that ended. Written where
-- what is said of a match is brought in line; kept. content_seq is never reused: erased contents' point nowhere.
CREATE TABLE flag (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content_seq INTEGER NOT NULL,
    set_uid BLOB NOT NULL,
    hash_type TEXT NOT NULL,             -- of the best evidence on that day
    proximity TEXT NOT NULL,             -- exact, near
    media TEXT NOT NULL,                 -- image, video, other
    region TEXT NOT NULL,
    listed_version INTEGER NOT NULL,     -- the set's version that first listed the entry
    classifications TEXT NOT NULL,       -- JSON [[scheme, code], ...]
    day TEXT NOT NULL,
    ended TEXT,                          -- the UTC day from which on it is no longer; NULL: it stands
    cause TEXT                           -- why it ended: entry, set, rule, known_good, appeal
);
CREATE INDEX flag_standing ON flag (content_seq, set_uid) WHERE ended IS NULL;
CREATE INDEX flag_of ON flag (content_seq);
CREATE INDEX flag_day ON flag (day);
CREATE INDEX flag_ended ON flag (ended) WHERE ended IS NOT NULL;

-- What people found when they looked at what was flagged, every time. Written with a review's or an appeal's outcome;
-- kept.
CREATE TABLE flag_review (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    flag_id INTEGER NOT NULL REFERENCES flag (id),
    day TEXT NOT NULL,
    outcome TEXT NOT NULL,               -- confirmed, not_confirmed, undecided
    upon_appeal INTEGER NOT NULL
);
CREATE INDEX flag_review_of ON flag_review (flag_id, id);
CREATE INDEX flag_review_day ON flag_review (day);
"""
