"""Lists that are SQLite files: read in a sandbox, whatever a stranger put into them."""

from __future__ import annotations

import gzip
import io
import os
import random
import signal
import socket
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hashsets.errors import ListError
from hashsets.foreign import tell
from hashsets.formats import DatabaseReader, Options, Reading, read_list
from hashsets.listed_rows import END, MOST_MESSAGE_BYTES, ROW
from hashsets.types import Entry
from scanner.isolation.confinement import available
from scanner.isolation.databases import read_database
from tests.hashsets.formats.reading import CANARY, EMPTY_MD5, MD5, SHA1, SHA256, signals

sandboxed = pytest.mark.skipif(not available().complete, reason="needs a kernel with Landlock and seccomp")

KDB = """
    CREATE TABLE db_properties (name TEXT NOT NULL, value TEXT);
    CREATE TABLE hashes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, md5 BINARY(16) UNIQUE, sha1 BINARY(20), sha2_256 BINARY(32)
    );
    CREATE TABLE file_names (name TEXT NOT NULL, hash_id INTEGER NOT NULL);
    CREATE INDEX md5_index ON hashes(md5);
"""
MINIMAL = """
    CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, crc32, file_name, file_size, package_id);
    CREATE VIEW DISTINCT_HASH AS SELECT DISTINCT sha256, sha1, md5, crc32 FROM FILE;
"""
ROW_SQL = f"INSERT INTO FILE VALUES (?, ?, ?, 'x', '{CANARY}', 1, 1)"


def here(fd: int) -> Iterator[bytes]:
    """The reader in this process, for files of few rows."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            tell(fd, os.fstat(fd).st_size, theirs)
        while message := ours.recv(MOST_MESSAGE_BYTES + 1):
            yield message


def made(path: Path, *scripts: str, rows: Sequence[tuple[object, ...]] = (), sql: str = ROW_SQL) -> Path:
    """A database of these statements and rows."""
    connection = sqlite3.connect(path, isolation_level=None)
    for script in scripts:
        connection.executescript(script)
    if rows:
        connection.execute("BEGIN")
        connection.executemany(sql, rows)
        connection.execute("COMMIT")
    connection.close()
    return path


def read(path: Path, databases: DatabaseReader | None = here) -> tuple[list[Entry], Reading]:
    """The entries of a database, and the count."""
    reading = Reading()
    with path.open("rb") as stream:
        found = list(read_list(stream, Options(databases=databases), reading))
    entries = [each for each in found if isinstance(each, Entry)]
    assert CANARY not in repr(entries)
    return entries, reading


def refused(path: Path, databases: DatabaseReader | None = here) -> str:
    """The message it is refused with."""
    with pytest.raises(ListError) as caught:
        read(path, databases)
    return str(caught.value)


def many(count: int, first: int = 1) -> list[tuple[object, ...]]:
    """Rows of distinct digests."""
    return [(f"{n:064X}", f"{n:040X}", f"{n:032X}") for n in range(first, first + count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the list will be."""
    return tmp_path / "list.db"


# -- what they give ---------------------------------------------------------------------------------------------------


@sandboxed
@pytest.mark.parametrize("reader", [here, read_database])
def test_nsrl_gives_an_entry_a_row(path: Path, reader: DatabaseReader) -> None:
    """Hex in upper case; empty and missing values are none; what is no digest is counted with its row."""
    rows = [*many(2000), (SHA256, SHA1, MD5), ("", None, EMPTY_MD5), (None, "", None), ("zz", SHA1, None)]
    entries, reading = read(made(path, MINIMAL, rows=rows), reader)

    assert 2002 == len(entries) == reading.valid
    assert signals(("md5", MD5), ("sha1", SHA1), ("sha256", SHA256)) == entries[2000].signals
    assert {"no_value": 1, "not_a_value": 1, "degenerate": 1} == dict(reading.rejected)
    assert (2003, 2004) == (reading.first_line["no_value"], reading.first_line["not_a_value"])


@pytest.mark.parametrize("without_rowid", [False, True])
def test_nsrl_in_full_is_read_from_its_table(path: Path, without_rowid: bool) -> None:
    """There FILE is a view, which is not opened."""
    table = "CREATE TABLE METADATA (object_id INTEGER PRIMARY KEY, name, md5, sha1, sha256)"
    view = "CREATE VIEW FILE AS SELECT sha256, sha1, md5 FROM METADATA;"
    schema = f"{table}{' WITHOUT ROWID' if without_rowid else ''}; {view}"
    made(path, schema, rows=[(1, CANARY, MD5, SHA1, SHA256)], sql="INSERT INTO METADATA VALUES (?, ?, ?, ?, ?)")

    assert [signals(("md5", MD5), ("sha1", SHA1), ("sha256", SHA256))] == [entry.signals for entry in read(path)[0]]


