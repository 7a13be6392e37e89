"""A worker's end of the way to its parent: descriptors in, records out, and a bell that says when to read them.

Rules
- Records wait in the socket until the bell rings: when an answer is complete, or when no more of them fit. A parent
  that is woken for each of a still's three waits three times for a processor that others want too.
- What was told is the kernel's to keep, so that it is read whatever becomes of the worker after.
- The parent does not trust a bell: rung for nothing it costs a look, and one that is gone counts as a crash.
"""

from __future__ import annotations

import contextlib
import os
import socket

_RING = b"\0"


class Channel:
    """Closes with the process."""

    def __init__(self, records: socket.socket, bell: int) -> None:
        self._records = records
        self._bell = bell

    def filenos(self) -> tuple[int, int]:
        """The descriptors a worker needs beside a content's."""
        return self._records.fileno(), self._bell

    def take(self, most_bytes: int) -> tuple[bytes, list[int]]:
        """Wait for the next message, and the descriptors that ride along: b"" once the parent is gone."""
        message, fds, _, _ = socket.recv_fds(self._records, most_bytes, 1)
        return message, fds

    def send(self, record: bytes) -> None:
        """Put a record where the parent finds it; where there is no room, have it come and read."""
        try:
            self._records.send(record, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.ring()
            self._records.send(record)

    def ring(self) -> None:
        """Have the parent read."""
        with contextlib.suppress(BlockingIOError):  # rung so often that it cannot be missed
            os.write(self._bell, _RING)
