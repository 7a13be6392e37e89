"""Text of any common encoding as numbered lines, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from hashsets.errors import ListError

# No record of any list is near this long; a longer line is not text, and must not be gathered in memory.
MAX_LINE_LETTERS = 64 * 1024

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def encoding_of(head: bytes) -> str:
    """UTF-16 where its byte-order mark says so, else UTF-8 with or without its own."""
    return "utf-16" if head[:2] in _UTF16_MARKS else "utf-8-sig"


def head_lines(head: bytes) -> list[str]:
    """The significant lines of a beginning: neither blank nor comment. A character cut off at the end is left out."""
    text = head.decode(encoding_of(head), errors="ignore")
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


class _Chained(io.RawIOBase):
    """A beginning already read, then the rest of the stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._head or self._rest.read(len(buffer))
        part, self._head = chunk[: len(buffer)], chunk[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def rejoin(head: bytes, rest: BinaryIO) -> BinaryIO:
    """A stream that begins with `head` and goes on with `rest`."""
    return io.BufferedReader(_Chained(head, rest), 256 * 1024)


def lines(stream: BinaryIO, *, lenient: bool = False) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1, each with its "\\n" (which CRLF and CR become); the last may lack it.

    `lenient` takes any bytes for letters: lists of file names hold names in every encoding. Raises ListError for bytes
    that are not text, NUL characters and endless lines.
    """
    head = stream.read(4)
    text = io.TextIOWrapper(
        rejoin(head, stream), encoding=encoding_of(head), errors="replace" if lenient else "strict", newline=None
    )
    number = 0
    try:
        while line := text.readline(MAX_LINE_LETTERS):
            number += 1
            if "\0" in line:
                raise ListError(f"line {number} holds a NUL character: the list is not text")
            if len(line) == MAX_LINE_LETTERS and line[-1] != "\n":
                raise ListError(f"line {number} is longer than {MAX_LINE_LETTERS} characters: the list is not text")
            yield number, line
    except UnicodeError:
        raise ListError(f"the list is not text after line {number}: expected UTF-8, or UTF-16 with its mark") from None
    finally:
        text.detach()
