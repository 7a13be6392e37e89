"""Cases: what people look into, one for each (content, set, entry), and everything that was said of them. Rows.

Runs inside the caller's transaction, but for `Cases`, whose public methods are one each.

Rules
- A case's id is random and says nothing. What a report would say of the match is copied to the case when it is made, so
  that the register outlives what retention erases.
- No picture and no place is here: people look in the platform's own tool (`case open` tells where, and is audited).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hashsets.sqlite import Database
from hashsets.types import Role
from scanner.accountability.levels import Complexity, Finding, Level, Origin, Reason, Urgency, begins_at, highest
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError
from scanner.ledger import assets, matches
from scanner.ledger.flags import media_of
from scanner.ledger.locations import Locations
from scanner.ledger.matches import Match, State
from scanner.report_fields import Proximity, is_exact
from scanner.types import MediaKind

# Without vowels no word comes up by chance; 0, 1, i and l are read as others.
_ALPHABET: Final = "23456789bcdfghjkmnpqrstvwxz"
_LETTERS: Final = 10


@dataclass(frozen=True, slots=True)
class Subject:
    """What a case is about: a content, and the entry it met (None: no list names it); the report that told of it."""

    content_seq: int
    set_uid: bytes | None = None
    entry_key: bytes | None = None
    report_id: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands. `content_seq` None: what it was about has been erased."""

    id: str
    content_seq: int | None
    set_uid: bytes | None
    entry_key: bytes | None
    report_id: str | None
    hash_set: str | None
    classifications: tuple[tuple[str, str], ...]
    hash_type: str | None
    proximity: str | None
    media: str
    origin: Origin
    urgency: Urgency
    complexity: Complexity
    level: Level
    state: str
    outcome: Finding | None
    round: int
    contested: bool
    opened_day: str
    decided_day: str | None


@dataclass(frozen=True, slots=True)
class Word:
    """One thing that was said of a case. `who` None: nobody in person, or the name has been erased."""

    round: int
    day: str
    kind: str
    level: Level
    who: str | None
    outcome: Finding | None
    reason: Reason | None
    viewed: bool
    contested: bool
    channel: str | None
    ticket: str | None


_COLUMNS: Final = (
    "case_id, content_seq, set_uid, entry_key, report_id, hash_set, classifications, hash_type, proximity, media,"
    " origin, urgency, complexity, level, state, outcome, round, contested, opened_day, decided_day"
)


class NoSuchCase(UsageError):
    """No case of that id."""


def random_id(kind: str) -> str:
    """An id nobody can tell anything from, such as case-3kd8xq27wz."""
    return f"{kind}-" + "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))


def is_id(kind: str, text: str) -> bool:
    """Whether a text has the form of an id."""
    head, _, letters = text.partition("-")
    return head == kind and len(letters) == _LETTERS and set(letters) <= set(_ALPHABET)


def by_id(db: Database, case_id: str) -> Case:
    """The case of that id. Raises UsageError."""
    row = db.execute(f"SELECT {_COLUMNS} FROM case_file WHERE case_id = ?", (case_id,)).fetchone()
    if row is None:
        raise NoSuchCase("There is no case of that id: `hashward case list` shows them.")
    return _case(row)


def _case(row: Sequence[Any]) -> Case:
    id_, seq, uid, key, report, name, marks, hash_type, proximity, media, *rest = row
    origin, urgency, complexity, level, state, outcome, round_, contested, opened, decided = rest
    return Case(
        id_, seq, uid, key, report, name, tuple((scheme, code) for scheme, code in json.loads(marks or "[]")),
        hash_type, proximity, media, Origin(origin), Urgency(urgency), Complexity(complexity), Level(level), state,
        None if outcome is None else Finding(outcome), round_, bool(contested), opened, decided,
    )  # fmt: skip


