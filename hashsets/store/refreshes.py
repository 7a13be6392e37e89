"""A refresh, from its first page to its activation; and what becomes of one that never got there.

A refresh belongs to the object that staged its first page, by a random token in the set's row. Whoever begins another
takes over: the first is told so at its next step, and what it left is discarded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from hashsets.errors import NoSuchSet, StoreError, UsageError
from hashsets.sqlite import Connection, Database
from hashsets.store import merging, sets
from hashsets.store.interning import Interned, LabelMemo
from hashsets.store.merging import Merger, Tally, Target
from hashsets.store.pages import pack_block, pack_entry, pack_removal, part_of
from hashsets.store.speakable import speakable
from hashsets.types import Delta, Version


@dataclass(slots=True)
class _Refresh:
    """A refresh under way in this object."""

    token: bytes
    complete: bool | None = None
    tally: Tally | None = None
    pages: int = 0
    operations: int = 0
    unsaid: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """What a refresh has staged so far; `tally` once it is prepared.

    `unsaid` entries had a ref or classification that may not leave in a report (see `speakable`).
    """

    pages: int
    operations: int
    tally: Tally | None
    unsaid: int = 0


class Refreshes:
    """The refreshes of one store object, one a set at a time. `sweep` deletes what removed sets left."""

    def __init__(self, database: Database, interned: Interned, sweep: Callable[[], None]) -> None:
        self._database = database
        self._interned = interned
        self._sweep = sweep
        self._under_way: dict[str, _Refresh] = {}

    def forget(self, name: str) -> None:
        """The set is gone: so is its refresh."""
        self._under_way.pop(name, None)

    def stage(self, name: str, delta: Delta, *, fragments: bool = False) -> None:
        """Keep a page for the next version, invisible. Removals of a page come before its additions.

        A later page has the last word on a key; with `fragments` an addition adds to what the same refresh listed under
        its key. The first page discards, in chunks, what a crashed or abandoned refresh left. Raises ListError for an
        entry that cannot be compared, StoreError when another refresh of the set has taken over.
        """
        refresh = self._under_way.get(name) or self._begin(name)
        if refresh.tally is not None:
            raise UsageError("this refresh is prepared already: activate or discard it first")
        with self._database.write(durable=False) as connection:
            row = self._owned(connection, name, refresh)
            parts = self._pack(connection, refresh, delta, fragments)
            packed = [(row.id, part, len(records), b"".join(records)) for part, records in sorted(parts.items())]
            for block in delta.blocks:
                packed += [(row.id, *body) for body in pack_block(block, self._interned.types, fragment=fragments)]
            connection.executemany("INSERT INTO staged (set_id, part, operations, body) VALUES (?, ?, ?, ?)", packed)
        refresh.pages += 1
        refresh.operations += delta.listed + len(delta.removed)

    def _begin(self, name: str) -> _Refresh:
        self._sweep()
        refresh = _Refresh(os.urandom(16))
        with self._database.write() as connection:
            row = sets.read(connection, name)
            connection.execute("UPDATE hash_set SET staging_token = ? WHERE id = ?", (refresh.token, row.id))
        if row.staging_first_id is not None:
            merging.discard(self._database, row.id, row.hash_set.version + 1, row.staging_first_id)
        with self._database.write() as connection:
            self._owned(connection, name, refresh)
            connection.execute(
                "UPDATE hash_set SET staging_first_id = (SELECT next_entry_id FROM catalogue) WHERE id = ?", (row.id,)
            )
        self._under_way[name] = refresh
        return refresh

    def _owned(self, connection: Connection, name: str, refresh: _Refresh) -> sets.SetRow:
        try:
            row = sets.read(connection, name)
        except NoSuchSet:
            self._under_way.pop(name, None)
            raise
        if row.staging_token != refresh.token:
            self._under_way.pop(name, None)
            raise StoreError("another refresh of this hash set has taken over: let it finish, then try again")
        return row

    def _pack(self, connection: Connection, refresh: _Refresh, delta: Delta, fragments: bool) -> dict[int, list[bytes]]:
        parts: dict[int, list[bytes]] = {}
        types, labels = self._interned.types, LabelMemo(self._interned, connection)
        for key in delta.removed:
            hashed, record = pack_removal(key)
            parts.setdefault(part_of(hashed), []).append(record)
        for said in delta.added:
            entry = speakable(said)
            refresh.unsaid += entry is not said
            hashed, record = pack_entry(entry, labels(entry.classifications), types, fragment=fragments)
            parts.setdefault(part_of(hashed), []).append(record)
        return parts

    def staged(self, name: str) -> Staged:
        """What this object has staged for a set."""
        refresh = self._under_way.get(name)
        if refresh is None:
            return Staged(0, 0, None)
        return Staged(refresh.pages, refresh.operations, refresh.tally, refresh.unsaid)

    def prepare(self, name: str, *, complete: bool) -> Tally:
        """Write the difference between the staged pages and what is listed, invisible, in chunks; and count it.

        With `complete` the pages are the whole list: entries they lack are withdrawn.
        """
        refresh = self._under_way.get(name) or self._begin(name)
        if refresh.tally is None:
            with self._database.read() as connection:
                row = self._owned(connection, name, refresh)
            target = Target(row.id, row.hash_set.version + 1, complete)
            check = self._ownership_check(name, refresh)
            merger = Merger(self._database, target, self._interned.key_prefixes, self._union_labels, check)
            refresh.tally, refresh.complete = merger.run(row.hash_set.entries), complete
        elif refresh.complete != complete:
            raise UsageError("this refresh was prepared the other way: discard it and stage it again")
        return refresh.tally

    def _ownership_check(self, name: str, refresh: _Refresh) -> Callable[[], None]:
        return lambda: (self._owned(self._database.connection, name, refresh), None)[1]

    def _union_labels(self, left: int, right: int) -> int:
        return self._interned.union(self._database.connection, left, right)

    def activate(
        self, name: str, *, complete: bool, checkpoint: bytes | None, day: str, rollback_to: int | None = None
    ) -> Version:
        """Put what was staged in force: prepares it if that was not done, then one small transaction.

        A refresh that changes nothing keeps the version (and the catalogue), and only moves the checkpoint and the day
        of the last refresh. `day` is the UTC date, ISO 8601. `rollback_to` names the version whose entries these are.
        """
        tally = self.prepare(name, complete=complete)
        refresh = self._under_way[name]
        with self._database.write() as connection:
            row = self._owned(connection, name, refresh)
            number = row.hash_set.version + 1
            counts = (tally.added, tally.changed, tally.withdrawn)
            version = Version(number, day, *counts, complete, checkpoint, rollback_to)
            connection.execute(
                """UPDATE hash_set SET checkpoint = ?, refreshed = ?, staging_token = NULL, staging_first_id = NULL
                   WHERE id = ?""",
                (checkpoint, day, row.id),
            )
            if tally.anything:
                self._raise_version(connection, row, version)
        del self._under_way[name]
        return version if tally.anything else self._unchanged(row, checkpoint, day)

    def _raise_version(self, connection: Connection, row: sets.SetRow, version: Version) -> None:
        connection.execute(
            "INSERT INTO version (set_id, version, day, added, changed, withdrawn, complete, checkpoint, first_id,"
            " token, rollback_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.id, version.version, version.day, version.added, version.changed, version.withdrawn,
             version.complete, version.checkpoint, row.staging_first_id, os.urandom(16), version.rollback_to),
        )  # fmt: skip
        connection.execute(
            "UPDATE hash_set SET version = ?, entries = entries + ? WHERE id = ?",
            (version.version, version.added - version.withdrawn, row.id),
        )
        sets.bump_catalogue(connection)

    def _unchanged(self, row: sets.SetRow, checkpoint: bytes | None, day: str) -> Version:
        return Version(row.hash_set.version, day, 0, 0, 0, False, checkpoint)

    def discard(self, name: str) -> None:
        """Forget what was staged or prepared for a set, in chunks; what is in force stays."""
        self._under_way.pop(name, None)
        with self._database.read() as connection:
            row = sets.read(connection, name)
        if row.staging_token is None:
            return
        self._begin(name)
        with self._database.write() as connection:
            self._owned(connection, name, self._under_way.pop(name))
            connection.execute(
                "UPDATE hash_set SET staging_token = NULL, staging_first_id = NULL WHERE id = ?", (row.id,)
            )
