"""Schema steps: cases with what people said of them, what was overturned, holds, ages, and what retention erased.

Steps of the ledger's schema, see `migrations`; never edited once released. Days are UTC dates.
"""

from __future__ import annotations

from typing import Final

CASES: Final = """
-- Who may decide, at which level. Written by `case reviewer`; kept: the terms of a panel are part of its record.
CREATE TABLE reviewer (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    level TEXT NOT NULL,                 -- analyst, senior, legal, panel
    since TEXT NOT NULL,
    until TEXT                           -- the first UTC day on which it is over; NULL: it has no end
);
CREATE INDEX reviewer_name ON reviewer (name);

-- One row a matter people look into: a (content, set, entry), or a content that no list names. Written when it is
-- opened; retention takes what leads to the content (NULL), then the names; the rest stays, for the register.
CREATE TABLE case_file (
    case_id TEXT PRIMARY KEY,            -- random
    content_seq INTEGER,
    set_uid BLOB,
    entry_key BLOB,
    report_id TEXT,                      -- the report it came by
    hash_set TEXT,                       -- these six as a report would say them; NULL: no list names it
    listed_version INTEGER,
    classifications TEXT,                -- JSON [[scheme, code], ...]
    hash_type TEXT,
    proximity TEXT,
    media TEXT NOT NULL,
    origin TEXT NOT NULL,                -- review, opening, appeal, abuse_report
    urgency TEXT NOT NULL,
    complexity TEXT NOT NULL,
    level TEXT NOT NULL,                 -- who is to decide
    state TEXT NOT NULL,                 -- open, proposed, decided
    outcome TEXT,                        -- of the last decision
    round INTEGER NOT NULL DEFAULT 1,    -- one more each time it is opened again
    contested INTEGER NOT NULL DEFAULT 0, -- an appeal stands in this round
    opened_day TEXT NOT NULL,
    decided_day TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX case_of ON case_file (content_seq, set_uid, entry_key) WHERE content_seq IS NOT NULL;
CREATE INDEX case_report ON case_file (report_id) WHERE report_id IS NOT NULL;

-- Everything that was said of a case, in order. Written with each step; retention takes names, tickets and keys.
CREATE TABLE case_word (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id TEXT NOT NULL REFERENCES case_file (case_id),
    round INTEGER NOT NULL,
    day TEXT NOT NULL,
    kind TEXT NOT NULL,                  -- opened, appealed, told, proposed, undecided, escalated, decided
    level TEXT NOT NULL,
    who TEXT,
    outcome TEXT,
    reason TEXT,
    viewed INTEGER NOT NULL DEFAULT 0,   -- a person looked at the picture itself
    contested INTEGER NOT NULL DEFAULT 0,
    channel TEXT,                        -- of an appeal: internal, court
    ticket TEXT,                         -- the platform's own number of it
    request_key BLOB                     -- by which a repetition is known
);
CREATE INDEX case_word_of ON case_word (case_id, id);
CREATE INDEX case_word_day ON case_word (day);
CREATE INDEX case_word_ticket ON case_word (ticket) WHERE ticket IS NOT NULL;

-- Matches that people found to be none. Written with a decision; dies when that is taken back, or with the content.
CREATE TABLE overturned (
    content_seq INTEGER NOT NULL,
    set_uid BLOB NOT NULL,
    entry_key BLOB NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (content_seq, set_uid, entry_key)
) WITHOUT ROWID;
-- Digests that a local known-good set is to take in (1) or give back (0). Written with a decision; dies once done.
CREATE TABLE vouching_due (sha256 BLOB PRIMARY KEY, wanted INTEGER NOT NULL) WITHOUT ROWID;

-- What must not be erased, until when, and what the platform said of the file itself. Written by `hold`; retention
-- takes what leads to a content, and the references, as it does those of cases.
CREATE TABLE hold (
    hold_id TEXT PRIMARY KEY,            -- random
    content_seq INTEGER,
    kind TEXT NOT NULL,                  -- preservation, ncmec_report
    placed_day TEXT NOT NULL,
    until TEXT NOT NULL,                 -- the first UTC day on which it holds no more
    request TEXT,                        -- the operator's own number of the request
    extended_day TEXT,
    extension TEXT,                      -- of the formal request for the extension
    receipt TEXT,                        -- of the platform: that it preserves the file
    receipt_day TEXT,
    ended_day TEXT,
    ended_for TEXT                       -- released, over
) WITHOUT ROWID;
CREATE INDEX hold_content ON hold (content_seq) WHERE ended_day IS NULL;

-- From which content number on contents were first recorded on a day. Written with the first record of a day; kept.
CREATE TABLE recorded_from (seq_lo INTEGER PRIMARY KEY, day TEXT NOT NULL);
-- When a content first matched. Written with the match; dies with the content.
CREATE TABLE identified (content_seq INTEGER PRIMARY KEY, day TEXT NOT NULL);
-- Since when a place is known to hold nothing any more. Written by retention; dies with the place, or when it is back.
CREATE TABLE leaving (asset_id INTEGER PRIMARY KEY, day TEXT NOT NULL);
-- How much retention erased, a row a day and class. Written with each erasure; kept: it is what status tells.
CREATE TABLE erasure (
    day TEXT NOT NULL,
    class TEXT NOT NULL,                 -- unmatched, matched, gone, reports, cases, requests
    contents INTEGER NOT NULL,
    places INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    untold INTEGER NOT NULL DEFAULT 1,   -- the audit log has not been told of it as it stands
    traces INTEGER NOT NULL DEFAULT 1,   -- unused parts of the file may still hold what was erased
    PRIMARY KEY (day, class)
) WITHOUT ROWID;
-- Where the rows of places go of which a sealed report still speaks: they say nothing any more.
INSERT INTO root (id, name, path) VALUES (-1, NULL, NULL);
"""
