"""The store: every public method is one transaction, or says that it works in chunks.

Usable from several threads and processes; a refresh belongs to the Store object that stages it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from hashsets.ciphers import Key
from hashsets.errors import NoSuchSet, UsageError
from hashsets.migrations import MIGRATIONS
from hashsets.sqlite import Connection, Database, foreign_errors
from hashsets.store import checks, differences, listing, merging, sets
from hashsets.store.differences import Difference
from hashsets.store.interning import Interned
from hashsets.store.listing import EntryDetails, SignalColumns
from hashsets.store.merging import Tally
from hashsets.store.refreshes import Refreshes, Staged
from hashsets.store.root_hash import root_hash
from hashsets.store.sets import Stamp
from hashsets.store.standings import Standings
from hashsets.store.votes import Votes
from hashsets.types import Bounds, Delta, Entry, HashSet, Mode, Role, Rule, Version

FILE_NAME = "hashsets.db"


class Store:
    """hashsets.db of one home."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._interned = Interned(database)
        self._refreshes = Refreshes(database, self._interned, self.sweep)
        self.standings = Standings(database)
        self.votes = Votes(database)

    @classmethod
    def open(cls, home: Path, *, sharing_safe: bool | None = None, key: Key | None = None) -> Store:
        """Open or create the store of a home, encrypted where there is a `key`. Raises StoreError, DriverRefused."""
        return cls(Database.open(Path(home) / FILE_NAME, MIGRATIONS, sharing_safe=sharing_safe, key=key))

    def close(self) -> None:
        """Close every connection; a refresh under way is left to be discarded."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        with foreign_errors():  # one statement sees one state by itself: this is asked at every upload
            return sets.catalogue(self._database.connection)

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

    def set_bounds(self, name: str, bounds: Bounds) -> HashSet:
        """Change what a version may bring without a person's word."""
        return self._update(name, "bounds", sets.bounds_json(bounds), revises_rule=False)

    def set_enabled(self, name: str, enabled: bool) -> HashSet:
        """Switch new matches of a set on or off; it withdraws nothing."""
        return self._update(name, "enabled", int(enabled), revises_rule=False)

    def _update(self, name: str, column: str, value: object, *, revises_rule: bool) -> HashSet:
        with self._database.write() as connection:
            sets.update(connection, name, column, value, revises_rule=revises_rule)
            return sets.read(connection, name).hash_set

    def remove(self, name: str) -> None:
        """Remove a set at once; its rows go after it, in chunks, and with the next refresh if this is interrupted."""
        with self._database.write() as connection:
            sets.remove(connection, name)
        self._refreshes.forget(name)
        self.sweep()

    def removed(self) -> list[bytes]:
        """The uids of every set with a version that was ever removed: their matches are to be withdrawn."""
        with self._database.read() as connection:
            return [uid for (uid,) in connection.execute("SELECT uid FROM removed_set WHERE listed")]

    def sweep(self) -> None:
        """Delete, in chunks, rows of sets that have been removed."""
        unswept = self._database.execute("SELECT set_id FROM removed_set WHERE unswept").fetchall()
        for (set_id,) in unswept:
            merging.discard(self._database, set_id, 0, 0)
            with self._database.write(durable=False) as connection:
                connection.execute("DELETE FROM change WHERE set_id = ?", (set_id,))
                connection.execute("UPDATE removed_set SET unswept = 0 WHERE set_id = ?", (set_id,))

    # -- what an index holds -----------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The home."""
        return self._database.path.parent

    def stamp(self, uid: bytes) -> Stamp:
        """What the set lists now, as an index on disk names it. Raises NoSuchSet."""
        with self._database.read() as connection:
            return sets.stamp(connection, sets.read_by_uid(connection, uid))

    def lists_fewer(self, uid: bytes, signals: int) -> bool:
        """Whether a set has fewer rows of signals, the withdrawn counted too. Counts no further."""
        with self._database.read() as connection:
            row = sets.read_by_uid(connection, uid)
            counted = "SELECT COUNT(*) FROM (SELECT 1 FROM signal WHERE set_id = ? LIMIT ?)"
            return int(connection.execute(counted, (row.id, signals)).fetchone()[0]) < signals

    def column_pages(self, stamp: Stamp) -> Iterator[dict[str, SignalColumns]]:
        """Every signal in force at a stamp, by entry, page by page; no transaction is held between pages.

        Raises NoSuchSet where the set is gone, and UsageError where rows of that version have been purged meanwhile.
        """
        after: listing.Position | None = listing.FIRST
        while after is not None:
            with self._database.read() as connection:
                row = sets.read_by_uid(connection, stamp.uid)
                if row.purged_version > stamp.version:
                    raise UsageError("rows of that version have been purged: read the present one")
                page, after = listing.column_page(connection, row.id, stamp.version, self._interned.type_names, after)
            yield page

    def root_hash(self, stamp: Stamp, salt: bytes) -> str:
        """One hash that stands for all that is listed at a stamp. Raises as `column_pages` does."""
        return root_hash(self.column_pages(stamp), salt)

    def changed_since(self, older: Stamp, newer: Stamp, most: int) -> tuple[set[int], dict[str, SignalColumns]]:
        """The entries whose signals differ between two stamps of a set, and all their signals in force at the newer.

        Raises UsageError where that cannot be told: the set is gone (NoSuchSet), a stamp is of another history, changes
        so far back were purged, or there are more than `most`.
        """
        with self._database.read() as connection:
            row = sets.read_by_uid(connection, newer.uid)
            for stamp in (older, newer):
                if sets.token(connection, row.id, stamp.version) != stamp.token or stamp.uid != newer.uid:
                    raise UsageError("the index is of another history of the set: build it again")
            if sets.changes_between(connection, row.id, older.version, newer.version) > most:
                raise UsageError("too much has changed since: build the index again")
            ids = self.changed_ids(newer.uid, older.version, newer.version)
            return ids, self.columns(newer.uid, newer.version, ids)

    # -- a refresh ---------------------------------------------------------------------------------------------------

    def stage(self, name: str, delta: Delta, *, fragments: bool = False) -> None:
        """Keep a page for the next version, invisible. See Refreshes.stage."""
        self._refreshes.stage(name, delta, fragments=fragments)

    def staged(self, name: str) -> Staged:
        """What this object has staged for a set."""
        return self._refreshes.staged(name)

    def prepare(self, name: str, *, complete: bool) -> Tally:
        """Write the difference to what is listed, invisible, and count it. See Refreshes.prepare."""
        return self._refreshes.prepare(name, complete=complete)

    def activate(
        self, name: str, *, complete: bool, checkpoint: bytes | None, day: str, rollback_to: int | None = None
    ) -> Version:
        """Put what was staged in force, in one small transaction. See Refreshes.activate."""
        return self._refreshes.activate(
            name, complete=complete, checkpoint=checkpoint, day=day, rollback_to=rollback_to
        )

    def discard_staged(self, name: str) -> None:
        """Forget what was staged or prepared for a set, in chunks; what is in force stays."""
        self._refreshes.discard(name)

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

    def oldest_kept(self, uid: bytes) -> int:
        """The earliest version whose entries can still be told. Raises NoSuchSet."""
        return max(self._row(uid).purged_version, 1)

    def lists_ref(self, uid: bytes, ref: str) -> bool:
        """Whether a set lists, or listed, an entry of that ref. Goes through all of them."""
        with self._database.read() as connection:
            return listing.has_ref(connection, sets.read_by_uid(connection, uid).id, ref)

    def differences(self, uid: bytes, from_version: int, to_version: int) -> Iterator[Difference]:
        """The entries that differ between two versions of a set, as they were and as they became.

        Raises UsageError where changes so far back were purged, NoSuchSet.
        """
        ids = sorted(self.changed_ids(uid, from_version, to_version, labels=True))
        return differences.between(self, uid, from_version, to_version, ids)

    def changed_ids(self, uid: bytes, from_version: int, to_version: int, *, labels: bool = False) -> set[int]:
        """Entries whose signals changed over (from, to], the wholly withdrawn and re-listed included.

        With `labels` also those whose classifications did.
        Raises UsageError when versions that far back were purged: only a full sweep tells then.
        """
        with self._database.read() as connection:
            row = sets.read_by_uid(connection, uid)
            if 0 < from_version < row.purged_version:
                raise UsageError("changes that far back have been purged: compare with the whole set")
            return listing.changed_ids(connection, row.id, from_version, to_version, labels=labels)

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
            return checks.problems(connection, row)
