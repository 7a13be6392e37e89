"""The inventory: the signals of all contents as mapped columns, so that a re-scan reads arrays instead of rows.

A segment holds, for a stretch of content numbers, one file per hash type and edit undone ("pdq", "pdq+trimmed"):
values, whose they are, quality, whether they are frames, and where there are such, which member of a container they are
of; ordered by content number. Segments lie beside the database and can be rebuilt from it at any time.

Rules
- The table `inventory` in ledger.db says which segments count, each by a random stamp that its files carry: a file of
  another ledger, of a restored copy, or torn, is refused and its stretch is read from the database instead.
- A segment never changes. A content looked at again after it was put into one is listed in `relooked`: its rows there
  are passed over and its present signals come from the database.
- Contents newer than the last segment come from the database; `keep_up` makes a segment of them once they are many. So
  segments at least grow by an eighth, and there are few.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.errors import SegmentRefused
from hashsets.matching import container
from hashsets.sqlite import Database
from hashsets.types import Queries
from scanner.ledger import contents
from scanner.ledger.claims import CONTENT_MASK, MEMBER_SHIFT
from scanner.ledger.packing import QueryBuilder

KIND = "inventory 2"
LOCK_NAME = "writer.lock"
LEAST_TAIL = 20_000  # contents left in the database: some 0.2 s to read, so not worth a file
TAIL_SHARE = 8
SEGMENT_BYTES = 128 * 2**20  # of packed signals that become one segment: what building one holds in memory
STRETCH_ROWS = 500_000  # of one hash type, compared at once from mapped columns: some 50 MB of working memory
DATABASE_BYTES = 4 * 2**20  # signals read at once from the database


@dataclass(frozen=True, slots=True)
class Stretch:
    """The signals of all contents seq_lo..seq_hi that are held, ready to be compared. `contents` counts them."""

    seq_hi: int
    queries: list[Queries]
    contents: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """One row of the table."""

    seq_lo: int
    seq_hi: int
    stamp: bytes
    contents: int


class Inventory:
    """The mapped columns of one ledger. Readers in any process, one writer at a time."""

    def __init__(self, db: Database, folder: Path, *, least_tail: int = LEAST_TAIL) -> None:
        self._db = db
        self._folder = folder
        self._least_tail = least_tail
        self._open: dict[tuple[bytes, str], container.Contents | None] = {}

    # -- reading -----------------------------------------------------------------------------------------------------

    def stretch(self, seq_lo: int, seq_hi: int, hash_types: Collection[str]) -> Stretch:
        """The signals of `hash_types` from content seq_lo on, as far towards seq_hi as is good to compare at once."""
        with self._db.read():
            segment = self._segment_at(seq_lo)
            columns = None if segment is None else self._columns(segment, hash_types)
            if segment is None or columns is None:
                end = seq_hi if segment is None else min(seq_hi, segment.seq_hi)
                return self._from_database(seq_lo, min(end, self._next_segment(seq_lo) - 1))
            end = min([seq_hi, segment.seq_hi, *(_reach(mapped, seq_lo) for mapped in columns.values())])
            return self._from_columns(segment, seq_lo, end, columns)

    def _segment_at(self, seq: int) -> _Segment | None:
        row = self._db.execute(
            "SELECT seq_lo, seq_hi, stamp, contents FROM inventory WHERE seq_lo <= ?1 AND seq_hi >= ?1", (seq,)
        ).fetchone()
        return None if row is None else _Segment(*row)

    def _next_segment(self, seq: int) -> int:
        row = self._db.execute("SELECT min(seq_lo) FROM inventory WHERE seq_lo > ?", (seq,)).fetchone()
        return int(row[0]) if row[0] is not None else 2**62

    def _columns(self, segment: _Segment, hash_types: Collection[str]) -> dict[str, container.Contents] | None:
        """The mapped columns of the types that the segment has; None where one that it should have is refused."""
        found = {}
        for (name,) in self._db.execute("SELECT hash_type FROM inventory_column WHERE stamp = ?", (segment.stamp,)):
            if _key(name)[0] in hash_types:
                opened = self._opened(segment.stamp, name)
                if opened is None:
                    return None
                found[name] = opened
        return found

    def _opened(self, stamp: bytes, name: str) -> container.Contents | None:
        if (stamp, name) not in self._open:
            try:
                opened = container.read(self._path(stamp, name), KIND, hashtypes.get(_key(name)[0]), stamp)
            except SegmentRefused:
                opened = None
            self._open[stamp, name] = opened
        return self._open[stamp, name]

    def _path(self, stamp: bytes, name: str) -> Path:
        return self._folder / f"inventory-{stamp.hex()}.{name}"

    def _from_columns(
        self, segment: _Segment, seq_lo: int, seq_hi: int, columns: dict[str, container.Contents]
    ) -> Stretch:
        relooked = [
            seq for (seq,) in self._db.execute("SELECT seq FROM relooked WHERE seq BETWEEN ? AND ?", (seq_lo, seq_hi))
        ]
        queries = [_slice(name, mapped, seq_lo, seq_hi, relooked) for name, mapped in columns.items()]
        builder, again = QueryBuilder(), 0
        for seq in relooked:
            for content in contents.stored(self._db, seq, seq, DATABASE_BYTES):
                builder.add(seq, content.digests, content.blob)
                again += 1
        held = self._held(segment, seq_lo, seq_hi, relooked)
        return Stretch(seq_hi, [*queries, *builder.queries()], again + held)

    def _held(self, segment: _Segment, seq_lo: int, seq_hi: int, without: Collection[int]) -> int:
        """How many contents a segment has of seq_lo..seq_hi, without some.

        Every content has a sha256, so its column tells: to count a million rows took longer than to compare them.
        """
        mapped = self._opened(segment.stamp, "sha256")
        if mapped is None:
            sql = "SELECT count(*) FROM content WHERE seq BETWEEN ?1 AND ?2 AND seq NOT IN (SELECT seq FROM relooked)"
            return int(self._db.execute(sql, (seq_lo, seq_hi)).fetchone()[0])
        first, last = np.searchsorted(mapped.arrays["seqs"], [seq_lo, seq_hi + 1])
        held = mapped.arrays["seqs"][first:last]
        if "members" in mapped.arrays:  # have a sha256 too, and are no contents
            held = held[mapped.arrays["members"][first:last] == 0]
        return len(held) - len(np.intersect1d(held, list(without))) if without else len(held)

    def _from_database(self, seq_lo: int, seq_hi: int) -> Stretch:
        builder = QueryBuilder()
        last, held, size = seq_lo - 1, 0, 0
        for content in contents.stored(self._db, seq_lo, seq_hi, DATABASE_BYTES):
            builder.add(content.seq, content.digests, content.blob)
            last, held, size = content.seq, held + 1, size + contents.weight(content)
        # One that ended early stops at its last content; else the stretch reaches over numbers no longer held.
        return Stretch(last if size > DATABASE_BYTES else seq_hi, builder.queries(), held)

    # -- writing -----------------------------------------------------------------------------------------------------

    def keep_up(self) -> int:
        """Put contents that have come since the last segment into new ones, once they are many; how many were.

        Segments that cannot be opened are made anew. Where another process is at it already, nothing is done.
        """
        done = 0
        with self._only_writer() as alone:
            if alone:
                if not self._all_open():
                    self._forget()
                while pending := self._due():
                    done += self._add_segment(*pending)
        return done

    @contextlib.contextmanager
    def _only_writer(self) -> Iterator[bool]:
        """Whether this process alone may write and remove files here, for as long as the block runs."""
        descriptor = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    def _all_open(self) -> bool:
        rows = self._db.execute("SELECT stamp, hash_type FROM inventory_column").fetchall()
        return all(self._opened(stamp, name) is not None for stamp, name in rows)

    def drop_uncounted(self) -> None:
        """Remove the files of segments that count no more, unless another process is at it: it does so itself."""
        with self._only_writer() as alone:
            if alone:
                self._tidy()
        self._let_go()

    def _let_go(self) -> None:
        """Map nothing that counts no more: a removed file keeps its place on the disk until nobody has it open."""
        counted = {bytes(stamp) for (stamp,) in self._db.execute("SELECT stamp FROM inventory")}
        for key in [key for key in self._open if key[0] not in counted]:
            del self._open[key]

    def _due(self) -> tuple[int, int] | None:
        return self._gap() or self._tail()

    def _gap(self) -> tuple[int, int] | None:
        """The first stretch between segments, where retention took one, that has contents enough for a new one."""
        with self._db.read():
            after = 1
            rows = self._db.execute("SELECT seq_lo, seq_hi FROM inventory ORDER BY seq_lo").fetchall()
            for seq_lo, seq_hi in rows:
                left = "SELECT count(*) FROM (SELECT 1 FROM content WHERE seq BETWEEN ? AND ? LIMIT ?)"
                if seq_lo > after:
                    (held,) = self._db.execute(left, (after, seq_lo - 1, self._least_tail)).fetchone()
                    if held >= self._least_tail:
                        return after, seq_lo - 1
                after = seq_hi + 1
            return None

    def _tail(self) -> tuple[int, int] | None:
        with self._db.read():
            end, held = self._db.execute("SELECT coalesce(max(seq_hi), 0), total(contents) FROM inventory").fetchone()
            top = contents.top_seq(self._db)
            if top - end < max(self._least_tail, held // TAIL_SHARE):
                return None
            return end + 1, top

    def _add_segment(self, seq_lo: int, seq_hi: int) -> int:
        """Write the files outside the lock, then let them count in one transaction, if nobody was faster."""
        stamp = secrets.token_bytes(16)
        with self._db.read():
            built = _Builder()
            for content in contents.stored(self._db, seq_lo, seq_hi, SEGMENT_BYTES):
                built.add(content)
            if built.bytes > SEGMENT_BYTES:
                seq_hi = built.last
            newest = self._newest_look()
        names = built.write(lambda name: self._path(stamp, name), stamp)
        with self._db.write():
            taken = self._segment_at(seq_lo) is not None or self._newest_look() != newest
            if not taken:
                self._db.execute(
                    "INSERT INTO inventory (seq_lo, seq_hi, stamp, contents) VALUES (?, ?, ?, ?)",
                    (seq_lo, seq_hi, stamp, built.contents),
                )
                self._db.execute("DELETE FROM relooked WHERE seq BETWEEN ? AND ?", (seq_lo, seq_hi))
                self._db.connection.executemany(
                    "INSERT INTO inventory_column (stamp, hash_type) VALUES (?, ?)", [(stamp, name) for name in names]
                )
        self._tidy()
        return 0 if taken else built.contents

    def _newest_look(self) -> int:
        """Rises whenever a known content gets other signals: what was read before may then be old."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'relooked'").fetchone()
        return 0 if row is None else int(row[0])

    def _tidy(self) -> None:
        """Remove files that no row names: a kill before its transaction left them, or a restored ledger."""
        rows = self._db.execute("SELECT stamp, hash_type FROM inventory_column")
        counted = {self._path(stamp, name).name for stamp, name in rows}
        for path in self._folder.glob("inventory-*"):
            if path.name not in counted:
                path.unlink(missing_ok=True)
        container.discard_partials(self._folder)

    def _forget(self) -> None:
        """Let no segment count any more; the database has it all."""
        with self._db.write():
            for table in ("inventory", "inventory_column", "relooked"):
                self._db.execute(f"DELETE FROM {table}")
        self._open.clear()
        self._tidy()


