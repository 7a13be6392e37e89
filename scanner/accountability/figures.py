"""The numbers that are published: one named query each over the ledger's counters and registers. Reads only.

Rules
- What a query counts follows from events of the period and before its end alone: asked later, it gives the same again.
- Nothing here is suppressed, and nothing is shown: `transparency` makes the report, `suppression` withholds.
- Counting rules stand with the queries; a report carries both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any, Final

from hashsets.sqlite import Database
from scanner.accountability.countries import is_country, region_of
from scanner.accountability.periods import Period

NO_REGION: Final = "not stated"


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its name, what it counts, and the text. Parameters: `first` and `last`, UTC days, both included."""

    name: str
    counts: str
    sql: str


_FIRST_FLAGS: Final = """
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY content_seq ORDER BY day, proximity, hash_type, id) AS place
    FROM flag WHERE day BETWEEN :first AND :last
), item AS (SELECT * FROM ranked WHERE place = 1),
looked AS (
    SELECT content_seq, outcome FROM (
        SELECT f.content_seq, r.outcome, row_number() OVER (PARTITION BY f.content_seq ORDER BY r.id DESC) AS place
        FROM flag f JOIN flag_review r ON r.flag_id = f.id
        WHERE f.day BETWEEN :first AND :last AND r.day <= :last
    ) WHERE place = 1
)"""

