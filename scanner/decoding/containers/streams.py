"""Packed bytes to unpacked ones, block by block: deflate, gzip, bzip2, xz, LZMA, zstd.

Rules
- No block is larger than `BLOCK_BYTES`, whatever the input; no dictionary larger than `WINDOW_BYTES`.
- What the libraries raise for bad bytes becomes `Damaged`; MemoryError stays what it is.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from scanner.decoding.containers.limits import WINDOW_BYTES
from scanner.decoding.reading import MediaFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 256 * 1024
FIRST_BYTES = 4096  # most members are looked at no further
INPUT_BYTES = 64 * 1024
_BAD = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError, ValueError)


class Damaged(Exception):
    """The packed bytes end too soon, or are none of their kind."""


class Stream(Protocol):
    """A stream being unpacked."""

    def block(self) -> bytes:
        """The next bytes, empty at the end. Raises Damaged."""
        ...

    def copy(self) -> Stream | None:
        """The same state again; None where the kind cannot be copied."""
        ...


class _Input:
    """The packed bytes from `at` to `end` of a file."""

    def __init__(self, file: MediaFile, at: int, end: int) -> None:
        self.file, self.position, self.end = file, at, end

    def next(self) -> bytes:
        """The next bytes, empty at the end."""
        block = self.file.at(self.position, max(0, min(INPUT_BYTES, self.end - self.position)))
        self.position += len(block)
        return block

    def copy(self) -> _Input:
        """The same place again."""
        return _Input(self.file, self.position, self.end)


class Deflated:
    """Deflate by zlib: bare (`wbits` -15) or as gzip members one after the other (31)."""

    def __init__(self, packed: _Input, wbits: int) -> None:
        self._packed = packed
        self._wbits = wbits
        self._state = zlib.decompressobj(wbits)
        self._rest = b""
        self._begun = self._ended = False

    def block(self) -> bytes:
        """The next bytes, empty at the end."""
        while not self._ended:
            given = self._rest or self._packed.next()
            try:
                block = self._state.decompress(given, BLOCK_BYTES if self._begun else FIRST_BYTES)
            except zlib.error as error:
                raise Damaged from error
            self._rest = self._state.unconsumed_tail
            if self._state.eof:
                self._next_member()
            elif not given and not block:
                raise Damaged("ends too soon")
            if block:
                self._begun = True
                return block
        return b""

    def _next_member(self) -> None:
        """Whatever follows a gzip member and is none itself is no part of the stream."""
        self._rest = self._state.unused_data
        if self._wbits > 15 and len(self._rest) < 2:
            self._rest += self._packed.next()
        if self._wbits > 15 and self._rest[:2] == b"\x1f\x8b":
            self._state = zlib.decompressobj(self._wbits)
        else:
            self._ended = True

    def copy(self) -> Deflated:
        """The same state again."""
        same = Deflated.__new__(Deflated)
        same._packed, same._wbits = self._packed.copy(), self._wbits
        same._state, same._rest, same._ended = self._state.copy(), self._rest, self._ended
        same._begun = self._begun
        return same


class Buffered:
    """bzip2, xz, LZMA or zstd, one stream after the other; `head` is put before the packed bytes."""

    def __init__(self, packed: _Input, new: Callable[[], Any], head: bytes = b"") -> None:
        self._packed = packed
        self._new = new
        self._rest = head
        self._state = new()
        self._ended = False

    def block(self) -> bytes:
        """The next bytes, empty at the end."""
        while not self._ended:
            given = b""
            if self._state.needs_input:
                given = self._rest or self._packed.next()
                self._rest = b""
                if not given:
                    raise Damaged("ends too soon")
            try:
                block: bytes = self._state.decompress(given, BLOCK_BYTES)
            except _BAD as error:
                raise Damaged from error
            if self._state.eof:
                self._next_stream()
            if block:
                return block
        return b""

    def _next_stream(self) -> None:
        rest = self._state.unused_data.lstrip(b"\0") or self._packed.next().lstrip(b"\0")
        self._rest = rest
        self._state = self._new()
        self._ended = not rest or not _begins_stream(rest)

    def copy(self) -> None:
        """None: these libraries copy no state."""
        return


def _begins_stream(block: bytes) -> bool:
    """Whether another stream follows; anything else behind the first is no part of it."""
    return block.startswith((b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")) or block[1:4] == b"\x2a\x4d\x18"


def _new_xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW_BYTES)


def _new_lzma() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=WINDOW_BYTES)


def _new_zstd() -> Any:
    window_log = WINDOW_BYTES.bit_length() - 1
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})


def deflated(file: MediaFile, start: int, end: int) -> Stream:
    """Bare deflate."""
    return Deflated(_Input(file, start, end), -15)


def gzipped(file: MediaFile, start: int, end: int) -> Stream:
    """gzip (RFC 1952), any number of members."""
    return Deflated(_Input(file, start, end), 31)


def inflating(file: MediaFile, start: int, end: int) -> Stream:
    """zlib (RFC 1950)."""
    return Deflated(_Input(file, start, end), 15)


def bzipped(file: MediaFile, start: int, end: int) -> Stream:
    """bzip2, any number of streams."""
    return Buffered(_Input(file, start, end), bz2.BZ2Decompressor)


def xzipped(file: MediaFile, start: int, end: int) -> Stream:
    """xz, any number of streams."""
    return Buffered(_Input(file, start, end), _new_xz)


def zstandard(file: MediaFile, start: int, end: int) -> Stream:
    """zstd (RFC 8878), any number of frames."""
    return Buffered(_Input(file, start, end), _new_zstd)


def lzma_of_zip(file: MediaFile, start: int, end: int, size_bytes: int | None) -> Stream:
    """LZMA as zip has it (APPNOTE 5.8.8): version, length of properties, properties, data. Raises Damaged.

    `size_bytes` is None where the data carry their own end.
    """
    header = file.at(start, 9)
    if len(header) < 9 or header[2:4] != b"\x05\0":
        raise Damaged("properties")
    size = b"\xff" * 8 if size_bytes is None else size_bytes.to_bytes(8, "little")
    return Buffered(_Input(file, start + 9, end), _new_lzma, header[4:9] + size)
