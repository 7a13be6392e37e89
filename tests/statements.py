"""Dying between two SQL statements: what the tests of sudden death share."""

from __future__ import annotations

import os
import signal
from collections import Counter

from hashsets import sqlite


def die_at(statement: int | None) -> Counter[str]:
    """From now on count the SQL statements of this process and die before that one; `statements` is how many were."""
    counted: Counter[str] = Counter()

    def count(_sql: str) -> None:
        counted["statements"] += 1
        if counted["statements"] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlite.on_connect.append(lambda connection: connection.set_trace_callback(count))
    return counted
