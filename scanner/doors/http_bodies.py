"""Bodies of HTTP requests on their way to an `Upload`: raw, or the one file of a form, never kept whole.

Rules
- Whoever sends nothing for long, or for long next to nothing, is not waited for.
- A form holds exactly one file; its other fields are read past, within bounds. Names of files are not looked at.
- A refusal is sent whole first; what the sender still has is then read and dropped within bounds, so that it comes to
  read the refusal before it meets a closed connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from scanner.doors.cuts import HEAD_BYTES, is_media
from scanner.doors.rates import Pace

Receive = Callable[[], Awaitable[Any]]
Feed = Callable[[bytes], Awaitable[None]]

IDLE_S: Final = 30.0
MESSAGE_S: Final = 60.0  # for what is a message and no upload
_LEAST_WAIT_S: Final = 0.1  # for what is there already
DRAIN_S: Final = 10.0
DRAIN_BYTES: Final = 256 * 2**20
_MOST_HEADER_BYTES: Final = 16 * 1024
_MOST_FIELD_BYTES: Final = 2**20
_PLAIN: Final = (b"binary", b"7bit", b"8bit")
_TEXTS: Final = (b"text/", b"application/json", b"application/x-www-form-urlencoded")
_FILE: Final = re.compile(rb"\bfilename", re.IGNORECASE)


class Gone(Exception):
    """The sender went away before the end of the body."""


class TooSlow(Exception):
    """The sender takes too long."""


class BadForm(Exception):
    """The body is no form with one file in it; the message says how."""


async def pieces(
    receive: Receive, most_s: float = MESSAGE_S, now: Callable[[], float] = time.monotonic
) -> AsyncIterator[bytes]:
    """The pieces of a request's body, which may take `most_s`. Raises Gone, TooSlow."""
    pace, received = Pace(IDLE_S, most_s, now), 0
    while True:
        try:
            async with asyncio.timeout(max(_LEAST_WAIT_S, pace.left_s(received))):  # wait_for makes a task of each
                message = await receive()
        except TimeoutError:
            raise TooSlow from None
        if message["type"] != "http.request":
            raise Gone
        data = message.get("body", b"")
        received += len(data)
        if data:
            yield data
        if not message.get("more_body", False):
            return
        if pace.left_s(received) <= 0:
            raise TooSlow


async def drain(receive: Receive) -> None:
    """Read and drop what is still sent, within bounds."""
    dropped = 0
    with contextlib.suppress(Gone, TooSlow, TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for data in pieces(receive):
                dropped += len(data)
                if dropped > DRAIN_BYTES:
                    return


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary of a multipart/form-data body; None where the type is another. Raises BadForm."""
    kind, options = parse_options_header(content_type)
    if not kind.startswith(b"multipart/"):
        return None
    if kind != b"multipart/form-data" or content_type.lower().count(b"boundary") > 1:
        raise BadForm("of bodies in parts only multipart/form-data is taken, with one boundary")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise BadForm("multipart/form-data needs a boundary")
    return boundary


class FormFile:
    """The one file of a form, passed on as it comes. `name` is that of its field, once it has begun."""

    def __init__(self, boundary: bytes, feed: Feed) -> None:
        self._feed = feed
        self.name: str | None = None
        self._field_head = b""
        self._closed = False
        self._header = [b"", b""]
        self._header_bytes = 0
        self._field_bytes = 0
        self._fields: dict[bytes, bytes] = {}
        self._in_file = False
        self._file_data: list[bytes] = []
        self._parser = MultipartParser(boundary, self._callbacks())

    async def write(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises BadForm, and whatever the file's receiver raises."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadForm("the body is no multipart/form-data as its boundary says") from None
        found, self._file_data = self._file_data, []
        for piece in found:
            await self._feed(piece)

    def finish(self) -> bool:
        """Whether the form came to its end. Raises BadForm where no file was in it."""
        if self.name is None:
            raise BadForm("Missing multipart/form-data file upload")
        return self._closed

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._header_data(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._header_data(1, data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": lambda data, start, end: self._part_data(data, start, end),
            "on_part_end": self._part_ends,
            "on_end": self._all_ends,
        }

    def _part_begins(self) -> None:
        self._header, self._fields, self._header_bytes, self._in_file = [b"", b""], {}, 0, False
        self._field_head = b""

    def _header_data(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _MOST_HEADER_BYTES:
            raise BadForm("the headers of a part are too long")
        self._header[which] += data

    def _header_ends(self) -> None:
        name, value = self._header
        if name.lower() in self._fields:
            raise BadForm("a part has a header twice")
        self._fields[name.lower()] = value.strip()
        self._header = [b"", b""]

    def _headers_end(self) -> None:
        disposition = self._fields.get(b"content-disposition", b"")
        kind = self._fields.get(b"content-type", b"text/plain").lower()
        coding = self._fields.get(b"content-transfer-encoding", b"binary").lower()
        if coding not in _PLAIN or kind.startswith(b"multipart/"):
            raise BadForm("a part is sent as other bytes than its own")
        _, options = parse_options_header(disposition)
        # What any parser takes for a file is one: `filename*=` (RFC 8187), or a type that is no text.
        self._in_file = bool(_FILE.search(disposition)) or not kind.startswith(_TEXTS)
        if self._in_file:
            if self.name is not None:
                raise BadForm("Only one file allowed per request")
            self.name = _text(options)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._file_data.append(bytes(data[start:end]))
            return
        self._field_bytes += end - start
        self._field_head = (self._field_head + data[start:end])[:HEAD_BYTES]
        if self._field_bytes > _MOST_FIELD_BYTES:
            raise BadForm("the fields beside the file are too long")

    def _part_ends(self) -> None:
        if not self._in_file and is_media(self._field_head):
            raise BadForm("Only one file allowed per request, and that in a part with a filename")

    def _all_ends(self) -> None:
        self._closed = True


def _text(options: Mapping[bytes, bytes]) -> str:
    return options.get(b"name", b"").decode("utf-8", "replace")
