"""Bearer tokens of the upload doors: stored hashed, each with a name, scopes and perhaps an end.

Rules
- A token is 32 random bytes, so one SHA-256 is as good as a slow hash: there is nothing to guess.
- Two tokens may have one name while the first is on its way out: that is how one is rotated without an outage.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from hashsets.sqlite import Database
from scanner.errors import UsageError

SCOPES = ("scan", "forget", "lookup", "metrics", "cases")
_PREFIX = "hw_"  # so that secret scanners know one when they meet it


@dataclass(frozen=True, slots=True)
class Token:
    """One token as the ledger knows it; `ends_ns` None: it has no end."""

    name: str
    scopes: frozenset[str]
    made_day: str
    ends_ns: int | None


class Tokens:
    """The tokens part of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, name: str, scopes: Iterable[str], day: str) -> str:
        """Make a token and return it: it is never shown again. Raises UsageError where the name is taken."""
        with self._db.write():
            if self._db.execute("SELECT 1 FROM token WHERE name = ?", (name,)).fetchone() is not None:
                raise UsageError("There is a token of that name: rotate it, or remove it first.")
            return self._insert(name, scopes, day)

    def rotate(self, name: str, day: str, old_ends_ns: int) -> str:
        """Make another token of that name; those there are end at `old_ends_ns`. Raises UsageError."""
        with self._db.write():
            row = self._db.execute("SELECT scopes FROM token WHERE name = ? ORDER BY id DESC", (name,)).fetchone()
            if row is None:
                raise UsageError("There is no token of that name: `hashward token list` shows them.")
            self._db.execute(
                "UPDATE token SET ends_ns = min(coalesce(ends_ns, ?1), ?1) WHERE name = ?2", (old_ends_ns, name)
            )
            return self._insert(name, str(row[0]).split(), day)

    def remove(self, name: str) -> None:
        """Forget every token of that name. Raises UsageError."""
        with self._db.write():
            if not self._db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount:
                raise UsageError("There is no token of that name: `hashward token list` shows them.")

    def listed(self) -> list[Token]:
        """Every token, by name, the newest of each first."""
        rows = self._db.execute("SELECT name, scopes, made_day, ends_ns FROM token ORDER BY name, id DESC")
        return [Token(name, frozenset(scopes.split()), day, ends) for name, scopes, day, ends in rows]

    def scopes(self, token: bytes, now_ns: int) -> frozenset[str] | None:
        """What a token allows; None where it is none, or over. Looked up by its hash, so nothing leaks by timing."""
        row = self._db.execute(
            "SELECT scopes FROM token WHERE hash = ? AND (ends_ns IS NULL OR ends_ns > ?)", (_hash(token), now_ns)
        ).fetchone()
        return None if row is None else frozenset(str(row[0]).split())

    def _insert(self, name: str, scopes: Iterable[str], day: str) -> str:
        token = _PREFIX + secrets.token_urlsafe(32)
        self._db.execute(
            "INSERT INTO token (name, hash, scopes, made_day) VALUES (?, ?, ?, ?)",
            (name, _hash(token.encode()), " ".join(sorted(set(scopes))), day),
        )
        return token


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(b"hashward token\x00" + token).digest()
