"""Whoever keeps the audit log, as others see it, and what can be asked of any: its end, its lines, whether it is sound.

Two keep it: the files of a home (`log_file`), or a broker under another user (`broker`), whose log the scanner's user
can add to but not change. Knows no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from scanner.accountability import chain
from scanner.accountability.chain import Check, Key, Line, Pin, Standing, Verified
from scanner.errors import AuditError, UsageError
from scanner.location_keys import LocationKeys

NOT_BEGUN: Final = "There is no audit log yet: `hashward audit init` begins it."
NO_BROKER: Final = "Only a broker opens sealed locations: the configuration must name its socket ([broker])."
DAMAGED: Final = (
    "The audit log is not what its key says was written: `hashward audit verify` shows where. Move audit.log and"
    " audit.key away, keep them, and begin anew with `hashward audit init`."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written as a line. `again`: it may have been written before, and is not written twice."""

    uid: str
    at: str
    event: str
    particulars: Mapping[str, str | int | bool | None]
    again: bool = False


class Keeper(Protocol):
    """Who writes the log."""

    @property
    def begun(self) -> bool:
        """Whether there is a log."""
        ...

    def begin(self, first: Entry, show: Callable[[str], None]) -> None:
        """Begin the log with a line; before anything counts `show` is given its key. Raises UsageError."""
        ...

    def append(self, entries: Sequence[Entry]) -> int:
        """Write entries as lines, those of `again` only if they are not there yet; the number of the last line.

        They are on disk when it returns. Raises AuditError.
        """
        ...

    def standing(self) -> Standing | None:
        """How the log ends; None where the file that says so is gone or damaged. Raises AuditError."""
        ...

    def pieces(self, end: int | None = None, start: int = 0) -> Iterator[bytes]:
        """The bytes of the log from `start` up to `end`. Raises AuditError."""
        ...

    def size(self) -> int:
        """How many bytes the log has; 0 where it is not there."""
        ...

    def location_keys(self) -> LocationKeys:
        """What a scanner may hold of the keys of sealed locations. Raises AuditError, UsageError."""
        ...

    def open(self, entry: Entry, boxes: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """Open boxes of locations once a line of the entry is on disk; its number, and what was in each (None: no box).

        Of very many, one line for each part of them. Raises AuditError, UsageError: what is not answered is not opened.
        """
        ...


def verify(
    keeper: Keeper, pinned: Pin | None = None, key: Key | None = None, seen: Callable[[Line], None] = lambda line: None
) -> Verified:
    """Check every line against the one before, against a pin, and by the verification key. Raises AuditError."""
    if not keeper.begun and not keeper.size():
        raise UsageError(NOT_BEGUN)
    standing = keeper.standing()
    check = Check(key, pinned)
    for raw in chain.split(keeper.pieces(None if standing is None else standing.end)):
        line = check.add(raw)
        if line is not None:
            seen(line)
    if standing is None:
        return check.end(None)
    longer = keeper.size() > standing.end
    return check.end(standing, unfinished=longer and keeper.standing() == standing)  # else somebody writes just now


def pin(keeper: Keeper) -> Pin:
    """The last line, to be noted elsewhere. Raises AuditError; UsageError where nothing is written yet."""
    if not keeper.begun:
        raise UsageError(NOT_BEGUN)
    standing = keeper.standing()
    if standing is None:
        raise AuditError(DAMAGED)
    if not standing.written:
        raise UsageError("Nothing is written in the audit log yet: there is nothing to pin.")
    return Pin(standing.written, standing.head)


def lines(keeper: Keeper) -> Iterator[Line]:
    """Every line that can be read, oldest first. Raises AuditError."""
    if not keeper.begun and not keeper.size():
        raise UsageError(NOT_BEGUN)
    standing = keeper.standing()
    for raw in chain.split(keeper.pieces(None if standing is None else standing.end)):
        line = chain.read(raw)
        if line is not None:
            yield line
