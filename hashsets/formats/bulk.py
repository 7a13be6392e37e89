"""Lines that are nothing but a type and a value, read many at a time: a list of millions holds little else.

Rules
- A line is taken here only where it says exactly what the careful reader would take of it: a name as we write it, then
  hex digits of the right number, then the line's end. Every other line is handed back, numbered, to be read with care.
- What text is, is decided as `hashsets.formats.text` does: no NUL, no endless line, UTF-8. UTF-16 is not read here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.text import MAX_LINE_LETTERS, encoding_of
from hashsets.hashtypes import HashType
from hashsets.types import Block

CHUNK_BYTES = 2**20  # some 20,000 lines; what is held of them is ten times as much
FEW = 32  # lines of one form that are not worth an array
_MARK = b"\xef\xbb\xbf"

# The value of each hex digit in any case; 255 for every other byte.
_NIBBLES = np.full(256, 255, np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _NIBBLES[_digit] = int(chr(_digit), 16)


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a line: what stands before the hex digits of a value of the type."""

    prefix: bytes
    hash_type: HashType

    @property
    def letters(self) -> int:
        """How long such a line is, without its end."""
        return len(self.prefix) + 2 * self.hash_type.size_bytes


def typed_forms(separator: str) -> list[Form]:
    """Every comparable type by name, then a separator, then the value."""
    return [Form(f"{name}{separator}".encode(), hashtypes.get(name)) for name in hashtypes.names()]


def bare_forms(given: HashType | None) -> list[Form]:
    """A value alone: of the given type, or of every type that no other could be mistaken for by length."""
    if given is not None:
        return [Form(b"", given)] if given.matchable else []
    known = [hashtypes.get(name) for name in hashtypes.names()]
    lengths = [length for size in {each.size_bytes for each in known} for length in (2 * size, 4 * -(-size // 3))]
    sizes = [each.size_bytes for each in known]
    return [
        Form(b"", each)
        for each in known
        if sizes.count(each.size_bytes) == 1 and lengths.count(2 * each.size_bytes) == 1
    ]


def can_read(head: bytes) -> bool:
    """Whether a stream beginning so can be read here."""
    return encoding_of(head) != "utf-16"


def read_forms(stream: BinaryIO, forms: Collection[Form], number: int = 0) -> Iterator[Block | tuple[int, str]]:
    """Blocks of the values, and the other lines with their numbers and ends. `number` lines came before.

    A chunk's blocks come before its other lines. Raises ListError for what is not text.
    """
    for chunk in _chunks(stream):
        lines = _Lines(chunk)
        for form in forms:
            values = lines.take(form)
            if len(values):
                yield Block(form.hash_type.name, values)
        for row, line in lines.others():
            at = number + row + 1
            yield at, _text(line, at)
        number += lines.count


class _Lines:
    """The lines of one chunk, and which of them are taken."""

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._bytes = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(self._bytes == ord("\n"))
        self._starts = np.concatenate([[0], ends + 1])
        self._ends = np.concatenate([ends, [len(chunk)]])
        whole = chunk.endswith(b"\n")
        self.count = len(ends) + (not whole)
        self._lengths = (self._ends - self._starts)[: len(ends)]  # one without its end is for the careful reader
        self._free = np.ones(self.count, bool)

    def take(self, form: Form) -> NDArray[np.uint8]:
        """The values of the lines of a form, (n, bytes)."""
        size = form.hash_type.size_bytes
        rows = np.flatnonzero((self._lengths == form.letters) & self._free[: len(self._lengths)])
        if len(rows) < FEW:
            return np.empty((0, size), np.uint8)
        written = np.lib.stride_tricks.sliding_window_view(self._bytes, form.letters)[self._starts[rows]]
        prefix = np.frombuffer(form.prefix, np.uint8)
        digits = _NIBBLES[written[:, len(prefix) :]]
        good = (written[:, : len(prefix)] == prefix).all(axis=1) & (digits < 16).all(axis=1)
        values: NDArray[np.uint8] = (digits[:, 0::2] << 4) | digits[:, 1::2]
        good &= ~hashtypes.saying_nothing(form.hash_type, values)
        self._free[rows[good]] = False
        return np.ascontiguousarray(values[good])

    def others(self) -> Iterator[tuple[int, bytes]]:
        """The rest of the lines, each with its row and its end."""
        for row in np.flatnonzero(self._free).tolist():
            yield row, self._chunk[self._starts[row] : self._ends[row] + 1]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, each ended by a newline but perhaps the last."""
    carry = b""
    first = True
    while data := stream.read(CHUNK_BYTES):
        if first:
            data, first = data.removeprefix(_MARK), False
        data = carry + data
        if data.endswith(b"\r"):
            data += stream.read(1)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = data.rfind(b"\n") + 1
        carry = data[cut:]
        if len(carry) > 4 * MAX_LINE_LETTERS:  # bytes of so many letters
            raise ListError(f"a line is longer than {MAX_LINE_LETTERS} characters: the list is not text")
        if cut:
            yield data[:cut]
    if carry:
        yield carry


def _text(line: bytes, number: int) -> str:
    if b"\0" in line:
        raise ListError(f"line {number} holds a NUL character: the list is not text")
    if len(line) > MAX_LINE_LETTERS:
        raise ListError(f"line {number} is longer than {MAX_LINE_LETTERS} characters: the list is not text")
    try:
        return line.decode("utf-8")
    except UnicodeError:
        raise ListError(
            f"the list is not text after line {number - 1}: expected UTF-8, or UTF-16 with its mark"
        ) from None
