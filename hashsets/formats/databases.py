"""SQLite lists: Sleuthkit's .kdb and NSRL's RDS v3. A row is an entry of its digests.

A database is opened by a process that can do no harm, which `Options.databases` stands for; here its words are checked
one by one. It may lie about what is listed, as any list may, and about nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.listed_rows import DIGEST_BYTES, DIGEST_TYPES, END, MOST_MESSAGE_BYTES, REFUSALS, ROW, Refusal
from hashsets.types import Entry, Signal, entry_key

MAGIC = b"SQLite format 3\x00"
_TYPES = tuple(hashtypes.get(name) for name in DIGEST_TYPES)


def read_database(stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
    """The entries of the database that a stream is. Raises ListError."""
    if options.databases is None:
        raise ListError("the list is a SQLite database, which is not opened here: export its table as CSV first")
    fd = _descriptor(stream)
    ended = False
    for message in options.databases(fd):
        if ended:
            raise ListError(REFUSALS[Refusal.DAMAGED])
        if message[:1] == b"r":
            yield from _entries(message, reading)
        elif message[:1] == b"e" and len(message) == 1 + END.size:
            _count(END.unpack(message[1:]), reading)
            ended = True
        else:
            raise ListError(_refusal(message))
    if not ended:
        raise ListError(REFUSALS[Refusal.DAMAGED])


def _descriptor(stream: BinaryIO) -> int:
    try:
        fd = stream.fileno()
    except OSError:  # also io.UnsupportedOperation
        raise ListError("a SQLite database is read from its file alone: unpack it first") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ListError("a SQLite database is read from its file alone: give its path")
    return fd


def _entries(message: bytes, reading: Reading) -> Iterator[Entry]:
    rows = message[1:]
    if not rows or len(rows) % ROW.size or len(message) > MOST_MESSAGE_BYTES:
        raise ListError(REFUSALS[Refusal.DAMAGED])
    for mask, *digests in ROW.iter_unpack(rows):
        if not 0 < mask < 8:
            raise ListError(REFUSALS[Refusal.DAMAGED])
        reading.records += 1
        signals = []
        for place, (hash_type, value) in enumerate(zip(_TYPES, digests, strict=True)):
            assert len(value) == DIGEST_BYTES[place]
            if mask & 1 << place:
                if hashtypes.says_nothing(hash_type, value):
                    reading.reject(Reject.DEGENERATE, reading.records)
                else:
                    signals.append(Signal(hash_type.name, value))
        if signals:
            reading.valid += 1
            yield Entry(entry_key(signals[0]), tuple(signals))


def _count(unused: tuple[int, ...], reading: Reading) -> None:
    empty, first_empty, bad, first_bad = unused
    for reason, number, first in ((Reject.NO_VALUE, empty, first_empty), (Reject.NOT_A_VALUE, bad, first_bad)):
        if number:
            reading.rejected[reason.value] += number
            reading.first_line[reason.value] = first


def _refusal(message: bytes) -> str:
    known = message[:1] == b"x" and len(message) == 2 and message[1] in tuple(Refusal)
    return REFUSALS[Refusal(message[1]) if known else Refusal.DAMAGED]
