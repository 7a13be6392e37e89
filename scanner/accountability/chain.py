"""How a line of the audit log is written, chained, keyed and checked. Bytes in, findings out; touches no file.

A line is canonical JSON and a newline. `prev` is the SHA-256 of the line before, newline included; `mac` is keyed with
a key that exists for this line alone: from each key the next is derived and not the one before, and the log's keeper
forgets a key once its line is on disk. So whoever takes the machine can forge no earlier line, and whoever has the
first key, which is kept elsewhere, can check them all (forward-secure logging: Schneier and Kelsey, "Secure Audit Logs
to Support Computer Forensics", 1999, section 3).

Rules
- Each line has exactly one spelling: what is read is written anew and must be the same bytes.
- What a check finds is a closed word and the number of the line; it never repeats what the line says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from scanner.errors import UsageError

FIRST_PREV: Final = "0" * 64
MOST_PROBLEMS: Final = 20  # shown of a log that is wrong all over; the first is the one that matters
MAX_LINE_BYTES: Final = 16_384

Particulars = Mapping[str, str | int | bool | None]

_KEY: Final = re.compile(r"hwaudit_([A-Za-z0-9_-]{43})")  # a prefix, so that secret scanners know one
_PIN: Final = re.compile(r"hwpin_([1-9][0-9]{0,14})_([0-9a-f]{64})")
_FIELDS: Final = {
    "at": str,
    "event": str,
    "mac": str,
    "particulars": dict,
    "prev": str,
    "seq": int,
    "uid": str,
    "user": int,
}


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one line. `of_text` reads the first one, as `audit init` printed it."""

    seq: int
    secret: bytes

    @classmethod
    def of_text(cls, text: str) -> Key:
        """The verification key. Raises UsageError."""
        found = _KEY.fullmatch(text.strip())
        if found is None:
            raise UsageError("A verification key is what `hashward audit init` printed: hwaudit_ and 43 letters.")
        return cls(1, base64.urlsafe_b64decode(found[1] + "="))

    def text(self) -> str:
        """The key for people to keep."""
        return "hwaudit_" + base64.urlsafe_b64encode(self.secret).decode().rstrip("=")

    def next(self) -> Key:
        """The key of the line after; there is no way back."""
        return Key(self.seq + 1, hmac.digest(self.secret, b"hashward audit: next key", "sha256"))

    def mac(self, unkeyed: bytes) -> str:
        """The MAC of a line without its `mac`."""
        own = hmac.digest(self.secret, b"hashward audit: mac", "sha256")
        return hmac.digest(own, unkeyed, "sha256").hex()

    def commitment(self) -> str:
        """Tells whether somebody has this key, without telling the key."""
        return hmac.digest(self.secret, b"hashward audit: commitment", "sha256").hex()


@dataclass(frozen=True, slots=True)
class Line:
    """One line, read back. `user` is the number of the operating system's user who had it written."""

    seq: int
    at: str
    event: str
    particulars: Particulars
    uid: str
    user: int
    prev: str
    mac: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A line as it stood when somebody noted it elsewhere: its number and the SHA-256 of its bytes."""

    seq: int
    head: str

    @classmethod
    def of_text(cls, text: str) -> Pin:
        """Raises UsageError."""
        found = _PIN.fullmatch(text.strip())
        if found is None:
            raise UsageError("A pin is what `hashward audit pin` printed: hwpin_, a number, _ and 64 digits.")
        return cls(int(found[1]), found[2])

    def text(self) -> str:
        """The pin for people to keep."""
        return f"hwpin_{self.seq}_{self.head}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the log ends, by its keeper: its lines, the digest of the last, its bytes, and the next key, committed."""

    written: int
    head: str
    end: int
    commitment: str


