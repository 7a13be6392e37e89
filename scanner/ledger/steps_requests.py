"""The register of authorities' requests, as a step of the ledger's schema; see `migrations`."""

from __future__ import annotations

from typing import Final

REQUESTS: Final = """
-- One row a request of an authority on one legal basis. Written by `request add`; kept, as it is counted. What people
-- wrote (particulars, because) is erased by retention: the row then names nobody.
CREATE TABLE request (
    id TEXT PRIMARY KEY,                 -- random
    received TEXT NOT NULL,
    recorded TEXT NOT NULL,
    requester TEXT NOT NULL,
    ask TEXT NOT NULL,
    category TEXT NOT NULL,              -- product, account, transaction, emergency, preservation, restriction
    data TEXT NOT NULL,                  -- classes asked for: space-separated, sorted
    instrument TEXT NOT NULL,
    route TEXT NOT NULL,
    jurisdiction TEXT NOT NULL,          -- ISO 3166-1 alpha-2; '': it did not say
    identifiers INTEGER NOT NULL,
    confidential INTEGER NOT NULL,       -- it asks to be kept quiet, whether or not that binds
    confidential_until TEXT,             -- NULL: it does not bind
    revises TEXT,
    extends TEXT,
    answer TEXT NOT NULL,                -- what the check came to
    findings TEXT NOT NULL,              -- JSON [[code, weight, field], ...]
    particulars TEXT                     -- JSON; NULL: erased
) WITHOUT ROWID;
CREATE INDEX request_received ON request (received);
CREATE INDEX request_extends ON request (extends) WHERE extends IS NOT NULL;

-- What was decided of a request, each time. Written by `request outcome`; kept, but for `because`.
CREATE TABLE request_outcome (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL REFERENCES request (id),
    day TEXT NOT NULL,
    outcome TEXT NOT NULL,               -- granted, granted_in_part, challenged, refused, nothing_held, taken_back
    reason TEXT NOT NULL,                -- a word of a closed list
    data TEXT NOT NULL,                  -- classes given: space-separated, sorted
    against_check INTEGER NOT NULL,      -- granted although the check said otherwise
    decided_by TEXT,                     -- NULL: erased
    because TEXT                         -- NULL: erased
);
CREATE INDEX request_outcome_of ON request_outcome (request_id, id);

-- When the person affected is told of a request. Written with the outcome, marked by `request notified`; kept.
CREATE TABLE request_notice (
    request_id TEXT PRIMARY KEY REFERENCES request (id),
    due TEXT,                            -- NULL: not at all
    why TEXT NOT NULL,
    told TEXT                            -- the day they were told
) WITHOUT ROWID;
"""
