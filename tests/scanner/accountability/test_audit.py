"""The audit log: what is owed is written once, and whatever was done to the log is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashsets.sqlite import Database
from scanner.accountability.audit import AuditLog, Event, Key, due
from scanner.accountability.log_file import LOG_NAME, Entry, LogFile
from scanner.errors import UsageError
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

    def begin(self) -> None:
        """`audit init`."""
        begun = Entry("0" * 32, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {})
        self.files.begin(begun, os.getuid(), self.shown.append)

    def owe(self, count: int) -> None:
        """Deeds that owe a line each."""
        for number in range(count):
            with self.db.write():
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


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A log that has begun."""
    made = Site(tmp_path)
    made.begin()
    return made


def test_what_is_owed_is_written_in_order_and_no_longer_owed(site: Site) -> None:
    """Each deed has one line, in the order of the deeds, and the chain holds by its key."""
    site.owe(600)

    assert 600 == site.audit.drain()
    assert 0 == site.audit.owed() == site.audit.drain()
    assert list(range(600)) == site.numbers
    assert site.audit.verify(site.audit.pin(), site.key).sound


def test_a_deed_that_is_rolled_back_owes_nothing(site: Site) -> None:
    """The record goes with the deed."""

    def deed() -> None:
        with site.db.write():
            due(site.db, Event.ERASED, {"number": 1}, at_ns=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        deed()
    assert 0 == site.audit.owed()


def test_before_there_is_a_log_deeds_wait(tmp_path: Path) -> None:
    """Nothing is lost before `audit init`; what must be on record first is refused."""
    site = Site(tmp_path)
    site.owe(3)

    assert 0 == site.audit.drain()
    with pytest.raises(UsageError, match="audit init"):
        site.audit.append_now(Event.CASE_OPENED, {})
    site.begin()
    site.audit.drain()
    assert [0, 1, 2] == site.numbers


def test_a_line_that_was_written_before_its_process_died_is_not_written_again(site: Site) -> None:
    """Killed between the log's sync and the ledger's commit: the line is known by its uid."""
    site.owe(5)
    taken = [entry for _, entry in site.audit._take()]
    site.files.append(taken[:3], 0)

    assert 5 == site.audit.drain()
    assert [0, 1, 2, 3, 4] == site.numbers


def test_an_urgent_line_comes_behind_what_is_owed(site: Site) -> None:
    """Its number is that of the line it is in."""
    site.owe(2)

    assert 4 == site.audit.append_now(Event.CASE_OPENED, {"by": "J. Doe"})
    assert ["audit_begun", "erased", "erased", "case_opened"] == [line.event for line in site.audit.lines()]