def test_sleuthkit_gives_its_digests(path: Path) -> None:
    """As raw bytes; names and comments are not read."""
    first = [
        (bytes.fromhex(MD5), None, None),
        (bytes.fromhex(SHA256[:32]), bytes.fromhex(SHA1), None),
        (b"short", 7, None),
    ]
    rows = [*first, *((number.to_bytes(16), None, None) for number in range(1, 50))]
    made(path, KDB, rows=rows, sql="INSERT INTO hashes (md5, sha1, sha2_256) VALUES (?, ?, ?)")
    entries, reading = read(path)

    assert [signals(("md5", MD5)), signals(("md5", SHA256[:32]), ("sha1", SHA1))] == [e.signals for e in entries[:2]]
    assert (51, {"not_a_value": 2}) == (len(entries), dict(reading.rejected))


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_database_is_read_from_its_file_alone(path: Path) -> None:
    """Neither packed nor from a pipe; and not at all where nobody confines its reader."""
    content = made(path, MINIMAL, rows=many(3)).read_bytes()
    for stream in (io.BytesIO(content), io.BytesIO(gzip.compress(content))):
        with pytest.raises(ListError, match="from its file alone"):
            list(read_list(stream, Options(databases=here), Reading()))
    assert "not opened here" in refused(path, None)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("CREATE TABLE other (md5)", "no list"),
        ("CREATE VIEW FILE AS SELECT '0' AS md5, '0' AS sha1, '0' AS sha256", "no list"),
        ("CREATE VIEW FILE AS WITH RECURSIVE n(md5) AS (SELECT 1 UNION ALL SELECT 2 FROM n)SELECT * FROM n", "no list"),
        ("CREATE VIRTUAL TABLE FILE USING fts5(md5, sha1, sha256)", "no list"),
        ("CREATE TABLE FILE (name, md5 AS (hex('x')), sha1 AS (name) STORED)", "no list"),
        ("CREATE TABLE FILE (name TEXT, size INTEGER)", "no list"),
        ("CREATE TABLE hashes (md5)", "no list"),
        ("CREATE TABLE FILE (md5); CREATE TABLE deep (a CHECK (a" + "+1" * 90 + "))", "damaged"),
        ("CREATE TABLE FILE (md5); CREATE TABLE w (" + ",".join(f"c{n}" for n in range(1500)) + ")", "damaged"),
        ("CREATE TABLE FILE (md5, sha1, sha256); INSERT INTO FILE (md5) VALUES (zeroblob(3000000))", "damaged"),
        ("CREATE TABLE FILE (md5, sha1, sha256)", "no usable record"),
        (MINIMAL + "PRAGMA journal_mode=WAL", "WAL"),
        (MINIMAL + "PRAGMA encoding='UTF-16'", "no usable record"),
    ],
)  # fmt: skip
def test_what_is_no_such_list_is_refused(path: Path, schema: str, said: str) -> None:
    """Views, virtual and generated columns are not evaluated; depth, width and length have bounds."""
    assert said in refused(made(path, schema))


def test_triggers_indexes_and_generated_columns_beside_the_digests_have_no_part(path: Path) -> None:
    """What is there to be run is not run; an index that tells another story is not asked."""
    made(
        path,
        "CREATE TABLE FILE (sha256, sha1, md5, x, name, size, id, bomb AS (zeroblob(900000000)));",
        "CREATE INDEX story ON FILE (sha256, sha1, md5);",
        "CREATE TRIGGER t AFTER INSERT ON FILE BEGIN DELETE FROM FILE; END; DROP TRIGGER t;",
        "CREATE TRIGGER u INSTEAD OF INSERT ON v BEGIN SELECT 1; END;".join(["CREATE VIEW v AS SELECT 1;", ""]),
        rows=many(20),
    )

    assert 20 == len(read(path)[0])


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (16, b"\x00\x03", "damaged"),
        (16, b"\x00\x01", "cut off"),  # 65,536
        (16, b"\x00\x00", "damaged"),
        (18, b"\x02\x02", "WAL"),
        (20, b"\xff", "damaged"),
        (28, b"\xff\xff\xff\xff", "cut off"),
        (100, b"\x07", "damaged"),
    ],
)
def test_absurd_headers_are_refused(path: Path, at: int, value: bytes, said: str) -> None:
    """Page sizes, page counts, encodings and page kinds that cannot be."""
    content = bytearray(made(path, MINIMAL, rows=many(50)).read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)

    assert said in refused(path)


