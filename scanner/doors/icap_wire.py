"""ICAP (RFC 3507) as bytes: request heads, the HTTP heads they carry, and chunked bodies. Does no I/O.

Rules
- What cannot be read as the RFC has it is a `BadRequest` with the status that says so; nothing is guessed.
- Heads and chunk lines have bounds; of a body only what was fed is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# squid's own bound for HTTP heads is 64 KiB; an ICAP head holds a few of its fields.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HTTP_HEADS_BYTES: Final = 256 * 1024
MAX_PREVIEW_BYTES: Final = 65_536
_MAX_LINE_BYTES: Final = 4096
_MAX_TRAILER_BYTES: Final = 16 * 1024

_REQUEST_LINE: Final = re.compile(rb"([A-Za-z]{1,16}) (\S{1,2048}) ICAP/(\d)\.(\d)")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t]*")
_SERVICE: Final = re.compile(rb"icaps?://[^/]*(/[^?]*)?(\?.*)?", re.IGNORECASE)
_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_SECTIONS: Final = {
    "REQMOD": ("req-hdr", "req-body", "null-body"),
    "RESPMOD": ("req-hdr", "res-hdr", "res-body", "null-body"),
    "OPTIONS": ("null-body", "opt-body"),
}


class BadRequest(Exception):
    """A request that gets this status and no more."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass(frozen=True, slots=True)
class Fields:
    """Header fields in their order: lower-case names, values as Latin-1 text."""

    pairs: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """Every value of that name."""
        return [value for each, value in self.pairs if each == name]

    def last(self, name: str) -> str:
        """The last value of that name; empty where there is none."""
        values = self.all(name)
        return values[-1] if values else ""

    def words(self, name: str) -> list[str]:
        """The comma-separated words of all values, in lower case."""
        return [word for value in self.all(name) for each in value.split(",") if (word := each.strip().lower())]


@dataclass(frozen=True, slots=True)
class Sections:
    """What follows an ICAP head: HTTP heads of these lengths, and whether a body comes after them."""

    heads: tuple[tuple[str, int], ...]
    has_body: bool
    body_name: str

    @property
    def bytes(self) -> int:
        """The length of all heads."""
        return sum(length for _, length in self.heads)


@dataclass(frozen=True, slots=True)
class IcapHead:
    """An ICAP request's own head. `service` is the path without its slashes, in lower case."""

    method: str
    service: str
    fields: Fields
    sections: Sections
    preview_bytes: int | None

    @property
    def allows_204(self) -> bool:
        """Whether "not modified" may be said at any point."""
        return "204" in self.fields.words("allow")

    @property
    def closes(self) -> bool:
        """Whether the client wants the connection to end with this exchange."""
        return "close" in self.fields.words("connection")


def head_end(buffer: bytes | bytearray) -> int:
    """Where the first head in the buffer ends, its empty line included; -1 where more is needed. Raises BadRequest."""
    ends = [at + len(mark) for mark in (b"\r\n\r\n", b"\n\n") if (at := buffer.find(mark)) >= 0]
    if min(ends, default=len(buffer)) > MAX_HEAD_BYTES:
        raise BadRequest(400)
    return min(ends, default=-1)


def behind_head(head: bytes) -> bytes:
    """What follows the empty line of an HTTP head, which is its last."""
    ends = [at + len(mark) for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := head.find(mark)) >= 0]
    return head[min(ends) :].strip(b"\r\n") if ends else b""


def parse_head(head: bytes) -> IcapHead:
    """An ICAP head as a value. Raises BadRequest: 400, 501 for a method and 505 for a version nobody knows."""
    line, _, rest = head.partition(b"\n")
    found = _REQUEST_LINE.fullmatch(line.rstrip(b"\r"))
    if found is None:
        raise BadRequest(400)
    if (found[3], found[4]) != (b"1", b"0"):
        raise BadRequest(505)
    method = found[1].decode()
    if method not in _SECTIONS:
        raise BadRequest(501)
    named = _SERVICE.fullmatch(found[2])
    if named is None:
        raise BadRequest(400)
    fields = parse_fields(rest)
    service = (named[1] or b"").decode("latin-1").strip("/").lower()
    return IcapHead(method, service, fields, _sections(method, fields), _preview(fields))


