"""Opening: from the id of a report, or a case, to the place it is about; on record before anything is told.

Rules
- The line is in the audit log, and on disk, before the place is read. Where it cannot be written, nothing is told.
- Only the bases of a closed list open anything, and somebody says why, in words.
- Looking for something by report, ref or digest tells whether it is known, under which reports and cases, never where;
  that is on record too, without what was looked for.
- What is printed elsewhere because somebody asked for paths or refs is on record by its number (`told`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hashsets.sqlite import Database
from scanner.accountability import cases
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.cases import Case
from scanner.accountability.erasing import ERASED_ROOT
from scanner.accountability.levels import Origin, is_name
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.ledger import Ledger, assets
from scanner.ledger.locations import Locations

MAX_REASON_LETTERS: Final = 1000
MOST_SOUGHT: Final = 10_000  # values a call

_REPORT: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGEST: Final = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_DIGEST_TYPES: Final = {32: "md5", 40: "sha1", 64: "sha256"}
_ERASED: Final = "What that was about has been erased: retention took it."


class Basis(StrEnum):
    """On what ground somebody may look."""

    NCMEC_REPORT = "ncmec_report"  # to file a CyberTip, or to complete one
    LEGAL_REQUEST = "legal_request"  # a request on record (`hashward request`)
    LAW_ENFORCEMENT = "law_enforcement"  # an inquiry of a police force that is no request for data
    EMERGENCY = "emergency"  # imminent danger to life
    REMOVAL = "removal"  # to take down, restrict or preserve what was found
    APPEAL = "appeal"  # of a user
    QUALITY_REVIEW = "quality_review"  # of matches, by sample or by a reviewer of the case
    SUBJECT_ACCESS = "subject_access"  # a person's own right to know
    INCIDENT = "incident"  # a security incident


class Sought(StrEnum):
    """What a value is that is looked for."""

    REPORT = "report"
    DIGEST = "digest"
    REF = "ref"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content is or was: a path, or the platform's own ref of an upload; None: its box cannot be opened."""

    where: bytes | None
    is_upload: bool
    present: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """What was told: the case it is in, the places, the content's SHA-256, and the line of the audit log."""

    case: Case
    places: tuple[Place, ...]
    sha256: bytes | None
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a value: its kind, whether anything is, the ids of sealed reports, and of cases."""

    kind: Sought
    known: bool
    reports: tuple[str, ...]
    cases: tuple[str, ...]


class Openings:
    """Looking, on record. One ledger."""

    def __init__(self, db: Database, locations: Locations, audit: AuditLog, clock: Clock) -> None:
        self._db = db
        self._locations = locations
        self._audit = audit
        self._clock = clock

    def open(self, id_: str, basis: Basis, because: str, by: str) -> Opened:
        """The place a sealed report or a case is about. Raises UsageError, and AuditError: then nothing was told."""
        _check(because, by)
        asked = id_.strip().lower()
        ids = self._assets(asked)  # refused before anything is on record
        said = {"opened": asked, "basis": basis.value, "because": because, "by": by}
        line, told = self._audit.tell(Event.CASE_OPENED, said, ids)
        with self._db.write():
            places = tuple(_place(self._db, *each) for each in zip(ids, told, strict=True))
            case = self._case(asked)
            row = self._db.execute("SELECT sha256 FROM content WHERE seq = ?", (case.content_seq,)).fetchone()
        return Opened(case, places, None if row is None else bytes(row[0]), line)

    def _assets(self, asked: str) -> list[int]:
        """The assets an id leads to: of a report its own, of a case without a report all that hold its content."""
        with self._db.read():
            if not cases.is_id("case", asked):
                return [self._asset_of(asked)]
            case = cases.by_id(self._db, asked)
            if case.content_seq is None:
                raise UsageError(_ERASED)
            if case.report_id is not None:
                return [self._asset_of(case.report_id)]
            ids = assets.of_content(self._db, case.content_seq)
            if not ids:
                raise UsageError("Nothing holds any more what that case is about.")
            return ids

    def _asset_of(self, report_id: str) -> int:
        cases.of_report(self._db, report_id)
        row = self._db.execute(
            "SELECT a.id, a.root_id FROM report r JOIN asset a ON a.id = r.asset_id WHERE r.report_id = ?", (report_id,)
        ).fetchone()
        if row is None or row[1] == ERASED_ROOT:
            raise UsageError(_ERASED)
        return int(row[0])

    def _case(self, asked: str) -> Case:
        if cases.is_id("case", asked):
            return cases.by_id(self._db, asked)
        return cases.ensure(self._db, cases.of_report(self._db, asked), Origin.OPENING, utc_day(self._clock))

    def find(self, values: Sequence[bytes], by: str, kind: Sought | None = None) -> list[Found]:
        """What is known of each value; without a kind each is what it looks like. Raises UsageError, AuditError."""
        _check("find", by)
        kinds = [kind or _kind(value) for value in values]
        if any(k is Sought.DIGEST and not _DIGEST.fullmatch(v) for v, k in zip(values, kinds, strict=True)):
            raise UsageError("One of the values is no MD5, SHA-1 or SHA-256 in hexadecimal digits.")
        with self._db.read():
            slow = self._by_slow_digests([v for v, k in zip(values, kinds, strict=True) if k is Sought.DIGEST])
            found = [self._one(value, each, slow) for value, each in zip(values, kinds, strict=True)]
        said: dict[str, str | int] = {"by": by, "sought": len(found), "known": sum(each.known for each in found)}
        self._audit.append_now(Event.CASE_SOUGHT, said | {each.value: kinds.count(each) for each in Sought})
        return found

    def _one(self, value: bytes, kind: Sought, slow: dict[str, list[int]]) -> Found:
        if kind is Sought.REPORT:
            rows = self._reports("report_id", value.decode("ascii", "replace").strip().lower())
        elif kind is Sought.REF:
            asset = assets.find(self._db, assets.UPLOADS, self._locations.key(assets.UPLOADS, value))
            rows = [] if asset is None else self._reports("asset_id", asset.id)
            return self._found(kind, asset is not None, rows, [] if asset is None else [asset.content_seq])
        else:
            digest = value.decode("ascii", "replace").lower()
            seqs = self._by_sha256(digest) if len(digest) == 64 else slow.get(digest, [])
            rows = [row for seq in seqs for row in self._reports("content_seq", seq)]
            return self._found(kind, bool(seqs), rows, seqs)
        return self._found(kind, bool(rows), rows, [seq for _, seq in rows])

    def _found(self, kind: Sought, known: bool, rows: list[tuple[str, int]], seqs: Sequence[int | None]) -> Found:
        ids = json.dumps([seq for seq in seqs if seq is not None])
        opened = self._db.execute(
            "SELECT case_id FROM case_file WHERE content_seq IN (SELECT value FROM json_each(?)) ORDER BY case_id",
            (ids,),
        ).fetchall()
        return Found(kind, known, tuple(sorted(report_id for report_id, _ in rows)), tuple(row[0] for row in opened))

    def _reports(self, column: str, value: object) -> list[tuple[str, int]]:
        """(report id, content) of the sealed reports of something."""
        return self._db.execute(
            f"SELECT report_id, content_seq FROM report WHERE {column} = ? AND report_id IS NOT NULL", (value,)
        ).fetchall()

    def _by_sha256(self, digest: str) -> list[int]:
        rows = self._db.execute("SELECT seq FROM content WHERE sha256 = ?", (bytes.fromhex(digest),))
        return [row[0] for row in rows]

    def _by_slow_digests(self, values: Sequence[bytes]) -> dict[str, list[int]]:
        """The contents of MD5s and SHA-1s, of which no index is: one pass over all, for all values together."""
        found: dict[str, list[int]] = {}
        for size, name in _DIGEST_TYPES.items():
            wanted = [value.decode("ascii").upper() for value in values if len(value) == size != 64]
            if wanted:
                rows = self._db.execute(
                    f"SELECT hex({name}), seq FROM content WHERE hex({name}) IN (SELECT value FROM json_each(?))",
                    (json.dumps(wanted),),
                )
                for digest, seq in rows:
                    found.setdefault(digest.lower(), []).append(seq)
        return found


def told(audit: AuditLog, ledger: Ledger, how: str, ids: Sequence[int]) -> list[bytes | None]:
    """Where assets are, once it is on record that paths or refs are to be printed. Raises AuditError: none is told."""
    if not ids:
        return []
    said: dict[str, str | int] = {"how": how, "count": len(ids)}
    if ledger.locations.sealed:
        return audit.tell(Event.PLACES_TOLD, said, ids)[1]
    audit.record(Event.PLACES_TOLD, said)
    return [ledger.places.where(asset_id) for asset_id in ids]


def _place(db: Database, asset_id: int, where: bytes | None) -> Place:
    row = db.execute("SELECT root_id, gone, missing_at FROM asset WHERE id = ?", (asset_id,)).fetchone()
    if row is None:
        raise UsageError(_ERASED)
    root, gone, missing = row
    return Place(where, root == assets.UPLOADS, not gone and missing is None)


def _kind(value: bytes) -> Sought:
    if _REPORT.fullmatch(value):
        return Sought.REPORT
    return Sought.DIGEST if _DIGEST.fullmatch(value) else Sought.REF


def _check(because: str, by: str) -> None:
    if not is_name(by):
        raise UsageError("Whoever looks is named by 1 to 64 of a-z, 0-9, `.`, `_` and `-`.")
    if not because.strip() or not because.isprintable() or len(because) > MAX_REASON_LETTERS:
        raise UsageError(f"The reason is 1 to {MAX_REASON_LETTERS:,} printable letters on one line.")
