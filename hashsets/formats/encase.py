"""EnCase's .hash: a header of 1,152 bytes, then records of an md5 and two bytes that say nothing to us.

Source: sleuthkit's reader (tsk/hashdb/encase.c). The set's name in the header is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.types import Entry, Signal, entry_key

MAGIC = bytes.fromhex("484153480d0aff00")
HEADER_BYTES = 1152
RECORD_BYTES = 18
_RECORDS_AT_ONCE = 10_000


class EnCase:
    """See the module."""

    name = "encase"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether the list begins with EnCase's mark."""
        return head.startswith(MAGIC)

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        if len(_exactly(stream, HEADER_BYTES)) < HEADER_BYTES:
            raise ListError("the list ends within its header: it was cut off; fetch it again")
        md5 = hashtypes.get("md5")
        number = 0
        while block := _exactly(stream, RECORD_BYTES * _RECORDS_AT_ONCE):
            if len(block) % RECORD_BYTES:
                raise ListError(
                    f"the list ends in the middle of record {number + len(block) // RECORD_BYTES + 1}: it was cut off;"
                    " fetch it again"
                )
            for at in range(0, len(block), RECORD_BYTES):
                number += 1
                value = block[at : at + md5.size_bytes]
                if hashtypes.says_nothing(md5, value):
                    reading.reject(Reject.DEGENERATE, number)
                    continue
                signal = Signal(md5.name, value)
                reading.valid += 1
                yield Entry(entry_key(signal), (signal,))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """That many bytes, or all that are left."""
    parts = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
