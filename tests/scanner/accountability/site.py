"""A ledger with an audit log, and the key an operator would keep elsewhere."""

from __future__ import annotations

from pathlib import Path

from hashsets.sqlite import Database
from scanner.accountability.audit import AuditLog, Event, Key, due
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import LOG_NAME, LogFile
from scanner.ledger.migrations import MIGRATIONS
from tests.scanner.fakes import MovableClock


class Site:
    """A ledger, a log, and the key an operator would keep elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.db = Database.open(folder / "ledger.db", MIGRATIONS)
        self.clock = MovableClock()
        self.files = LogFile(folder)
        self.audit = AuditLog(self.db, self.files, self.clock)
        self.shown: list[str] = []

    def first(self) -> Entry:
        """What the log begins with."""
        return Entry("0" * 32, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {})

    def begin(self) -> None:
        """`audit init`."""
        self.files.begin(self.first(), self.shown.append)

    def owe(self, count: int) -> None:
        """Deeds that owe a line each."""
        with self.db.write():
            for number in range(count):
                due(self.db, Event.ERASED, {"number": number}, at_ns=self.clock.now_ns())

    @property
    def key(self) -> Key:
        """What `audit init` printed."""
        return Key.of_text(self.shown[-1])

    @property
    def log(self) -> bytes:
        """The log as it stands."""
        return (self.folder / LOG_NAME).read_bytes()

    @property
    def numbers(self) -> list[object]:
        """The deeds on record, in order."""
        return [line.particulars["number"] for line in self.audit.lines() if line.event == Event.ERASED]
