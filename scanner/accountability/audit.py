"""The audit log as the rest of the package sees it: what is owed to it, and having that written.

A deed and its record cannot part: `due` owes the line inside the transaction of the deed, `drain` has it written, once.
What must be on record before it happens goes through `append_now`. Who writes is a `Keeper`: the files of this home,
or, where a broker is configured, the broker (another user), of whose log this one can write but not forge.

Rules
- Every text stays inside the log: no line, and nothing of one, reaches an error or another log.
- A line that was owed when the process died is known by its random uid.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import secrets
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from hashsets.locking import WriterLock
from hashsets.sqlite import Database
from scanner.accountability import chain, keeping
from scanner.accountability.chain import Key, Line, Particulars, Pin, Verified
from scanner.accountability.keeping import Entry, Keeper
from scanner.accountability.log_file import give_to_owner
from scanner.clock import Clock
from scanner.errors import AuditError, UsageError
from scanner.ledger import locations

__all__ = ["AuditLog", "Event", "Key", "Particulars", "Pin", "Verified", "due"]

MOST_AT_ONCE: Final = 256  # lines a write
DRAIN_NAME: Final = "audit.due"
_MAX_PARTICULARS_BYTES: Final = chain.MAX_LINE_BYTES - 1024


class Event(StrEnum):
    """What a line is about."""

    AUDIT_BEGUN = "audit_begun"
    SOFTWARE_CHANGED = "software_changed"
    CONFIG_CHANGED = "config_changed"
    SET_CHANGED = "set_changed"
    SET_REMOVED = "set_removed"
    CASE_OPENED = "case_opened"
    CASE_SOUGHT = "case_sought"
    PLACES_TOLD = "places_told"
    LOCATIONS_SEALED = "locations_sealed"
    CASE_OUTCOME = "case_outcome"
    CASE_APPEAL = "case_appeal"
    CASE_EXPORTED = "case_exported"
    REVIEWER_CHANGED = "reviewer_changed"
    HOLD_PLACED = "hold_placed"
    HOLD_EXTENDED = "hold_extended"
    HOLD_RECEIPT = "hold_receipt"
    HOLD_ENDED = "hold_ended"
    ERASED = "erased"
    REQUEST_RECORDED = "request_recorded"
    REQUEST_DECIDED = "request_decided"
    REQUEST_NOTIFIED = "request_notified"
    FIGURES_PUBLISHED = "figures_published"


def due(db: Database, event: Event, particulars: Particulars, *, at_ns: int) -> None:
    """Owe the audit log a line: inside the caller's transaction, so that the deed and its record cannot part."""
    assert db.connection.in_transaction, "a line is owed inside the transaction of the deed"
    db.execute(
        "INSERT INTO audit_due (uid, at_ns, event, particulars) VALUES (?, ?, ?, ?)",
        (secrets.token_hex(16), at_ns, event.value, _checked(particulars)),
    )


