"""Reading what is listed: entries, signal columns for matchers, details of single entries, and what changed.

SELECTs only. A version at or below the set's own sees the same rows for as long as they are not purged.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.sqlite import Connection, Cursor
from hashsets.types import Classification, Entry, Rule, Shape, Signal

# Rows fetched at a time: bounds the Python objects alive at once to a few MB.
FETCH_ROWS = 50_000
# Signals an index being built reads in one transaction: a quarter of a second.
PAGE_SIGNALS = 200_000
# Entries an iteration reads in one transaction, so that no reader keeps the -wal from being cut.
PAGE_ENTRIES = 5_000
LOOKUP_IDS = 400

_IN_FORCE = "s.added <= :version AND (s.withdrawn IS NULL OR s.withdrawn > :version)"
_COLUMNS = f"""SELECT s.entry_id, s.value, s.type | (s.frames << 8) | (COALESCE(s.quality, 100) << 9)
               FROM signal s WHERE s.set_id = :set_id AND {_IN_FORCE}"""
_LABELS = """COALESCE((SELECT r.labels FROM relabelled r WHERE r.entry_id = e.id AND r.version <= :version
                       ORDER BY r.version DESC LIMIT 1), e.labels)"""

# Rows that were purged no longer tell: what they would have told lies before every version that is asked about.
_CHANGED = """MAX(e.first_version, COALESCE((
              SELECT MAX(CASE WHEN s.withdrawn <= :version THEN s.withdrawn ELSE s.added END)
              FROM signal s WHERE s.set_id = e.set_id AND s.entry_id = e.id AND s.added <= :version), 0))"""
_RELABELLED = "COALESCE((SELECT MAX(r.version) FROM relabelled r WHERE r.entry_id = e.id AND r.version <= :version), 0)"

_ANY_SIGNAL = "FROM signal s WHERE s.set_id = e.set_id AND s.entry_id = e.id LIMIT 1"


#: Entry id, type number and value of the signal read last.
Position = tuple[int, int, bytes]
FIRST: Position = (0, 0, b"")


@dataclass(frozen=True, slots=True)
class SignalColumns:
    """Signals of one hash type in force in one set, one row each, in no promised order.

    `values` (n, size) uint8; `entry_ids` (n,) int64; `frames` (n,) bool: the entry's shape is frames; `quality` (n,)
    uint8, 100 where the list gives none.
    """

    values: NDArray[np.uint8]
    entry_ids: NDArray[np.int64]
    frames: NDArray[np.bool_]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.entry_ids)


@dataclass(frozen=True, slots=True)
class EntryDetails:
    """What a hit needs to know of an entry beyond its row."""

    key: bytes
    ref: str
    classifications: tuple[Classification, ...]
    first_version: int
    changed_version: int  # that last changed its signals
    relabelled_version: int  # that last changed its classifications; 0: none did

    def changed_under(self, rule: Rule) -> int:
        """The version that last changed anything on which a match under a rule depends."""
        return max(self.changed_version, self.relabelled_version) if rule.codes else self.changed_version


def columns(
    connection: Connection, set_id: int, version: int, types: Mapping[int, str], ids: Collection[int] | None = None
) -> dict[str, SignalColumns]:
    """The signals in force at `version`, by hash type; with `ids` only those of these entries."""
    gathered = _Gathered(types)
    for cursor in _signal_cursors(connection, set_id, version, ids):
        while rows := cursor.fetchmany(FETCH_ROWS):
            gathered.add(rows)
    return gathered.columns()


def _signal_cursors(connection: Connection, set_id: int, version: int, ids: Collection[int] | None) -> Iterator[Cursor]:
    select = _COLUMNS
    parameters = {"set_id": set_id, "version": version}
    if ids is None:
        yield connection.execute(select, parameters)
        return
    for group in _groups(sorted(ids)):
        yield connection.execute(f"{select} AND s.entry_id IN ({_numbers(group)})", parameters)


def column_page(
    connection: Connection, set_id: int, version: int, types: Mapping[int, str], after: Position
) -> tuple[dict[str, SignalColumns], Position | None]:
    """The next signals in force at `version` by entry, type and value, and where they end; None after the last."""
    cursor = connection.execute(
        f"""{_COLUMNS} AND (s.entry_id, s.type, s.value) > (:entry, :type, :value)
            ORDER BY s.entry_id, s.type, s.value LIMIT {PAGE_SIGNALS}""",
        {"set_id": set_id, "version": version, "entry": after[0], "type": after[1], "value": after[2]},
    )
    gathered, last, count = _Gathered(types), after, 0
    while rows := cursor.fetchmany(FETCH_ROWS):
        gathered.add(rows)
        count += len(rows)
        last = (rows[-1][0], rows[-1][2] & 0xFF, rows[-1][1])
    return gathered.columns(), last if count == PAGE_SIGNALS else None


class _Gathered:
    """Rows of mixed types, split into columns a fetch at a time: no Python object outlives its fetch."""

    def __init__(self, types: Mapping[int, str]) -> None:
        self._types = types
        self._sizes = np.zeros(256, np.int64)
        for number, name in types.items():
            self._sizes[number] = hashtypes.get(name).size_bytes
        self._parts: dict[int, list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]] = {}

    def add(self, rows: Sequence[tuple[int, bytes, int]]) -> None:
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        packed = np.fromiter((row[2] for row in rows), np.int64, len(rows))
        payload = np.frombuffer(b"".join([row[1] for row in rows]), np.uint8)
        numbers = packed & 0xFF
        ends = np.cumsum(self._sizes[numbers])
        for number in np.unique(numbers).tolist():
            chosen = np.flatnonzero(numbers == number)
            size = int(self._sizes[number])
            starts = ends[chosen] - size
            values = payload[starts[:, None] + np.arange(size)]
            self._parts.setdefault(number, []).append((values, ids[chosen], packed[chosen] >> 8))

    def columns(self) -> dict[str, SignalColumns]:
        result: dict[str, SignalColumns] = {}
        for number in sorted(self._parts):
            parts = self._parts.pop(number)
            rest = np.concatenate([part[2] for part in parts])
            result[self._types[number]] = SignalColumns(
                np.concatenate([part[0] for part in parts]),
                np.concatenate([part[1] for part in parts]),
                (rest & 1).astype(np.bool_),
                (rest >> 1).astype(np.uint8),
            )
        return result


def details(
    connection: Connection, set_id: int, version: int, types: Mapping[int, str], ids: Collection[int]
) -> dict[int, EntryDetails]:
    """Details of a set's entries by id, as of `version`; ids whose rows are gone are absent."""
    found: dict[int, EntryDetails] = {}
    for group in _groups(sorted(ids)):
        rows = connection.execute(
            f"""SELECT e.id, e.key, e.ref, e.first_version, l.json, {_CHANGED}, {_RELABELLED},
                       CASE WHEN e.key IS NULL THEN (SELECT s.type {_ANY_SIGNAL}) END,
                       CASE WHEN e.key IS NULL THEN (SELECT s.value {_ANY_SIGNAL}) END
                FROM entry e JOIN labels l ON l.id = {_LABELS}
                WHERE +e.set_id = :set_id AND e.id IN ({_numbers(group)})""",
            {"set_id": set_id, "version": version},
        )
        for id_, key, ref, first_version, labels, changed, relabelled, type_number, value in rows:
            whole_key = key if key is not None else types[type_number].encode("ascii") + b"\x00" + value
            marks = classifications(labels)
            found[id_] = EntryDetails(whole_key, ref_text(ref), marks, first_version, changed, relabelled)
    return found


