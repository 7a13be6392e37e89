"""A body kept to be given back: in memory at first, then in a file without a name. Closed, nothing of it stays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

_MEMORY_BYTES: Final = 2**20
_PIECE_BYTES: Final = 256 * 1024


class Echo:
    """What came of a body, in order."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._held = bytearray()
        self._fd: int | None = None
        self._written = 0

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OSError where there is no room for them."""
        self._held += data
        if len(self._held) > (_MEMORY_BYTES if self._fd is None else _PIECE_BYTES):
            await asyncio.to_thread(self._to_file)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it."""
        for at in range(0, self._written, _PIECE_BYTES):
            assert self._fd is not None
            yield await asyncio.to_thread(os.pread, self._fd, _PIECE_BYTES, at)
        for at in range(0, len(self._held), _PIECE_BYTES):
            yield bytes(self._held[at : at + _PIECE_BYTES])

    def close(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._held = bytearray()

    def _to_file(self) -> None:
        if self._fd is None:
            self._fd = os.open(self._spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        view = memoryview(bytes(self._held))
        while view:
            count = os.pwrite(self._fd, view, self._written)
            self._written += count
            view = view[count:]
        self._held = bytearray()
