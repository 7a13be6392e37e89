"""The register: every decision, searchable, and fit to leave without anybody's identity.

Rules
- An entry says what was decided about which kind of match, at which level, why, and whether a person saw the picture:
  never who, about what, or under which id. Entries of one day leave in an order of their own words.
- It reads what is on record; retention takes names, tickets and links from there, and no entry.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from hashsets.sqlite import Database
from scanner.accountability.levels import Finding, Level, Reason


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision, or one complaint (`kind`: decided, appealed, told), without identities."""

    day: str
    kind: str
    level: str
    origin: str
    round: int
    contested: bool
    outcome: str | None
    reason: str | None
    viewed_by_person: bool
    hash_set: str | None
    listed_version: int | None
    classifications: str
    hash_type: str | None
    proximity: str | None
    media: str
    urgency: str
    complexity: str
    channel: str | None


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; None: whatever it is. Days are UTC, both included."""

    first_day: str | None = None
    last_day: str | None = None
    outcome: Finding | None = None
    level: Level | None = None
    reason: Reason | None = None
    hash_set: str | None = None
    contested: bool | None = None


COLUMNS: Final = tuple(field.name for field in fields(Entry))
_QUERY: Final = (
    "SELECT w.day, w.kind, w.level, f.origin, w.round, w.contested, w.outcome, w.reason, w.viewed, f.hash_set,"
    " f.listed_version, f.classifications, f.hash_type, f.proximity, f.media, f.urgency, f.complexity, w.channel,"
    " w.case_id FROM case_word w JOIN case_file f USING (case_id) WHERE w.kind IN ('decided', 'appealed', 'told')"
    " AND (:first_day IS NULL OR w.day >= :first_day) AND (:last_day IS NULL OR w.day <= :last_day)"
    " AND (:outcome IS NULL OR w.outcome = :outcome) AND (:level IS NULL OR w.level = :level)"
    " AND (:reason IS NULL OR w.reason = :reason) AND (:hash_set IS NULL OR f.hash_set = :hash_set)"
    " AND (:contested IS NULL OR w.contested = :contested)"
)


def search(db: Database, wanted: Search) -> list[tuple[str, Entry]]:
    """(case id, entry) of everything that was decided or complained of, by day; for the operator's own eyes."""
    rows = db.execute(f"{_QUERY} ORDER BY w.day, w.id", asdict(wanted)).fetchall()
    return [(row[-1], _entry(row[:-1])) for row in rows]


def entries(db: Database, wanted: Search) -> list[Entry]:
    """The same without what leads anywhere, in an order that tells nothing."""
    return sorted((entry for _, entry in search(db, wanted)), key=lambda entry: json.dumps(asdict(entry)))


def _entry(row: Sequence[Any]) -> Entry:
    said = dict(zip(COLUMNS, row, strict=True))
    marks = " ".join(f"{scheme}:{code}" for scheme, code in json.loads(said.pop("classifications") or "[]"))
    contested, viewed = bool(said.pop("contested")), bool(said.pop("viewed_by_person"))
    return Entry(**said, contested=contested, viewed_by_person=viewed, classifications=marks)


def as_csv(found: Sequence[Entry]) -> Iterator[str]:
    """Lines of a CSV file, the names of the columns first. A cell that a spreadsheet would compute is text."""
    for values in (COLUMNS, *(tuple(asdict(entry).values()) for entry in found)):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([_cell(value) for value in values])
        yield line.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
