"""Overturned near matches join a local known-good set, so that no list's nearness flags them again.

Rules
- What people decided lies in the ledger, what is listed in another database: a digest is owed with the decision,
  listed, and then no longer owed. A kill between leaves it owed; to list it again changes nothing.
- It holds SHA-256 alone: it vouches for these bytes, and for no likeness.
"""

from __future__ import annotations

from collections.abc import Callable

from hashsets.errors import NoSuchSet
from hashsets.store import Store
from hashsets.types import Delta, Entry, Role, Signal, entry_key
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.ledger import Ledger

_AT_ONCE = 1000


def join(store: Store, ledger: Ledger, clock: Clock, name: str, rescan: Callable[[], object]) -> int:
    """List what is owed to the known-good set of that name, or take it out; how many digests. Raises UsageError."""
    db, done = ledger.db, 0
    while owed := db.execute("SELECT sha256, wanted FROM vouching_due LIMIT ?", (_AT_ONCE,)).fetchall():
        _known_good(store, name)
        signals = [(Signal("sha256", bytes(sha256)), bool(wanted)) for sha256, wanted in owed]
        store.discard_staged(name)
        store.stage(
            name,
            Delta(
                added=tuple(Entry(entry_key(signal), (signal,)) for signal, wanted in signals if wanted),
                removed=tuple(entry_key(signal) for signal, wanted in signals if not wanted),
            ),
        )
        store.activate(name, complete=False, checkpoint=store.checkpoint(name), day=utc_day(clock))
        with db.write():
            db.connection.executemany("DELETE FROM vouching_due WHERE sha256 = ? AND wanted = ?", owed)
        done += len(owed)
    if done:
        rescan()
    return done


def _known_good(store: Store, name: str) -> None:
    """Make the set where there is none."""
    try:
        known = store.hash_set(name)
    except NoSuchSet:
        store.create(name, role=Role.KNOWN_GOOD)
        return
    if known.role is not Role.KNOWN_GOOD:
        raise UsageError("cases.known_good names a hash set of another role: name one that vouches, or a new one.")
