"""The store: every public method is one transaction, or says that it works in chunks.

Usable from several threads and processes. A refresh belongs to the Store object that stages it; another one that stages
the same set takes over, and the first is told so at its next step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from hashsets import hashtypes
from hashsets.errors import NoSuchSet, StoreError, UsageError
from hashsets.migrations import MIGRATIONS
from hashsets.sqlite import Connection, Database
from hashsets.store import listing, merging, sets
from hashsets.store.listing import EntryDetails, SignalColumns
from hashsets.store.merging import Merger, Tally, Target
from hashsets.store.pages import TypeId, pack_entry, pack_removal, part_of
from hashsets.types import Delta, Entry, HashSet, Mode, Role, Rule, Version

FILE_NAME = "hashsets.db"


@dataclass(slots=True)
class _Refresh:
    """A refresh under way in this object."""

    token: bytes
    complete: bool | None = None
    tally: Tally | None = None
    pages: int = 0
    operations: int = 0


@dataclass(frozen=True, slots=True)
class Staged:
    """What a refresh has staged so far; `tally` once it is prepared."""

    pages: int
    operations: int
    tally: Tally | None


@dataclass(frozen=True, slots=True)
class _Interned:
    """Numbers the file gives to type names and label sets."""

    types: dict[str, TypeId]
    type_names: dict[int, str]
    labels: dict[str, int] = field(default_factory=lambda: {"[]": 0})


class Store:
    """hashsets.db of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._refreshes: dict[str, _Refresh] = {}
        self._interned = self._intern_types()

    @classmethod
    def open(cls, home: Path, *, sharing_safe: bool | None = None) -> Store:
        """Open or create the store of a home. Raises StoreError, DriverRefused."""
        return cls(Database.open(Path(home) / FILE_NAME, MIGRATIONS, sharing_safe=sharing_safe))

    def close(self) -> None:
        """Close every connection; a refresh under way is left to be discarded."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _intern_types(self) -> _Interned:
        select = "SELECT name, id FROM hash_type"
        known = dict(self._database.execute(select).fetchall())
        if set(hashtypes.names()) - set(known):
            with self._database.write() as connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO hash_type (name) VALUES (?)", [(name,) for name in hashtypes.names()]
                )
            known = dict(self._database.execute(select).fetchall())
        types = {name: TypeId(number, hashtypes.get(name).size_bytes) for name, number in known.items()}
        return _Interned(types, {number: name for name, number in known.items()})

    # -- sets --------------------------------------------------------------------------------------------------------

    def read(self) -> AbstractContextManager[Connection]:
        """A read transaction that the reading methods called inside it on this thread join: one state for all."""
        return self._database.read()

    def create(
        self,
        name: str,
        *,
        source: str = "file",
        role: Role = Role.ALERT,
        mode: Mode = Mode.ACTIVE,
        rule: Rule | None = None,
    ) -> HashSet:
        """Create an empty set at version 0. Raises SetExists, UsageError."""
        with self._database.write() as connection:
            sets.create(connection, name, source, role, mode, rule or Rule())
            return sets.read(connection, name).hash_set

    def hash_sets(self) -> list[HashSet]:
        """Every set, by name."""
        with self._database.read() as connection:
            return [row.hash_set for row in sets.read_all(connection)]

    def hash_set(self, name: str) -> HashSet:
        """The set of that name. Raises NoSuchSet."""
        with self._database.read() as connection:
            return sets.read(connection, name).hash_set

    def hash_set_by_uid(self, uid: bytes) -> HashSet:
        """The set of that uid. Raises NoSuchSet."""
        with self._database.read() as connection:
            return sets.read_by_uid(connection, uid).hash_set

    def catalogue(self) -> int:
        """+1 at any activation, change of rule, role, mode or switch, creation and removal, in any set."""
        with self._database.read() as connection:
            return sets.catalogue(connection)

    def data_version(self) -> int:
        """Changes whenever another connection has committed anything: the cheap question before `catalogue`."""
        return self._database.data_version()

    def set_rule(self, name: str, rule: Rule) -> HashSet:
        """Change how a set is compared: a new rule revision."""
        return self._update(name, "rule", sets.rule_json(rule), revises_rule=True)

    def set_role(self, name: str, role: Role) -> HashSet:
        """Change what a match means: a new rule revision."""
        return self._update(name, "role", role.value, revises_rule=True)

    def set_mode(self, name: str, mode: Mode) -> HashSet:
        """Change whether matches may be reported."""
        return self._update(name, "mode", mode.value, revises_rule=False)

    def set_enabled(self, name: str, enabled: bool) -> HashSet:
        """Switch new matches of a set on or off; it withdraws nothing."""
        return self._update(name, "enabled", int(enabled), revises_rule=False)

    def _update(self, name: str, column: str, value: object, *, revises_rule: bool) -> HashSet:
        with self._database.write() as connection:
            sets.update(connection, name, column, value, revises_rule=revises_rule)
            return sets.read(connection, name).hash_set

    def remove(self, name: str) -> None:
        """Remove a set at once; its rows go after it, in chunks, and at the next open if this is interrupted."""
        with self._database.write() as connection:
            sets.remove(connection, name)
        self._refreshes.pop(name, None)
        self.sweep()

    def removed(self) -> list[bytes]:
        """The uids of every set ever removed from this file: their matches are to be withdrawn."""
        with self._database.read() as connection:
            return [uid for (uid,) in connection.execute("SELECT uid FROM removed_set")]

    def sweep(self) -> None:
        """Delete, in chunks, rows of sets that have been removed."""
        orphans = self._database.execute(
            """SELECT set_id FROM (SELECT DISTINCT set_id FROM entry UNION SELECT DISTINCT set_id FROM staged)
               WHERE set_id NOT IN (SELECT id FROM hash_set)"""
        ).fetchall()
        for (set_id,) in orphans:
            merging.discard(self._database, set_id, 0, 0)
            with self._database.write(durable=False) as connection:
                connection.execute("DELETE FROM change WHERE set_id = ?", (set_id,))

    # -- a refresh ---------------------------------------------------------------------------------------------------

    def stage(self, name: str, delta: Delta, *, fragments: bool = False) -> None:
        """Keep a page for the next version, invisible. Removals of a page come before its additions.

        A later page has the last word on a key; with `fragments` an addition adds to what the same refresh listed under
        its key. The first page discards, in chunks, what a crashed or abandoned refresh left. Raises ListError for an
        entry that cannot be compared, StoreError when another refresh of the set has taken over.
        """
        refresh = self._refreshes.get(name) or self._begin(name)
        if refresh.tally is not None:
            raise UsageError("this refresh is prepared already: activate or discard it first")
        with self._database.write(durable=False) as connection:
            row = self._owned(connection, name, refresh)
            parts = self._pack(connection, delta, fragments)
            connection.executemany(
                "INSERT INTO staged (set_id, part, operations, body) VALUES (?, ?, ?, ?)",
                [(row.id, part, len(records), b"".join(records)) for part, records in sorted(parts.items())],
            )
        refresh.pages += 1
        refresh.operations += len(delta.added) + len(delta.removed)

    def _begin(self, name: str) -> _Refresh:
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
        self._refreshes[name] = refresh
        return refresh

    def _owned(self, connection: Connection, name: str, refresh: _Refresh) -> sets.SetRow:
        try:
            row = sets.read(connection, name)
        except NoSuchSet:
            self._refreshes.pop(name, None)
            raise
        if row.staging_token != refresh.token:
            self._refreshes.pop(name, None)
            raise StoreError("another refresh of this hash set has taken over: let it finish, then try again")
        return row

    def _pack(self, connection: Connection, delta: Delta, fragments: bool) -> dict[int, list[bytes]]:
        parts: dict[int, list[bytes]] = {}
        types = self._interned.types
        for key in delta.removed:
            hashed, record = pack_removal(key)
            parts.setdefault(part_of(hashed), []).append(record)
        for entry in delta.added:
            labels = self._label(connection, listing.labels_json(entry.classifications)) if entry.classifications else 0
            hashed, record = pack_entry(entry, labels, types, fragment=fragments)
            parts.setdefault(part_of(hashed), []).append(record)
        return parts

    def _label(self, connection: Connection, text: str) -> int:
        """The number of a label set, given at first sight. Remembered only once committed: a rollback forgets it."""
        known = self._interned.labels.get(text)
        if known is not None:
            return known
        connection.execute("INSERT OR IGNORE INTO labels (json) VALUES (?)", (text,))
        return int(connection.execute("SELECT id FROM labels WHERE json = ?", (text,)).fetchone()[0])

    def staged(self, name: str) -> Staged:
        """What this object has staged for a set."""
        refresh = self._refreshes.get(name)
        if refresh is None:
            return Staged(0, 0, None)
        return Staged(refresh.pages, refresh.operations, refresh.tally)

    def prepare(self, name: str, *, complete: bool) -> Tally:
        """Write the difference between the staged pages and what is listed, invisible, in chunks; and count it.

        With `complete` the pages are the whole list: entries they lack are withdrawn.
        """
        refresh = self._refreshes.get(name) or self._begin(name)
        if refresh.tally is None:
            with self._database.read() as connection:
                row = self._owned(connection, name, refresh)
            target = Target(row.id, row.hash_set.version + 1, complete)
            type_names = {
                number: known.encode("ascii") + b"\x00" for number, known in self._interned.type_names.items()
            }
            check = self._ownership_check(name, refresh)
            merger = Merger(self._database, target, type_names, self._union_labels, check)
            refresh.tally, refresh.complete = merger.run(row.hash_set.entries), complete
        elif refresh.complete != complete:
            raise UsageError("this refresh was prepared the other way: discard it and stage it again")
        return refresh.tally

    def _ownership_check(self, name: str, refresh: _Refresh) -> Callable[[], None]:
        return lambda: (self._owned(self._database.connection, name, refresh), None)[1]

    def _union_labels(self, left: int, right: int) -> int:
        if left == right:
            return left
        connection = self._database.connection
        texts = connection.execute("SELECT json FROM labels WHERE id IN (?, ?)", (left, right)).fetchall()
        marks = [mark for (text,) in texts for mark in listing.classifications(text)]
        return self._label(connection, listing.labels_json(marks))

    def activate(self, name: str, *, complete: bool, checkpoint: bytes | None, day: str) -> Version:
        """Put what was staged in force: prepares it if that was not done, then one small transaction.

        A refresh that changes nothing keeps the version (and the catalogue), and only moves the checkpoint and the day
        of the last refresh. `day` is the UTC date, ISO 8601.
        """
        tally = self.prepare(name, complete=complete)
        refresh = self._refreshes[name]
        with self._database.write() as connection:
            row = self._owned(connection, name, refresh)
            number = row.hash_set.version + 1
            version = Version(number, day, tally.added, tally.changed, tally.withdrawn, complete, checkpoint)
            connection.execute(
                """UPDATE hash_set SET checkpoint = ?, refreshed = ?, staging_token = NULL, staging_first_id = NULL
                   WHERE id = ?""",
                (checkpoint, day, row.id),
            )
            if tally.anything:
                self._raise_version(connection, row, version)
        del self._refreshes[name]
        return version if tally.anything else self._unchanged(row, checkpoint, day)

    def _raise_version(self, connection: Connection, row: sets.SetRow, version: Version) -> None:
        connection.execute(
            "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.id, version.version, version.day, version.added, version.changed, version.withdrawn,
             version.complete, version.checkpoint, row.staging_first_id),
        )  # fmt: skip
        connection.execute(
            "UPDATE hash_set SET version = ?, entries = entries + ? WHERE id = ?",
            (version.version, version.added - version.withdrawn, row.id),
        )
        sets.bump_catalogue(connection)

    def _unchanged(self, row: sets.SetRow, checkpoint: bytes | None, day: str) -> Version:
        return Version(row.hash_set.version, day, 0, 0, 0, False, checkpoint)

    def discard_staged(self, name: str) -> None:
        """Forget what was staged or prepared for a set, in chunks; what is in force stays."""
        self._refreshes.pop(name, None)
        with self._database.read() as connection:
            row = sets.read(connection, name)
        if row.staging_token is None:
            return
        self._begin(name)
        with self._database.write() as connection:
            self._owned(connection, name, self._refreshes.pop(name))
            connection.execute(
                "UPDATE hash_set SET staging_token = NULL, staging_first_id = NULL WHERE id = ?", (row.id,)
            )

    # -- what is listed ----------------------------------------------------------------------------------------------

    def history(self, name: str) -> list[Version]:
        """The committed deltas of a set, oldest first."""
        with self._database.read() as connection:
            return sets.history(connection, sets.read(connection, name).id)

    def checkpoint(self, name: str) -> bytes | None:
        """Where the set's source said it was at the last refresh that ended well; opaque to us."""
        with self._database.read() as connection:
            return sets.read(connection, name).checkpoint

    def refreshed_day(self, name: str) -> str | None:
        """The UTC day of the last refresh that ended well, with or without a change."""
        with self._database.read() as connection:
            return sets.read(connection, name).refreshed_day

    def entries(self, uid: bytes, version: int | None = None) -> Iterator[Entry]:
        """Entries in force at a version (by default the current one), in the order of first listing.

        Reads page by page and holds no transaction between pages. Raises NoSuchSet.
        """
        row = self._row(uid)
        at = row.hash_set.version if version is None else version
        after = 0
        while True:
            with self._database.read() as connection:
                page = listing.entries(connection, row.id, at, after, self._interned.type_names)
            if not page:
                return
            after = page[-1][0]
            yield from (entry for _, entry in page if entry.signals)

    def columns(
        self, uid: bytes, version: int | None = None, ids: Collection[int] | None = None
    ) -> dict[str, SignalColumns]:
        """Signals in force at a version as arrays, by hash type; with `ids` only of those entries."""
        with self._database.read() as connection:
            row = sets.read_by_uid(connection, uid)
            at = row.hash_set.version if version is None else version
            return listing.columns(connection, row.id, at, self._interned.type_names, ids)

    def details(self, uid: bytes, version: int, ids: Collection[int]) -> dict[int, EntryDetails]:
        """Details of a set's entries by id, as of a version. Entries purged, or removed with their set, are absent."""
        with self._database.read() as connection:
            try:
                row = sets.read_by_uid(connection, uid)
            except NoSuchSet:
                return {}
            return listing.details(connection, row.id, version, self._interned.type_names, ids)

    def changed_ids(self, uid: bytes, from_version: int, to_version: int) -> set[int]:
        """Entries whose signals changed over (from, to], the wholly withdrawn and re-listed included.

        Raises UsageError when versions that far back were purged: only a full sweep tells then.
        """
        with self._database.read() as connection:
            row = sets.read_by_uid(connection, uid)
            if 0 < from_version < row.purged_version:
                raise UsageError("changes that far back have been purged: compare with the whole set")
            return listing.changed_ids(connection, row.id, from_version, to_version)

    def changed_keys(self, uid: bytes, from_version: int, to_version: int) -> Iterator[bytes]:
        """The entry keys of `changed_ids`."""
        ids = self.changed_ids(uid, from_version, to_version)
        return (found.key for found in self.details(uid, to_version, ids).values())

    def _row(self, uid: bytes) -> sets.SetRow:
        with self._database.read() as connection:
            return sets.read_by_uid(connection, uid)

    def purge_withdrawn(self, uid: bytes, before_version: int) -> int:
        """Delete signals withdrawn at or before a version, and entries left without any; returns how many signals.

        For a version that every coverage of the set has passed. Changes up to it can no longer be asked for.
        """
        with self._database.write() as connection:
            row = sets.read_by_uid(connection, uid)
            before = min(before_version, row.hash_set.version)
            connection.execute(
                "UPDATE hash_set SET purged_version = MAX(purged_version, ?) WHERE id = ?", (before, row.id)
            )
            connection.execute("DELETE FROM change WHERE set_id = ? AND version <= ?", (row.id, before))
        purged = 0
        while count := self._purge_chunk(row.id, before):
            purged += count
        return purged

    def _purge_chunk(self, set_id: int, before: int) -> int:
        with self._database.write(durable=False) as connection:
            keys = connection.execute(
                """SELECT set_id, entry_id, type, value, added FROM signal
                   WHERE set_id = ? AND withdrawn <= ? LIMIT ?""",
                (set_id, before, merging.CHUNK_ROWS),
            ).fetchall()
            connection.executemany(
                "DELETE FROM signal WHERE set_id = ? AND entry_id = ? AND type = ? AND value = ? AND added = ?", keys
            )
            merging.delete_empty_entries(connection, set_id, {key[1] for key in keys})
            return len(keys)

    def verify(self, name: str) -> list[str]:
        """What is wrong with a set's rows, in words; empty when nothing is."""
        with self._database.read() as connection:
            row = sets.read(connection, name)
            return _problems(connection, row)


