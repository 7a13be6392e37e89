"""SQLite files that others wrote, read where they can do no harm: the inside of a confined process.

Whoever composes a program starts that process, confines it and hands `tell` the file's descriptor and a socket. Its
messages, one datagram each: `r` and rows (ROW); at last `e` and what could not be used (END); or `x` and a Refusal.
A row is a byte of which digests it has (1 md5, 2 sha1, 4 sha256) and room for all three.

Rules
- The file is known by its descriptor alone and read by pread: no path, no lock, no journal, and nothing is written.
- Only real tables of known names and columns are read, from first page to last: no view, trigger, index, virtual table,
  generated column or function has any part in it, and an authorizer denies what is not that one reading.
- Whatever is in the file, the rows are bounded by its size, and the steps between two rows by a constant.

Source: SQLite's "Defense Against The Dark Arts" (https://sqlite.org/security.html) and its file format.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from hashsets.listed_rows import DIGEST_BYTES, END, ROW, ROWS_AT_ONCE, Refusal

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_VFS = "descriptor"

# Rows between which a reading of a well-made table makes ten or so steps each.
_STEPS_A_LOOK = 1_000_000
_LOOKS_WITHOUT_ROW = 50
_LEAST_ROW_BYTES = 6  # of a file: two of its cell's pointer, and four of the least cell there is

_LIMITS = {
    apsw.SQLITE_LIMIT_LENGTH: 1_000_000, apsw.SQLITE_LIMIT_SQL_LENGTH: 100_000, apsw.SQLITE_LIMIT_COLUMN: 200,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 20, apsw.SQLITE_LIMIT_COMPOUND_SELECT: 2, apsw.SQLITE_LIMIT_VDBE_OP: 25_000,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 8, apsw.SQLITE_LIMIT_ATTACHED: 0, apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 1, apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 1, apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}  # fmt: skip
_SETTINGS = {
    apsw.SQLITE_DBCONFIG_DEFENSIVE: 1, apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0, apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW: 0, apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA: 0, apsw.SQLITE_DBCONFIG_DQS_DML: 0,
    apsw.SQLITE_DBCONFIG_DQS_DDL: 0,
}  # fmt: skip
_PRAGMAS = ("cell_size_check=ON", "query_only=ON", "temp_store=MEMORY", "mmap_size=0", "cache_size=-4096")


class Refused(Exception):
    """The file is not read."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that holds digests, and its columns for md5, sha1 and sha256. `beside` tells like-named ones apart."""

    name: str
    columns: tuple[str, str, str]
    beside: str | None = None


_TABLES = (
    _Table("hashes", ("md5", "sha1", "sha2_256"), beside="db_properties"),  # Sleuthkit's .kdb
    _Table("FILE", ("md5", "sha1", "sha256")),  # NSRL RDS v3, minimal
    _Table("METADATA", ("md5", "sha1", "sha256")),  # NSRL RDS v3, full: its FILE is a view
    _Table("DISTINCT_HASH", ("md5", "sha1", "sha256")),
)