def _reach(mapped: container.Contents, seq_lo: int) -> int:
    """The last content whose rows end within `STRETCH_ROWS` from seq_lo on; at least seq_lo."""
    seqs = mapped.arrays["seqs"]
    past = int(np.searchsorted(seqs, seq_lo)) + STRETCH_ROWS
    return 2**62 if past >= len(seqs) else max(seq_lo, int(seqs[past]) - 1)


def _key(name: str) -> tuple[str, str]:
    """The hash type and the edit of a column of that name."""
    hash_type, _, edit = name.partition("+")
    return hash_type, edit


def _slice(name: str, mapped: container.Contents, seq_lo: int, seq_hi: int, without: Collection[int]) -> Queries:
    """The rows of contents seq_lo..seq_hi, without some."""
    seqs = mapped.arrays["seqs"]
    first, last = np.searchsorted(seqs, [seq_lo, seq_hi + 1])
    hash_type, edit = _key(name)
    width = hashtypes.get(hash_type).size_bytes
    values = mapped.arrays["values"].reshape(-1, width)[first:last]
    owners = whose = seqs[first:last]
    if "members" in mapped.arrays:
        owners = owners | (mapped.arrays["members"][first:last].astype(np.int64) << MEMBER_SHIFT)
    quality = mapped.arrays["quality"][first:last]
    readings = mapped.arrays["readings"][first:last]
    if without:
        keep = ~np.isin(whose, np.fromiter(without, np.int64))
        values, owners, quality, readings = values[keep], owners[keep], quality[keep], readings[keep]
    return Queries(hash_type, values, owners, quality, readings, edit)


