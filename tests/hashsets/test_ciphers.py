"""Databases under a key: nothing readable on the disk, and a change of keys that may be killed anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hashsets import ciphers, sqlite
from hashsets.ciphers import Key
from hashsets.errors import DriverRefused, StoreError, UsageError
from hashsets.sqlite import Database, Migration

pytest.importorskip("sqlcipher3", reason="sqlcipher3, which opens encrypted databases, is not installed here")

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
SECRET = b"canary-on-the-disk"
TABLE = """
CREATE TABLE said (id INTEGER PRIMARY KEY AUTOINCREMENT, text BLOB);
CREATE INDEX said_text ON said (text);
"""
STEPS = (Migration(1, "a table", TABLE),)


def write(path: Path, key: Key | None, rows: int = 50) -> None:
    """A database with rows that came and went, and some that stay."""
    with Database.open(path, STEPS, key=key) as db:
        with db.write() as connection:
            connection.executemany("INSERT INTO said (text) VALUES (?)", [(SECRET + b"%d" % n,) for n in range(rows)])
        with db.write() as connection:
            connection.execute("DELETE FROM said WHERE id > ?", (rows // 2,))


def read(path: Path, key: Key | None) -> tuple[list[bytes], int]:
    """What is in it, and the number the next row would get."""
    with Database.open(path, STEPS, key=key) as db:
        rows = [text for (text,) in db.execute("SELECT text FROM said ORDER BY id")]
        return rows, db.execute("SELECT seq FROM sqlite_sequence").fetchone()[0]


def on_disk(folder: Path) -> bytes:
    """All bytes of all files of a folder."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def test_nothing_can_be_read_on_the_disk(tmp_path: Path) -> None:
    """Neither in the file nor in its -wal, while it is open or after, is there a word of what is in it."""
    with Database.open(tmp_path / "a.db", STEPS, key=KEY) as db:
        with db.write() as connection:
            connection.execute("INSERT INTO said (text) VALUES (?)", (SECRET,))
        assert db.wal_bytes() > 0
        during = on_disk(tmp_path)
        assert [(SECRET,)] == db.execute("SELECT text FROM said").fetchall()

    for found in (during, on_disk(tmp_path)):
        assert SECRET not in found
        assert b"CREATE TABLE" not in found
        assert b"SQLite format" not in found
        assert KEY.secret not in found
        assert KEY.secret.hex().encode() not in found


@pytest.mark.parametrize("wrong", [None, OTHER], ids=["none", "another"])
def test_another_key_or_none_is_refused_and_harms_nothing(
    tmp_path: Path, wrong: Key | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error says what to look at and repeats no key; the driver writes nothing of its own to the terminal."""
    write(tmp_path / "a.db", KEY)
    with pytest.raises(StoreError, match="key") as caught:
        read(tmp_path / "a.db", wrong)

    assert OTHER.secret.hex() not in str(caught.value)
    assert ("", "") == capfd.readouterr()
    assert 25 == len(read(tmp_path / "a.db", KEY)[0])


def test_a_plain_database_is_not_opened_with_a_key(tmp_path: Path) -> None:
    """Nor is anything written into it."""
    write(tmp_path / "a.db", None)
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(StoreError, match="not under the key"):
        read(tmp_path / "a.db", KEY)

    assert before == (tmp_path / "a.db").read_bytes()


def test_one_file_is_never_open_through_two_drivers(tmp_path: Path) -> None:
    """Their locks would undo each other, so the second is refused."""
    with Database.open(tmp_path / "a.db", STEPS), pytest.raises(DriverRefused):
        Database.open(tmp_path / "a.db", STEPS, key=KEY)


@pytest.mark.parametrize(
    ("before", "after"), [(None, KEY), (KEY, OTHER), (KEY, None)], ids=["encrypt", "another key", "decrypt"]
)
def test_a_change_of_keys_keeps_every_row_and_number(tmp_path: Path, before: Key | None, after: Key | None) -> None:
    """Rows, indexes, schema number and numbering are those of before; the old form is gone from the folder."""
    path = tmp_path / "a.db"
    write(path, before)
    held = read(path, before)
    ciphers.convert(path, before, after)

    assert held == read(path, after)
    assert (after is None) is ciphers.is_plain(path)
    assert (SECRET in on_disk(tmp_path)) is (after is None)
    assert 0o600 == path.stat().st_mode & 0o777
    assert not list(tmp_path.glob("*rekeyed*"))


TRIALS = [(call, at) for call in ("open", "close", "unlink", "replace", "fsync") for at in (1, 2, 3)]


def test_killed_at_any_step_the_file_is_one_or_the_other_and_the_next_run_ends_it(tmp_path: Path) -> None:
    """Before each system call that changes the folder: what is there is whole, under the old key or the new."""
    write(tmp_path / "a.db", KEY)
    held = read(tmp_path / "a.db", KEY)
    places = [tmp_path / f"{call}-{at}" for call, at in TRIALS]
    for place in places:
        place.mkdir(mode=0o700)
        shutil.copy(tmp_path / "a.db", place)
    command = [sys.executable, "-m", "tests.hashsets.test_ciphers", *map(str, places)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=250)
    ended = done.stdout.split()
    left = []
    for place in places:
        left.append(ciphers.opens(place / "a.db", KEY))
        if left[-1]:
            ciphers.convert(place / "a.db", KEY, OTHER)

        assert held == read(place / "a.db", OTHER), place.name
        assert not list(place.glob("*rekeyed*"))
    assert ("", len(TRIALS)) == (done.stderr, len(ended))
    assert {"-9", "0"} == set(ended)
    assert {True, False} == set(left)


def trial(place: Path) -> None:
    """Change the key, and die at one system call of it."""
    call, at = place.name.split("-")
    real, left = getattr(os, call), int(at)

    def die(*arguments: object, **named: object) -> object:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(os, call, die)
    ciphers.convert(place / "a.db", KEY, OTHER)


def main() -> None:
    """The process of one thread that forks a child for each trial, and says how each ended."""
    for place in map(Path, sys.argv[1:]):
        child = os.fork()
        if not child:
            trial(place)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def test_a_copy_that_cannot_be_made_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """A wrong key: nothing changes, and nothing is left over."""
    write(tmp_path / "a.db", KEY)
    with pytest.raises(StoreError, match="stays as it was"):
        ciphers.convert(tmp_path / "a.db", OTHER, None)

    assert 25 == len(read(tmp_path / "a.db", KEY)[0])
    assert not list(tmp_path.glob("*rekeyed*"))


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_page_that_was_tampered_with_is_not_believed(tmp_path: Path, page: int) -> None:
    """Each page has an authentication code: one changed bit is an error, not another row."""
    write(tmp_path / "a.db", KEY, rows=400)
    with (tmp_path / "a.db").open("r+b") as file:
        file.seek(4096 * page + 100)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))

    with pytest.raises(StoreError):
        read(tmp_path / "a.db", KEY)


@pytest.mark.parametrize("text", ["", "canary", "0" * 63, "0" * 65, "g" * 64, "x'" + "0" * 64 + "'"])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    """64 hexadecimal digits, and nothing else."""
    with pytest.raises(UsageError) as caught:
        Key.read(text)

    assert "canary" not in str(caught.value)
    assert KEY == Key.read(KEY.secret.hex().upper())
    assert KEY.secret.hex() not in repr(KEY)


def test_the_driver_may_share_a_home() -> None:
    """It carries a SQLite that loses no writes between processes."""
    assert sqlite.multi_process_safe(ciphers.driver().sqlite_version_info)


if __name__ == "__main__":
    main()
