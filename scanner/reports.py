"""Reports: what the world may be told, and the single boundary through which it is told.

Rules
- Nothing reaches a sink that was not a `ReportBody`, and a `ReportBody` comes only from `anonymise()`,
  `anonymise_withdrawal()` or, read back, `parse_body()`. Making one checks every field against a closed type.
- A body never holds a path, name, owner, size, time finer than the day, digest, distance or anything that counts up.
- Ids, order and the batch id come from an injected random source at sealing, after a canonical sort by what a report
  may say: so a batch cannot tell in which order, from where or when inside the day its matches came.
- Knows no ledger and no sink.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any, Final

from hashsets import hashtypes
from hashsets.types import Classification, EntryHit
from scanner.counts import COUNTS_TYPE, Count, encode_count, parse_count
from scanner.errors import ReportError
from scanner.events import DEFAULT_SOURCE, RandomSource, drawn_id, dumps, envelope, event_of, is_source, loads
from scanner.report_fields import (
    HASH_TYPE,
    MAX_CHARS,
    MAX_VERSION,
    UUID4,
    Cause,
    Kind,
    Proximity,
    ReportedMedia,
    check_classifications,
    has_form,
    is_day,
    is_exact,
    is_text,
    require,
)
from scanner.types import MediaKind, Trigger

__all__ = [
    "DEFAULT_SOURCE",
    "Batch",
    "Cause",
    "Kind",
    "Proximity",
    "RandomSource",
    "Report",
    "ReportBody",
    "ReportedMedia",
    "Said",
    "Sealed",
    "SealedReport",
    "anonymise",
    "anonymise_withdrawal",
    "canonical_json",
    "encode_cloudevents_batch",
    "encode_event",
    "encode_jsonl",
    "is_source",
    "parse_body",
    "parse_event",
    "report_schema",
    "seal",
    "system_random",
]

DATA_SCHEMA: Final = "urn:hashward:report:1#body"

_MEDIA: Final[Mapping[MediaKind, ReportedMedia]] = {
    MediaKind.IMAGE: ReportedMedia.IMAGE,
    MediaKind.ANIMATION: ReportedMedia.IMAGE,
    MediaKind.VIDEO: ReportedMedia.VIDEO,
    MediaKind.OTHER: ReportedMedia.OTHER,
}


def system_random() -> RandomSource:
    """The operating system's random source, the only one used outside tests."""
    return secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class ReportBody:
    """Everything a report may say but its id: a closed list (DESIGN, "What a report may say").

    `withdraws` and `cause` are set on withdrawals and only there. `listed_version` is the set's version that first
    listed the entry. `day` is the UTC date, ISO 8601.
    """

    kind: Kind
    withdraws: str | None
    cause: Cause | None
    hash_set: str
    listed_version: int
    ref: str
    classifications: tuple[Classification, ...]
    hash_type: str
    proximity: Proximity
    media: ReportedMedia
    trigger: Trigger
    day: str

    def __post_init__(self) -> None:
        _check_body(self)


@dataclass(frozen=True, slots=True)
class Report:
    """A body under its random id: what leaves this machine."""

    id: str
    body: ReportBody

    def __post_init__(self) -> None:
        require(has_form(UUID4, self.id), "id")


Said = Report | Count