def of_report(db: Database, report_id: str) -> Subject:
    """What a sealed report was about. Raises UsageError."""
    row = db.execute(
        "SELECT content_seq, set_uid, entry_key FROM report WHERE report_id = ?", (report_id.lower(),)
    ).fetchone()
    if row is None:
        raise UsageError("No sealed report has that id: `hashward reports list` shows them.")
    seq, uid, key = row
    if db.execute("SELECT 1 FROM content WHERE seq = ?", (seq,)).fetchone() is None:
        raise UsageError("What that report was about has been erased: retention took it.")
    return Subject(seq, uid, key, report_id.lower())


def of_ref(db: Database, locations: Locations, ref: bytes) -> list[int]:
    """The contents that the platform's own ref of an upload stands for: one, or none."""
    found = assets.find(db, assets.UPLOADS, locations.key(assets.UPLOADS, ref))
    return [] if found is None or found.content_seq is None else [found.content_seq]


def of_code(db: Database, code: str) -> list[int]:
    """The contents that were shown to people under an opaque name (or the eight letters of one)."""
    row = db.execute("SELECT content_seq FROM shown_code WHERE code = ?", (code.rpartition(".")[2].upper(),)).fetchone()
    return [] if row is None else [row[0]]


def subjects(db: Database, seq: int, *, overturned_too: bool = False) -> list[Subject]:
    """One for each match that stands against a content; with `overturned_too` those that count for nothing as well."""
    states = {State.ACTIVE, State.HELD} | ({State.SUPPRESSED} if overturned_too else set())
    found = [each for each in matches.of_content(db, seq) if each.state in states and each.role is not Role.KNOWN_GOOD]
    return [Subject(seq, each.hit.set_uid, each.hit.entry_key, _report(db, each)) for each in found]


def _report(db: Database, match: Match) -> str | None:
    row = db.execute(
        "SELECT report_id FROM report WHERE content_seq = ? AND set_uid = ? AND entry_key = ? AND kind = 'match'"
        " AND report_id IS NOT NULL ORDER BY id DESC LIMIT 1",
        (match.content_seq, match.hit.set_uid, match.hit.entry_key),
    ).fetchone()
    return None if row is None else str(row[0])