def test_a_database_that_was_cut_off_imports_nothing(path: Path) -> None:
    """At a page's end and within one."""
    content = made(path, MINIMAL, rows=many(300)).read_bytes()
    for size in range(100, len(content), 1777):
        path.write_bytes(content[:size])
        refused(path)
    path.write_bytes(content[: len(content) // 4096 // 2 * 4096])
    assert "cut off" in refused(path)
    uncounted = content[:92] + bytes(4) + content[96:]  # whose header does not vouch for its number of pages
    path.write_bytes(uncounted[:-100])
    assert "cut off" in refused(path)


def page(kind: int, cell: bytes, most: int) -> bytearray:
    """A page of 4,096 bytes that holds a cell as many times as it can, or as often as is said."""
    header = 12 if kind == 5 else 8
    cells = min(most, (4096 - header) // (len(cell) + 2))
    made = bytearray(4096)
    made[0] = kind
    struct.pack_into(">HHH", made, 3, cells, 4096 - cells * len(cell), 0)
    for number in range(cells):
        at = 4096 - (number + 1) * len(cell)
        made[at : at + len(cell)] = cell
        struct.pack_into(">H", made, header + 2 * number, at)
    return made


def test_a_tree_that_tells_its_rows_again_is_refused(path: Path) -> None:
    """A page may point to one other many times over: no file holds more rows than its size allows."""
    content = bytearray(made(path, "PRAGMA page_size=4096;" + MINIMAL, rows=many(300)).read_bytes())
    (root,) = sqlite3.connect(path).execute("SELECT rootpage FROM sqlite_schema WHERE name = 'FILE'").fetchone()
    tree = (root, 4, 5, 6)
    row = b"\x02\x01\x02\x00"  # two bytes under row 1: a header that says NULL
    for number, below in zip(tree, (*tree[1:], 0), strict=True):
        inner = struct.pack(">IB", below, 1)
        made_page = page(5, inner, 500) if below else page(13, row, 500)
        if below:
            struct.pack_into(">I", made_page, 8, below)
        content[(number - 1) * 4096 : number * 4096] = made_page
    path.write_bytes(content)

    assert "damaged" in refused(path)
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)  # who does not count finds no end
    assert 100_000 == len(connection.execute("SELECT 1 FROM FILE LIMIT 100000").fetchall())
    connection.close()


def test_an_index_that_tells_another_story_is_not_asked(path: Path) -> None:
    """Where it would answer alone, SQLite prefers the smaller index to its table."""
    made(path, MINIMAL, "CREATE TABLE o (sha256, sha1, md5);", rows=many(20))
    made(path, rows=many(20, first=500), sql="INSERT INTO o VALUES (?, ?, ?)")
    swap = (
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'p') WHERE name = 'story'"
    )
    indexes = "CREATE INDEX story ON FILE (sha256, sha1, md5); CREATE INDEX p ON o (sha256, sha1, md5);"
    made(path, indexes + "PRAGMA writable_schema=ON;" + swap)

    assert {int(digests[2], 16) for digests in many(20)} == {
        int.from_bytes(entry.signals[0].value) for entry in read(path)[0]
    }


def test_damage_anywhere_ends_in_entries_or_in_a_refusal(path: Path) -> None:
    """Never in a hang, a crash or another error."""
    rng = random.Random(6)
    content = made(path, KDB, MINIMAL, rows=many(120)).read_bytes()
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 4, 60))):
            damaged[rng.randrange(100, len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except ListError:
            continue


# -- who reads --------------------------------------------------------------------------------------------------------


@sandboxed
def test_a_database_under_a_writer_is_refused_and_a_writer_waits_for_us(path: Path) -> None:
    """As between SQLite's own readers and writers."""
    writer = sqlite3.connect(made(path, MINIMAL, rows=many(20_000)), isolation_level=None, timeout=0)
    writer.execute("BEGIN EXCLUSIVE")
    assert "writing" in refused(path, read_database)
    writer.execute("ROLLBACK")
    with path.open("rb") as stream:
        messages = read_database(stream.fileno())
        next(messages)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.executescript("BEGIN; DELETE FROM FILE; COMMIT")
        messages.close()  # type: ignore[attr-defined]
    writer.close()


def children() -> list[int]:
    """This process's children."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


@sandboxed
def test_the_reader_is_confined_and_its_end_is_no_end_of_the_list(path: Path) -> None:
    """System calls are filtered, privileges given up, nothing else is open; killed halfway, nothing is imported."""
    made(path, MINIMAL, rows=many(30_000))
    before = set(children())
    reading = Reading()
    with path.open("rb") as stream:
        entries = read_list(stream, Options(databases=read_database), reading)
        next(entries)
        (child,) = set(children()) - before
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines() if ":\t" in line
        )
        assert ("2", "1") == (status["Seccomp"], status["NoNewPrivs"])
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ListError):
            list(entries)
    assert set(children()) == before


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [b"r" + ROW.pack(1, b"\1" * 16, b"", b"")],
        [b"r" + ROW.pack(0, b"\1" * 16, b"", b""), b"e" + bytes(END.size)],
        [b"r" + ROW.pack(8, b"\1" * 16, b"", b""), b"e" + bytes(END.size)],
        [b"r" + ROW.pack(1, b"\1" * 16, b"", b"")[:-1], b"e" + bytes(END.size)],
        [b"r", b"e" + bytes(END.size)],
        [b"r" + ROW.pack(1, b"\1" * 16, b"", b"") * 1000, b"e" + bytes(END.size)],
        [b"e" + bytes(END.size), b"e" + bytes(END.size)],
        [b"e" + bytes(END.size + 1)],
        [b"x"],
        [b"x\x63"],
        [b"hello"],
    ],
)
def test_a_reader_taken_over_can_only_be_refused(path: Path, messages: list[bytes]) -> None:
    """Its words are checked one by one, and a list without its end is none."""
    made(path, MINIMAL)

    refused(path, lambda fd: iter(messages))
