"""The only importer of a SQLite driver: connections, the writer lock and the migrations runner.

Owns how a database file is opened, written, checkpointed and closed. Knows no table.

Rules
- One driver per file (`hashsets.drivers`): with a key SQLCipher's (`hashsets.ciphers`), else what sqlite-utils itself
  chose (pysqlite3 where installed, else the standard library). Two on one file drop each other's POSIX locks.
- A connection per thread. Reads of one thread never wait for another thread's long read or write.
- Every write transaction and every checkpoint of a file runs under one flock beside it; automatic checkpoints are off.
  So the WAL-reset bug of SQLite before 3.51.3 (https://sqlite.org/wal.html#walresetbug) meets no second writer.
- Outside `write()` a connection is query_only: a stray write fails instead of escaping the lock. Only a thread that
  does little else than to commit may do without (`stay_writable`).
- A Database does not survive a fork: the child is refused and must open its own.
- Errors of the driver become StoreError inside `read()`, `write()` and `execute()`. Raw use of `connection` does not.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import sqlite_utils

from hashsets import ciphers
from hashsets.ciphers import Key
from hashsets.drivers import sole_driver
from hashsets.errors import StoreError
from hashsets.locking import WRITER_WAIT_S, HomeGuard, WriterLock, make_private_directory, make_private_file
from hashsets.refusals import sentence_of, sharing_refused
from hashsets.sessions import Session, Turn

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    from sqlite_utils.utils import sqlite3 as driver

Connection = driver.Connection
Cursor = driver.Cursor
IntegrityError = driver.IntegrityError

FIRST_SAFE_VERSION = (3, 51, 3)  # with the WAL-reset fix: https://sqlite.org/releaselog/3_51_3.html
# A reader that stays open lets the -wal grow; checkpointing every few MB keeps both the file and the pause small.
CHECKPOINT_BYTES = 8 * 2**20
# Foreign tools (the sqlite3 shell) do not take our flock; SQLite's own lock is waited for this long.
BUSY_TIMEOUT_MS = 5000

# cache_size in KiB: sorted bulk writes touch few pages, 32 MB keeps their inner nodes at hand.
_SETTINGS = "temp_store=MEMORY secure_delete=ON foreign_keys=ON wal_autocheckpoint=0 synchronous=FULL"
_SETTINGS += " cache_size=-32768 query_only=ON"

#: Called with every new connection: the seam of the fault-injection harness (set_trace_callback), empty in production.
on_connect: list[Callable[[Connection], None]] = []


def driver_name() -> str:
    """The module that talks to SQLite, for `status`."""
    return driver.__name__


def driver_version() -> str:
    """The version of the SQLite library in use."""
    return driver.sqlite_version


def multi_process_safe(version: tuple[int, ...] = driver.sqlite_version_info) -> bool:
    """Whether this SQLite may share a home between processes (3.51.3 or later)."""
    return version >= FIRST_SAFE_VERSION


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered, never edited step of a schema: SQL statements, a function, or both in that order."""

    number: int
    story: str
    sql: str = ""
    apply: Callable[[Connection], None] | None = None


def statements(script: str) -> Iterator[str]:
    """The single statements of an SQL script (executescript would commit the open transaction)."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if driver.complete_statement(pending):
            yield pending.strip()
            pending = ""
    assert not pending.strip(), "an SQL script must end with a semicolon"


def store_error(error: Exception) -> StoreError:
    """The driver's error as ours: what to do next, without SQL, path or value."""
    return StoreError(sentence_of(str(error), getattr(error, "sqlite_errorname", type(error).__name__)))


@contextlib.contextmanager
def foreign_errors() -> Iterator[None]:
    """The border at which driver errors become StoreError."""
    try:
        yield
    except ciphers.errors(driver.Error) as error:
        raise store_error(error) from error