def ensure(
    db: Database,
    subject: Subject,
    origin: Origin,
    day: str,
    *,
    urgency: Urgency = Urgency.ROUTINE,
    complexity: Complexity = Complexity.SIMPLE,
) -> Case:
    """The case of a subject, made where there is none; a higher urgency or complexity raises the level it stands at."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM case_file WHERE content_seq = ? AND set_uid IS ? AND entry_key IS ?",
        (subject.content_seq, subject.set_uid, subject.entry_key),
    ).fetchone()
    wanted = begins_at(origin, urgency, complexity)
    if row is not None:
        known = _case(row)
        if known.state != "decided" and wanted.rank > known.level.rank:
            move(db, known, wanted, day, "raised")
            db.execute(
                "UPDATE case_file SET urgency = ?, complexity = ? WHERE case_id = ?", (urgency, complexity, known.id)
            )
        if known.report_id is None and subject.report_id is not None:
            db.execute("UPDATE case_file SET report_id = ? WHERE case_id = ?", (subject.report_id, known.id))
        return by_id(db, known.id)
    case_id = random_id("case")
    (media,) = db.execute("SELECT media FROM content WHERE seq = ?", (subject.content_seq,)).fetchone()
    db.execute(
        "INSERT INTO case_file (case_id, content_seq, set_uid, entry_key, report_id, hash_set, listed_version,"
        " classifications, hash_type, proximity, media, origin, urgency, complexity, level, state, opened_day)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            case_id, subject.content_seq, subject.set_uid, subject.entry_key, subject.report_id,
            *_as_reported(db, subject), media_of(MediaKind(media)), origin, urgency, complexity, wanted, day,
        ),
    )  # fmt: skip
    made = by_id(db, case_id)
    say(db, made, "opened", day)
    return made


def _as_reported(db: Database, subject: Subject) -> tuple[str | None, int | None, str | None, str | None, str | None]:
    """Set, listed version, classifications, hash type and proximity of the match, as a report says them."""
    if subject.set_uid is None or subject.entry_key is None:
        return None, None, None, None, None
    match = matches.one(db, subject.content_seq, subject.set_uid, subject.entry_key)
    (name,) = db.execute("SELECT name FROM met_set WHERE set_uid = ?", (subject.set_uid,)).fetchone()
    if match is None:
        return name, None, None, None, None
    marks = json.dumps([[mark.scheme, mark.code] for mark in match.hit.classifications])
    proximity = Proximity.EXACT if is_exact(match.hit.hash_type) else Proximity.NEAR
    return name, match.hit.first_version, marks, match.hit.hash_type, proximity


def say(
    db: Database,
    case: Case,
    kind: str,
    day: str,
    *,
    level: Level | None = None,
    who: str | None = None,
    outcome: Finding | None = None,
    reason: Reason | None = None,
    viewed: bool = False,
    channel: str | None = None,
    ticket: str | None = None,
    request_key: bytes | None = None,
) -> None:
    """Put something that was said of a case on record."""
    db.execute(
        "INSERT INTO case_word (case_id, round, day, kind, level, who, outcome, reason, viewed, contested, channel,"
        " ticket, request_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            case.id, case.round, day, kind, level or case.level, who, outcome, reason, int(viewed),
            int(case.contested), channel, ticket, request_key,
        ),
    )  # fmt: skip


def move(db: Database, case: Case, level: Level, day: str, kind: str) -> None:
    """Hand an open case to another level: what was proposed at the one before is done with."""
    db.execute("UPDATE case_file SET level = ?, state = 'open' WHERE case_id = ?", (level, case.id))
    say(db, case, kind, day, level=level)


def words(db: Database, case_id: str) -> list[Word]:
    """Everything that was said of a case, in order."""
    rows = db.execute(
        "SELECT round, day, kind, level, who, outcome, reason, viewed, contested, channel, ticket FROM case_word"
        " WHERE case_id = ? ORDER BY id",
        (case_id,),
    )
    return [
        Word(
            round_, day, kind, Level(level), who, None if outcome is None else Finding(outcome),
            None if reason is None else Reason(reason), bool(viewed), bool(contested), channel, ticket,
        )
        for round_, day, kind, level, who, outcome, reason, viewed, contested, channel, ticket in rows
    ]  # fmt: skip


class Cases:
    """The cases of one ledger, as commands ask for them."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def review(
        self, report_id: str, urgency: Urgency = Urgency.ROUTINE, complexity: Complexity = Complexity.SIMPLE
    ) -> Case:
        """The case of a report, made where there is none. Raises UsageError."""
        with self._db.write():
            subject = of_report(self._db, report_id)
            day = utc_day(self._clock)
            return ensure(self._db, subject, Origin.REVIEW, day, urgency=urgency, complexity=complexity)

    def review_next(self, most: int) -> list[Case]:
        """Cases for reports that nobody has looked into yet, of the oldest days first, as random within a day."""
        with self._db.write():
            rows = self._db.execute(
                "SELECT r.report_id FROM report r JOIN match m USING (content_seq, set_uid, entry_key)"
                " WHERE r.kind = 'match' AND r.report_id IS NOT NULL AND m.state IN ('active', 'held') AND NOT EXISTS"
                " (SELECT 1 FROM case_file f WHERE f.content_seq = r.content_seq AND f.set_uid = r.set_uid"
                " AND f.entry_key = r.entry_key) GROUP BY r.content_seq, r.set_uid, r.entry_key"
                " ORDER BY min(r.day), r.report_id LIMIT ?",
                (most,),
            ).fetchall()
            day = utc_day(self._clock)
            return [ensure(self._db, of_report(self._db, each), Origin.REVIEW, day) for (each,) in rows]

    def show(self, case_id: str) -> tuple[Case, list[Word]]:
        """A case, with everything that was said of it. Raises UsageError."""
        with self._db.read():
            return by_id(self._db, case_id), words(self._db, case_id)

    def listed(self, state: str | None = None, level: Level | None = None) -> list[Case]:
        """Cases, those that wait longest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM case_file WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR level = ?2)"
            " ORDER BY opened_day, case_id",
            (state, level),
        )
        return [_case(row) for row in rows]


__all__ = ["Case", "Cases", "Subject", "Word", "by_id", "ensure", "highest", "of_report"]
