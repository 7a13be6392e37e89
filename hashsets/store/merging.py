"""Turning staged pages into rows of the next version, invisible until activation; and undoing that.

Rules
- Works part by part in the order of key hashes, each group of parts in one transaction of its own: memory is bounded by
  a group, and index pages are written once each and in order (random order costs many times as much at 10 million).
- Rows in force are never changed except for their `withdrawn` mark of the coming version.
- Everything it writes can be found by the coming version alone, so that a crashed refresh can be discarded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hashsets.sqlite import Connection, Cursor, Database
from hashsets.store.fresh import FreshRows
from hashsets.store.pages import NOTHING_MORE, PARTS, Operation, PackedSignal, distinct, part_range, unpack

# Operations a transaction merges: about a second of work, and some 50 MB of objects.
GROUP_OPERATIONS = 50_000
# Parts whose listed entries are compared in one go when a complete list is merged.
GROUP_LISTED = 50_000
# Rows a discarding or sweeping transaction deletes.
CHUNK_ROWS = 50_000
# SQLite allows 32,766 parameters in one statement; a few hundred keep its parse cheap.
LOOKUP_KEYS = 400


@dataclass(frozen=True, slots=True)
class Target:
    """The set being merged into, and the version its rows will be in force from."""

    set_id: int
    version: int
    complete: bool


@dataclass(slots=True)
class Tally:
    """How many entries a merge adds, changes, withdraws and finds as they are."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0
    unchanged: int = 0

    @property
    def anything(self) -> bool:
        """Whether the coming version differs from the one in force."""
        return bool(self.added or self.changed or self.withdrawn)


@dataclass(slots=True)
class Listed:
    """An entry that has rows: its key as stored, its labels and its signals in force."""

    id: int
    key_hash: int
    key_stored: bool
    labels: int
    signals: dict[tuple[int, bytes], tuple[int | None, bool, int]] = field(default_factory=dict)
    """(type, value) -> (quality, frames, added)"""


@dataclass(slots=True)
class _Rows:
    """What one group writes, gathered for executemany.

    What is the same in every row is said in the SQL: a bound value costs a third of a microsecond, and the usual row,
    `plain` (entry id, type, value), then costs half.
    """

    target: Target
    entries: list[tuple[object, ...]] = field(default_factory=list)
    plain: list[tuple[object, ...]] = field(default_factory=list)
    signals: list[tuple[object, ...]] = field(default_factory=list)
    withdrawn: list[tuple[object, ...]] = field(default_factory=list)
    changes: list[tuple[object, ...]] = field(default_factory=list)
    relabelled: list[tuple[object, ...]] = field(default_factory=list)
    keys: list[tuple[object, ...]] = field(default_factory=list)

    def write(self, connection: Connection) -> None:
        """Write all of it."""
        run, set_id, version = connection.executemany, int(self.target.set_id), int(self.target.version)
        run(f"INSERT INTO entry VALUES (?, {set_id}, ?, {version}, ?, ?, ?)", self.entries)
        run(
            f"""UPDATE signal SET withdrawn = {version}
                WHERE set_id = {set_id} AND entry_id = ? AND type = ? AND value = ? AND added = ?""",
            self.withdrawn,
        )
        run(f"INSERT INTO signal VALUES ({set_id}, ?, ?, ?, {version}, NULL, 0, NULL, NULL, NULL)", self.plain)
        run(f"INSERT INTO signal VALUES ({set_id}, ?, ?, ?, {version}, NULL, ?, ?, ?, ?)", self.signals)
        run(f"INSERT INTO change VALUES ({set_id}, {version}, ?, ?)", self.changes)
        run(f"INSERT INTO relabelled VALUES (?, {version}, ?)", self.relabelled)
        run("UPDATE entry SET key = ? WHERE id = ?", self.keys)


