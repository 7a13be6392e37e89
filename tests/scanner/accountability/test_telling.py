"""Sealed places and others: who reads the file while it is sealed, what moves while it is told, another key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scanner.accountability import sealed_locations
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import LogFile
from scanner.accountability.sealed_locations import Standing
from scanner.errors import AuditError, LedgerError
from scanner.location_keys import LocationKeys, OpeningKey
from tests.scanner.fakes import LOCATION_KEYS, OPENING_KEY, Site, fake_media, pdq


def test_nothing_is_called_sealed_while_somebody_reads_what_was(tmp_path: Path) -> None:
    """For them SQLite keeps every name in the files: a copy taken then would hold them."""
    reading = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('BEGIN'); db.execute('SELECT * FROM root')"
    )
    with Site(tmp_path) as site:
        site.upload(b"content", b"canary-ref")
        command = [
            sys.executable,
            "-c",
            f"{reading}.fetchall(); print(flush=True); sys.stdin.read()",
            tmp_path / "ledger.db",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            assert b"\n" == reader.stdout.readline()
            with pytest.raises(LedgerError, match="Another program reads"):
                sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
            assert Standing.UNFINISHED == sealed_locations.standing(site.ledger.db)
            reader.communicate(timeout=60)
        sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path.name for path in files if b"canary-ref" in path.read_bytes()]


class _Moving(LogFile):
    """A keeper of another home's boxes, in whose time something happens; it opens with `key`."""

    def __init__(self, folder: Path, key: OpeningKey, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(folder)
        self.key, self.meanwhile, self.asked = key, meanwhile, 0

    def location_keys(self) -> LocationKeys:
        """As a broker says them."""
        return LocationKeys(LOCATION_KEYS.walk, self.key.public())

    def open(self, _entry: Entry, boxes: Sequence[bytes]) -> tuple[int, dict[bytes, bytes | None]]:
        """As a broker does."""
        self.asked += 1
        self.meanwhile()
        return self.asked, {box: self.key.open(box) for box in boxes}


def test_what_moves_while_it_is_opened_is_told_where_it_went(tmp_path: Path) -> None:
    """Its new box is opened too, on record like the first; else nobody would be told of a place there is."""
    (tmp_path / "media").mkdir()
    for number in range(2):
        (tmp_path / "media" / f"old-{number}").write_bytes(fake_media(pdq(number)))
    with Site(tmp_path / "home", sealed=True) as site:
        site.scan(tmp_path / "media")

        def move() -> None:
            if (tmp_path / "media" / "old-0").exists():
                (tmp_path / "media" / "old-0").rename(tmp_path / "media" / "new-0")
                assert 1 == site.scan(tmp_path / "media").moved

        keeper = _Moving(tmp_path / "log", OPENING_KEY, move)
        line, places = AuditLog(site.ledger.db, keeper, site.clock).tell(Event.PLACES_TOLD, {"how": "x"}, [1, 2])
        assert (1, 2) == (line, keeper.asked)
        assert {b"new-0", b"old-1"} == {os.path.basename(each or b"") for each in places}


def test_under_another_key_nobody_is_told_less(tmp_path: Path) -> None:
    """An action would be told without its place, and be done with."""
    with Site(tmp_path / "home", sealed=True) as site:
        asset_id = site.upload(b"content", b"ref").asset_id
        assert asset_id is not None
        audit = AuditLog(site.ledger.db, _Moving(tmp_path / "log", OpeningKey(bytes(range(1, 33)))), site.clock)
        with pytest.raises(AuditError, match="another location key"):
            audit.tell(Event.PLACES_TOLD, {"how": "x"}, [asset_id])