class AuditLog:
    """The chain of a home, with what is owed to it."""

    def __init__(self, db: Database, keeper: Keeper, clock: Clock) -> None:
        self._db = db
        self._keeper = keeper
        self._clock = clock

    @property
    def begun(self) -> bool:
        """Whether there is a log; before, what is owed waits in the ledger."""
        return self._keeper.begun

    def owed(self) -> int:
        """How many lines are owed."""
        return int(self._db.execute("SELECT count(*) FROM audit_due").fetchone()[0])

    def drain(self) -> int:
        """Write what is owed, each line once; how many lines that settled. Nothing where no log is begun yet.

        Raises AuditError: it stays owed.
        """
        if not self.owed() or not self.begun:
            return 0
        with self._alone():
            done = 0
            while rows := self._take():
                self._keeper.append([entry for _, entry in rows])
                with self._db.write():
                    written = [(number,) for number, _ in rows]
                    self._db.connection.executemany("DELETE FROM audit_due WHERE id = ?", written)
                done += len(rows)
            return done

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One drains at a time: of two, each could take a line for one that only the other has handed over."""
        lock = WriterLock(self._db.path.with_name(DRAIN_NAME))
        give_to_owner(self._db.path.parent)
        try:
            with lock.held():
                yield
        finally:
            lock.close()

    def _take(self) -> list[tuple[int, Entry]]:
        """The next lines owed, marked as handed over."""
        with self._db.write():
            rows = self._db.execute(
                "SELECT id, uid, at_ns, event, particulars, tried FROM audit_due ORDER BY id LIMIT ?", (MOST_AT_ONCE,)
            ).fetchall()
            self._db.connection.executemany("UPDATE audit_due SET tried = 1 WHERE id = ?", [(row[0],) for row in rows])
        return [
            (number, Entry(uid, utc_second(at_ns), event, json.loads(said), bool(tried)))
            for number, uid, at_ns, event, said, tried in rows
        ]

    def append_now(self, event: Event, particulars: Particulars) -> int:
        """Write a line, behind what is owed, and return its number: it is on disk then. Raises AuditError."""
        return self._keeper.append([self._entry(event, particulars)])

    def tell(self, event: Event, particulars: Particulars, ids: Sequence[int]) -> tuple[int, list[bytes | None]]:
        """Write a line, then say where assets are (None: its box is none of the broker's). Raises AuditError: no place.

        What can be read is read after the line; what is sealed is opened after it, by the keeper itself.
        """
        opened: dict[bytes, bytes | None] = {}
        line = 0
        while True:
            with self._db.read():
                boxes = self._boxes(ids, opened)
                if line and not boxes:
                    return line, [locations.where(self._db, asset_id, opened) for asset_id in ids]
            entry = self._entry(event, particulars)
            at, more = self._keeper.open(entry, boxes) if boxes else (self._keeper.append([entry]), {})
            line, opened = line or at, opened | more  # and once more for what has moved meanwhile
            if None in more.values():
                self._check_key()

    def _boxes(self, ids: Sequence[int], opened: Container[bytes]) -> list[bytes]:
        """What is yet to be opened to tell where assets are."""
        boxes = (box for asset_id in ids for box in locations.boxes(self._db, asset_id))
        return [box for box in boxes if box not in opened]

    def _check_key(self) -> None:
        """That what was not opened is damaged: under another key nothing opens, and nobody is told less for that."""
        if not locations.is_under(self._db, self._keeper.location_keys()):
            raise AuditError(locations.OTHER_KEY)

    def _entry(self, event: Event, particulars: Particulars) -> Entry:
        """What is to be written now, once all that is owed is."""
        assert not self._db.connection.in_transaction, "the log is not written inside a transaction"
        said = json.loads(_checked(particulars))
        self.drain()
        return Entry(secrets.token_hex(16), utc_second(self._clock.now_ns()), event.value, said)

    def record(self, event: Event, particulars: Particulars) -> None:
        """Write a line now or, where no log is begun yet, owe it. Raises AuditError."""
        if self.begun:
            self.append_now(event, particulars)
            return
        with self._db.write():
            due(self._db, event, particulars, at_ns=self._clock.now_ns())

    def pin(self) -> Pin:
        """The last line, to be noted elsewhere. Raises AuditError; UsageError where nothing is written yet."""
        return keeping.pin(self._keeper)

    def verify(self, pinned: Pin | None = None, key: Key | None = None) -> Verified:
        """Check every line against the one before; with the verification key, that only the keeper wrote them."""
        return keeping.verify(self._keeper, pinned, key)

    def lines(self) -> Iterator[Line]:
        """Every line that can be read, oldest first. Raises AuditError."""
        return keeping.lines(self._keeper)


def software() -> str:
    """What wrote a line: the version of hashward."""
    return importlib.metadata.version("hashward")


def utc_second(at_ns: int) -> str:
    """A time as lines say it."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _checked(particulars: Mapping[str, object]) -> str:
    """Particulars as JSON. Raises UsageError for what is too long."""
    assert all(value is None or isinstance(value, str | int) for value in particulars.values())
    said = chain.canonical(particulars).decode()
    if len(said) > _MAX_PARTICULARS_BYTES:
        raise UsageError("The texts given are too long for the audit log: say it shorter.")
    return said