class Fault(StrEnum):
    """What is wrong at a line."""

    SPELLING = "spelling"  # it is no line of ours, or not as we spell it
    SEQUENCE = "sequence"  # its number does not follow
    CHAIN = "chain"  # it does not name the line before
    KEY = "key"  # it was not written with the key of its number
    CUT = "cut"  # the log does not end where its key says that it does
    KEEPER = "keeper"  # the file of its key is gone or damaged: nobody can say whether this is all
    PIN = "pin"  # it is not the line that was pinned, or the log ends before that


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault and the number of the line it was found at, counted from 1."""

    line: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found. `keyed`, `pinned`: whether the keys, the pin were there to be checked.

    `unfinished`: behind the last line stands a piece that a kill left; the next one written takes its place.
    """

    lines: int
    head: str
    problems: tuple[Problem, ...]
    keyed: bool
    pinned: bool
    unfinished: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def canonical(value: Mapping[str, object]) -> bytes:
    """The one spelling."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(line: bytes) -> str:
    """What the line after, or a pin, calls this one."""
    return hashlib.sha256(line).hexdigest()


def write(key: Key, prev: str, said: Mapping[str, Any]) -> bytes:
    """A line: `said` holds at, event, particulars, uid and user."""
    unkeyed = {**said, "seq": key.seq, "prev": prev}
    return canonical({**unkeyed, "mac": key.mac(canonical(unkeyed))}) + b"\n"


def read(line: bytes) -> Line | None:
    """The line, if it is one and spelt as we spell it."""
    try:
        found = json.loads(line) if line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != _FIELDS.keys():
        return None
    if any(type(found[name]) is not kind for name, kind in _FIELDS.items()):
        return None
    if any(type(value) not in (str, int, bool, type(None)) for value in found["particulars"].values()):
        return None
    return Line(**found) if canonical(found) + b"\n" == line else None


def is_keyed(line: Line, key: Key) -> bool:
    """Whether a line was written with this key."""
    said = {name: getattr(line, name) for name in _FIELDS if name != "mac"}
    return line.seq == key.seq and hmac.compare_digest(line.mac, key.mac(canonical(said)))


class Check:
    """A check of a log, line by line from the first. Each line is held against the one that stands before it."""

    def __init__(self, first: Key | None = None, pin: Pin | None = None) -> None:
        self._keyed, self._key = first is not None, first
        self._pin = pin
        self._lines, self._head = 0, FIRST_PREV
        self.problems: list[Problem] = []

    def add(self, raw: bytes) -> Line | None:
        """Check the next line; it, where it can be read at all."""
        self._lines += 1
        line = read(raw)
        if line is None:
            self._wrong(Fault.SPELLING)
        else:
            self._check(line)
        self._head = digest(raw)
        self._key = self._key.next() if self._key is not None else None
        if self._pin is not None and self._pin.seq == self._lines and self._pin.head != self._head:
            self._wrong(Fault.PIN)
        return line

    def _check(self, line: Line) -> None:
        if line.seq != self._lines:
            self._wrong(Fault.SEQUENCE)
        if line.prev != self._head:
            self._wrong(Fault.CHAIN)
        if self._key is not None and not is_keyed(line, self._key):
            self._wrong(Fault.KEY)

    def _wrong(self, fault: Fault) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(self._lines, fault))

    def end(self, standing: Standing | None, *, unfinished: bool = False) -> Verified:
        """The findings, given what the keeper says of the log's end."""
        if standing is None:
            self._wrong(Fault.KEEPER)
        elif standing.written != self._lines or not self._may_go_on(standing.commitment):
            self._wrong(Fault.CUT)
        elif standing.head != self._head:
            self._wrong(Fault.CHAIN)
        if self._pin is not None and self._pin.seq > self._lines:
            self._wrong(Fault.PIN)
        problems, pinned = tuple(self.problems), self._pin is not None
        return Verified(self._lines, self._head, problems, self._keyed, pinned, unfinished)

    def _may_go_on(self, commitment: str) -> bool:
        """Whether the keeper has the key of the line that comes next."""
        return self._key is None or hmac.compare_digest(self._key.commitment(), commitment)


def split(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The lines of a log that comes in pieces, each with its newline; a last one without it as it is.

    What goes on without a newline is handed on in parts, each of which is no line.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if len(rest) > MAX_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest
