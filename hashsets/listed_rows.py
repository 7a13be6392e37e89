"""What the confined reader of a foreign database says, and how those who trust none of it take it in.

Imports no SQLite: the one side that does is `hashsets.foreign`.
"""

from __future__ import annotations

import struct
from enum import IntEnum

DIGEST_TYPES = ("md5", "sha1", "sha256")
DIGEST_BYTES = (16, 20, 32)

# A byte of which digests a row has, and room for all.
ROW = struct.Struct("=B16s20s32s")
ROWS_AT_ONCE = 900  # 62 KB, well within what a datagram may hold
MOST_MESSAGE_BYTES = 1 + ROW.size * ROWS_AT_ONCE

# Rows without any digest, the first one's place; values that are no digest, the first one's row.
END = struct.Struct("=QQQQ")


class Refusal(IntEnum):
    """Why a database is not read."""

    DAMAGED = 1
    CUT_OFF = 2
    IN_USE = 3
    NO_LIST = 4


REFUSALS = {
    Refusal.DAMAGED: "the database is damaged, or made to mislead: fetch it again",
    Refusal.CUT_OFF: "the database is not whole: it was cut off; fetch it again",
    Refusal.IN_USE: "the database is in WAL mode, so a part of it may stand in another file: have its owner close it"
    " with `PRAGMA journal_mode=DELETE`, then fetch it again",
    Refusal.NO_LIST: "the database is no list of a kind we know: it has neither Sleuthkit's table of hashes nor NSRL's"
    " of files",
}