@dataclass(frozen=True, slots=True)
class SealedReport:
    """A report and the position of its body among the bodies given to `seal`."""

    report: Report
    input_index: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealing: reports in the order in which they leave, and the id of their batch."""

    batch_id: str
    reports: tuple[SealedReport, ...]

    def batch(self, source: str = DEFAULT_SOURCE) -> Batch:
        """What leaves: the sealing without the input positions."""
        return Batch(self.batch_id, tuple(sealed.report for sealed in self.reports), source)


@dataclass(frozen=True, slots=True)
class Batch:
    """What leaves together, sealed: reports, or counts. The same `batch_id` always stands for the same in one order.

    `source` is the configured constant in every event: it names the service, never a host.
    """

    batch_id: str
    reports: tuple[Said, ...]
    source: str = DEFAULT_SOURCE

    def __post_init__(self) -> None:
        require(has_form(UUID4, self.batch_id), "batch id")
        require(is_source(self.source), "source")

    def for_sets(self, hash_sets: frozenset[str]) -> Batch | None:
        """The part of the batch about `hash_sets`, or None where nothing of it is.

        A part that lacks something gets an id of its own, derived from the batch id and the sets it does hold, so that
        two sinks with one receiver and different sets are not taken for repetitions of each other.
        """
        kept = tuple(report for report in self.reports if report.body.hash_set in hash_sets)
        if not kept:
            return None
        if len(kept) == len(self.reports):
            return self
        return replace(self, batch_id=self._derived_id(sorted({report.body.hash_set for report in kept})), reports=kept)

    def parts(self, max_reports: int) -> Iterator[Batch]:
        """The batch in parts of at most `max_reports`; a batch that fits is its own only part."""
        assert max_reports > 0
        if len(self.reports) <= max_reports:
            yield self
            return
        for start in range(0, len(self.reports), max_reports):
            part = self.reports[start : start + max_reports]
            yield replace(self, batch_id=self._derived_id(["part", str(max_reports), str(start)]), reports=part)

    def _derived_id(self, words: Sequence[str]) -> str:
        text = json.dumps([self.batch_id, *words], ensure_ascii=True).encode("ascii")
        return drawn_id(hashlib.sha256(text).digest()[:16])


def anonymise(hit: EntryHit, *, hash_set: str, media: MediaKind, trigger: Trigger, day: str) -> ReportBody:
    """The body of a match report: the only way from what the index found to what the world may hear.

    `hash_set` is the set's name, `day` the UTC date ("2025-01-31"). Raises ReportError when anything is not of its
    closed type; the message names the field, never its value.
    """
    known = hashtypes.find(hit.hash_type)
    require(known is not None and known.name == hit.hash_type, "hash_type")
    exact = is_exact(hit.hash_type)
    require(not exact or hit.distance == 0, "distance")
    return ReportBody(
        kind=Kind.MATCH,
        withdraws=None,
        cause=None,
        hash_set=hash_set,
        listed_version=hit.first_version,
        ref=hit.ref,
        classifications=tuple(sorted(set(hit.classifications))),
        hash_type=hit.hash_type,
        proximity=Proximity.EXACT if exact else Proximity.NEAR,
        media=_MEDIA[MediaKind(media)],
        trigger=trigger,
        day=day,
    )


def anonymise_withdrawal(report: Report, *, cause: Cause, trigger: Trigger, day: str) -> ReportBody:
    """The body of the report that withdraws `report`, a match report that has been sealed."""
    require(report.body.kind is Kind.MATCH, "withdraws")
    return replace(report.body, kind=Kind.WITHDRAWAL, withdraws=report.id, cause=cause, trigger=trigger, day=day)


def seal(bodies: Sequence[ReportBody], rng: RandomSource) -> Sealed:
    """Give each body a random id and a random place, the same whatever order the bodies come in.

    Ids are drawn in the canonical order of the bodies, then the places, both from `rng`: like random sources give
    byte-identical batches for any permutation of `bodies`. Which of several equal bodies gets which id is left to the
    input order, and shows nowhere outside.
    """
    batch_id = drawn_id(rng.randbytes(16))
    order = sorted(range(len(bodies)), key=lambda index: canonical_json(bodies[index]))
    reports = [SealedReport(Report(drawn_id(rng.randbytes(16)), bodies[index]), index) for index in order]
    for last in range(len(reports) - 1, 0, -1):  # Fisher-Yates; 64 bits keep the modulo's bias under n / 2^64
        other = int.from_bytes(rng.randbytes(8), "big") % (last + 1)
        reports[last], reports[other] = reports[other], reports[last]
    return Sealed(batch_id, tuple(reports))


def canonical_json(body: ReportBody) -> bytes:
    """The one way a body is written: sorted keys, no spaces, UTF-8, every field present."""
    return dumps(_body_object(body))


def encode_event(said: Said, source: str = DEFAULT_SOURCE) -> bytes:
    """A report, or a count, as one CloudEvents 1.0 event in JSON, on one line without its end, and without `time`."""
    if isinstance(said, Count):
        return encode_count(said, source)
    return envelope(said.id, source, _EVENT_TYPE[said.body.kind], DATA_SCHEMA, _body_object(said.body))


def encode_jsonl(batch: Batch) -> Iterator[bytes]:
    """The events of a batch, each a line with its end."""
    for report in batch.reports:
        yield encode_event(report, batch.source) + b"\n"


def encode_cloudevents_batch(batch: Batch) -> bytes:
    """The batch as `application/cloudevents-batch+json` (CloudEvents JSON format 1.0.2, section 4)."""
    return b"[" + b",".join(encode_event(report, batch.source) for report in batch.reports) + b"]"


def parse_body(canonical: bytes) -> ReportBody:
    """Read back what `canonical_json` wrote. Raises ReportError for anything else."""
    return _body_from(loads(canonical))


def parse_event(line: bytes) -> Said:
    """Read back what `encode_event` wrote. Raises ReportError for anything else."""
    event = event_of(line)
    if event["type"] == COUNTS_TYPE:
        return parse_count(line)
    body = _body_from(event["data"])
    require(event["type"] == _EVENT_TYPE[body.kind] and event["dataschema"] == DATA_SCHEMA, "event")
    return Report(event["id"], body)


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one event, as shipped with the package."""
    schema: dict[str, Any] = json.loads(resources.files("scanner").joinpath("report.schema.json").read_bytes())
    return schema


