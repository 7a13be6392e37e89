"""One value a line: `<hash>`, or `<type> <hash>`. Blank lines and lines that begin with # are skipped.

A value that names no type is of the type the operator said, or else of the only type it fits: a value that fits several
ends the reading, because a guess would make a set that matches nothing, or the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.formats.bulk import bare_forms, can_read, read_forms, typed_forms
from hashsets.formats.text import head_lines, lines, rejoin
from hashsets.hashtypes import HashType
from hashsets.types import Block, Entry, Signal, entry_key


class Plain:
    """See the module."""

    name = "plain"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether any of the first lines is a value, alone or behind a type."""
        return any(_looks_like_record(line.split()) for line in head_lines(head)[:100])

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry | Block]:
        """See Format."""
        given = None if options.type_name is None else hashtypes.get(options.type_name)
        for read in _read(stream, given, options):
            if isinstance(read, Block):
                reading.valid += len(read)
                yield read
                continue
            number, line = read
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            signal = _record(words, given, number, reading, whole=line.endswith("\n"))
            if signal is not None:
                reading.valid += 1
                yield Entry(entry_key(signal), (signal,))


def _read(stream: BinaryIO, given: HashType | None, options: Options) -> Iterator[Block | tuple[int, str]]:
    """Numbered lines, or blocks of those that say nothing but a value and perhaps its type."""
    if not options.blocks:
        yield from lines(stream)
        return
    head = stream.read(2)
    rest = rejoin(head, stream)
    yield from (read_forms(rest, [*typed_forms(" "), *bare_forms(given)]) if can_read(head) else lines(rest))


def _looks_like_record(words: list[str]) -> bool:
    if len(words) == 1:
        return bool(hashtypes.fitting_types(words[0]) or hashtypes.unmatchable_type(words[0]))
    return len(words) == 2 and hashtypes.find(words[0]) is not None


def _record(words: list[str], given: HashType | None, number: int, reading: Reading, *, whole: bool) -> Signal | None:
    if len(words) > 2:
        reading.reject(Reject.TOO_MANY_WORDS, number)
        return None
    hash_type = given
    if len(words) == 2:
        hash_type = hashtypes.find(words[0])
        if hash_type is None:
            reading.reject(Reject.UNKNOWN_TYPE, number)
            return None
    elif hash_type is None:
        hash_type = _only_type(words[0], number)
    if hash_type is None:
        _count_foreign(words[0], number, reading, whole=whole)
        return None
    return checked_signal(hash_type, words[-1], number, reading, whole=whole)


def checked_signal(
    hash_type: HashType, text: str, number: int, reading: Reading, *, whole: bool = True
) -> Signal | None:
    """The signal a record's text says, or None and a count. `whole` is False for a last line without its end."""
    if not hash_type.matchable:
        reading.unmatchable[hash_type.name] += 1
        return None
    value = hashtypes.read_value(hash_type, text)
    if value is None:
        refuse_cut(whole, number)
        reading.reject(Reject.NOT_A_VALUE, number)
        return None
    if hashtypes.says_nothing(hash_type, value):
        reading.reject(Reject.DEGENERATE, number)
        return None
    return Signal(hash_type.name, value)


def refuse_cut(whole: bool, number: int) -> None:
    """Refuse a list whose last record is broken and has no line end: it was cut off in transfer."""
    if not whole:
        raise ListError(f"the list ends in the middle of line {number}: it was cut off; fetch it again")


def _only_type(text: str, number: int) -> HashType | None:
    fitting = hashtypes.fitting_types(text)
    if len(fitting) > 1:
        raise ListError(f"the value in line {number} could be {' or '.join(fitting)}: say which with --type")
    return hashtypes.get(fitting[0]) if fitting else None


def _count_foreign(text: str, number: int, reading: Reading, *, whole: bool) -> None:
    unmatchable = hashtypes.unmatchable_type(text)
    if unmatchable is not None:
        reading.unmatchable[unmatchable] += 1
        return
    refuse_cut(whole, number)
    reading.reject(Reject.NOT_A_VALUE, number)
