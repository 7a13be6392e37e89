"""Counts: what a sink of form `counts` is told in place of reports, and the boundary through which they are made.

Rules
- Nothing under `k` is ever said: `published` alone makes what is to be said, and making a CountBody checks it.
- A cell is what a report says, without ref, trigger, proximity, cause and day. Cells under k are left out; what they
  hold together is said as one cell without features where it comes to k, and else not at all. No total is said, so
  nothing can be subtracted.
- The periods of a set follow one another without overlap or gap and are never revised (the ledger keeps how far it was
  told), so two of them have no difference.
- Knows no ledger and no sink.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum
from importlib import resources
from typing import Any, Final

from hashsets.types import Classification
from scanner.errors import ReportError
from scanner.events import RandomSource, drawn_id, dumps, envelope, event_of
from scanner.report_fields import (
    HASH_TYPE,
    MAX_CHARS,
    MAX_VERSION,
    UUID4,
    Kind,
    ReportedMedia,
    check_classifications,
    has_form,
    is_day,
    is_text,
    require,
)

LEAST_K: Final = 2
DEFAULT_K: Final = 10  # no law names a value; ten is what published statistics commonly use
COUNTS_TYPE: Final = "org.hashward.counts"
COUNTS_SCHEMA: Final = "urn:hashward:counts:1#body"


class Period(StrEnum):
    """What one telling is about."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def end(self, first: date) -> date:
        """The day on which the period that holds `first` is over: weeks begin on Monday (ISO 8601)."""
        if self is Period.DAY:
            return first + timedelta(days=1)
        if self is Period.WEEK:
            return first + timedelta(days=7 - first.weekday())
        return (first.replace(day=1) + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True, slots=True)
class CountRule:
    """How one set is counted: nothing under `k`; by `period`, or by the shortest expected to hold k (None)."""

    k: int = DEFAULT_K
    period: Period | None = None

    def period_from(self, first: date, daily: float) -> Period:
        """The period that begins on `first`, where `daily` reports a day were sealed lately."""
        if self.period is not None:
            return self.period
        for period in Period:
            if daily * (period.end(first) - first).days >= self.k:
                return period
        return Period.MONTH


@dataclass(frozen=True, slots=True)
class Cell:
    """What reports that are counted together have in common. The rest of a set (`REST`) has no feature at all."""

    kind: Kind | None
    listed_version: int | None
    classifications: tuple[Classification, ...] | None
    hash_type: str | None
    media: ReportedMedia | None


