"""Where the streams of a PDF lie, found in the file itself: no cross-reference table is believed, none can loop.

An image is a stream, and a stream is never inside an object stream (ISO 32000-1, 7.5.7), so every image of every
revision stands in the file as `N G obj << ... >> stream`. What its dictionary refers to may lie in an object stream;
those are unpacked when first needed, within bounds.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scanner.decoding.containers.pdf_syntax import WHITE, Broken, Name, Reader, Ref, Value
from scanner.decoding.reading import MediaFile

_BLOCK_BYTES = 1024 * 1024
_OVERLAP_BYTES = 64
_NUMBERED = re.compile(rb"(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]*$")
_MOST_DICTIONARY_BYTES = 256 * 1024
_FIRST_READ_BYTES = 4096
_MOST_VALUE_BYTES = 64 * 1024
_MOST_NUMBERS = 500_000
_TRIES = 4  # objects before the word `stream` whose dictionary it may be
MOST_PACKED_OBJECTS_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A stream: its dictionary, where its bytes are, and the number of its object."""

    dictionary: dict[bytes, Value]
    start: int
    end: int
    number: int


class Objects:
    """The streams of one PDF, and what references lead to."""

    def __init__(self, file: MediaFile, tick: Callable[[], None], unpack: Callable[[Found, int], bytes]) -> None:
        """`unpack` gives at most so many bytes of a stream; it is asked for object streams."""
        self._file = file
        self._tick = tick
        self._unpack = unpack
        self._places: dict[int, int] = {}  # of objects by number: the last one in the file counts, as in an update
        self._streams = array("Q")  # three a stream: where its object begins, where its bytes do, its number
        self._indexes: dict[int, int] | None = None
        self._packed: dict[int, bytes] | None = None
        self.open_string: Callable[[bytes, int], bytes] | None = None  # of an encrypted document: string, object
        self.trailers: list[dict[bytes, Value]] = []
        self._scan()

    # -- finding -----------------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        begun: list[tuple[int, int]] = []
        for at, word in self._words():
            if word == b"trailer":
                self._take_trailer(at + len(word))
            elif word == b"obj":
                found = _NUMBERED.search(self._file.at(max(0, at - 20), min(at, 20)))
                if found is not None:
                    begun = [*begun[1 - _TRIES :], (at + 3, int(found[1]))]
                    if len(self._places) < _MOST_NUMBERS:
                        self._places[int(found[1])] = at + 3
            elif begun and self._is_begun(at):
                self._take_stream(begun, at)

    def _take_stream(self, begun: list[tuple[int, int]], at: int) -> None:
        """The stream whose word is at `at`, of the last object whose dictionary ends there."""
        for place, number in reversed(begun):
            dictionary = self._dictionary(place, at)
            if dictionary is not None:
                self._streams.extend((place, at, number))
                if b"Encrypt" in dictionary or dictionary.get(b"Type") == b"XRef":
                    self._take_trailer(place)
                return

    def _words(self) -> Iterator[tuple[int, bytes]]:
        """Where `obj`, `stream` and `trailer` stand, in order."""
        for base in range(0, self._file.size_bytes, _BLOCK_BYTES):
            self._tick()
            block = self._file.at(base, _BLOCK_BYTES + _OVERLAP_BYTES)
            found = []
            for word in (b"obj", b"stream", b"trailer"):
                at = block.find(word)
                while 0 <= at < _BLOCK_BYTES:
                    if block[max(0, at - 3) : at] != b"end":
                        found.append((base + at, word))
                    at = block.find(word, at + 1)
            yield from sorted(found)

    def _is_begun(self, at: int) -> bool:
        """Whether the word at `at` begins a stream: a dictionary ends before it, a line behind it."""
        before = self._file.at(max(0, at - 200), min(at, 200)).rstrip(WHITE)
        return (before.endswith(b">>") or b"%" in before) and self._file.at(at + 6, 1) in (b"\r", b"\n", b" ", b"\t")

    def _dictionary(self, start: int, end: int) -> dict[bytes, Value] | None:
        """The dictionary between two places, if it is all that stands there."""
        if end - start > _MOST_DICTIONARY_BYTES:
            return None
        reader = Reader(self._file.at(start, end - start))
        try:
            value = reader.value()
        except Broken:
            return None
        reader.gap()
        return value if isinstance(value, dict) and reader.at == end - start else None

    def _take_trailer(self, at: int) -> None:
        try:
            value = Reader(self._file.at(at, _FIRST_READ_BYTES)).value()
        except Broken:
            return
        if isinstance(value, dict) and len(self.trailers) < 100:
            self.trailers.append(value)

    # -- reading -----------------------------------------------------------------------------------------------------

    def streams(self) -> Iterator[Found]:
        """Every stream, in the order of the file."""
        for index in range(0, len(self._streams), 3):
            self._tick()
            found = self._found(index)
            if found is not None:
                yield found

    def _found(self, index: int) -> Found | None:
        place, word, number = self._streams[index : index + 3]
        dictionary = self._dictionary(place, word)
        if dictionary is None:
            return None
        dictionary = {key: self._opened(value, number) for key, value in dictionary.items()}
        start = word + 6
        start += 2 if self._file.at(start, 2) == b"\r\n" else 1
        return Found(dictionary, start, self._end(dictionary, start), number)

    def _end(self, dictionary: dict[bytes, Value], start: int) -> int:
        """Behind the last byte: as its length says if `endstream` follows there, else where that word is."""
        length = self.resolve(dictionary.get(b"Length"))
        if isinstance(length, float) and 0 <= length <= self._file.size_bytes - start:
            end = start + int(length)
            if self._file.at(end, 12).lstrip(WHITE).startswith(b"endstream"):
                return end
        at = start
        while block := self._file.at(at, _BLOCK_BYTES + 8):
            self._tick()
            found = block.find(b"endstream")
            if found >= 0:
                end = at + found
                tail = self._file.at(max(start, end - 2), end - max(start, end - 2))
                return end - (2 if tail == b"\r\n" else tail[-1:] in (b"\r", b"\n"))
            at += _BLOCK_BYTES
        return self._file.size_bytes

    def resolve(self, value: Value, depth: int = 8) -> Value:
        """What a value is, wherever it leads; None where it leads nowhere."""
        while isinstance(value, Ref):
            depth -= 1
            if depth < 0:
                return None
            value = self._at(value.number)
        return value

    def _at(self, number: int) -> Value:
        place = self._places.get(number)
        if place is not None:
            text = self._file.at(place, _FIRST_READ_BYTES)
            for count in (_FIRST_READ_BYTES, _MOST_VALUE_BYTES):
                try:
                    return self._opened(Reader(text).value(), number)
                except Broken:
                    text = self._file.at(place, count * 16)
            return None
        try:
            return Reader(self._in_object_streams().get(number, b"null")).value()
        except Broken:
            return None

    def _opened(self, value: Value, number: int) -> Value:
        """A value of an object of its own with its strings as they were before encryption."""
        if self.open_string is None or isinstance(value, Name):
            return value
        if isinstance(value, bytes):
            return self.open_string(value, number)
        if isinstance(value, list):
            return [self._opened(each, number) for each in value]
        if isinstance(value, dict):
            return {key: self._opened(each, number) for key, each in value.items()}
        return value

    def stream_of(self, number: int) -> Found | None:
        """The stream that is the object of that number."""
        if self._indexes is None:
            self._indexes = {self._streams[index + 2]: index for index in range(0, len(self._streams), 3)}
        index = self._indexes.get(number)
        return None if index is None else self._found(index)

    def _in_object_streams(self) -> dict[int, bytes]:
        """The small objects of all object streams, by number."""
        if self._packed is not None:
            return self._packed
        self._packed = {}
        left = MOST_PACKED_OBJECTS_BYTES
        for found in self.streams():
            if found.dictionary.get(b"Type") == b"ObjStm" and left > 0:
                try:
                    text = self._unpack(found, left)
                except ValueError:
                    continue
                left -= len(text)
                self._take_packed(found, text)
        return self._packed

    def _take_packed(self, found: Found, text: bytes) -> None:
        first = found.dictionary.get(b"First")
        if self._packed is None or not isinstance(first, float):
            return
        numbers = [int(word) for word in text[: int(first)].split() if word.isdigit() and len(word) < 11]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
        ends = [offset for _, offset in pairs[1:]] + [len(text) - int(first)]
        for (number, offset), end in zip(pairs, ends, strict=True):
            if 0 <= end - offset <= _MOST_VALUE_BYTES and len(self._packed) < _MOST_NUMBERS:
                self._packed[number] = text[int(first) + offset : int(first) + end]


def names_of(value: Value) -> list[bytes]:
    """A name, or an array of names, as a list."""
    values = value if isinstance(value, list) else [value]
    return [bytes(each) for each in values if isinstance(each, Name)]
