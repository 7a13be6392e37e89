"""Members as files: a stretch of another file, or what a packed stream gives, without a temporary file.

Rules
- Memory is bounded whatever the member's size. A packed member is unpacked as it is read; going back behind what is
  kept takes unpacking up again at the nearest place remembered, or from its start.
- A stream that breaks off, or passes a limit, reads as a file that ends there; `cut` says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from scanner.decoding.containers.limits import (
    KEPT_BYTES,
    MOST_PLACES,
    PLACE_BYTES,
    SLACK_BYTES,
    ContainerLimits,
)
from scanner.decoding.containers.streams import Damaged, Stream
from scanner.decoding.reading import Made, MediaFile
from scanner.types import Reason

if TYPE_CHECKING:
    pass

BLOCK_BYTES = 256 * 1024


class MemberFile(Made):
    """A member as a read-only, seekable file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.cut: Reason | None = None
        self.unpacked_bytes = 0

    def first(self, count: int) -> MediaFile:
        """A view of the first `count` bytes only."""
        return Window(self, 0, min(count, self.size_bytes))


class Window(MemberFile):
    """The `size_bytes` bytes of another file from `start` on."""

    def __init__(self, base: MediaFile, start: int, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._base = base
        self._start = start

    def _bytes_at(self, offset: int, count: int) -> bytes:
        try:
            block = self._base.at(self._start + offset, count)
        finally:
            self.io_failed |= self._base.io_failed
        if len(block) < count:
            self.cut = self._base.cut if isinstance(self._base, MemberFile) else None
            self.cut = self.cut or Reason.TRUNCATED
            self.size_bytes = offset + len(block)
        return block


class Whole(MemberFile):
    """Bytes in memory."""

    def __init__(self, content: bytes, cut: Reason | None = None) -> None:
        super().__init__(len(content))
        self._content = content
        self.cut = cut

    def _bytes_at(self, offset: int, count: int) -> bytes:
        return self._content[offset : offset + count]


class Unpacked(MemberFile):
    """What a stream unpacks to. `size_bytes` is unknown, and beyond everything, until the end was read."""

    def __init__(
        self, start: Callable[[], Stream], packed_bytes: int, limits: ContainerLimits, tick: Callable[[], None]
    ) -> None:
        """`start` begins the stream anew; `tick` is called before each block and may raise."""
        super().__init__(sys.maxsize)
        self._begin = start
        self._most_bytes = min(limits.member_bytes, max(limits.free_bytes, packed_bytes * limits.ratio))
        self._tick = tick
        self._stream: Stream | None = None
        self._kept = bytearray()
        self._from = 0  # where in the member `_kept` begins
        self._places: list[tuple[int, Stream]] = []
        self._apart = PLACE_BYTES

    @property
    def _reached(self) -> int:
        return self._from + len(self._kept)

    def _bytes_at(self, offset: int, count: int) -> bytes:
        if offset < self._from:
            self._go_back(offset)
        pieces = []
        while count > 0:
            if offset < self._reached:
                piece = bytes(memoryview(self._kept)[offset - self._from : offset - self._from + count])
                pieces.append(piece)
                offset, count = offset + len(piece), count - len(piece)
            elif self._reached >= self.size_bytes or not self._step():
                break
        return b"".join(pieces)

    def _step(self) -> bool:
        """Unpack another block; False at the end, which is known from then on."""
        self._tick()
        try:
            self._stream = self._stream or self._begin()
            block = self._stream.block()
        except Damaged:
            self.cut, block = Reason.TRUNCATED, b""
        except OSError:
            self.io_failed = True
            raise
        self.unpacked_bytes += len(block)
        if self._reached + len(block) > self._most_bytes:
            self.cut, block = Reason.LIMIT, b""
        if not block:
            self.size_bytes = self._reached
            return False
        if len(self._kept) > KEPT_BYTES + SLACK_BYTES:
            drop = len(self._kept) - KEPT_BYTES
            del self._kept[:drop]
            self._from += drop
        self._kept += block
        self._remember()
        return True

    def _remember(self) -> None:
        """Keep a copy of the stream now and then, where its kind can be copied."""
        last = self._places[-1][0] if self._places else 0
        if self._reached < last + self._apart:
            return
        copied = None if self._stream is None else self._stream.copy()
        if copied is None:
            return
        self._places.append((self._reached, copied))
        if len(self._places) > MOST_PLACES:
            self._places = self._places[1::2]
            self._apart *= 2

    def _go_back(self, offset: int) -> None:
        before = [place for place in self._places if place[0] <= offset]
        self._from, stream = before[-1] if before else (0, None)
        self._stream = None if stream is None else stream.copy()
        self._kept.clear()