REST: Final = Cell(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a telling is about, `first` and `last` included, and the k under which nothing is said."""

    period: Period
    first: date
    last: date
    k: int


@dataclass(frozen=True, slots=True)
class CountBody:
    """What may be said in counts: a closed list. Every field is there to be read by the set's provider."""

    hash_set: str
    period: Period
    first_day: str
    last_day: str
    k: int
    kind: Kind | None
    listed_version: int | None
    classifications: tuple[Classification, ...] | None
    hash_type: str | None
    media: ReportedMedia | None
    count: int

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Count:
    """A count under its random id: what leaves this machine."""

    id: str
    body: CountBody

    def __post_init__(self) -> None:
        require(has_form(UUID4, self.id), "id")


def published(hash_set: str, span: Span, cells: Mapping[Cell, int]) -> list[CountBody]:
    """What may be said of the reports of one set in one span, in canonical order."""
    said = {cell: count for cell, count in cells.items() if count >= span.k}
    rest = sum(cells.values()) - sum(said.values())
    if rest >= span.k:
        said[REST] = rest
    bodies = [
        CountBody(
            hash_set=hash_set,
            period=span.period,
            first_day=span.first.isoformat(),
            last_day=span.last.isoformat(),
            k=span.k,
            kind=cell.kind,
            listed_version=cell.listed_version,
            classifications=cell.classifications,
            hash_type=cell.hash_type,
            media=cell.media,
            count=count,
        )
        for cell, count in said.items()
    ]
    return sorted(bodies, key=lambda body: dumps(_object(body)))


def identified(bodies: Sequence[CountBody], rng: RandomSource) -> tuple[Count, ...]:
    """Each under an id of its own. Their order says nothing: it is that of what they say."""
    return tuple(Count(drawn_id(rng.randbytes(16)), body) for body in bodies)


def cell_json(cell: Cell) -> str:
    """A cell as the ledger keeps it: canonical, so that equal cells are equal texts."""
    return dumps(_cell_object(cell)).decode()


def parse_cell(text: str) -> Cell:
    """Read back what `cell_json` wrote. Raises ReportError."""
    try:
        return Cell(**_cell_values(json.loads(text)))
    except (TypeError, ValueError, KeyError) as exc:
        raise ReportError("a stored count cannot be read; run `hashward status`") from exc


def encode_count(count: Count, source: str) -> bytes:
    """A count as one CloudEvents event, on one line without its end, and without `time`."""
    return envelope(count.id, source, COUNTS_TYPE, COUNTS_SCHEMA, _object(count.body))


def parse_count(line: bytes) -> Count:
    """Read back what `encode_count` wrote. Raises ReportError for anything else."""
    event = event_of(line)
    require(event["type"] == COUNTS_TYPE and event["dataschema"] == COUNTS_SCHEMA, "event")
    said = event["data"]
    require(isinstance(said, dict) and said.keys() == _BODY_KEYS, "fields")
    own = {name: said[name] for name in ("hash_set", "first_day", "last_day", "k", "count")}
    try:
        return Count(event["id"], CountBody(**own, period=Period(said["period"]), **_cell_values(said)))
    except (TypeError, ValueError) as exc:
        raise ReportError("a stored count holds something a count may not; run `hashward status`") from exc


def counts_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one event of counts, as shipped with the package."""
    schema: dict[str, Any] = json.loads(resources.files("scanner").joinpath("counts.schema.json").read_bytes())
    return schema


_BODY_KEYS: Final = frozenset(field.name for field in fields(CountBody))


def _check(body: CountBody) -> None:
    require(is_text(body.hash_set, MAX_CHARS["hash_set"]), "hash_set")
    require(isinstance(body.period, Period), "period")
    require(is_day(body.first_day) and is_day(body.last_day) and body.first_day <= body.last_day, "day")
    require(type(body.k) is int and LEAST_K <= body.k <= MAX_VERSION, "k")
    require(type(body.count) is int and body.k <= body.count <= MAX_VERSION, "count")
    features = (body.kind, body.listed_version, body.classifications, body.hash_type, body.media)
    if all(feature is None for feature in features):
        return
    require(isinstance(body.kind, Kind), "kind")
    require(type(body.listed_version) is int and 1 <= body.listed_version <= MAX_VERSION, "listed_version")
    require(isinstance(body.classifications, tuple), "classifications")
    check_classifications(body.classifications or ())
    require(has_form(HASH_TYPE, body.hash_type), "hash_type")
    require(isinstance(body.media, ReportedMedia), "media")


def _cell_object(cell: Cell | CountBody) -> dict[str, object]:
    return {
        "kind": cell.kind and cell.kind.value,
        "listed_version": cell.listed_version,
        "classifications": None
        if cell.classifications is None
        else [{"scheme": item.scheme, "code": item.code} for item in cell.classifications],
        "hash_type": cell.hash_type,
        "media": cell.media and cell.media.value,
    }


def _cell_values(said: Mapping[str, Any]) -> dict[str, Any]:
    """What `_cell_object` wrote, as values. Raises TypeError, ValueError, KeyError."""
    marks = said["classifications"]
    return {
        "kind": None if said["kind"] is None else Kind(said["kind"]),
        "listed_version": said["listed_version"],
        "classifications": None if marks is None else tuple(Classification(**item) for item in marks),
        "hash_type": said["hash_type"],
        "media": None if said["media"] is None else ReportedMedia(said["media"]),
    }


def _object(body: CountBody) -> dict[str, object]:
    """Field by field and by hand, so that a field added to CountBody reaches nobody by itself."""
    return {
        "hash_set": body.hash_set,
        "period": body.period.value,
        "first_day": body.first_day,
        "last_day": body.last_day,
        "k": body.k,
        "count": body.count,
        **_cell_object(body),
    }