class Merger:
    """Merges the staged pages of one set. `union_labels` numbers the union of two label numbers."""

    def __init__(
        self,
        database: Database,
        target: Target,
        type_names: dict[int, bytes],
        union_labels: Callable[[int, int], int],
        owned: Callable[[], None],
    ) -> None:
        self._database = database
        self._target = target
        self._type_names = type_names
        self._union_labels = union_labels
        self._owned = owned
        self.tally = Tally()

    def run(self, entries_in_force: int) -> Tally:
        """Merge every staged page; `entries_in_force` tells whether there can be anything to compare with."""
        has_rows = self._has_rows()
        for first, last, operations in self._groups(entries_in_force):
            with self._database.write(durable=False) as connection:
                self._owned()
                self._merge_group(connection, first, last, operations, has_rows=has_rows)
        return self.tally

    def _has_rows(self) -> bool:
        found = self._database.execute("SELECT 1 FROM entry WHERE set_id = ? LIMIT 1", (self._target.set_id,))
        return found.fetchone() is not None

    def _groups(self, entries_in_force: int) -> Iterator[tuple[int, int, int]]:
        """Consecutive parts (first, last, operations) small enough to merge at once; all parts when complete."""
        counted = self._database.execute(
            "SELECT part, SUM(operations) FROM staged WHERE set_id = ? GROUP BY part", (self._target.set_id,)
        )
        staged: dict[int, int] = dict(counted.fetchall())
        listed = entries_in_force / PARTS if self._target.complete else 0.0
        first, operations, load = 0, 0, 0.0
        for part in range(PARTS):
            operations += staged.get(part, 0)
            load += staged.get(part, 0) + listed
            if load >= GROUP_OPERATIONS or part == PARTS - 1:
                if operations or self._target.complete:
                    yield first, part, operations
                first, operations, load = part + 1, 0, 0.0

    def _merge_group(self, connection: Connection, first: int, last: int, operations: int, *, has_rows: bool) -> None:
        if self._merge_fresh(connection, first, last, has_rows=has_rows):
            self._forget_staged(connection, first, last)
            return
        wanted = self._collect(connection, first, last)
        listed = self._listed(connection, first, last, wanted, operations) if has_rows else {}
        rows = _Rows(self._target)
        fresh: list[tuple[bytes, Operation]] = []
        for key, operation in sorted(wanted.items(), key=lambda item: item[1].key_hash):
            known = listed.pop(key, None)
            if known is None:
                if operation.signals:
                    fresh.append((key, operation))
            else:
                self._relist(rows, known, key, operation)
        if self._target.complete:
            for known in listed.values():
                self._withdraw(rows, known)
        self._list_fresh(connection, rows, fresh)
        rows.write(connection)
        self._forget_staged(connection, first, last)

    def _forget_staged(self, connection: Connection, first: int, last: int) -> None:
        connection.execute(
            "DELETE FROM staged WHERE set_id = ? AND part BETWEEN ? AND ?", (self._target.set_id, first, last)
        )

    def _merge_fresh(self, connection: Connection, first: int, last: int, *, has_rows: bool) -> bool:
        """List a group in which nothing was ever listed from its arrays, where it lists bare values and no more."""
        if has_rows and self._listed_between(connection, *part_range(first, last)):
            return False
        fresh = FreshRows.of([body for (body,) in self._bodies(connection, first, last)])
        if fresh is not None:
            fresh.write(connection, self._target.set_id, self._target.version)
            self.tally.added += len(fresh)
        return fresh is not None

    def _bodies(self, connection: Connection, first: int, last: int) -> Cursor:
        """What was staged, in its order."""
        return connection.execute(
            "SELECT body FROM staged WHERE set_id = ? AND part BETWEEN ? AND ? ORDER BY id",
            (self._target.set_id, first, last),
        )

    # -- what the pages want -----------------------------------------------------------------------------------------

    def _collect(self, connection: Connection, first: int, last: int) -> dict[bytes, Operation]:
        """The last word on every key: a later operation replaces an earlier one, a fragment adds to it."""
        wanted: dict[bytes, Operation] = {}
        for (body,) in self._bodies(connection, first, last):
            for operation in unpack(body):
                key = self._key_of(operation)
                earlier = wanted.get(key)
                if earlier is not None and operation.fragment and earlier.signals:
                    operation = self._united(earlier, operation)
                wanted[key] = operation
        return wanted

    def _key_of(self, operation: Operation) -> bytes:
        if operation.key is not None:
            return operation.key
        type_id, value, *_ = operation.signals[0]
        return self._type_names[type_id] + value

    def _united(self, earlier: Operation, later: Operation) -> Operation:
        known = {signal[:2] for signal in earlier.signals}
        added = tuple(signal for signal in later.signals if signal[:2] not in known)
        labels = self._union_labels(earlier.labels, later.labels)
        key = earlier.key if earlier.key is not None else later.key
        ref = earlier.ref if earlier.ref is not None else later.ref
        frames = earlier.frames or later.frames
        return Operation(earlier.key_hash, key, earlier.signals + added, frames, ref, labels, fragment=True)

    # -- what is listed ----------------------------------------------------------------------------------------------

    def _listed(
        self, connection: Connection, first: int, last: int, wanted: dict[bytes, Operation], operations: int
    ) -> dict[bytes, Listed]:
        """The entries with rows among `wanted`, or all of the parts where the list is complete, by key."""
        least, greatest = part_range(first, last)
        if self._target.complete or operations > self._listed_between(connection, least, greatest) // 4:
            where, ranges = "e.key_hash BETWEEN ? AND ?", [(least, greatest)]
            return self._read_listed(connection, where, ranges)
        hashes = sorted({operation.key_hash for operation in wanted.values()})
        groups = [tuple(hashes[at : at + LOOKUP_KEYS]) for at in range(0, len(hashes), LOOKUP_KEYS)]
        listed: dict[bytes, Listed] = {}
        for group in groups:
            listed |= self._read_listed(connection, f"e.key_hash IN ({','.join('?' * len(group))})", [group])
        return listed

    def _listed_between(self, connection: Connection, least: int, greatest: int) -> int:
        """How many entries have rows between two key hashes, counted no further than tells a scan from look-ups."""
        counted = connection.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM entry WHERE set_id = ? AND key_hash BETWEEN ? AND ? LIMIT ?)",
            (self._target.set_id, least, greatest, 4 * GROUP_OPERATIONS),
        )
        return int(counted.fetchone()[0])

    def _read_listed(
        self, connection: Connection, where: str, ranges: Iterable[tuple[int, ...]]
    ) -> dict[bytes, Listed]:
        listed: dict[bytes, Listed] = {}
        for parameters in ranges:
            current: Listed | None = None
            for row in connection.execute(_LISTED.format(where=where), (self._target.set_id, *parameters)):
                id_, hashed, key, labels, type_id, value, added, withdrawn, frames, quality = row
                if current is None or current.id != id_:
                    current = Listed(id_, hashed, key is not None, labels)
                    listed[key if key is not None else self._type_names[type_id] + value] = current
                if withdrawn is None:
                    current.signals[type_id, value] = (quality, bool(frames), added)
        return listed

    # -- the difference ----------------------------------------------------------------------------------------------

    def _relist(self, rows: _Rows, known: Listed, key: bytes, operation: Operation) -> None:
        if not operation.signals:
            self._withdraw(rows, known)
            return
        was_in_force = bool(known.signals)
        differing = self._differ(rows, known, operation)
        relabelled = operation.labels != known.labels
        if relabelled:
            rows.relabelled.append((known.id, operation.labels))
        if not known.key_stored and (operation.key is not None or len(operation.signals) > 1):
            rows.keys.append((key, known.id))  # says what NULL said: needs no version
        if differing or relabelled:
            rows.changes.append((known.id, int(differing)))
        if not was_in_force:
            self.tally.added += 1
        elif differing or relabelled:
            self.tally.changed += 1
        else:
            self.tally.unchanged += 1

    def _differ(self, rows: _Rows, known: Listed, operation: Operation) -> bool:
        """Mark only the signals that differ; a new quality or shape makes a signal another one."""
        gone = dict(known.signals)
        differing = False
        for signal in distinct(operation.signals):
            type_id, value, quality, _, _ = signal
            there = gone.get((type_id, value))
            if there is not None and there[:2] == (quality, operation.frames):
                del gone[type_id, value]
                continue
            rows.signals.append(_signal_row(known.id, signal, operation.frames))
            differing = True
        for (type_id, value), (_, _, added) in gone.items():
            rows.withdrawn.append((known.id, type_id, value, added))
            differing = True
        return differing

    def _withdraw(self, rows: _Rows, known: Listed) -> None:
        if not known.signals:
            return
        for (type_id, value), (_, _, added) in known.signals.items():
            rows.withdrawn.append((known.id, type_id, value, added))
        rows.changes.append((known.id, 1))
        self.tally.withdrawn += 1

    def _list_fresh(self, connection: Connection, rows: _Rows, fresh: list[tuple[bytes, Operation]]) -> None:
        (first_id,) = connection.execute("SELECT next_entry_id FROM catalogue").fetchone()
        refs = os.urandom(16 * len(fresh))
        for number, (_, operation) in enumerate(fresh):
            id_ = first_id + number
            ref = refs[16 * number : 16 * number + 16] if operation.ref is None else operation.ref
            rows.entries.append((id_, operation.key_hash, operation.labels, ref, operation.key))
            for signal in distinct(operation.signals):
                if operation.frames or signal[2:] != NOTHING_MORE:
                    rows.signals.append(_signal_row(id_, signal, operation.frames))
                else:
                    rows.plain.append((id_, signal[0], signal[1]))
        connection.execute("UPDATE catalogue SET next_entry_id = ?", (first_id + len(fresh),))
        self.tally.added += len(fresh)


