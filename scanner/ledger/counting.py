"""How many reports were sealed, and how far each set was told of in counts. Runs inside the caller's transaction.

Rules
- A set is counted once, for all sinks of form `counts` that name it: its periods follow one another, and what was told
  is never told again nor revised. What is sealed late counts in the next period.
- Which period is told is decided by what was sealed in the four weeks before it began: what is told has no say in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from hashsets.sqlite import Database
from scanner.counts import (
    COUNTS_TYPE,
    Cell,
    Count,
    CountBody,
    CountRule,
    Span,
    cell_json,
    parse_cell,
    parse_count,
    published,
)
from scanner.reports import ReportBody

LOOKED_BACK_DAYS: Final = 28
KEPT_DAYS: Final = 92
LONGEST_DAYS: Final = 31  # of a period


def note(db: Database, bodies: Sequence[ReportBody]) -> None:
    """Reports were sealed."""
    told = _told(db)
    cells = Counter((body.hash_set, max(body.day, told.get(body.hash_set, "")), _cell(body)) for body in bodies)
    db.connection.executemany(
        "INSERT INTO sealed_cell (hash_set, day, cell, reports) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET reports = reports + excluded.reports",
        [(hash_set, day, cell_json(cell), count) for (hash_set, day, cell), count in cells.items()],
    )


def begin(db: Database, hash_sets: Mapping[str, CountRule], bodies: Sequence[ReportBody], today: str) -> None:
    """From now on these sets are told in counts: one that was not yet, from the reports that are sealed now.

    One that was told further than a month ahead was told so under a clock that stood wrong: it goes on from today.
    """
    first = {name: min((body.day for body in bodies if body.hash_set == name), default=today) for name in hash_sets}
    ahead = (date.fromisoformat(today) + timedelta(days=LONGEST_DAYS)).isoformat()
    for name, until in _told(db).items():
        if until > ahead and name in first:
            db.execute(
                "DELETE FROM sealed_cell WHERE hash_set = ? AND day >= ? AND day < ?", (name, first[name], until)
            )
            db.execute("UPDATE counted SET until = ? WHERE hash_set = ?", (first[name], name))
    db.connection.executemany("INSERT OR IGNORE INTO counted (hash_set, until) VALUES (?, ?)", sorted(first.items()))


def due(db: Database, rules: Mapping[str, CountRule], before: str) -> bool:
    """Whether any set has a period that was over on the day `before`."""
    told = _told(db)
    return any(_span(db, name, rule, told[name], before) is not None for name, rule in rules.items() if name in told)


def coming(db: Database, rules: Mapping[str, CountRule]) -> dict[str, Span]:
    """What each set is counted for at present, as far as is known: told once its last day is over."""
    told = _told(db)
    return {name: _next(db, name, rules[name], told[name]) for name in sorted(rules.keys() & told.keys())}


def tell(db: Database, rules: Mapping[str, CountRule], before: str) -> list[CountBody]:
    """What is to be said of every period that was over on the day `before`; it will not be said again."""
    told = _told(db)
    bodies: list[CountBody] = []
    for name in sorted(rules.keys() & told.keys()):
        until = told[name]
        while (span := _span(db, name, rules[name], until, before)) is not None:
            bodies += published(name, span, _between(db, name, until, span))
            until = (span.last + timedelta(days=1)).isoformat()
        db.execute("UPDATE counted SET until = ? WHERE hash_set = ?", (until, name))
    _prune(db, before)
    return bodies


def said(db: Database) -> list[tuple[str, Count]]:
    """Every count in a sealed batch, with the name of the sink, oldest first."""
    rows = db.execute(
        "SELECT sink, payload FROM batch WHERE instr(payload, ?) ORDER BY sealed_day, rowid",
        (f'"type":"{COUNTS_TYPE}"'.encode(),),
    )
    return [(sink, parse_count(line)) for sink, payload in rows for line in payload.splitlines()]


def _told(db: Database) -> dict[str, str]:
    return dict(db.execute("SELECT hash_set, until FROM counted").fetchall())


def _span(db: Database, hash_set: str, rule: CountRule, since: str, before: str) -> Span | None:
    """The next period of a set, if it is over."""
    span = _next(db, hash_set, rule, since)
    return span if span.last.isoformat() < before else None


def _next(db: Database, hash_set: str, rule: CountRule, since: str) -> Span:
    first = date.fromisoformat(since)
    back = (first - timedelta(days=LOOKED_BACK_DAYS)).isoformat()
    (recent,) = db.execute(
        "SELECT coalesce(sum(reports), 0) FROM sealed_cell WHERE hash_set = ? AND day >= ? AND day < ?",
        (hash_set, back, since),
    ).fetchone()
    period = rule.period_from(first, recent / LOOKED_BACK_DAYS)
    return Span(period, first, period.end(first) - timedelta(days=1), rule.k)


def _between(db: Database, hash_set: str, since: str, span: Span) -> Counter[Cell]:
    rows = db.execute(
        "SELECT cell, sum(reports) FROM sealed_cell WHERE hash_set = ? AND day BETWEEN ? AND ? GROUP BY cell",
        (hash_set, since, span.last.isoformat()),
    )
    return Counter({parse_cell(cell): count for cell, count in rows})


def _prune(db: Database, before: str) -> None:
    """Forget days long past that were told, or that nobody was to be told of."""
    old = (date.fromisoformat(before) - timedelta(days=KEPT_DAYS)).isoformat()
    db.execute(
        "DELETE FROM sealed_cell WHERE day < ?1"
        " AND day < coalesce((SELECT until FROM counted WHERE counted.hash_set = sealed_cell.hash_set), ?1)",
        (old,),
    )


def _cell(body: ReportBody) -> Cell:
    return Cell(body.kind, body.listed_version, body.classifications, body.hash_type, body.media)
