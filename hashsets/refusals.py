"""What a database's refusals mean to whoever runs it: a sentence that says what to do next. Knows no driver."""

from __future__ import annotations

from typing import Final

_SENTENCES: Final = (
    ("disk is full", "the disk is full: make room and try again; nothing was half-written"),
    ("readonly database", "the database is read-only: check the owner and mode of the home directory and the mount"),
    ("malformed", "the database is damaged: restore it from a backup, or rebuild hashsets.db by importing again"),
    (
        "not a database",
        "the file is not a hashward database, or not under the key that is configured: see `hashward storage show`",
    ),
    ("locked", "the database is locked by another program: close it and try again"),
    ("unable to open", "the database cannot be opened: check the owner and mode of the home directory"),
    ("disk I/O error", "the disk reported an I/O error: check the disk and the mount, then try again"),
)


def sentence_of(text: str, name: str) -> str:
    """What an error of SQLite with this text, of this name, means: without SQL, path or value."""
    for part, sentence in _SENTENCES:
        if part in text:
            return sentence
    return f"the database refused an operation ({name}); run `hashward status` and report this"


def sharing_refused(version: str, first_safe: tuple[int, ...], *, alone: bool) -> str:
    """Why a process may not enter a home: this SQLite is not safe to share it (`alone`), or another's is not."""
    remedy = f"install pysqlite3 (SQLite {'.'.join(map(str, first_safe))} or later), or stop the other process"
    if alone:
        return f"SQLite {version} loses writes when processes share a home, and another uses this one: {remedy}"
    return f"another process uses this home alone: it changes the databases' key, or its SQLite loses writes; {remedy}"
