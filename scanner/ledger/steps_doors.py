"""What doors remember of uploads, as a step of the ledger's schema; see `migrations`."""

from __future__ import annotations

from typing import Final

BROUGHT: Final = """
-- Which door brought an upload of the platform's own id: nobody else may have it forgotten there. Written by the tus
-- door before it judges; dies when that door hears that the upload is gone, or at retention's age of matched contents.
CREATE TABLE brought (
    ref BLOB NOT NULL,
    door TEXT NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (ref, door)
) WITHOUT ROWID;
"""
