"""The SQLite border: one writer at a time, private files, errors of ours, and nothing half-written after a kill."""

# ruff: noqa: PT012  the whole transaction is what must fail

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlite_utils.utils

from hashsets import sqlite
from hashsets.errors import DriverRefused, HashsetsError, StoreError
from hashsets.sessions import Turn
from hashsets.sqlite import Connection, Database, Migration

# Python 3.12 and later warn of forks beside threads; these children touch no lock that a thread could hold.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

STEPS = (Migration(1, "numbers", "CREATE TABLE number (n INTEGER);\n"),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database of a fresh home goes."""
    return tmp_path / "home" / "hashsets.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """An open database with one empty table."""
    with Database.open(path, STEPS) as opened:
        yield opened


def add(database: Database, *numbers: int, durable: bool = False) -> None:
    """Write numbers in one transaction."""
    with database.write(durable=durable) as connection:
        connection.executemany("INSERT INTO number VALUES (?)", [(number,) for number in numbers])


def numbers(database: Database) -> list[int]:
    """What is committed."""
    return [n for (n,) in database.execute("SELECT n FROM number ORDER BY n")]


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked process; its exit status, 0 when it returned, 99 when it raised."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_sqlite_utils_uses_the_same_driver() -> None:
    """Two drivers on one file would drop each other's locks."""
    assert sqlite_utils.utils.sqlite3.__name__ == sqlite.driver_name()
    assert sqlite_utils.utils.sqlite3.sqlite_version == sqlite.driver_version()


def test_every_file_is_private_whatever_the_umask(path: Path) -> None:
    """Lists and what they met are read by their owner only."""
    old = os.umask(0)
    try:
        with Database.open(path, STEPS) as database:
            add(database, 1)
            modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
    finally:
        os.umask(old)

    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    assert {"hashsets.db", "hashsets.db-wal", "hashsets.db-shm", "hashsets.db-lock"} <= modes.keys()
    assert {0o600} == set(modes.values())


def test_a_loose_home_is_tightened_only_where_it_is_ours(tmp_path: Path) -> None:
    """An empty folder is taken; a folder of other files (say, /tmp) keeps its mode and is refused."""
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir(mode=0o755)
    full.mkdir(mode=0o755)
    (full / "letter").touch()
    Database.open(empty / "hashsets.db", STEPS).close()
    with pytest.raises(StoreError, match="0700"):
        Database.open(full / "hashsets.db", STEPS)

    assert 0o700 == stat.S_IMODE(empty.stat().st_mode)
    assert 0o755 == stat.S_IMODE(full.stat().st_mode)
    assert ["letter"] == [name.name for name in full.iterdir()]


def test_the_settings_hold_on_every_threads_connection(database: Database) -> None:
    """WAL, no automatic checkpoints, secure deletion, foreign keys, and no writing outside write()."""

    def settings() -> list[object]:
        names = ("journal_mode", "wal_autocheckpoint", "secure_delete", "foreign_keys", "query_only", "temp_store")
        return [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    answers = [settings()]
    thread = threading.Thread(target=lambda: answers.append(settings()))
    thread.start()
    thread.join()

    assert [["wal", 0, 1, 1, 1, 2]] * 2 == answers


def test_a_write_outside_a_write_transaction_is_refused(database: Database) -> None:
    """It would pass the lock by."""
    with pytest.raises(StoreError):
        database.execute("INSERT INTO number VALUES (1)")
    with database.read(), pytest.raises(StoreError):
        database.execute("INSERT INTO number VALUES (1)")

    assert [] == numbers(database)


def test_a_thread_that_stays_writable_switches_nothing_and_leaves_the_others_as_they_are(database: Database) -> None:
    """Each switch would have SQLite prepare every statement anew."""
    asked: list[str] = []

    def commits() -> None:
        database.stay_writable()
        database.stay_writable()
        database.connection.set_trace_callback(asked.append)
        add(database, 1)
        database.compact()
        add(database, 2)
        database.connection.set_trace_callback(None)

    thread = threading.Thread(target=commits)
    thread.start()
    thread.join()
    with pytest.raises(StoreError):
        database.execute("INSERT INTO number VALUES (3)")

    assert [1, 2] == numbers(database)
    assert asked
    assert not [each for each in asked if "query_only" in each]


def test_a_write_is_all_or_nothing(database: Database) -> None:
    """Whatever exception leaves the block, and the connection is usable after it."""
    with pytest.raises(KeyboardInterrupt), database.write() as connection:
        connection.execute("INSERT INTO number VALUES (1)")
        raise KeyboardInterrupt
    with pytest.raises(StoreError), database.write() as connection:
        connection.execute("INSERT INTO number VALUES (2)")
        connection.execute("INSERT INTO nowhere VALUES (2)")
    add(database, 3)

    assert [3] == numbers(database)


def test_a_nested_write_joins_and_may_fail_alone(database: Database) -> None:
    """Methods that write can call each other; an inner failure that is caught undoes only the inner part."""
    with database.write():
        add(database, 1)
        with pytest.raises(ZeroDivisionError), database.write() as connection:
            connection.execute("INSERT INTO number VALUES (2)")
            raise ZeroDivisionError
        add(database, 3)
    with pytest.raises(ZeroDivisionError), database.write():
        add(database, 4)
        raise ZeroDivisionError

    assert [1, 3] == numbers(database)


def test_sqlite_utils_joins_the_open_transaction(database: Database) -> None:
    """Its own transactions are deferred ones; inside ours they are savepoints."""
    with pytest.raises(ZeroDivisionError), database.write():
        database.utils["number"].insert_all([{"n": n} for n in range(3)])
        raise ZeroDivisionError
    with database.write():
        database.utils["number"].insert({"n": 7})

    assert [7] == numbers(database)


def test_a_read_transaction_sees_one_state(database: Database) -> None:
    """However many commits pass between its SELECTs; and data_version tells of them."""
    before = database.data_version()
    with database.read():
        assert [] == numbers(database)
        writer = threading.Thread(target=add, args=(database, 1))
        writer.start()
        writer.join()
        assert [] == numbers(database)

    assert [1] == numbers(database)
    assert before != database.data_version()


def _turn(database: Database) -> Turn:
    with database.write():
        return database.turn()


@pytest.mark.parametrize("between", ["nothing", "a write", "a failed write", "a thread", "a process", "a savepoint"])
def test_a_turn_follows_another_only_if_nobody_wrote_between(path: Path, database: Database, between: str) -> None:
    """Neither this thread, nor another, nor another process; a transaction that failed counts as one."""
    before = _turn(database)
    if between == "a write":
        add(database, 1)
    elif between == "a failed write":
        with contextlib.suppress(ZeroDivisionError), database.write():
            raise ZeroDivisionError
    elif between == "a thread":
        writer = threading.Thread(target=add, args=(database, 1))
        writer.start()
        writer.join()
    elif between == "a process":
        command = [sys.executable, "-c", _ADDS_ONE, str(path)]
        subprocess.run(command, check=True, timeout=60)
    elif between == "a savepoint":
        with database.write():
            with database.write():
                before = database.turn()
            add(database, 1)

    assert _turn(database).follows(before) is (between == "nothing")


_ADDS_ONE = """
import sys
from pathlib import Path
from tests.hashsets.test_sqlite import STEPS, Database, add
with Database.open(Path(sys.argv[1]), STEPS) as own:
    add(own, 1)
"""


def test_threads_and_processes_write_without_losing_anything(path: Path, database: Database) -> None:
    """Four threads here and two processes beside them, with checkpoints in between."""

    def write_many(base: int) -> None:
        with Database.open(path, STEPS) as own:
            for number in range(60):
                add(own, base + number, durable=number % 20 == 0)
                if number % 25 == 0:
                    own.checkpoint()

    children = []
    for base in (1000, 2000):
        child = os.fork()
        if not child:
            try:
                write_many(base)
                os._exit(0)
            except BaseException:
                os._exit(99)
        children.append(child)
    threads = [
        threading.Thread(target=lambda base=base: [add(database, base + number) for number in range(60)])
        for base in (3000, 4000, 5000, 6000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    assert [0, 0] == statuses
    assert [base + number for base in range(1000, 7000, 1000) for number in range(60)] == numbers(database)
    assert "ok" == database.execute("PRAGMA integrity_check").fetchone()[0]


def test_a_database_does_not_survive_a_fork(path: Path, database: Database) -> None:
    """The child is refused and opens its own; closing there harms nothing here."""

    def child() -> None:
        with pytest.raises(StoreError, match="fork"):
            database.execute("SELECT 1")
        with pytest.raises(StoreError, match="fork"), database.write():
            pass
        database.close()
        with Database.open(path, STEPS) as own:
            add(own, 2)

    add(database, 1)
    assert 0 == in_child(child)
    add(database, 3)
    assert [1, 2, 3] == numbers(database)


def test_a_child_does_not_keep_a_dead_parents_lock(path: Path) -> None:
    """A flock lives as long as any copy of its descriptor: children must let go of theirs."""
    ready, go = os.pipe(), os.pipe()
    parent = os.fork()
    if not parent:
        database = Database.open(path, STEPS)
        with database.write():
            if not os.fork():
                os.close(go[1])
                os.write(ready[1], b"x")
                os.read(go[0], 1)  # outlives the parent
                os._exit(0)
            os.read(ready[0], 1)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with Database.open(path, STEPS) as database, database.write(wait_s=2):
            pass
    finally:
        os.close(go[1])


def test_a_kill_in_the_middle_of_a_write_leaves_what_was_committed(path: Path, database: Database) -> None:
    """And the next writer needs no help to go on."""

    def child() -> None:
        own = Database.open(path, STEPS)
        add(own, 1, durable=False)
        with own.write() as connection:
            connection.execute("INSERT INTO number VALUES (2)")
            os.kill(os.getpid(), signal.SIGKILL)

    assert -signal.SIGKILL == in_child(child)
    add(database, 3)
    assert [1, 3] == numbers(database)


def test_a_writer_that_does_not_let_go_is_told_of(path: Path, database: Database) -> None:
    """Waiting has an end, between threads and between processes."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        with pytest.raises(StoreError, match="too long"), database.write(wait_s=0.05):
            pass
        with (
            Database(path, sharing_safe=True) as other,
            pytest.raises(StoreError, match="too long"),
            other.write(wait_s=0.05),
        ):
            pass
    finally:
        release.set()
        thread.join()


def test_a_waiting_writer_is_not_starved_by_a_busy_one(path: Path, database: Database) -> None:
    """An upload waits for one chunk of background work, not for all of it."""
    stop = threading.Event()
    chunks = 0

    def busy() -> None:
        nonlocal chunks
        with Database(path, sharing_safe=True) as other:
            while not stop.is_set():
                with other.write(durable=False) as connection:
                    chunks += 1
                    connection.execute("INSERT INTO number VALUES (0)")
                    time.sleep(0.03)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        waited = 0
        for number in range(1, 11):
            time.sleep(0.04)  # let the busy one hold it again
            before = chunks
            add(database, number)
            waited += chunks - before
    finally:
        stop.set()
        thread.join()

    assert waited < 40  # chunks, for ten uploads; without the line many times that


def test_the_wal_is_cut_after_large_writes_and_not_while_a_reader_needs_it(database: Database) -> None:
    """Nobody but writers and close() checkpoints, so they must."""
    rows = [(number,) for number in range(400_000)]
    with database.write(durable=False) as connection:
        connection.executemany("INSERT INTO number VALUES (?)", rows * 3)
    assert database.wal_bytes() < sqlite.CHECKPOINT_BYTES

    begun, done = threading.Event(), threading.Event()

    def read() -> None:
        with database.read():
            numbers_seen = database.execute("SELECT COUNT(*) FROM number").fetchone()[0]
            begun.set()
            done.wait(60)
            assert numbers_seen == database.execute("SELECT COUNT(*) FROM number").fetchone()[0]

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait(60)
    with database.write(durable=False) as connection:
        connection.executemany("INSERT INTO number VALUES (?)", rows * 3)
    assert database.wal_bytes() > 0
    assert not database.checkpoint()
    done.set()
    reader.join()
    assert database.checkpoint()
    assert 0 == database.wal_bytes()


def test_the_last_one_out_leaves_no_wal(path: Path) -> None:
    """So that a backup of a stopped home is one file a database."""
    database = Database.open(path, STEPS)
    add(database, 1)
    thread = threading.Thread(target=numbers, args=(database,))
    thread.start()
    thread.join()
    database.close()
    database.close()

    assert not path.with_name("hashsets.db-wal").exists()
    with pytest.raises(StoreError, match="closed"):
        database.execute("SELECT 1")


# -- migrations -------------------------------------------------------------------------------------------------------


def test_migrations_run_once_each_and_in_order(path: Path) -> None:
    """A database of an older release gains exactly the steps it lacks."""
    applied = []

    def note(connection: Connection) -> None:
        applied.append(connection.execute("SELECT COUNT(*) FROM number").fetchone()[0])

    Database.open(path, STEPS).close()
    steps = (*STEPS, Migration(2, "one", "INSERT INTO number VALUES (1);"), Migration(3, "look", apply=note))
    for _ in range(2):
        with Database.open(path, steps) as database:
            assert [1] == numbers(database)

    assert [1] == applied


def test_a_failing_migration_leaves_the_steps_before_it(path: Path) -> None:
    """Each step is one transaction; the next start tries again."""
    broken = (*STEPS, Migration(2, "two", "INSERT INTO number VALUES (1);\nINSERT INTO nowhere VALUES (2);"))
    with pytest.raises(StoreError):
        Database.open(path, broken)
    with Database.open(path, STEPS) as database:
        assert [] == numbers(database)


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    """An older release must not write what it does not understand."""
    Database.open(path, (*STEPS, Migration(2, "two", "CREATE TABLE later (n INTEGER);"))).close()
    with pytest.raises(StoreError, match="newer"):
        Database.open(path, STEPS)


def test_statements_end_where_sqlite_says() -> None:
    """Semicolons in comments, strings and triggers end nothing."""
    script = """-- a; comment
        CREATE TABLE t (x TEXT DEFAULT 'a;b');
        CREATE TRIGGER u AFTER INSERT ON t BEGIN
            DELETE FROM t;
        END;
    """

    assert 2 == len(list(sqlite.statements(script)))


# -- drivers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "safe"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 53, 0), True)]
)
def test_sqlite_before_the_repair_may_not_share_a_home(version: tuple[int, ...], safe: bool) -> None:
    """3.51.3 is the first that keeps what it committed when another process checkpoints at that moment."""
    assert sqlite.multi_process_safe(version) == safe


def test_a_driver_that_loses_writes_must_be_alone_in_its_home(path: Path) -> None:
    """It is refused beside another process, and others are refused beside it; one process may open both files."""

    def refused(sharing_safe: bool) -> Callable[[], None]:
        def child() -> None:
            with pytest.raises(DriverRefused, match=r"pysqlite3"):
                Database.open(path, STEPS, sharing_safe=sharing_safe)

        return child

    with Database.open(path, STEPS, sharing_safe=True):
        assert 0 == in_child(refused(sharing_safe=False))
    with (
        Database.open(path, STEPS, sharing_safe=False),
        Database.open(path.with_name("ledger.db"), STEPS, sharing_safe=False),
    ):
        assert 0 == in_child(refused(sharing_safe=True))
        assert 0 == in_child(refused(sharing_safe=False))
    Database.open(path, STEPS, sharing_safe=True).close()


def test_a_second_library_on_an_open_database_is_refused(path: Path, database: Database) -> None:
    """However it names the file; another file, and ours once it is closed, are its own affair."""
    if sqlite.driver_name().startswith("sqlite3"):
        pytest.skip("without pysqlite3 the standard library's driver is ours")
    elsewhere = path.parent / "else.db"
    for name in (path, str(path), os.fsencode(path), f"file:{path}?mode=ro", path.parent / ".." / "home" / path.name):
        with pytest.raises(DriverRefused, match="second SQLite library"):
            sqlite3.connect(name, uri=True)
    sqlite3.connect(elsewhere).close()
    sqlite3.connect(":memory:").close()
    add(database, 1)
    database.close()
    with contextlib.closing(sqlite3.connect(path)) as second:
        assert [(1,)] == second.execute("SELECT n FROM number").fetchall()


def test_a_database_that_something_else_here_has_open_is_refused(path: Path) -> None:
    """A second library that came first, or a copy in the making: closing it would drop the locks of ours."""
    Database.open(path, STEPS).close()
    elsewhere = path.with_name("moved.db")
    path.rename(elsewhere)  # a file this process has not had open
    elsewhere.with_suffix(".copy").write_bytes(elsewhere.read_bytes())
    elsewhere.with_suffix(".copy").rename(path)
    with path.open("rb"), pytest.raises(DriverRefused, match="close it"):
        Database.open(path, STEPS)
    with Database.open(path, STEPS) as database:
        add(database, 1)

        assert [1] == numbers(database)


def test_opening_a_database_twice_here_leaves_its_locks_alone(path: Path, database: Database) -> None:
    """SQLite's own lock tells other processes, and other programs, that the file is in use."""
    add(database, 1)
    mark = f":{path.stat().st_ino} "
    locks = [line.split()[1:] for line in Path("/proc/locks").read_text().splitlines() if mark in line]
    if not locks:
        pytest.skip("this system does not tell of locks")
    with Database.open(path, STEPS) as again:
        assert [1] == numbers(again)

        assert locks == [line.split()[1:] for line in Path("/proc/locks").read_text().splitlines() if mark in line]


# -- foreign errors ---------------------------------------------------------------------------------------------------


def test_foreign_errors_become_ours_and_tell_no_path(path: Path, database: Database) -> None:
    """A full disk, a database that is damaged, is none, or is locked by another program."""
    secret = str(path.parent)
    messages = []

    def failing(work: Callable[[], None]) -> None:
        with pytest.raises(HashsetsError) as caught:
            work()
        messages.append(str(caught.value))

    def fill() -> None:
        with database.write() as connection:
            connection.execute("PRAGMA max_page_count=3")
            connection.executemany("INSERT INTO number VALUES (?)", [(n,) for n in range(10_000)])

    failing(fill)
    database.execute("PRAGMA max_page_count=1073741823")
    add(database, 1)
    foreign = sqlite.driver.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    database.execute("PRAGMA busy_timeout=10")
    failing(lambda: add(database, 2))
    foreign.close()
    none = path.with_name("ledger.db")
    none.write_bytes(b"not a database, " * 1000)
    failing(lambda: Database.open(none, STEPS).close())
    failing(lambda: Database.open(path.parent / "hashsets.db" / "below.db", STEPS).close())
    database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    failing(lambda: numbers(Database.open(path, STEPS)) and None)

    assert ["full", "locked", "not a hashward", "home", "damaged"] == [
        word
        for word, message in zip(("full", "locked", "not a hashward", "home", "damaged"), messages, strict=True)
        if word in message
    ]
    assert not any(secret in message or "INSERT" in message for message in messages)


def test_a_link_in_place_of_a_database_is_not_followed(path: Path) -> None:
    """Whoever can write to the home's parent must not choose which file is overwritten."""
    path.parent.mkdir(mode=0o700)
    target = path.parent.parent / "precious"
    target.write_text("x")
    path.symlink_to(target)
    with pytest.raises(StoreError):
        Database.open(path, STEPS)

    assert "x" == target.read_text()


def test_the_hook_sees_every_statement(path: Path) -> None:
    """The seam through which the fault-injection harness kills at the n-th statement."""
    seen: list[str] = []

    def hook(connection: Connection) -> None:
        connection.set_trace_callback(seen.append)

    sqlite.on_connect.append(hook)
    try:
        with Database.open(path, STEPS) as database:
            add(database, 1)
    finally:
        sqlite.on_connect.remove(hook)

    assert any("COMMIT" in statement for statement in seen)
    assert any("INSERT INTO number" in statement for statement in seen)
