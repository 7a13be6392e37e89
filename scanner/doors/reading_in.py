"""A file of somebody else's file system, which may never answer, read in as if it were sent."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import Final, Protocol

from scanner.doors.answers import CLEAR, Answer, OverLimit, undecidable
from scanner.doors.outside import Outside, Unanswered, let_go
from scanner.opening import file_stat, same_file
from scanner.types import Reason

PIECE_BYTES: Final = 256 * 1024


class Taker(Protocol):
    """What takes a body in pieces."""

    @property
    def received_bytes(self) -> int:
        """How much has come."""
        ...

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OverLimit."""
        ...

    def abort(self) -> None:
        """Keep nothing of it."""
        ...


async def read_in(upload: Taker, outside: Outside, fd: int) -> Answer | None:
    """Read the file into the upload, and close `fd`; the answer where there is one already, and the upload is ended."""
    answer, is_whole = None, False
    try:
        before = await outside.call(partial(os.fstat, fd), of=fd)
        with contextlib.suppress(OverLimit):
            while piece := await outside.call(partial(os.pread, fd, PIECE_BYTES, upload.received_bytes), of=fd):
                await upload.write(piece)
            if not upload.received_bytes:
                answer = CLEAR
        after = await outside.call(partial(os.fstat, fd), of=fd)
        if not same_file(file_stat(before), file_stat(after)):
            answer = undecidable(Reason.CHANGED)
        is_whole = answer is None
    except OSError as error:
        answer = undecidable(Reason.TIMEOUT if isinstance(error, Unanswered) else Reason.IO)
    finally:
        if not is_whole:
            upload.abort()
        let_go(fd)
    return answer