# CROSS JOIN and INDEXED BY: without statistics SQLite would start from all signals of the set. The labels in force are
# the last that replaced the first; rows of the coming version cannot exist yet.
_LISTED = """
SELECT e.id, e.key_hash, e.key,
       COALESCE((SELECT r.labels FROM relabelled r WHERE r.entry_id = e.id ORDER BY r.version DESC LIMIT 1), e.labels),
       s.type, s.value, s.added, s.withdrawn, s.frames, s.quality
FROM entry e INDEXED BY entry_by_key CROSS JOIN signal s ON s.set_id = e.set_id AND s.entry_id = e.id
WHERE e.set_id = ? AND {where}
ORDER BY e.set_id, e.key_hash, e.id
"""


def _signal_row(entry_id: int, signal: PackedSignal, frames: bool) -> tuple[object, ...]:
    type_id, value, quality, frame, frame_ms = signal
    return (entry_id, type_id, value, int(frames), quality, frame, frame_ms)


def discard(database: Database, set_id: int, version: int, first_id: int) -> None:
    """Undo whatever a refresh staged and merged for the coming `version`; chunk by chunk, safe to repeat."""
    _delete_in_chunks(
        database, "DELETE FROM staged WHERE id IN (SELECT id FROM staged WHERE set_id = ? LIMIT 64)", set_id
    )
    while True:
        with database.write(durable=False) as connection:
            found = connection.execute(
                "SELECT entry_id FROM change WHERE set_id = ? AND version = ? LIMIT ?", (set_id, version, CHUNK_ROWS)
            )
            ids = [id_ for (id_,) in found]
            _undo_changes(connection, set_id, version, ids)
        if not ids:
            break
    delete_entries(database, set_id, first_id)