_CHECKS = (
    ("SELECT COUNT(*) FROM entry e WHERE e.set_id = :id AND NOT EXISTS"
     " (SELECT 1 FROM signal s WHERE s.set_id = e.set_id AND s.entry_id = e.id)", "entries have no signal"),
    ("SELECT COUNT(*) FROM signal s WHERE s.set_id = :id AND NOT EXISTS"
     " (SELECT 1 FROM entry e WHERE e.id = s.entry_id AND e.set_id = :id)", "signals have no entry"),
    ("SELECT COUNT(*) FROM signal WHERE set_id = :id AND withdrawn <= added", "signals end before they begin"),
    ("SELECT COUNT(*) FROM signal WHERE set_id = :id AND (added > :next OR withdrawn > :next)",
     "signals belong to a version that does not exist"),
    ("SELECT COUNT(*) FROM signal a JOIN signal b USING (set_id, entry_id, type, value)"
     " WHERE a.set_id = :id AND a.added < b.added AND (a.withdrawn IS NULL OR a.withdrawn > b.added)",
     "signals are listed twice at once"),
)  # fmt: skip


def _problems(connection: Connection, row: sets.SetRow) -> list[str]:
    problems = [
        "the database file is damaged" for (answer,) in connection.execute("PRAGMA quick_check(1)") if answer != "ok"
    ]
    staging = row.staging_token is not None
    parameters = {"id": row.id, "next": row.hash_set.version + staging, "version": row.hash_set.version}
    for sql, words in _CHECKS:
        (count,) = connection.execute(sql, parameters).fetchone()
        if count:
            problems.append(f"{count} {words}")
    (in_force,) = connection.execute(
        """SELECT COUNT(DISTINCT entry_id) FROM signal
           WHERE set_id = :id AND added <= :version AND (withdrawn IS NULL OR withdrawn > :version)""",
        parameters,
    ).fetchone()
    if in_force != row.hash_set.entries:
        problems.append(f"{in_force} entries are in force where {row.hash_set.entries} were counted")
    return problems