class _File:
    """What SQLite may do with the list: read it."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return os.pread(self._fd, amount, offset)

    def xFileSize(self) -> int:  # noqa: N802
        return self._size

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return int(apsw.SQLITE_IOCAP_IMMUTABLE)

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        pass

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xSync(self, flags: int) -> None:  # noqa: N802
        pass

    def xWrite(self, content: bytes, offset: int) -> None:  # noqa: N802
        raise apsw.ReadOnlyError

    def xTruncate(self, size: int) -> None:  # noqa: N802
        raise apsw.ReadOnlyError


class _Descriptor(apsw.VFS):
    """A file system of one file."""

    def __init__(self, file: _File) -> None:
        super().__init__(_VFS, "")
        self._file = file

    def xOpen(self, name: object, flags: list[int]) -> Any:  # noqa: N802
        if not flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            raise apsw.CantOpenError
        flags[1] = apsw.SQLITE_OPEN_READONLY
        return self._file

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return False

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        raise apsw.ReadOnlyError


def tell(fd: int, size: int, channel: socket.socket) -> None:
    """Send what the file lists."""
    try:
        reader = _Reader(fd, size)
        for rows in reader.messages():
            channel.send(b"r" + rows)
        channel.send(b"e" + END.pack(*reader.unused()))
    except Refused as refused:
        channel.send(b"x" + bytes([refused.refusal]))
    except (apsw.Error, UnicodeError, MemoryError, RecursionError):
        channel.send(b"x" + bytes([Refusal.DAMAGED]))


class _Reader:
    """One reading of one file."""

    def __init__(self, fd: int, size: int) -> None:
        _check_header(os.pread(fd, _HEADER_BYTES, 0), size)
        self._most_rows = size // _LEAST_ROW_BYTES
        self._vfs = _Descriptor(_File(fd, size))
        self._connection = _hardened(apsw.Connection("list", flags=apsw.SQLITE_OPEN_READONLY, vfs=_VFS))
        self._looks = self._rows = self._empty = self._bad = self._first_empty = self._first_bad = 0
        self._connection.set_progress_handler(self._look, _STEPS_A_LOOK)

    def _look(self) -> bool:
        """Whether to give up: no row came for very long."""
        self._looks += 1
        return self._looks > _LOOKS_WITHOUT_ROW

    def unused(self) -> tuple[int, int, int, int]:
        """How many rows had no digest and how many values were none, each with the first row's place."""
        return self._empty, self._first_empty, self._bad, self._first_bad

    def messages(self) -> Iterator[bytes]:
        """Rows, many at once."""
        gathered: list[bytes] = []
        for values in self._connection.execute(self._query()):
            self._rows += 1
            self._looks = 0
            if self._rows > self._most_rows:
                raise Refused(Refusal.DAMAGED)
            row = self._row(values)
            if row is not None:
                gathered.append(row)
            if len(gathered) == ROWS_AT_ONCE:
                yield b"".join(gathered)
                gathered.clear()
        if gathered:
            yield b"".join(gathered)

    def _query(self) -> str:
        """The one statement, and from then on no other."""
        real = {
            name.lower()
            for name, root in self._connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'")
            if isinstance(name, str) and isinstance(root, int) and root > 1
        }
        for table in _TABLES:
            if table.name.lower() in real and (table.beside is None or table.beside in real):
                columns = self._columns(table)
                if columns is not None:
                    self._connection.authorizer = _Only(table)
                    return f'SELECT {", ".join(columns)} FROM main."{table.name}" NOT INDEXED'
        raise Refused(Refusal.NO_LIST)

    def _columns(self, table: _Table) -> list[str] | None:
        """The columns to read, NULL for those that are not there; None where there is none at all."""
        plain = {
            str(name).lower()
            for _, name, _, _, _, _, hidden in self._connection.execute(f'PRAGMA main.table_xinfo("{table.name}")')
            if hidden == 0
        }
        columns = [f'"{name}"' if name in plain else "NULL" for name in table.columns]
        return columns if any(column != "NULL" for column in columns) else None

    def _row(self, values: tuple[object, ...]) -> bytes | None:
        mask = 0
        digests = []
        for place, (value, size) in enumerate(zip(values, DIGEST_BYTES, strict=True)):
            digest = b""
            if value is not None and value != "" and value != b"":
                digest = _digest(value, size)
                if not digest:
                    self._bad += 1
                    self._first_bad = self._first_bad or self._rows
            mask |= bool(digest) << place
            digests.append(digest)
        if mask:
            return ROW.pack(mask, *digests)
        if all(value in (None, "", b"") for value in values):
            self._empty += 1
            self._first_empty = self._first_empty or self._rows
        return None


class _Only:
    """Allows the reading of one table's columns, and nothing else."""

    def __init__(self, table: _Table) -> None:
        self._table = table.name.lower()
        self._columns = table.columns

    def __call__(self, action: int, one: str | None, two: str | None, database: str | None, inner: str | None) -> int:
        if action == apsw.SQLITE_SELECT:
            return int(apsw.SQLITE_OK)
        asked = action == apsw.SQLITE_READ and (one or "").lower() == self._table and inner is None
        return int(apsw.SQLITE_OK if asked and (two or "").lower() in self._columns else apsw.SQLITE_DENY)


_HEX = re.compile(r"[0-9A-Fa-f]+")


def _digest(value: object, size: int) -> bytes:
    """A digest as raw bytes, from a BLOB or hex in any case; b"" where it is none."""
    if isinstance(value, bytes):
        return value if len(value) == size else b""
    if isinstance(value, str) and len(value) == 2 * size and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    return b""


def _hardened(connection: apsw.Connection) -> apsw.Connection:
    for limit, most in _LIMITS.items():
        connection.limit(limit, most)
    for setting, value in _SETTINGS.items():
        connection.config(setting, value)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check_header(header: bytes, size: int) -> None:
    """Refuse what is no database, not all of it, or in use. Source: SQLite's file format, section 1.3."""
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise Refused(Refusal.DAMAGED)
    page_bytes = int.from_bytes(header[16:18])
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if page_bytes < 512 or page_bytes & (page_bytes - 1):
        raise Refused(Refusal.DAMAGED)
    if 2 in header[18:20]:
        raise Refused(Refusal.IN_USE)
    pages, counter, valid_for = (struct.unpack_from(">I", header, at)[0] for at in (28, 24, 92))
    if size % page_bytes or (counter == valid_for and pages * page_bytes > size):
        raise Refused(Refusal.CUT_OFF)