_EVENT_TYPE: Final[Mapping[Kind, str]] = {kind: f"org.hashward.{kind.value}" for kind in Kind}
_BODY_KEYS: Final = frozenset(field.name for field in fields(ReportBody))


def _check_body(body: ReportBody) -> None:
    withdrawal = body.kind is Kind.WITHDRAWAL
    require(isinstance(body.kind, Kind), "kind")
    require((body.cause is not None) == withdrawal and (not withdrawal or isinstance(body.cause, Cause)), "cause")
    require((body.withdraws is not None) == withdrawal, "withdraws")
    require(not withdrawal or has_form(UUID4, body.withdraws), "withdraws")
    require(is_text(body.hash_set, MAX_CHARS["hash_set"]), "hash_set")
    require(type(body.listed_version) is int and 1 <= body.listed_version <= MAX_VERSION, "listed_version")
    require(is_text(body.ref, MAX_CHARS["ref"]), "ref")
    check_classifications(body.classifications)
    require(has_form(HASH_TYPE, body.hash_type), "hash_type")
    require(isinstance(body.proximity, Proximity), "proximity")
    require((body.proximity is Proximity.EXACT) == is_exact(body.hash_type), "proximity")
    require(isinstance(body.media, ReportedMedia), "media")
    require(isinstance(body.trigger, Trigger), "trigger")
    require(is_day(body.day), "day")


def _body_object(body: ReportBody) -> dict[str, object]:
    """Field by field and by hand, so that a field added to ReportBody reaches nobody by itself."""
    return {
        "kind": body.kind.value,
        "withdraws": body.withdraws,
        "cause": body.cause.value if body.cause else None,
        "hash_set": body.hash_set,
        "listed_version": body.listed_version,
        "ref": body.ref,
        "classifications": [{"scheme": item.scheme, "code": item.code} for item in body.classifications],
        "hash_type": body.hash_type,
        "proximity": body.proximity.value,
        "media": body.media.value,
        "trigger": body.trigger.value,
        "day": body.day,
    }


def _body_from(value: object) -> ReportBody:
    require(isinstance(value, dict) and value.keys() == _BODY_KEYS, "fields")
    assert isinstance(value, dict)
    try:
        return ReportBody(
            kind=Kind(value["kind"]),
            withdraws=value["withdraws"],
            cause=None if value["cause"] is None else Cause(value["cause"]),
            hash_set=value["hash_set"],
            listed_version=value["listed_version"],
            ref=value["ref"],
            classifications=tuple(Classification(**item) for item in value["classifications"]),
            hash_type=value["hash_type"],
            proximity=Proximity(value["proximity"]),
            media=ReportedMedia(value["media"]),
            trigger=Trigger(value["trigger"]),
            day=value["day"],
        )
    except (TypeError, ValueError) as exc:
        raise ReportError("a stored report holds something a report may not; run `hashward status`") from exc