def _undo_changes(connection: Connection, set_id: int, version: int, ids: list[int]) -> None:
    keys = [(set_id, id_, version) for id_ in ids]
    connection.executemany("DELETE FROM signal WHERE set_id = ? AND entry_id = ? AND added = ?", keys)
    connection.executemany(
        "UPDATE signal SET withdrawn = NULL WHERE set_id = ? AND entry_id = ? AND withdrawn = ?", keys
    )
    connection.executemany("DELETE FROM relabelled WHERE entry_id = ? AND version = ?", [(id_, version) for id_ in ids])
    delete_empty_entries(connection, set_id, ids)  # a purge may have taken the older rows meanwhile
    connection.executemany(
        "DELETE FROM change WHERE set_id = ? AND version = ? AND entry_id = ?", [(set_id, version, id_) for id_ in ids]
    )


def delete_empty_entries(connection: Connection, set_id: int, ids: Iterable[int]) -> None:
    """Delete those of the entries that have no signal row left."""
    connection.executemany(
        "DELETE FROM entry WHERE id = ? AND NOT EXISTS (SELECT 1 FROM signal WHERE set_id = ? AND entry_id = ?)",
        [(id_, set_id, id_) for id_ in ids],
    )


def delete_entries(database: Database, set_id: int, first_id: int) -> None:
    """Delete the entries of a set from `first_id` on, with all their rows, chunk by chunk."""
    while True:
        with database.write(durable=False) as connection:
            found = connection.execute(
                "SELECT id FROM entry WHERE +set_id = ? AND id >= ? ORDER BY id LIMIT ?", (set_id, first_id, CHUNK_ROWS)
            )
            ids = [id_ for (id_,) in found]
            if not ids:
                return
            connection.executemany("DELETE FROM relabelled WHERE entry_id = ?", [(id_,) for id_ in ids])
            connection.execute(
                "DELETE FROM signal WHERE set_id = ? AND entry_id BETWEEN ? AND ?", (set_id, ids[0], ids[-1])
            )
            connection.execute("DELETE FROM entry WHERE +set_id = ? AND id BETWEEN ? AND ?", (set_id, ids[0], ids[-1]))
        first_id = ids[-1] + 1


def _delete_in_chunks(database: Database, sql: str, set_id: int) -> None:
    while True:
        with database.write(durable=False) as connection:
            if connection.execute(sql, (set_id,)).rowcount == 0:
                return
