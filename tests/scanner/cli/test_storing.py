"""The `storage` group, and a home whose databases are encrypted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashsets import ciphers
from hashsets.ciphers import Key
from scanner import storage
from tests.command import Hashward

pytest.importorskip("sqlcipher3", reason="sqlcipher3, which opens encrypted databases, is not installed here")

DIGITS = "5a" * 32


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key beside the home."""
    made = tmp_path / "key"
    made.write_text(DIGITS + "\n")
    made.chmod(0o600)
    return made


def configure(hashward: Hashward, key: Path | str | None) -> None:
    """Name a key file, or none."""
    hashward.home.mkdir(exist_ok=True)
    (hashward.home / "config.toml").write_text("" if key is None else f'[storage]\nkey_file = "{key}"\n')


def databases(hashward: Hashward) -> bytes:
    """All bytes of both databases and what lies beside them."""
    return b"".join(file.read_bytes() for file in sorted(hashward.home.glob("*.db*")))


def test_a_home_under_a_key_from_the_first_day(hashward: Hashward, key_file: Path, folder: Path, listed: Path) -> None:
    """Everything works as ever, in several processes, and nothing of it can be read in the databases."""
    configure(hashward, key_file)
    imported = hashward("hashset", "import", "canary-set", listed, "--approve")
    dry = hashward("hashset", "import", "canary-set", listed, "--add", "--dry-run")
    scanned = hashward.real("scan", folder, "--json")
    shown = hashward.json("storage", "show")
    standing = hashward.json("status")["sqlite"]

    assert ("sqlcipher3.dbapi2", True, True) == (
        standing["driver"], standing["several_processes"], standing["encrypted"]
    )  # fmt: skip
    assert (0, 0, 1) == (imported.code, dry.code, scanned.code)
    assert {"hashsets.db": "encrypted", "ledger.db": "encrypted"} == shown["databases"]
    assert shown["key"] is True
    for word in (b"SQLite format", b"canary-set", b"one.ppm", DIGITS.encode(), bytes.fromhex(DIGITS)):
        assert word not in databases(hashward)


def test_a_home_is_put_under_a_key_under_another_and_under_none(
    hashward: Hashward, key_file: Path, folder: Path, listed: Path, tmp_path: Path
) -> None:
    """Each step is told, can be done again, and nothing of what was held is lost on the way."""
    hashward("hashset", "import", "canary-set", listed, "--approve")
    hashward("scan", folder)
    before = hashward.json("status")
    configure(hashward, key_file)
    unread = hashward("status")
    first, again = (hashward.json("storage", "encrypt") for _ in range(2))
    hidden = databases(hashward)
    other = tmp_path / "other"
    other.write_text("77" * 32)
    other.chmod(0o600)
    configure(hashward, other)
    lost = hashward("storage", "encrypt")
    moved = hashward.json("storage", "encrypt", "--from", key_file)
    under_other = hashward.json("status")
    back = hashward.json("storage", "decrypt")
    configure(hashward, None)
    after = hashward.json("status")

    assert 6 == unread.code
    assert "storage show" in unread.err
    assert {"encrypted": ["hashsets.db", "ledger.db"]} == first == moved
    assert {"encrypted": []} == again
    assert b"canary-set" not in hidden
    assert 6 == lost.code
    assert "--from" in lost.err
    assert {"decrypted": ["hashsets.db", "ledger.db"]} == back
    assert before["matches"] == under_other["matches"] == after["matches"]
    assert before["reports"] == after["reports"]
    assert b"canary-set" in databases(hashward)


def test_a_change_that_was_killed_between_the_databases_is_ended_by_the_next(
    hashward: Hashward, key_file: Path, listed: Path
) -> None:
    """What is under the key already stays; the other follows, and nothing reads them before."""
    hashward("hashset", "import", "canary-set", listed, "--approve")
    hashward("status")
    ciphers.convert(hashward.home / "hashsets.db", None, Key.read(DIGITS))
    configure(hashward, key_file)
    half = hashward("status")
    rest = hashward.json("storage", "encrypt")

    assert 6 == half.code
    assert {"encrypted": ["ledger.db"]} == rest
    assert "canary-set" in hashward("status").out


def test_nobody_else_may_be_in_the_home_meanwhile(hashward: Hashward, key_file: Path) -> None:
    """A process that has it open would go on with a file that is gone."""
    hashward("hashset", "list")
    configure(hashward, key_file)
    with storage.alone(_home(hashward)):
        refused = hashward.real("storage", "encrypt")

    assert refused.code != 0
    assert "nother process uses this home" in refused.err
    assert {"plain"} == set(hashward.json("storage", "show")["databases"].values()) - {"absent"}


@pytest.mark.parametrize("wrong", ["missing", "open", "in the home", "no key", "both", "none"])
def test_a_key_that_cannot_be_used_is_said_without_path_or_key(hashward: Hashward, key_file: Path, wrong: str) -> None:
    """Missing, readable by others, beside what it locks, not a key, or named twice."""
    where = key_file
    if wrong == "missing":
        where = key_file.with_name("canary")
    elif wrong == "open":
        key_file.chmod(0o644)
    elif wrong == "in the home":
        hashward.home.mkdir()
        where = hashward.home / "canary"
        os.replace(key_file, where)
    elif wrong == "no key":
        key_file.write_text("canary")
    configure(hashward, None if wrong == "none" else where)
    if wrong == "both":
        with (hashward.home / "config.toml").open("a") as file:
            file.write('key_credential = "canary"\n')
    done = hashward("storage", "encrypt")

    assert 2 == done.code
    assert "key" in done.err
    assert "canary" not in done.err
    assert str(key_file) not in done.err


def _home(hashward: Hashward) -> storage.Home:
    return storage.Home.locate(hashward.home)
