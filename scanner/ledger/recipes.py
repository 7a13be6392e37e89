"""By which recipes the signals of contents were made, so that a recipe wanted later is a debt of those that lack it.

Old signals keep matching until the debt is paid. All functions run inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache

from hashsets.sqlite import Database
from scanner.types import MediaKind

Wanted = Callable[[MediaKind], frozenset[str]]


@cache
def names_of(made: frozenset[str]) -> str:
    """How a combination of recipes is written."""
    return json.dumps(sorted(made))


def is_new(db: Database, made: frozenset[str]) -> bool:
    """Add a combination of recipes; False where it is known."""
    return bool(db.execute("INSERT INTO recipes (names) VALUES (?) ON CONFLICT DO NOTHING", (names_of(made),)).rowcount)


def number(db: Database, made: frozenset[str]) -> int:
    """The number under which a combination of recipes is kept; it is added if it is new."""
    row = db.execute("SELECT id FROM recipes WHERE names = ?", (names_of(made),)).fetchone()
    if row is None:
        row = (db.execute("INSERT INTO recipes (names) VALUES (?)", (names_of(made),)).lastrowid,)
    return int(row[0])


def names(db: Database, kept: int) -> frozenset[str]:
    """The combination of that number."""
    (text,) = db.execute("SELECT names FROM recipes WHERE id = ?", (kept,)).fetchone()
    return frozenset(json.loads(text))


def owes(db: Database, seq: int, wanted: Wanted) -> bool:
    """Whether a content that can be decoded lacks a recipe that is wanted."""
    row = db.execute("SELECT media, recipes FROM content WHERE seq = ? AND extent != 'digests_only'", (seq,)).fetchone()
    return row is not None and bool(_lacking(MediaKind(row[0]), names(db, row[1]), wanted))


def _lacking(media: MediaKind, made: frozenset[str], wanted: Wanted) -> frozenset[str]:
    """What is owed. Where nothing could be made (no media, and no container of any) nothing ever is."""
    return frozenset() if media is MediaKind.OTHER and not made else wanted(media) - made


def debts(db: Database, wanted: Wanted) -> Counter[str]:
    """How many contents owe each recipe that is wanted. Costs what is owed, not what is held."""
    owed: Counter[str] = Counter()
    for media in MediaKind:
        for (kept,) in db.execute("SELECT id FROM recipes").fetchall():
            lacking = _lacking(media, names(db, kept), wanted)
            if lacking:
                (contents,) = db.execute(
                    "SELECT count(*) FROM content WHERE media = ? AND recipes = ? AND extent != 'digests_only'",
                    (media.value, kept),
                ).fetchone()
                owed.update(dict.fromkeys(lacking, contents) if contents else {})
    return owed
