"""From pending reports to delivered batches. One public method, one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hashsets.sqlite import Database
from scanner.counts import Count, CountRule, Span, identified
from scanner.errors import Trouble
from scanner.events import drawn_id
from scanner.ledger import counting, outbox
from scanner.ledger.outbox import Owed
from scanner.reports import Batch, RandomSource, Report, ReportBody, seal

# One POST of so many reports is some 2.5 MB: under every receiver's usual limit.
MAX_REPORTS_PER_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Listener:
    """A sink as sealing sees it: its name, the names of the sets it may hear of, and the constant source it is told.

    `counts` says how it is told in counts; None: it is told reports.
    """

    name: str
    hash_sets: frozenset[str]
    source: str
    counts: CountRule | None = None


class Sealing:
    """The outbox part of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def pending(self) -> list[ReportBody]:
        """What the next sealing would seal."""
        return [body for _, body in outbox.pending(self._db)]

    def sealed(self) -> list[tuple[Report, str]]:
        """Every sealed report and its day, ordered by random id."""
        return list(outbox.sealed_reports(self._db))

    def last_sealed_day(self) -> str | None:
        """The UTC day of the last sealing."""
        row = self._db.execute("SELECT max(day) FROM sealing").fetchone()
        return None if row[0] is None else str(row[0])

    def seal(self, rng: RandomSource, listeners: Iterable[Listener], day: str, before: str | None = None) -> int:
        """Give every pending report its id and owe each listener what it may hear. Returns how many were sealed.

        With `before` only reports of earlier days, and nothing is noted where there are none. Listeners that are told
        in counts are owed each period that is over.
        """
        told = list(listeners)
        rules = _rules(told)
        over = day if before is None else before
        if before is not None and not outbox.pending(self._db, before) and not counting.due(self._db, rules, over):
            return 0
        with self._db.write():
            rows = outbox.pending(self._db, before)
            bodies = [body for _, body in rows]
            sealed = seal(bodies, rng)
            if rows or before is None:
                outbox.store_sealed(self._db, [local_id for local_id, _ in rows], sealed, day)
            if rows:
                self._owe(sealed.batch(), [each for each in told if each.counts is None], day)
            counting.begin(self._db, rules, bodies, over)
            counting.note(self._db, bodies)
            counts = self._counts(rules, over, rng)
            if counts is not None:
                self._owe(counts, [each for each in told if each.counts is not None], day)
            return len(rows)

    def _counts(self, rules: Mapping[str, CountRule], before: str, rng: RandomSource) -> Batch | None:
        """Every period of a counted set that was over, as a batch of which each listener is owed its own part."""
        bodies = counting.tell(self._db, rules, before)
        return Batch(drawn_id(rng.randbytes(16)), identified(bodies, rng)) if bodies else None

    def _owe(self, batch: Batch, listeners: Sequence[Listener], day: str) -> None:
        for listener in listeners:
            heard = replace(batch, source=listener.source).for_sets(listener.hash_sets)
            for part in heard.parts(MAX_REPORTS_PER_BATCH) if heard is not None else ():
                outbox.add_batch(self._db, listener.name, part, day)

    def counts(self) -> list[tuple[str, Count]]:
        """Every count that a sink was ever owed, with the sink's name, oldest first."""
        return counting.said(self._db)

    def counting(self, listeners: Iterable[Listener]) -> dict[str, Span]:
        """What each set that listeners are told in counts is counted for at present."""
        return counting.coming(self._db, _rules(listeners))

    def owed(self) -> Sequence[Owed]:
        """Every batch still to be delivered, oldest first."""
        return outbox.owed(self._db)

    def delivered(self, owed: Owed, day: str) -> None:
        """The sink has taken the batch."""
        with self._db.write():
            outbox.mark_delivered(self._db, owed.sink, owed.batch.batch_id, day)

    def failed(self, owed: Owed, *, next_try_ns: int, refused: bool, why: str = Trouble.UNREACHABLE.value) -> None:
        """The sink did not take the batch: it stays owed."""
        with self._db.write():
            outbox.mark_failed(
                self._db, owed.sink, owed.batch.batch_id, next_try_ns=next_try_ns, refused=refused, why=why
            )

    def troubles(self) -> dict[str, tuple[int, str | None]]:
        """How many batches each sink is owed, and why it last took none."""
        return outbox.troubles(self._db)


def _rules(listeners: Iterable[Listener]) -> dict[str, CountRule]:
    """How each set is counted that a listener is told in counts; the configuration has one rule for each."""
    return {name: each.counts for each in listeners if each.counts is not None for name in sorted(each.hash_sets)}
