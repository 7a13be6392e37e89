"""A file somebody else opened, read by its descriptor alone: for doors that are handed a path or a descriptor.

Rules
- pread only: the offset, which the sender shares, is neither used nor moved.
- The descriptor is doubled: a look may outlast the answer, and the caller's closes then.
"""

from __future__ import annotations

import os

from scanner.opening import file_stat, same_file
from scanner.types import Source


class OpenFile:
    """See the module."""

    is_in_memory = False

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)
        os.set_inheritable(self._fd, False)
        self._stat = file_stat(os.fstat(self._fd))

    @property
    def size_bytes(self) -> int:
        """Its size when it was handed over."""
        return self._stat.size_bytes

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        return os.pread(self._fd, count, offset)

    def source(self) -> Source:
        """What is looked at: the descriptor, this object's own."""
        return self._fd

    def unchanged(self) -> bool:
        """Whether it still is what was handed over."""
        return same_file(self._stat, file_stat(os.fstat(self._fd)))

    def close(self) -> None:
        """Let go of it. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
