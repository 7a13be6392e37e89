"""The objects of PDF as Python values (ISO 32000-1, 7.2 and 7.3): read from bytes, within bounds; else Broken.

Names become `Name`, references `Ref`, strings bytes, dictionaries dicts by the bytes of their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WHITE = b"\0\t\n\f\r "
_DELIMITERS = b"()<>[]{}/%"
_REGULAR = re.compile(rb"[^\0\t\n\f\r ()<>\[\]{}/%]*")
_GAP = re.compile(rb"(?:[\0\t\n\f\r ]+|%[^\r\n]*)*")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_REF = re.compile(rb"(\d{1,10})[\0\t\n\f\r ]+(\d{1,5})[\0\t\n\f\r ]+R(?![^\0\t\n\f\r ()<>\[\]{}/%])")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)")
MOST_DEPTH = 32
MOST_VALUES = 100_000


class Broken(Exception):
    """No object stands there, or it does not end within the bytes at hand."""


class Name(bytes):
    """A name, without its slash and escapes."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to the object of that number."""

    number: int


Value = Name | Ref | bytes | float | bool | None | list["Value"] | dict[bytes, "Value"]


class Reader:
    """Reads values one after the other from `text`; `at` is where it stands."""

    def __init__(self, text: bytes, at: int = 0) -> None:
        self._text = text
        self.at = at
        self._values = 0

    def gap(self) -> None:
        """Pass over white space and comments."""
        found = _GAP.match(self._text, self.at)
        assert found is not None
        self.at = found.end()

    def word(self) -> bytes:
        """The next keyword or number, as it stands."""
        self.gap()
        found = _REGULAR.match(self._text, self.at)
        assert found is not None
        self.at = found.end()
        return found[0]

    def value(self, depth: int = 0) -> Value:
        """The next value. Raises Broken."""
        self._values += 1
        if depth > MOST_DEPTH or self._values > MOST_VALUES:
            raise Broken
        self.gap()
        lead = self._text[self.at : self.at + 2]
        if lead == b"<<":
            self.at += 2
            return self._dictionary(depth)
        match lead[:1]:
            case b"/":
                self.at += 1
                return Name(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), self.word()))
            case b"[":
                self.at += 1
                return self._array(depth)
            case b"(":
                return self._string()
            case b"<":
                return self._hex_string()
            case _:
                return self._plain()

    def _dictionary(self, depth: int) -> dict[bytes, Value]:
        found: dict[bytes, Value] = {}
        while True:
            self.gap()
            if self._text.startswith(b">>", self.at):
                self.at += 2
                return found
            key = self.value(depth + 1)
            if not isinstance(key, Name):
                raise Broken
            found[bytes(key)] = self.value(depth + 1)

    def _array(self, depth: int) -> list[Value]:
        found: list[Value] = []
        while True:
            self.gap()
            if self._text[self.at : self.at + 1] == b"]":
                self.at += 1
                return found
            found.append(self.value(depth + 1))

    def _string(self) -> bytes:
        """Its bytes; escapes are resolved."""
        depth, at, pieces = 0, self.at, []
        while at < len(self._text):
            byte = self._text[at : at + 1]
            if byte == b"\\":
                piece, at = self._escape(at + 1)
                pieces.append(piece)
                continue
            depth += (byte == b"(") - (byte == b")")
            if depth == 0:
                self.at = at + 1
                return b"".join(pieces)[1:]
            pieces.append(byte)
            at += 1
        raise Broken

    def _escape(self, at: int) -> tuple[bytes, int]:
        octal = re.compile(rb"[0-7]{1,3}").match(self._text, at)
        if octal is not None:
            return bytes([int(octal[0], 8) & 255]), octal.end()
        byte = self._text[at : at + 1]
        if byte == b"\r" and self._text[at + 1 : at + 2] == b"\n":
            return b"", at + 2
        known = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b""}
        return known.get(byte, byte), at + 1

    def _hex_string(self) -> bytes:
        end = self._text.find(b">", self.at)
        if end < 0:
            raise Broken
        digits = bytes(byte for byte in self._text[self.at + 1 : end] if byte in b"0123456789abcdefABCDEF")
        self.at = end + 1
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())

    def _plain(self) -> Value:
        reference = _REF.match(self._text, self.at)
        if reference is not None:
            self.at = reference.end()
            return Ref(int(reference[1]))
        word = self.word()
        if word in (b"true", b"false"):
            return word == b"true"
        if word == b"null":
            return None
        if _NUMBER.fullmatch(word) and len(word) < 40:
            return float(word)
        raise Broken
