"""Content codings of HTTP bodies, undone as the bytes come: gzip, deflate, br, zstd. Does no I/O.

Rules
- What comes out of one step is bounded, and all that comes out by what went in: a bomb is `TooMuch`, not memory.
- A body that is not whole in its coding, or goes on behind its end, is not whole: `finished` is then False.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP_BYTES: Final = 256 * 1024
MAX_CODINGS: Final = 3
# As for members of archives: deflate itself cannot pack closer than 1,032 to 1. Short bodies of one colour may.
_MOST_TIMES: Final = 1100
_FREE_BYTES: Final = 64 * 2**20
# RFC 9659: what a sender of the coding zstd may ask a receiver to keep.
_ZSTD_WINDOW_LOG: Final = 23


class TooMuch(Exception):
    """More comes out than is believed of what went in."""


class NotInThisCoding(Exception):
    """The bytes are not what the coding says."""


class Unpacker(Protocol):
    """One coding: what some bytes unpack to, in bounded pieces."""

    @property
    def finished(self) -> bool:
        """Whether it is whole so far, with nothing behind its end."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The unpacked bytes. Raises NotInThisCoding."""
        ...


class _Deflated:
    """gzip (any number of members, zero padding behind), or zlib, or the raw deflate that some senders mean by it."""

    def __init__(self, window_bits: int) -> None:
        self._bits = window_bits
        self._stream = zlib.decompressobj(window_bits)
        self._at_start = True
        self._held = b""
        self._strange = False

    @property
    def finished(self) -> bool:
        return (
            not self._strange
            and not self._held
            and (self._stream.eof or (self._at_start and self._bits == zlib.MAX_WBITS | 16))
        )

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._at_start:  # two bytes tell zlib from raw deflate
            data = self._held + data
            self._held = data if len(data) < 2 else b""
        while data and not self._held:
            if self._stream.eof:
                data = self._behind_the_end(data)
                if not data:
                    return
            try:
                piece = self._stream.decompress(data, STEP_BYTES)
            except zlib.error:
                if not self._at_start or self._bits != zlib.MAX_WBITS:
                    raise NotInThisCoding from None
                self._bits = -zlib.MAX_WBITS
                self._stream = zlib.decompressobj(self._bits)
                continue
            self._at_start = False
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    def _behind_the_end(self, data: bytes) -> bytes:
        data = data.lstrip(b"\0")
        if data and self._bits == zlib.MAX_WBITS | 16:
            self._stream = zlib.decompressobj(self._bits)
            return data
        self._strange = self._strange or bool(data)
        return b""


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._strange = False

    @property
    def finished(self) -> bool:
        return bool(self._stream.is_finished()) and not self._strange

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream.is_finished():
                self._strange = self._strange or bool(data)
                return
            try:
                piece = self._stream.process(data, output_buffer_limit=STEP_BYTES)
            except brotli.error:
                raise NotInThisCoding from None
            # There may be more to come out although all that went in is used up: only nothing is the end of it.
            if not piece and self._stream.can_accept_more_data():
                return
            data = b""
            if piece:
                yield piece


class _Zstd:
    def __init__(self) -> None:
        self._stream = self._new()
        self._strange = False

    @staticmethod
    def _new() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    @property
    def finished(self) -> bool:
        return self._stream.eof and not self._strange

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._stream.needs_input or self._stream.eof):
            if self._stream.eof:
                self._stream = self._new()
            try:
                piece = self._stream.decompress(data, STEP_BYTES)
            except zstd.ZstdError:
                raise NotInThisCoding from None
            data = self._stream.unused_data if self._stream.eof else b""
            if piece:
                yield piece


_CODINGS: Final[dict[str, Callable[[], Unpacker]]] = {
    "gzip": lambda: _Deflated(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Deflated(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Deflated(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}


class Unpacking:
    """All codings of one body, the last applied undone first."""

    def __init__(self, unpackers: Sequence[Unpacker]) -> None:
        self._unpackers = unpackers
        self._in = 0
        self._out = [0] * len(unpackers)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the body's next bytes unpack to. Raises TooMuch and NotInThisCoding."""
        self._in += len(data)
        yield from self._through(0, data)

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        if depth == len(self._unpackers):
            yield data
            return
        for piece in self._unpackers[depth].feed(data):
            self._out[depth] += len(piece)
            if self._out[depth] > _FREE_BYTES + _MOST_TIMES * self._in:
                raise TooMuch
            yield from self._through(depth + 1, piece)

    @property
    def finished(self) -> bool:
        """Whether every coding came to its end."""
        return all(each.finished for each in self._unpackers)


def unpacking(codings: Sequence[str]) -> Unpacking | None:
    """What undoes these codings, in the order they were applied; None where one is not known."""
    wanted = [each for each in codings if each != "identity"]
    if len(wanted) > MAX_CODINGS or any(each not in _CODINGS for each in wanted):
        return None
    return Unpacking([_CODINGS[each]() for each in reversed(wanted)])
