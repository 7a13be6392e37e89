"""The content as a file object over pread: no path, no name, no shared offset.

Decoders report a storage error as if the bytes were bad, so it is remembered here, where it happened.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


# Files of up to this size are read once: a picture's header, ends and hiding places are asked for dozens of times.
_HELD_BYTES = 1024 * 1024


class MediaFile(io.RawIOBase):
    """A read-only, seekable view of the regular file open on `fd`, which stays the caller's to close."""

    def __init__(self, fd: int, size_bytes: int | None = None, held: bytes | None = None) -> None:
        self._fd = fd
        self._offset = 0
        self.size_bytes = os.fstat(fd).st_size if size_bytes is None else size_bytes
        self.io_failed = False
        self._end = sys.maxsize
        self._held = self._whole() if held is None and fd >= 0 and self.size_bytes <= _HELD_BYTES else held

    def first(self, count: int) -> MediaFile:
        """A view of the first `count` bytes only."""
        view = MediaFile(self._fd, min(count, self.size_bytes), self._held)
        view._end = view.size_bytes
        return view

    def within(self, offset: int, count: int | None = None) -> MediaFile:
        """A view of `count` bytes from `offset` on, all there are when None, as if they were a file of their own."""
        left = max(0, self.size_bytes - offset)
        return _Within(self, offset, left if count is None else min(count, left))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("seek before the start of the content")
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._pread_into(memoryview(buffer).cast("B"), self._offset)
        self._offset += count
        return count

    def read(self, count: int | None = -1) -> bytes:
        """Up to `count` bytes, all that are left when negative; never makes room for more than there can be."""
        left = max(0, self.size_bytes - self._offset)
        block = self.at(self._offset, left if count is None or count < 0 else min(count, left))
        self._offset += len(block)
        return block

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`, without moving the offset."""
        held = self._held
        if held is not None and offset >= 0 and count >= 0:
            end = offset + count
            return held[offset : end if end < self._end else self._end]
        try:  # not by way of a buffer of our own: two more copies of a large block cost forty times the read
            return os.pread(self._fd, max(0, min(count, self._end - offset)), offset)
        except OSError:
            self.io_failed = True
            raise
        except OverflowError:  # a decoder followed an absurd offset
            return b""

    def _whole(self) -> bytes | None:
        """All of a small file; None where it cannot be read as a whole: then what can be is."""
        try:
            content = os.pread(self._fd, self.size_bytes, 0)
        except OSError:
            return None
        return content if len(content) == self.size_bytes else None

    def _pread_into(self, view: memoryview, offset: int) -> int:
        held = self._held
        if held is not None and offset >= 0:
            block = held[offset : min(offset + len(view), self._end)]
            view[: len(block)] = block
            return len(block)
        try:
            return os.preadv(self._fd, [view[: max(0, self._end - offset)]], offset)
        except OSError:
            self.io_failed = True
            raise
        except OverflowError:  # a decoder followed an absurd offset
            return 0


class Made(MediaFile):
    """A file that is no descriptor of its own: `_bytes_at` gives what it holds."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(-1, size_bytes)

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        block = self.read(len(view))
        view[: len(block)] = block
        return len(block)

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`, without moving the offset."""
        count = min(count, self.size_bytes - offset)
        return self._bytes_at(offset, count) if count > 0 and offset >= 0 else b""

    def _bytes_at(self, offset: int, count: int) -> bytes:
        raise NotImplementedError


class Virtual(Made):
    """A file made of another one, whose storage errors are that file's."""

    def __init__(self, outer: MediaFile, size_bytes: int) -> None:
        self._outer = outer
        super().__init__(size_bytes)

    @property
    def io_failed(self) -> bool:
        """Whether the storage failed under a read of the file this one is made of."""
        return self._outer.io_failed

    @io_failed.setter
    def io_failed(self, failed: bool) -> None:
        self._outer.io_failed |= failed

    def first(self, count: int) -> MediaFile:
        """A view of the first `count` bytes only."""
        return self.within(0, count)


class _Within(Virtual):
    """A stretch of another file."""

    def __init__(self, outer: MediaFile, start: int, size_bytes: int) -> None:
        super().__init__(outer, size_bytes)
        self._start = start

    def _bytes_at(self, offset: int, count: int) -> bytes:
        return self._outer.at(self._start + offset, count)


class Headed(Virtual):
    """Another file behind bytes that it lacks."""

    def __init__(self, header: bytes, outer: MediaFile) -> None:
        super().__init__(outer, len(header) + outer.size_bytes)
        self._header = header

    def _bytes_at(self, offset: int, count: int) -> bytes:
        block = self._header[offset : offset + count]
        return block + self._outer.at(max(0, offset - len(self._header)), count - len(block))
