"""multipart/form-data, split as it comes: the parts of a form, each with its fields and bytes. Does no I/O.

Rules
- A line is a delimiter when it is one for every parser; where parsers differ (a delimiter behind a bare line feed, or
  with something behind it), the form is `doubtful`, and nobody may call it clear.
- Of a part only what was fed is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_PART_HEAD_BYTES: Final = 16 * 1024
_MAX_BOUNDARY: Final = 200  # 70 by RFC 2046; some senders' are longer
_BOUNDARY: Final = re.compile(r'boundary\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)
_FILE: Final = re.compile(rb"\bfilename\*?\d*\*?\s*=", re.IGNORECASE)
_LENGTHY_TAIL: Final = 256  # kept back while it may be the beginning of a delimiter with its padding


class _At(Enum):
    PREAMBLE = auto()
    HEAD = auto()
    DATA = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's head: whether a file was sent, and whether its bytes are as they look."""

    is_file: bool
    is_plain: bool


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of a part's bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is complete."""


Event = PartBegins | PartData | PartEnds


def boundary_of(content_type: str) -> bytes | None:
    """The boundary; None where there is not just one that can be one."""
    found: list[str] = [quoted or bare for quoted, bare in _BOUNDARY.findall(content_type)]
    if len(found) != 1 or not 0 < len(found[0]) <= _MAX_BOUNDARY or found[0] != found[0].strip():
        return None
    return found[0].encode("latin-1")


class Splitter:
    """One form while it comes."""

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary
        self._line = re.compile(rb"(\r?\n)" + re.escape(self._mark) + rb"(--|[ \t]*\r\n)")
        self._near = b"\n" + self._mark
        # The line end before a delimiter belongs to it. Where a head or the form itself ends in or begins with one, it
        # is left in the buffer (`_passed` bytes that are no data), so that a delimiter may follow at once.
        self._buffer = bytearray(b"\r\n")
        self._passed = 0
        self._at = _At.PREAMBLE
        self.doubtful = False

    @property
    def ended(self) -> bool:
        """Whether the closing delimiter came."""
        return self._at is _At.END

    def feed(self, received: bytes) -> Iterator[Event]:
        """What the next bytes hold."""
        if self.ended:
            return  # an epilogue, which nobody reads
        self._buffer += received
        while not self.ended:
            if self._at is _At.HEAD:
                head = self._head()
                if head is None:
                    return
                yield head
                continue
            found = self._line.search(self._buffer)
            if found is None:
                kept = len(self._mark) + _LENGTHY_TAIL
                if len(self._buffer) > kept:
                    yield from self._data(len(self._buffer) - kept)
                return
            # Read before the buffer changes: a match looks into it anew at each question.
            line_end, closing, length = bytes(found[1]), found[2] == b"--", found.end() - found.start()
            yield from self._data(found.start())
            yield from self._delimiter(line_end, closing, length)

    def _delimiter(self, line_end: bytes, closing: bool, length: int) -> Iterator[Event]:
        if self._at is _At.DATA:
            yield PartEnds()
        self.doubtful = self.doubtful or line_end != b"\r\n"
        self._at = _At.END if closing else _At.HEAD
        # A head begins with the line end of its delimiter, so that one without fields ends like the others.
        del self._buffer[: length if self._at is _At.END else length - 2]

    def _data(self, count: int) -> Iterator[Event]:
        # What begins like a delimiter before the place where the next one can begin is none, for us.
        if self._buffer.find(self._near, 0, count + len(self._near)) >= 0:
            self.doubtful = True
        data = bytes(self._buffer[self._passed : count])
        del self._buffer[:count]
        self._passed = max(0, self._passed - count)
        if data and self._at is _At.DATA:
            yield PartData(data)

    def _head(self) -> PartBegins | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_PART_HEAD_BYTES:
            if len(self._buffer) > MAX_PART_HEAD_BYTES:
                self.doubtful, self._at = True, _At.END
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._passed, self._at = 2, _At.DATA
        return _part(head)


def _part(head: bytes) -> PartBegins:
    fields: dict[bytes, bytes] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", head).split(b"\n"):
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    kind = fields.get(b"content-type", b"text/plain").lower()
    disposition = fields.get(b"content-disposition", b"")
    encoding = fields.get(b"content-transfer-encoding", b"binary").lower()
    is_file = bool(_FILE.search(disposition)) or not kind.startswith(b"text/")
    return PartBegins(is_file, encoding in (b"binary", b"7bit", b"8bit") and not kind.startswith(b"multipart/"))