VOLUME: Final = Query(
    "volume",
    "Items: a file or upload counts when it first holds a content. Contents: those nobody had met. By region and"
    " media.",
    "SELECT region, media, sum(items), sum(contents), sum(bytes) FROM volume WHERE day BETWEEN :first AND :last"
    " GROUP BY region, media",
)
NOT_LOOKED: Final = Query(
    "not_looked",
    "Items that could not be looked at whole when they came, by reason; none of them counts as clear.",
    "SELECT reason, sum(items) FROM volume WHERE day BETWEEN :first AND :last AND reason != '' GROUP BY reason",
)
ACCURACY: Final = Query(
    "accuracy",
    "A1: contents that a list flagged in the period, once each, under the hash type that flagged it first (exact before"
    " near on one day). C1: those of them that people reviewed and decided, on account of that, by its end. B1: those"
    " of C1 of which the last finding is not confirmed.",
    _FIRST_FLAGS
    + """
SELECT item.hash_type, item.media, count(*), count(looked.outcome),
    count(*) FILTER (WHERE looked.outcome = 'not_confirmed'), count(*) FILTER (WHERE looked.outcome = 'undecided')
FROM item LEFT JOIN looked USING (content_seq) GROUP BY item.hash_type, item.media""",
)
IDENTIFIED: Final = Query(
    "identified",
    "Contents flagged in the period (A1), by the region where they were first met and by media.",
    _FIRST_FLAGS + "\nSELECT region, media, count(*) FROM item GROUP BY region, media",
)
BY_LIST: Final = Query(
    "by_list",
    "Contents flagged in the period, by list. A content on two lists counts under both.",
    "SELECT s.name, count(DISTINCT f.content_seq) FROM flag f JOIN met_set s USING (set_uid)"
    " WHERE f.day BETWEEN :first AND :last GROUP BY s.set_uid, s.name",
)
ENDED: Final = Query(
    "ended",
    "Contents of which a flag ended in the period, by cause. Neither is an error found by review (B1): entry and set"
    " say that a list changed, rule and known_good that the operator's own rules did; appeal says that people"
    " overturned it.",
    "SELECT cause, count(DISTINCT content_seq) FROM flag WHERE ended BETWEEN :first AND :last GROUP BY cause",
)
LATE: Final = Query(
    "late",
    "Contents flagged in an earlier period that a person looked at in this one, and those of them then found not"
    " confirmed: neither is in C1 or B1.",
    """
WITH looked AS (
    SELECT f.content_seq, r.outcome, row_number() OVER (PARTITION BY f.content_seq ORDER BY r.id DESC) AS place
    FROM flag f JOIN flag_review r ON r.flag_id = f.id
    WHERE f.day < :first AND r.day BETWEEN :first AND :last
) SELECT count(*), count(*) FILTER (WHERE outcome = 'not_confirmed') FROM looked WHERE place = 1""",
)
SEALED: Final = Query(
    "sealed",
    "Anonymous match reports and withdrawals sealed in the period.",
    "SELECT coalesce(sum(reports), 0) FROM sealing WHERE day BETWEEN :first AND :last",
)
COMPLAINTS: Final = Query(
    "complaints",
    "Complaints of users received in the period, by channel.",
    "SELECT coalesce(channel, 'internal'), count(*) FROM case_word WHERE kind = 'appealed'"
    " AND day BETWEEN :first AND :last GROUP BY 1",
)
DECIDED: Final = Query(
    "complaints_decided",
    "Complaints decided in the period, by channel and finding, whenever they came, with the days each took."
    " not_confirmed: in favour of whoever complained.",
    """
SELECT coalesce(a.channel, 'internal'), d.outcome, julianday(d.day) - julianday(a.day)
FROM case_word d JOIN case_word a ON a.id = (
    SELECT min(id) FROM case_word WHERE case_id = d.case_id AND round = d.round AND kind = 'appealed'
) WHERE d.kind = 'decided' AND d.contested AND d.day BETWEEN :first AND :last""",
)
REQUESTS: Final = Query(
    "requests",
    "Requests received in the period and recorded by its end, each on one legal basis, with how they stand at its end."
    " A revised request is another one; challenged and refused ones and those under an order to keep quiet count.",
    """
SELECT r.jurisdiction, r.category,
    coalesce((
        SELECT outcome FROM request_outcome WHERE request_id = r.id AND day <= :last ORDER BY id DESC LIMIT 1
    ), 'open'),
    r.confidential, r.identifiers,
    (SELECT julianday(min(day)) - julianday(r.received) FROM request_outcome WHERE request_id = r.id AND day <= :last)
FROM request r WHERE r.received BETWEEN :first AND :last AND r.recorded <= :last""",
)
LATE_REQUESTS: Final = Query(
    "late_requests",
    "Requests received in an earlier period: recorded in this one, or decided in it.",
    """
SELECT (SELECT count(*) FROM request WHERE received < :first AND recorded BETWEEN :first AND :last),
    (SELECT count(DISTINCT o.request_id) FROM request_outcome o JOIN request r ON r.id = o.request_id
     WHERE r.received < :first AND o.day BETWEEN :first AND :last)""",
)
AGAINST_CHECK: Final = Query(
    "against_check",
    "Requests granted in the period although the check of the register said otherwise.",
    "SELECT count(DISTINCT request_id) FROM request_outcome WHERE against_check AND day BETWEEN :first AND :last",
)
DISCLOSED: Final = Query(
    "disclosed",
    "Requests upon which any data were ever given to an authority, up to the last day.",
    "SELECT count(DISTINCT request_id) FROM request_outcome"
    " WHERE outcome IN ('granted', 'granted_in_part') AND data != '' AND day <= :last",
)
VERSIONS: Final = Query(
    "versions",
    "Salted root hashes of what each list listed, by version, as the ledger was told of them.",
    "SELECT s.name, s.role, r.version, r.root FROM set_root r JOIN met_set s USING (set_uid) ORDER BY s.name,"
    " r.version",
)


def ask(db: Database, query: Query, period: Period) -> list[tuple[Any, ...]]:
    """The rows of a query for a period."""
    named = {"first": period.first, "last": period.last}
    used = {name: day for name, day in named.items() if f":{name}" in query.sql}
    return db.execute(query.sql, used).fetchall()


def region_named(region: str) -> str:
    """A region's label as reports show it."""
    return region or NO_REGION


def region_of_country(jurisdiction: str) -> str:
    """The region a request is counted under."""
    return region_of(jurisdiction) if is_country(jurisdiction) else NO_REGION


def median_days(days: Sequence[float]) -> float | None:
    """The median of whole days; None of none."""
    return float(median(days)) if days else None


def disclosed_until(db: Database, today: str) -> int:
    """Upon how many requests data were ever given."""
    (count,) = ask(db, DISCLOSED, Period(date.min.isoformat(), today))[0]
    return int(count)