def entries(
    connection: Connection, set_id: int, version: int, after_id: int, types: Mapping[int, str]
) -> list[tuple[int, Entry]]:
    """The next entries in force at `version` with ids above `after_id`, with their ids; empty at the end."""
    rows = connection.execute(
        f"""SELECT e.id, e.key, e.ref, l.json, s.type, s.value, s.frames, s.quality, s.frame, s.frame_ms
            FROM (SELECT * FROM entry NOT INDEXED
                  WHERE set_id = :set_id AND id > :after ORDER BY id LIMIT {PAGE_ENTRIES}) e
            JOIN labels l ON l.id = {_LABELS}
            LEFT JOIN signal s ON s.set_id = e.set_id AND s.entry_id = e.id AND {_IN_FORCE}
            ORDER BY e.id""",
        {"set_id": set_id, "version": version, "after": after_id},
    ).fetchall()
    grouped: dict[int, list[tuple[object, ...]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return [(id_, _entry(group, types)) for id_, group in grouped.items()]


def _entry(rows: Sequence[tuple[object, ...]], types: Mapping[int, str]) -> Entry:
    """One entry of its rows; without signals when none is in force."""
    _, key, ref, labels, *_ = rows[0]
    signals = tuple(
        Signal(types[number], value, quality=quality, frame=frame, frame_ms=frame_ms)  # type: ignore[index,arg-type]
        for (_, _, _, _, number, value, _, quality, frame, frame_ms) in rows
        if number is not None
    )
    shape = Shape.FRAMES if rows[0][6] else Shape.ITEM
    if key is None and signals:
        key = signals[0].hash_type.encode("ascii") + b"\x00" + signals[0].value
    assert isinstance(labels, str)
    return Entry(key or b"", signals, shape, ref_text(ref), classifications(labels))  # type: ignore[arg-type]


def changed_ids(
    connection: Connection, set_id: int, from_version: int, to_version: int, *, labels: bool = False
) -> set[int]:
    """Entries whose signals (with `labels`, or classifications) differ, or differed in between, over (from, to]."""
    parameters = (set_id, from_version, to_version)
    listed = connection.execute(
        """SELECT id FROM entry NOT INDEXED WHERE set_id = ? AND first_version > ? AND first_version <= ?
           AND id >= (SELECT MIN(first_id) FROM version WHERE set_id = ? AND version > ?)""",
        (*parameters, set_id, from_version),
    )
    ids = {id_ for (id_,) in listed}
    touched = connection.execute(
        "SELECT entry_id FROM change WHERE set_id = ? AND version > ? AND version <= ? AND (signals_changed OR ?)",
        (*parameters, labels),
    )
    ids.update(id_ for (id_,) in touched)
    return ids


def has_ref(connection: Connection, set_id: int, ref: str) -> bool:
    """Whether an entry has that ref, in force or not."""
    raw = bytes.fromhex(ref) if len(ref) == 32 and set(ref) <= set("0123456789abcdef") else ref
    found = connection.execute("SELECT 1 FROM entry WHERE set_id = ? AND ref IN (?, ?) LIMIT 1", (set_id, raw, ref))
    return found.fetchone() is not None


def ref_text(ref: bytes | str | object) -> str:
    """The ref as reports carry it: the source's own, or 32 hex digits."""
    return ref.hex() if isinstance(ref, bytes) else str(ref)


@lru_cache(maxsize=4096)  # a list has few distinct combinations, and many entries
def classifications(labels: str) -> tuple[Classification, ...]:
    """The classifications a labels row holds."""
    return tuple(Classification(scheme, code) for scheme, code in json.loads(labels))


def labels_json(marks: Collection[Classification]) -> str:
    """The labels row of these classifications: sorted, each once."""
    return json.dumps(sorted({(mark.scheme, mark.code) for mark in marks}), ensure_ascii=True, separators=(",", ":"))


def _groups(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(ids), LOOKUP_IDS):
        yield ids[at : at + LOOKUP_IDS]


def _numbers(ids: Sequence[int]) -> str:
    return ",".join(str(int(id_)) for id_ in ids)
