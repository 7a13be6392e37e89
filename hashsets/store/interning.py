"""Small numbers for what repeats: names of hash types, and combinations of classifications."""

from __future__ import annotations

from collections.abc import Collection

from hashsets import hashtypes
from hashsets.sqlite import Connection, Database
from hashsets.store import listing
from hashsets.store.pages import TypeId
from hashsets.types import Classification

# Label sets remembered, so that a list with a different one on each entry does not grow in memory.
MAX_REMEMBERED = 10_000


class Interned:
    """The numbers one file gives. Types are numbered when the store is opened, label sets at first sight."""

    def __init__(self, database: Database) -> None:
        select = "SELECT name, id FROM hash_type"
        known = dict(database.execute(select).fetchall())
        if set(hashtypes.names()) - set(known):
            with database.write() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO hash_type (name) VALUES (?)", [(name,) for name in hashtypes.names()]
                )
            known = dict(database.execute(select).fetchall())
        self.types = {name: TypeId(number, hashtypes.get(name).size_bytes) for name, number in known.items()}
        self.type_names = {number: name for name, number in known.items()}
        self.key_prefixes = {number: name.encode("ascii") + b"\x00" for number, name in self.type_names.items()}

    def labels(self, connection: Connection, marks: Collection[Classification]) -> int:
        """The number of a set of classifications. Call inside a write transaction."""
        if not marks:
            return 0
        text = listing.labels_json(marks)
        connection.execute("INSERT OR IGNORE INTO labels (json) VALUES (?)", (text,))
        return int(connection.execute("SELECT id FROM labels WHERE json = ?", (text,)).fetchone()[0])

    def union(self, connection: Connection, left: int, right: int) -> int:
        """The number of the union of two sets of classifications. Call inside a write transaction."""
        if left == right:
            return left
        texts = connection.execute("SELECT json FROM labels WHERE id IN (?, ?)", (left, right)).fetchall()
        return self.labels(connection, [mark for (text,) in texts for mark in listing.classifications(text)])


class LabelMemo:
    """Label numbers seen in one transaction: a rollback takes the numbers back, so nothing is remembered beyond it."""

    def __init__(self, interned: Interned, connection: Connection) -> None:
        self._interned = interned
        self._connection = connection
        self._numbers: dict[tuple[Classification, ...], int] = {(): 0}

    def __call__(self, marks: tuple[Classification, ...]) -> int:
        number = self._numbers.get(marks)
        if number is None:
            number = self._interned.labels(self._connection, marks)
            if len(self._numbers) < MAX_REMEMBERED:
                self._numbers[marks] = number
        return number
