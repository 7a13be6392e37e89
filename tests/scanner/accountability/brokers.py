"""A broker at work in a thread of the tests."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from hashsets.sqlite import Database
from scanner import unix_socket
from scanner.accountability.audit import AuditLog, Event, due
from scanner.accountability.broker import Broker, BrokerLog
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import LogFile
from scanner.ledger.migrations import MIGRATIONS
from tests.scanner.fakes import MovableClock


class Running:
    """A broker at work in a thread, and a scanner's home that asks it."""

    def __init__(self, folder: Path, users: frozenset[int]) -> None:
        self.folder, self.socket = folder / "kept", folder / "s"
        self.folder.mkdir(mode=0o700)
        self.shown: list[str] = []
        LogFile(self.folder).begin(first_entry("0" * 32), self.shown.append)
        self.db = Database.open(folder / "home" / "ledger.db", MIGRATIONS)
        self.log = BrokerLog(self.socket)
        self.audit = AuditLog(self.db, self.log, MovableClock())
        self.broker = Broker(self.folder, users)
        self._listener = unix_socket.listening(str(self.socket), 0o666, None, 64)
        self._thread = threading.Thread(target=self.broker.serve, args=(self._listener,))
        self._thread.start()

    def owe(self, count: int) -> None:
        """Deeds."""
        with self.db.write():
            for number in range(count):
                due(self.db, Event.ERASED, {"number": number}, at_ns=0)

    def say(self, request: bytes, *, answered: bool = True) -> bytes:
        """Raw bytes to the socket, and the line that comes back."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(60)
            asking.connect(str(self.socket))
            asking.sendall(request)
            if not answered:
                return b""
            asking.shutdown(socket.SHUT_WR)
            return asking.makefile("rb").readline()

    def close(self) -> None:
        """Stop it."""
        self.broker.stop()
        self._thread.join()
        self._listener.close()
        self.db.close()


def first_entry(uid: str) -> Entry:
    """What a log begins with."""
    return Entry(uid, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {})
