"""The clamd protocol as bytes: commands in their three framings, and the chunks of a stream. Does no I/O.

As probed on clamd 1.4.6: a first byte `z` ends a command at NUL, `n` at a line feed, anything else is the old style, in
which one packet is one command. Replies end as the command did.

Rules
- Nothing is kept beyond one command line, and of a stream only what was fed: whoever feeds decides how much is in hand.
- Commands may come byte by byte. In the old style, which has no end mark, a packet that only begins a known command
  waits for the rest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

# A path has at most 4,096 bytes (PATH_MAX), and commands are short; clamd itself gives up at about this length.
MAX_LINE_BYTES: Final = 8192
_NO_WORD: Final = 64  # longer than any command's word: what goes on so far is no beginning of one
_SIZE: Final = struct.Struct("!I")

WITH_PATH: Final = frozenset((b"SCAN", b"CONTSCAN", b"MULTISCAN", b"ALLMATCHSCAN"))
_OLD_STYLE: Final = frozenset(
    b"SCAN QUIT RELOAD PING CONTSCAN VERSION SHUTDOWN MULTISCAN FILDES DETSTATS DETSTATSCLEAR".split()
)
_NEW_STYLE: Final = _OLD_STYLE | {b"VERSIONCOMMANDS", b"END", b"STATS", b"IDSESSION", b"INSTREAM", b"ALLMATCHSCAN"}


class Framing(Enum):
    """How a command ended, and so how its reply does."""

    NUL = b"\0"
    LINE = b"\n"
    OLD = b""

    @property
    def terminator(self) -> bytes:
        """What ends each line of a reply."""
        return self.value or b"\n"


class LineTooLong(Exception):
    """A command that does not end where every real one has."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: a known word, or an empty one for whatever else was said. `argument` is a path, exactly as sent."""

    word: bytes
    argument: bytes
    framing: Framing


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of a stream: its data, whether it ended with it, or whether the next chunk is longer than is left."""

    data: bytes
    ended: bool = False
    over: bool = False


class Decoder:
    """One connection's bytes, in whichever of the two modes the connection is."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fed = 0
        self._chunk_left = 0
        self._over = False
        self.more_may_come = False  # of a command that was taken without its end mark

    def feed(self, received: bytes) -> None:
        """Take what one receive gave."""
        self._buffer += received
        self._fed += len(received)

    @property
    def position(self) -> int:
        """How many of the connection's bytes were asked for."""
        return self._fed - len(self._buffer)

    @property
    def framing(self) -> Framing:
        """The framing that the command in hand began with."""
        return {b"z": Framing.NUL, b"n": Framing.LINE}.get(bytes(self._buffer[:1]), Framing.OLD)

    @property
    def waiting(self) -> int:
        """How many bytes were fed and not yet asked for."""
        return len(self._buffer)

    def command(self, *, at_end: bool = False) -> Command | None:
        """The next command, or None where more is needed. Raises LineTooLong.

        `at_end`: nothing more will come, so an old-style command is complete as it is.
        """
        buffer = self._buffer
        if not buffer:
            return None
        framing = self.framing
        end = buffer.find(framing.terminator)
        if end > MAX_LINE_BYTES or (end < 0 and len(buffer) > MAX_LINE_BYTES):
            raise LineTooLong
        if end >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
        elif framing is Framing.OLD and (at_end or not _is_begun(bytes(buffer[:_NO_WORD]))):
            line = bytes(buffer)
            buffer.clear()
            self.more_may_come = not at_end
        else:
            return None
        return _parsed(line, framing)

    def skip_byte(self) -> bool:
        """Drop one byte, the one that carries a descriptor, if it is there."""
        if not self._buffer:
            return False
        del self._buffer[0]
        return True

    def piece(self, left: int) -> Piece:
        """All that was fed of a stream that may have `left` more bytes."""
        buffer, data, at = self._buffer, bytearray(), 0
        ended = False
        while not self._over:
            if self._chunk_left:
                took = min(self._chunk_left, len(buffer) - at)
                data += memoryview(buffer)[at : at + took]
                at += took
                self._chunk_left -= took
                if self._chunk_left:
                    break
            if len(buffer) - at < _SIZE.size:
                break
            (size,) = _SIZE.unpack_from(buffer, at)
            at += _SIZE.size
            if not size:
                ended = True
                break
            self._over = size > left - len(data)
            self._chunk_left = size
        del buffer[:at]
        return Piece(bytes(data), ended, self._over)


def _parsed(line: bytes, framing: Framing) -> Command:
    known = _OLD_STYLE
    if framing is not Framing.OLD:
        line, known = line[1:], _NEW_STYLE
    if framing is not Framing.NUL:
        line = line.removesuffix(b"\r")
    word, _, argument = line.rstrip(b"\0").partition(b" ")
    if word not in known or bool(argument) != (word in WITH_PATH) or b"\0" in argument:
        return Command(b"", b"", framing)
    return Command(word, argument, framing)


def _is_begun(line: bytes) -> bool:
    """Whether an unended old-style packet is only the beginning of a command."""
    if line.rstrip(b" ") in WITH_PATH:
        return len(line) < _NO_WORD
    return line not in _OLD_STYLE and any(word.startswith(line) for word in _OLD_STYLE)
