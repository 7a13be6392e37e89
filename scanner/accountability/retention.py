"""Retention: what is past its date is erased, what is held stays, and both are told. Knows the policy, speaks no SQL
but its own counters'.

    re-scan -> mark the day -> end holds that are over -> erase class by class -> tell the audit log -> wipe traces

Rules
- Everything is compared with every set first: what matches nothing then is erased as that.
- Each step is a transaction of its own with its counts, so that a kill anywhere leaves nothing half-erased, and the
  next run goes on. Lines for the audit log and traces still to be wiped are on record until they are done.
- SQLite zeroes what is deleted, yet copies of rows that it once moved lie in unused parts of pages (measured: 3 in
  10,000 digests), so the file is rewritten after an erasure; one that is too large for that waits for a word.
- Segments, -wal and spool lose what was erased in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hashsets.sqlite import Database
from scanner.accountability import erasing
from scanner.accountability.audit import Event, due
from scanner.accountability.erasing import Kept, Taken
from scanner.accountability.holds import Holds
from scanner.accountability.levels import days_after
from scanner.accountability.requests import Requests
from scanner.clock import Clock, utc_day
from scanner.ledger import ages
from scanner.ledger.inventory import Inventory
from scanner.retain_config import RetainConfig

if TYPE_CHECKING:
    from scanner.api import Scanner

AT_ONCE: Final = 100  # contents a transaction, some 10 ms
# The driver's VACUUM works in memory, and no upload is recorded meanwhile: some 3 s for this much.
COMPACT_BYTES: Final = 512 * 2**20

Step = Callable[[int], tuple[Taken, int]]


@dataclass(slots=True)
class Retained:
    """What a run did: what it erased and kept by class, holds that ended, conflicts, and whether traces are left."""

    erased: dict[str, Taken] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    holds_ended: int = 0
    conflicts: list[str] = field(default_factory=list)
    traces: bool = False
    wal_in_use: bool = False

    def total(self) -> Taken:
        """All that was erased."""
        return sum(self.erased.values(), Taken())


class Retention:
    """The policy of one home, carried out. `requests` erases the requests of authorities decided before a day."""

    def __init__(
        self,
        db: Database,
        inventory: Inventory,
        clock: Clock,
        policy: RetainConfig,
        *,
        rescan: Callable[[], object] = lambda: None,
        spool: Path | None = None,
        requests: Callable[[str], int] = lambda _before: 0,
        compact_bytes: int = COMPACT_BYTES,
    ) -> None:
        self._db = db
        self._inventory = inventory
        self._clock = clock
        self._policy = policy
        self._rescan = rescan
        self._spool = spool
        self._requests = requests
        self._compact_bytes = compact_bytes

    @classmethod
    def of(cls, scanner: Scanner) -> Retention:
        """The policy of an open home."""
        return cls(
            scanner.ledger.db, scanner.ledger.inventory, scanner.clock, scanner.config.retain,
            rescan=scanner.rescan, spool=scanner.home.spool,
            requests=Requests(scanner.ledger.db, scanner.clock, scanner.config.requests).erase,
        )  # fmt: skip

    def run(self, checkpoint: Callable[[], None] = lambda: None, *, compact: bool = False) -> Retained:
        """Erase what is past its date. With `compact` traces are wiped however large the file is."""
        done = Retained(conflicts=self.conflicts())
        self._rescan()
        with self._db.write():
            ages.correct(self._db, self._today)
            erasing.notice_gone(self._db, self._today)
        done.holds_ended = Holds(self._db, self._clock).end_those_over()
        for name, days in self._policy.classes().items():
            if days is not None:
                done.erased[name] = self._erase(name, days_after(self._today, 1 - days), checkpoint)
                done.kept[name] = self._kept(name, days_after(self._today, 1 - days))
        self._tell()
        self._inventory.drop_uncounted()
        self._wipe(done, compact=compact)
        return done

    def conflicts(self) -> list[str]:
        """What the policy and the holds have against the rules that are named: told, never decided here."""
        found = list(self._policy.conflicts())
        if "eu" in self._policy.rules:
            found += [
                f"eu: {hold.id} holds until {hold.until}, past the 12 months that end on {hold.ceiling}: it holds until"
                " somebody releases it (`hashward hold release`)"
                for hold in Holds(self._db, self._clock).listed()
                if hold.over_ceiling
            ]
        return found

    @property
    def _today(self) -> str:
        return utc_day(self._clock)

    def _erase(self, name: str, before: str, checkpoint: Callable[[], None]) -> Taken:
        """Erase what of a class is of a day before one."""
        total = Taken()
        for step in self._steps(name, before):
            above = 0
            while True:
                checkpoint()
                # What a power cut brings back is past its date all the same. The register of requests writes durably.
                with self._db.write(durable=name == "requests"):
                    taken, above = step(above)
                    self._count(name, taken)
                self._unspool(taken.spooled)
                if not taken.rows:
                    break
                total += taken
        return total

    def _unspool(self, names: Sequence[str]) -> None:
        """Remove files of the spool that are on record no more; `serve` and `watch` sweep what a kill leaves here."""
        if self._spool is not None:
            for name in names:
                (self._spool / name).unlink(missing_ok=True)

    def _steps(self, name: str, before: str) -> Iterator[Step]:
        """What to repeat until it erases nothing more, each time above what the last time ended with."""
        db = self._db
        if name == "unmatched":
            past = [stretch for stretch in ages.stretches(db) if stretch.day < before]
            yield from (self._contents(partial(erasing.unmatched, db, stretch)) for stretch in past)
        elif name == "matched":
            yield self._contents(partial(erasing.matched, db, before))
            yield _once(lambda: erasing.refusals(db, before))
        elif name == "gone":
            yield self._places(partial(erasing.gone, db, before))
        elif name == "reports":
            yield _once(lambda: erasing.reports(db, before))
        elif name == "cases":
            yield _once(lambda: erasing.cases(db, before))
        elif name == "requests":
            yield _once(lambda: Taken(rows=self._requests(before)))

    def _contents(self, find: Callable[[int, int], Sequence[int]]) -> Step:
        def step(above: int) -> tuple[Taken, int]:
            seqs = find(above, AT_ONCE)
            return (erasing.contents(self._db, seqs), seqs[-1]) if seqs else (Taken(), above)

        return step

    def _places(self, find: Callable[[int, int], Sequence[int]]) -> Step:
        def step(above: int) -> tuple[Taken, int]:
            ids = find(above, AT_ONCE)
            if not ids:
                return Taken(), above
            erasing.places(self._db, ids)
            return Taken(places=len(ids), rows=len(ids)), ids[-1]

        return step

    def _kept(self, name: str, before: str) -> Kept:
        with self._db.read():
            if name == "matched":
                return erasing.matched_kept(self._db, before)
            if name != "unmatched":
                return Kept()
            past = [erasing.unmatched_kept(self._db, each) for each in ages.stretches(self._db) if each.day < before]
        return Kept(sum(each.held for each in past), sum(each.waiting for each in past))

    def _count(self, name: str, taken: Taken) -> None:
        if taken.rows:
            self._db.execute(
                "INSERT INTO erasure (day, class, contents, places, rows) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET contents = contents + excluded.contents, places = places + excluded.places,"
                " rows = rows + excluded.rows, untold = 1, traces = 1",
                (self._today, name, taken.contents, taken.places, taken.rows),
            )

    def _tell(self) -> None:
        """Owe the audit log a line for each class of which something was erased: counts, and nothing else."""
        if self._db.execute("SELECT 1 FROM erasure WHERE untold LIMIT 1").fetchone() is None:
            return
        with self._db.write():
            rows = self._db.execute(
                "SELECT day, class, contents, places, rows FROM erasure WHERE untold ORDER BY day, class"
            ).fetchall()
            for day, name, contents, places, erased in rows:
                said = {"day": day, "class": name, "contents": contents, "places": places, "rows": erased}
                due(self._db, Event.ERASED, said, at_ns=self._clock.now_ns())
            self._db.execute("UPDATE erasure SET untold = 0 WHERE untold")

    def _wipe(self, done: Retained, *, compact: bool) -> None:
        """Leave no trace of what was erased in the file, nor in its -wal."""
        if self._db.execute("SELECT 1 FROM erasure WHERE traces LIMIT 1").fetchone() is not None:
            if compact or self._db.path.stat().st_size <= self._compact_bytes:
                self._db.compact()
                with self._db.write():
                    self._db.execute("UPDATE erasure SET traces = 0 WHERE traces")
            else:
                done.traces = True
        done.wal_in_use = not self._db.checkpoint()


def _once(erase: Callable[[], Taken]) -> Step:
    return lambda above: (erase(), above)


@dataclass(frozen=True, slots=True)
class Standing:
    """What retention has erased so far, for `status`: contents that a later list is not compared with any more."""

    unmatched: int
    matched: int
    last_day: str | None
    traces: bool


def standing(db: Database) -> Standing:
    """What was erased so far."""
    row = db.execute(
        "SELECT coalesce(sum(contents) FILTER (WHERE class = 'unmatched'), 0), coalesce(sum(contents) FILTER"
        " (WHERE class = 'matched'), 0), max(day) FILTER (WHERE contents), coalesce(max(traces), 0) FROM erasure"
    ).fetchone()
    return Standing(row[0], row[1], row[2], bool(row[3]))