def parse_fields(block: bytes) -> Fields:
    """Header lines up to the empty one. Raises BadRequest."""
    pairs: list[tuple[str, str]] = []
    for raw in block.split(b"\n"):
        line = raw.removesuffix(b"\r")
        if not line:
            break
        if line[:1] in b" \t" and pairs:  # folded, as HTTP once allowed
            name, value = pairs[-1]
            pairs[-1] = name, f"{value} {line.strip().decode('latin-1')}"
            continue
        found = _FIELD.fullmatch(line)
        if found is None:
            raise BadRequest(400)
        pairs.append((found[1].decode().lower(), found[2].decode("latin-1")))
    return Fields(tuple(pairs))


def _preview(fields: Fields) -> int | None:
    values = set(fields.all("preview"))
    if not values:
        return None
    value = values.pop()
    if values or not re.fullmatch(r"\d{1,9}", value, re.ASCII) or int(value) > MAX_PREVIEW_BYTES:
        raise BadRequest(400)
    return int(value)


def _sections(method: str, fields: Fields) -> Sections:
    listed = [each.partition("=") for each in fields.words("encapsulated")]
    if not listed:
        if method != "OPTIONS":
            raise BadRequest(400)
        return Sections((), False, "null-body")
    names = [name.strip() for name, _, _ in listed]
    if not all(re.fullmatch(r"\s*\d{1,9}", offset, re.ASCII) for _, _, offset in listed):
        raise BadRequest(400)
    offsets = [int(offset) for _, _, offset in listed]
    order = _SECTIONS[method]
    known = all(name in order for name in names) and len(set(names)) == len(names)
    if not known or names != sorted(names, key=order.index) or not names[-1].endswith("-body"):
        raise BadRequest(400)
    if any(name.endswith("-body") for name in names[:-1]) or offsets[0] != 0 or offsets != sorted(offsets):
        raise BadRequest(400)
    if offsets[-1] > MAX_HTTP_HEADS_BYTES:
        raise BadRequest(400)
    lengths = [after - at for at, after in itertools.pairwise(offsets)]
    heads = tuple(zip(names, lengths, strict=False))
    return Sections(heads, names[-1] != "null-body", names[-1])


class Chunks:
    """A chunked body while it comes: data, its end, and whether a preview's end was the body's (`ieof`)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0
        self._between = False  # behind a chunk's data, before its line end
        self._trailers: int | None = None
        self.ended = False
        self.ieof = False

    def feed(self, received: bytes) -> bytes:
        """Take bytes; the body's data in them. Raises BadRequest."""
        self._buffer += received
        return b"".join(self._data())

    def rest(self) -> bytes:
        """What was fed and lies behind the body's end."""
        return bytes(self._buffer)

    def _data(self) -> Iterator[bytes]:
        buffer = self._buffer
        while not self.ended:
            if self._left:
                took = bytes(buffer[: self._left])
                del buffer[: len(took)]
                self._left -= len(took)
                if took:
                    yield took
                if self._left:
                    return
                self._between = True
            line = self._line()
            if line is None:
                return
            if self._trailers is not None:
                self._trailer(line)
            elif self._between:
                if line:
                    raise BadRequest(400)
                self._between = False
            else:
                self._size(line)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", 0, _MAX_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= _MAX_LINE_BYTES:
                raise BadRequest(400)
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return line

    def _size(self, line: bytes) -> None:
        size, *extensions = line.split(b";")
        if not _SIZE.fullmatch(size.strip(b" \t")):
            raise BadRequest(400)
        self._left = int(size, 16)
        if not self._left:
            self.ieof = any(each.strip(b" \t").lower() == b"ieof" for each in extensions)
            self._trailers = 0

    def _trailer(self, line: bytes) -> None:
        assert self._trailers is not None
        self._trailers += len(line)
        if self._trailers > _MAX_TRAILER_BYTES:
            raise BadRequest(400)
        self.ended = not line


def chunk(data: bytes) -> bytes:
    """One chunk of a reply."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
