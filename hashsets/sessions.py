"""One thread's connection to a database, and how it stands: in a write transaction or not, waiting for the disk or not.

Knows no driver: connections are made, and their errors named, by `hashsets.sqlite`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import weakref
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from hashsets.drivers import Claim, sole_driver

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Turn:
    """One write transaction among all that write to a database: whose it is, and what was committed before it."""

    session: int
    begun: int
    data_version: int

    def follows(self, before: Turn) -> bool:
        """Whether nobody wrote between the two: what was read in the one, and not written in it after, still holds."""
        return self == Turn(before.session, before.begun + 1, before.data_version)


class Session:
    """Closed when the thread ends or the Database closes, never in a forked child. `errors` are the driver's."""

    def __init__(self, connection: Any, claim: Claim, errors: tuple[type[Exception], ...]) -> None:
        self.connection = connection
        self.utils = sqlite_utils.Database(connection, recursive_triggers=False, execute_plugins=False)
        self.depth = 0
        self.begun = 0  # transactions; savepoints and their ends too: what they part are no neighbours
        self.durable = True
        self._number = next(_numbers)
        self._stays_writable = False
        self._closer = weakref.finalize(self, _close_connection, connection, claim, errors, os.getpid())

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._closer()

    def turn(self) -> Turn:
        """The write transaction that is open."""
        (data_version,) = self.connection.execute("PRAGMA data_version").fetchone()
        return Turn(self._number, self.begun, data_version)

    def set_durable(self, durable: bool) -> None:
        """Whether commits wait for the disk."""
        if durable != self.durable:
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.durable = durable

    def set_writable(self, writable: bool) -> None:
        """Whether anything may be written just now."""
        if not self._stays_writable:
            self.connection.execute(f"PRAGMA query_only={'OFF' if writable else 'ON'}")

    def stay_writable(self) -> None:
        """From now on anything may be written at any time."""
        self.set_writable(True)
        self._stays_writable = True


def _close_connection(connection: Any, claim: Claim, errors: tuple[type[Exception], ...], pid: int) -> None:
    if os.getpid() == pid:
        with contextlib.suppress(*errors):
            connection.close()
        sole_driver.release(claim)