class Database:
    """One database file of a home, usable from several threads and processes."""

    _opened: ClassVar[weakref.WeakSet[Database]] = weakref.WeakSet()

    def __init__(self, path: Path, *, sharing_safe: bool | None, key: Key | None = None) -> None:
        self.path = path
        self._key = key
        self._driver = driver if key is None else ciphers.driver()
        self._pid = os.getpid()
        self._closed = False
        self._local = threading.local()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._sessions_mutex = threading.Lock()
        self._checkpoint_at = CHECKPOINT_BYTES
        safe = multi_process_safe(self._driver.sqlite_version_info) if sharing_safe is None else sharing_safe
        refusal = sharing_refused(self._driver.sqlite_version, FIRST_SAFE_VERSION, alone=not safe)
        self._guard = HomeGuard(path.parent, alone=not safe, refusal=refusal)
        self._writer = WriterLock(path)
        self._opened.add(self)

    @classmethod
    def open(
        cls, path: Path, migrations: Sequence[Migration], *, sharing_safe: bool | None = None, key: Key | None = None
    ) -> Database:
        """Open or create the file, encrypted where there is a `key`, and bring its schema up to date.

        `sharing_safe` defaults to `multi_process_safe()`; when False this process must be alone in the home. Raises
        StoreError (newer schema, damaged, full, read-only, another key) or DriverRefused.
        """
        path = Path(os.path.abspath(path))
        make_private_directory(path.parent)
        make_private_file(path)
        database = cls(path, sharing_safe=sharing_safe, key=key)
        try:
            database._migrate(migrations)
        except BaseException:
            database.close()
            raise
        return database

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        assert [step.number for step in migrations] == list(range(1, len(migrations) + 1))
        with foreign_errors(), self._writer.held():
            connection = self._session().connection
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise StoreError("this file system cannot hold the database (no WAL): use a local disk")
        for step in migrations[self._schema_number() :]:
            with self.write():
                self._apply(step)
        if self._schema_number() > len(migrations):
            raise StoreError("the database was written by a newer hashward: upgrade this installation")

    def _apply(self, step: Migration) -> None:
        connection = self.connection
        if self._schema_number() >= step.number:
            return  # another process was faster
        for statement in statements(step.sql):
            connection.execute(statement)
        if step.apply is not None:
            step.apply(connection)
        connection.execute(f"PRAGMA user_version={step.number}")

    def _schema_number(self) -> int:
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def _session(self) -> Session:
        if self._pid != os.getpid():
            raise StoreError("a database opened before a fork cannot be used after it: open it in the new process")
        if self._closed:
            raise StoreError("the database is closed")
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._connect()
            self._local.session = session
            with self._sessions_mutex:
                self._sessions.add(session)
        return session

    def _connect(self) -> Session:
        with foreign_errors():
            claim = sole_driver.claim(self.path, self._driver.__name__)
            connection = self._driver.connect(
                self.path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
            )
            if self._key is not None:
                ciphers.unlock(connection, self._key)
            session = Session(connection, claim, ciphers.errors(driver.Error))
            try:
                for hook in on_connect:
                    hook(connection)
                for setting in _SETTINGS.split():
                    connection.execute(f"PRAGMA {setting}")
            except BaseException:
                session.close()
                raise
            return session

    @property
    def connection(self) -> Connection:
        """This thread's raw connection (isolation_level None, rows are tuples). Writable only inside `write()`."""
        connection: Connection = self._session().connection
        return connection

    @property
    def utils(self) -> sqlite_utils.Database:
        """sqlite-utils over this thread's connection. Inside `write()` its own transactions join by savepoint."""
        return self._session().utils

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: every SELECT inside sees one state of the file. Joins an open transaction."""
        connection = self._session().connection
        with foreign_errors():
            joined = connection.in_transaction
            if not joined:
                connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if not joined:
                    _rollback(connection)

    @contextlib.contextmanager
    def write(self, durable: bool = True, *, wait_s: float = WRITER_WAIT_S) -> Iterator[Connection]:
        """A write transaction under the file's flock: commits at the end, rolls back on any exception.

        `durable` waits for the disk at commit (synchronous FULL); without it a power cut may lose the last commits, a
        kill never does. A nested `write()` joins the outer one as a savepoint. StoreError after `wait_s` of waiting.
        """
        session = self._session()
        if session.depth:
            with self._nested(session, durable) as connection:
                yield connection
            return
        assert not session.connection.in_transaction, "write() inside read(): its snapshot could be stale"
        with foreign_errors(), self._writer.held(wait_s):
            session.set_durable(durable)
            session.set_writable(True)
            session.depth, session.begun = 1, session.begun + 1
            try:
                with _transaction(session.connection):
                    yield session.connection
            finally:
                session.depth = 0
                session.set_writable(False)
            self._checkpoint_if_large(session.connection)

    @contextlib.contextmanager
    def _nested(self, session: Session, durable: bool) -> Iterator[Connection]:
        assert session.durable or not durable, "a durable write() inside one that is not"
        savepoint = f"nested_{session.depth}"
        with foreign_errors():
            session.connection.execute(f"SAVEPOINT {savepoint}")
            session.depth, session.begun = session.depth + 1, session.begun + 1
            try:
                yield session.connection
                session.connection.execute(f"RELEASE {savepoint}")
            except BaseException:
                if session.connection.in_transaction:
                    session.connection.execute(f"ROLLBACK TO {savepoint}")
                    session.connection.execute(f"RELEASE {savepoint}")
                raise
            finally:
                session.depth, session.begun = session.depth - 1, session.begun + 1

    def stay_writable(self) -> None:
        """This thread's connection is no more query_only: to switch that makes SQLite forget every prepared statement.

        That is up to a third of a commit of one upload (pragma.c, PragTyp_FLAG: "expire all compiled SQL statements").
        """
        with foreign_errors():
            self._session().stay_writable()

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Cursor:
        """Run one statement on this thread's connection; outside `write()` only reads succeed."""
        with foreign_errors():
            return self.connection.execute(sql, parameters)

    def turn(self) -> Turn:
        """Inside `write()`: which transaction this is, to tell later whether anybody wrote since."""
        with foreign_errors():
            return self._session().turn()

    def data_version(self) -> int:
        """A number that changes whenever another connection (of any thread or process) has committed."""
        return int(self.execute("PRAGMA data_version").fetchone()[0])

    def checkpoint(self) -> bool:
        """Move the -wal into the database under the writer lock. False when a reader keeps some of it in use."""
        with foreign_errors(), self._writer.held():
            return _checkpoint(self._session().connection)

    def compact(self) -> bool:
        """Write the file anew, without what was deleted from it: secure_delete leaves copies of rows once moved.

        False while somebody reads what was. Nobody writes meanwhile; it takes as much memory as what is kept.
        """
        with foreign_errors(), self._writer.held():
            session = self._session()
            session.set_writable(True)
            try:
                session.connection.execute("VACUUM")
            finally:
                session.set_writable(False)
            return _checkpoint(session.connection)

    def wal_bytes(self) -> int:
        """Size of the -wal file, for `status`: over 64 MB some reader has stayed open too long."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def _checkpoint_if_large(self, connection: Connection) -> None:
        size = self.wal_bytes()
        if size >= self._checkpoint_at:
            # While a reader keeps the file from being cut, do not try again at every commit.
            self._checkpoint_at = CHECKPOINT_BYTES if _checkpoint(connection) else size + CHECKPOINT_BYTES

    def close(self) -> None:
        """Close every thread's connection. The last process out leaves no -wal behind. Idempotent."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        self._opened.discard(self)
        # A writer busy elsewhere holds us up a second only: ours is not the last connection and checkpoints nothing.
        with contextlib.suppress(StoreError), self._writer.held(wait_s=1.0):
            self._close_sessions()
        self._close_sessions()
        self._writer.close()
        self._guard.release()

    def _close_sessions(self) -> None:
        with self._sessions_mutex:
            for session in list(self._sessions):
                session.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _forget_in_child(cls) -> None:
        for database in list(cls._opened):
            database._writer.close()
        cls._opened = weakref.WeakSet()
        HomeGuard.forget_in_child()
        sole_driver.forget_in_child()


@contextlib.contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        _rollback(connection)
        raise


def _rollback(connection: Connection) -> None:
    if connection.in_transaction:  # SQLite itself has rolled back on a full disk and on some I/O errors
        connection.execute("ROLLBACK")


def _checkpoint(connection: Connection) -> bool:
    """TRUNCATE without waiting for readers: whatever they still use stays for the next time."""
    connection.execute("PRAGMA busy_timeout=0")
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    return not busy


os.register_at_fork(after_in_child=Database._forget_in_child)