class _Builder:
    """Collects a segment's columns."""

    def __init__(self) -> None:
        self.contents = 0
        self.bytes = 0
        self.last = 0
        self._parts: dict[str, list[Queries]] = {}
        self._pending = QueryBuilder()

    def add(self, content: contents.StoredSignals) -> None:
        """Add the next content, in order of seq."""
        for name in ("md5", "sha1", "sha256"):
            self._pending.add_value(content.seq, name, getattr(content, name))
        self._pending.add(content.seq, (), content.blob)
        self.contents += 1
        self.bytes += contents.weight(content)
        self.last = content.seq
        if self._pending.rows > 200_000:
            self._take()

    def _take(self) -> None:
        for queries in self._pending.queries():
            name = f"{queries.hash_type}+{queries.edit}" if queries.edit else queries.hash_type
            self._parts.setdefault(name, []).append(queries)
        self._pending = QueryBuilder()

    def write(self, path_of: Callable[[str], Path], stamp: bytes) -> list[str]:
        """Write one file per hash type; the types."""
        self._take()
        for name, parts in self._parts.items():
            owners = np.concatenate([p.owners for p in parts])
            arrays: dict[str, NDArray[np.generic]] = {
                "values": np.concatenate([p.values for p in parts]).reshape(-1),
                "seqs": owners & CONTENT_MASK,
                "quality": np.concatenate([p.quality for p in parts]),
                "readings": np.concatenate([p.readings for p in parts]),
            }
            if (owners > CONTENT_MASK).any():
                arrays["members"] = (owners >> MEMBER_SHIFT).astype(np.uint32)
            rows = len(owners)
            hash_type = hashtypes.get(_key(name)[0])
            container.write(path_of(name), container.Contents(KIND, hash_type, stamp, {"rows": rows}, arrays))
        return list(self._parts)
