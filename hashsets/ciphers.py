"""Databases under a key: SQLCipher's driver, used in place of the other wherever a key is given.

Owns the key, the choice of the driver, and the change of a file from one key (or none) to another. Knows no table.

Rules
- A file is opened by one driver only: which one follows from whether its home has a key.
- The key is 256 random bits, used as they are (no passphrase, so nothing to stretch), and shows in no text of ours.
- A file under a new key is written beside the old one, checked, synced and renamed over it: at any instant one whole
  file is there. Who runs it again after a kill goes on with what is left.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from hashsets.errors import DriverRefused, StoreError, UsageError

KEY_BYTES: Final = 32
_PLAIN: Final = b"SQLite format 3\0"  # https://sqlite.org/fileformat2.html, section 1.3.1
_NEW: Final = ".rekeyed"


@dataclass(frozen=True, slots=True)
class Key:
    """256 random bits."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.secret) == KEY_BYTES

    @classmethod
    def read(cls, text: str) -> Key:
        """A key written as 64 hexadecimal digits. Raises UsageError, which repeats nothing of it."""
        if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise UsageError("a key is 64 hexadecimal digits: `openssl rand -hex 32` makes one")
        return cls(bytes.fromhex(text))

    def literal(self) -> str:
        """As SQLCipher takes a raw key (https://www.zetetic.net/sqlcipher/sqlcipher-api/#key)."""
        return f"x'{self.secret.hex()}'"


def driver() -> ModuleType:
    """The driver of encrypted files. Raises DriverRefused where it is not installed."""
    try:
        return importlib.import_module("sqlcipher3.dbapi2")
    except ImportError:
        raise DriverRefused(
            "a key is configured, but not what opens encrypted databases: pip install sqlcipher3"
        ) from None


def errors(other: type[Exception]) -> tuple[type[Exception], ...]:
    """What any driver in use raises: the `other` one's, and this one's where it was loaded."""
    loaded = sys.modules.get("sqlcipher3.dbapi2")
    return (other,) if loaded is None else (other, loaded.Error)


def unlock(connection: Any, key: Key) -> None:
    """Give a new connection its key: before anything else is asked of it."""
    connection.execute("PRAGMA cipher_log_level = NONE")  # else SQLCipher writes to standard error by itself
    connection.execute(f'PRAGMA key = "{key.literal()}"')


def is_plain(path: Path) -> bool | None:
    """Whether a file is a database that anyone can read; None: there is none. Never while this process has it open."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_PLAIN))
    except FileNotFoundError:
        return None
    return head == _PLAIN if head else None


def opens(path: Path, key: Key) -> bool:
    """Whether a file is under this key. Never while this process has it open otherwise."""
    sqlcipher = driver()
    connection = sqlcipher.connect(path, isolation_level=None)
    try:
        unlock(connection, key)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlcipher.DatabaseError:
        return False
    finally:
        connection.close()
    return True


def convert(path: Path, key: Key | None, new: Key | None) -> None:
    """Put a file that is under `key` under `new` (None: none). Nobody else may have it open. Raises StoreError."""
    sqlcipher = driver()
    made = path.with_name(path.name + _NEW)
    made.unlink(missing_ok=True)
    try:
        connection = sqlcipher.connect(path, isolation_level=None)
        try:
            if key is not None:
                unlock(connection, key)
            _export(connection, made, new)
        finally:
            connection.close()
        _check(sqlcipher, made, new)
    except sqlcipher.Error as error:
        made.unlink(missing_ok=True)
        raise StoreError(
            "a database could not be put under another key, and stays as it was: is the key its own, and is there room?"
        ) from error
    for beside in ("-wal", "-shm"):  # the last connection has emptied and removed them
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + beside).unlink()
    os.replace(made, path)
    _sync(path.parent)


def _export(connection: Any, made: Path, new: Key | None) -> None:
    connection.execute("PRAGMA temp_store=MEMORY")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.close(descriptor)
    connection.execute("ATTACH DATABASE ? AS made KEY ?", (str(made), "" if new is None else new.literal()))
    connection.execute("PRAGMA made.synchronous=FULL")
    connection.execute("SELECT sqlcipher_export('made')")
    connection.execute(f"PRAGMA made.user_version={version}")
    counted = [_counts(connection, schema) for schema in ("main", "made")]
    connection.execute("DETACH DATABASE made")
    if counted[0] != counted[1]:
        raise StoreError("a copy of a database was not whole; the database stays as it was")


def _counts(connection: Any, schema: str) -> dict[str, int]:
    """How many rows each table has, and where each numbering stands."""
    names = [
        name
        for (name,) in connection.execute(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' ORDER BY name")
        if not name.startswith("sqlite_stat")
    ]
    counts = {name: connection.execute(f'SELECT count(*) FROM {schema}."{name}"').fetchone()[0] for name in names}
    if "sqlite_sequence" in counts:
        numbering = connection.execute(f"SELECT name, seq FROM {schema}.sqlite_sequence").fetchall()
        counts |= {f"{name} numbered": seq for name, seq in numbering}
    return counts


def _check(sqlcipher: ModuleType, made: Path, new: Key | None) -> None:
    connection = sqlcipher.connect(made, isolation_level=None)
    try:
        if new is not None:
            unlock(connection, new)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        connection.close()
    if found != "ok" or is_plain(made) is (new is not None):
        raise StoreError("a copy of a database was not sound; the database stays as it was")
    with made.open("rb") as file:
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
