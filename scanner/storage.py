"""How the databases of a home lie on the disk, and putting them under a key, under another, or under none.

Rules
- Only while no other process is in the home, and before this one has opened either database.
- Each database is changed by itself, whole or not at all; whoever is killed in between runs it again.
- Only databases are meant: what else a home holds (`IN_THE_CLEAR`) is for an encrypted file system.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from hashsets import ciphers
from hashsets.ciphers import Key
from hashsets.errors import StoreError
from hashsets.locking import HomeGuard
from scanner.config import Home

# What a key of the databases does not cover, by where it lies in the home, and what it holds.
IN_THE_CLEAR: Final = (
    ("listed", "the lists' hash values, indexed"),
    ("segments", "the contents' hash values, indexed"),
    ("spool", "uploads that are still looked at"),
    ("reports", "what a jsonl sink without a path was told"),
    ("audit.log", "what was done, without paths or hash values"),
    ("health.json", "what is wrong, in words of a closed list"),
)


class State(StrEnum):
    """How one database lies on the disk."""

    ABSENT = "absent"
    PLAIN = "plain"
    ENCRYPTED = "encrypted"


def standing(home: Home) -> dict[str, State]:
    """Each database's state, by its file's name. Only before this process has opened them."""
    return {path.name: _state(path) for path in (home.hashsets_db, home.ledger_db)}


def put_under(home: Home, key: Key | None, old: Key | None = None) -> list[str]:
    """Put both databases under `key` (None: none); what is encrypted is under `old` or already under `key`.

    The names of those that were changed. Raises StoreError, DriverRefused.
    """
    with alone(home):
        return [path.name for path in (home.hashsets_db, home.ledger_db) if _put(path, key, old)]


def _put(path: Path, key: Key | None, old: Key | None) -> bool:
    state = _state(path)
    if state is State.ABSENT or (state is State.PLAIN and key is None):
        return False
    if state is State.PLAIN:
        ciphers.convert(path, None, key)
    elif key is not None and ciphers.opens(path, key):
        return False
    elif old is not None and ciphers.opens(path, old):
        ciphers.convert(path, old, key)
    else:
        raise StoreError(f"{path.name} is under another key than those named: name its own with --from")
    return True


def _state(path: Path) -> State:
    plain = ciphers.is_plain(path)
    if plain is None:
        return State.ABSENT
    return State.PLAIN if plain else State.ENCRYPTED


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Keep every other process out of a home. Raises DriverRefused where one is in it."""
    home.create()
    guard = HomeGuard(home.folder, alone=True, refusal="another process uses this home: stop it, then try again")
    try:
        yield
    finally:
        guard.release()
