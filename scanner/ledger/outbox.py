"""What is to be said of matches, and what was said. Runs inside the caller's transaction.

For every (asset, set, entry) the rows of `report` form a chain; its last row tells what the world believes or is about
to be told. A thing unsaid before it was sealed leaves no trace: its pending row goes. Ids are drawn at sealing only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hashsets.sqlite import Database
from hashsets.types import EntryHit, Mode, Role
from scanner.ledger import assets, flags, matches, speech
from scanner.ledger.matches import Match, State
from scanner.reports import (
    Batch,
    Cause,
    Report,
    ReportBody,
    Sealed,
    anonymise,
    anonymise_withdrawal,
    canonical_json,
    encode_jsonl,
    parse_body,
    parse_event,
)
from scanner.types import MediaKind, Trigger


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why and when something is said: the trigger, the UTC day, and the cause should it be a withdrawal."""

    trigger: Trigger
    day: str
    cause: Cause = Cause.ENTRY


def belated(occasion: Occasion, match: Match) -> Occasion:
    """The occasion on which a match that waited is told: as it would have been, by what made it a match."""
    return replace(occasion, trigger=match.trigger) if match.state is State.ACTIVE else occasion


@dataclass(frozen=True, slots=True)
class _Link:
    """The last row of a chain."""

    id: int
    kind: str
    content_seq: int
    withdraws: int | None
    sealed: bool


def _last(db: Database, asset_id: int, set_uid: bytes, entry_key: bytes) -> _Link | None:
    row = db.execute(
        "SELECT id, kind, content_seq, withdraws, report_id IS NOT NULL FROM report"
        " WHERE asset_id = ? AND set_uid = ? AND entry_key = ? ORDER BY id DESC LIMIT 1",
        (asset_id, set_uid, entry_key),
    ).fetchone()
    return None if row is None else _Link(row[0], row[1], row[2], row[3], bool(row[4]))


Standing = tuple[str, Role, Mode]  # a set's name, role and mode


def met_sets(db: Database) -> dict[bytes, Standing]:
    """Name, role and mode of every set the ledger has met."""
    rows = db.execute("SELECT set_uid, name, role, mode FROM met_set")
    return {uid: (name, Role(role), Mode(mode)) for uid, name, role, mode in rows}


def meet_set(db: Database, set_uid: bytes, name: str, role: Role, mode: Mode) -> None:
    """Remember how a set stands."""
    db.execute(
        "INSERT INTO met_set (set_uid, name, role, mode) VALUES (?, ?, ?, ?) ON CONFLICT (set_uid) DO UPDATE"
        " SET name = excluded.name, role = excluded.role, mode = excluded.mode",
        (set_uid, name, role.value, mode.value),
    )


def reconcile(db: Database, match: Match, occasion: Occasion) -> None:
    """Bring what is said of a match in line with its state, for every asset that holds or held its content."""
    hit = match.hit
    name, role, mode = met_sets(db)[hit.set_uid]
    counts = role is not Role.KNOWN_GOOD
    _mark_for_action(db, hit.owner, only_if_known=not counts)
    waits, muted = _waits(db, match), speech.is_muted(db, hit)
    # A sealed report of a held match, or of a set now in shadow, stands: its verdict has not changed. What a version on
    # probation withdrew stands until that is settled.
    standing = match.state in (State.ACTIVE, State.HELD)
    stands = counts and not muted and (standing or (waits and match.state is State.WITHDRAWN))
    if stands:
        _take_back_withdrawals(db, hit)
    speaks = counts and mode is Mode.ACTIVE and not muted
    if speaks and match.state is State.ACTIVE and not waits:
        if role is Role.ALERT:
            flags.raised(db, match, occasion.day)
        for asset_id in assets.of_content(db, hit.owner):
            _say(db, asset_id, match, name, occasion)
        return
    if not stands:
        flags.lowered(db, match, match.cause or occasion.cause, occasion.day, lambda other: _stands(db, other))
    for asset_id, last in _said_of(db, hit):
        other = _held_now(db, asset_id, hit) if counts and not muted else None  # of the same entry, so it is muted too
        if not last.sealed:
            db.execute("DELETE FROM report WHERE id = ?", (last.id,))
            if other is not None and other.state is State.ACTIVE and speaks and not _waits(db, other):
                _say(db, asset_id, other, name, occasion)
        elif not stands and other is not None:
            _tell_of(db, last.id, other.content_seq)
        elif not stands:
            _withdraw(db, last.id, occasion if match.cause is None else replace(occasion, cause=match.cause))


def _waits(db: Database, match: Match) -> bool:
    """Whether the version that made it a match, or withdrew it, is not settled yet."""
    return match.version > speech.version(db, match.hit.set_uid)


def _stands(db: Database, match: Match) -> bool:
    """Whether what was said of a match of an alert set would stand."""
    standing = match.state in (State.ACTIVE, State.HELD)
    return (
        (standing or match.state is State.WITHDRAWN)
        and standing != _waits(db, match)
        and not (speech.is_muted(db, match.hit))
    )


def is_held_back(db: Database, match: Match) -> bool:
    """Whether a match has no effect on whoever asks of its content: its version is held, or its entry muted.

    A version that is only not joined yet has that effect, and so has a set in shadow: what is listed is never clear.
    """
    known = speech.of(db, match.hit.set_uid)
    held = known is not None and known.held is not None and known.version < match.version <= known.held.version
    return held or speech.is_muted(db, match.hit)


def is_quiet(db: Database, match: Match) -> bool:
    """Whether its set's mode, its version or a mute keeps a match from being spoken of and acted on."""
    mode = met_sets(db)[match.hit.set_uid][2]
    return mode is not Mode.ACTIVE or _waits(db, match) or speech.is_muted(db, match.hit)


def may_be_said(db: Database, match: Match) -> bool:
    """Whether a match is one of which the world may hear, and on which something may be done."""
    return match.state is State.ACTIVE and match.role is not Role.KNOWN_GOOD and not is_quiet(db, match)


def _mark_for_action(db: Database, seq: int, *, only_if_known: bool) -> None:
    """What may be said of a content has moved, so what is to be done about it is drawn anew (see actions.py)."""
    if not only_if_known or db.execute("SELECT 1 FROM action WHERE content_seq = ?", (seq,)).fetchone() is not None:
        db.execute("INSERT OR IGNORE INTO action_due (content_seq) VALUES (?)", (seq,))


def _take_back_withdrawals(db: Database, hit: EntryHit) -> None:
    """The match is true again before its withdrawal has left, for assets that are gone too: it need not leave."""
    # The plus keeps SQLite from going through all that is pending (the index report_pending) for every match.
    db.execute(
        "DELETE FROM report WHERE set_uid = ? AND entry_key = ? AND content_seq = ? AND kind = 'withdrawal'"
        " AND +report_id IS NULL",
        (hit.set_uid, hit.entry_key, hit.owner),
    )


def _said_of(db: Database, hit: EntryHit) -> list[tuple[int, _Link]]:
    """The chains, by asset, that end in a match report about this very content."""
    rows = db.execute(
        "SELECT DISTINCT asset_id FROM report WHERE set_uid = ? AND entry_key = ? AND content_seq = ?",
        (hit.set_uid, hit.entry_key, hit.owner),
    ).fetchall()
    ends = [(asset_id, _last(db, asset_id, hit.set_uid, hit.entry_key)) for (asset_id,) in rows]
    return [
        (asset_id, last)
        for asset_id, last in ends
        if last is not None and last.kind == "match" and last.content_seq == hit.owner
    ]


def _held_now(db: Database, asset_id: int, hit: EntryHit) -> Match | None:
    """The match of another content that the asset holds by now with the same entry: the report may be about that."""
    row = db.execute("SELECT content_seq FROM asset WHERE id = ? AND NOT gone", (asset_id,)).fetchone()
    if row is None or row[0] is None or row[0] == hit.owner:
        return None
    match = matches.one(db, row[0], hit.set_uid, hit.entry_key)
    return match if match is not None and match.state in (State.ACTIVE, State.HELD) else None


def _tell_of(db: Database, link_id: int, seq: int) -> None:
    """A report that stands is from now on about another content."""
    db.execute("UPDATE report SET content_seq = ? WHERE id = ?", (seq, link_id))


def _say(db: Database, asset_id: int, match: Match, set_name: str, occasion: Occasion) -> None:
    hit = match.hit
    last = _last(db, asset_id, hit.set_uid, hit.entry_key)
    if last is not None and last.kind == "match":
        return
    if last is not None and not last.sealed:  # the withdrawal, of what the asset held before, has not left yet
        assert last.withdraws is not None
        db.execute("DELETE FROM report WHERE id = ?", (last.id,))
        _tell_of(db, last.withdraws, hit.owner)
        return
    (media,) = db.execute("SELECT media FROM content WHERE seq = ?", (hit.owner,)).fetchone()
    trigger = _trigger_of(db, asset_id, occasion.trigger)
    body = anonymise(hit, hash_set=set_name, media=MediaKind(media), trigger=trigger, day=occasion.day)
    _insert(db, asset_id, hit.owner, hit.set_uid, hit.entry_key, None, body)


def _trigger_of(db: Database, asset_id: int, trigger: Trigger) -> Trigger:
    """A place is told of as what it is: whether a scan or an upload met its content first would be order."""
    if trigger is Trigger.RESCAN:
        return trigger
    (root_id,) = db.execute("SELECT root_id FROM asset WHERE id = ?", (asset_id,)).fetchone()
    return Trigger.UPLOAD if root_id == assets.UPLOADS else Trigger.SCAN


def _withdraw(db: Database, link_id: int, occasion: Occasion) -> None:
    asset_id, seq, uid, key, report_id, body = db.execute(
        "SELECT asset_id, content_seq, set_uid, entry_key, report_id, body FROM report WHERE id = ?", (link_id,)
    ).fetchone()
    said = Report(report_id, parse_body(body))
    trigger = _trigger_of(db, asset_id, occasion.trigger)
    unsaid = anonymise_withdrawal(said, cause=occasion.cause, trigger=trigger, day=occasion.day)
    _insert(db, asset_id, seq, uid, key, link_id, unsaid)


def _insert(
    db: Database, asset_id: int, seq: int, set_uid: bytes, entry_key: bytes, withdraws: int | None, body: ReportBody
) -> None:
    db.execute(
        "INSERT INTO report (asset_id, content_seq, set_uid, entry_key, kind, withdraws, body, day)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (asset_id, seq, set_uid, entry_key, body.kind.value, withdraws, canonical_json(body), body.day),
    )


def reconcile_content(db: Database, seq: int, occasion: Occasion) -> None:
    """Bring what is said in line for all matches of a content (a new asset holds it, say)."""
    for match in matches.of_content(db, seq):
        reconcile(db, match, occasion)


def pending(db: Database, before: str | None = None) -> list[tuple[int, ReportBody]]:
    """What the next sealing would seal: (local id, body); with `before` only what is of an earlier day."""
    rows = db.execute(
        "SELECT id, body FROM report WHERE report_id IS NULL AND (?1 IS NULL OR day < ?1) ORDER BY id", (before,)
    )
    return [(local_id, parse_body(body)) for local_id, body in rows]


def store_sealed(db: Database, local_ids: Sequence[int], sealed: Sealed, day: str) -> None:
    """Give sealed reports their ids. `local_ids` are aligned with the bodies that were sealed."""
    db.connection.executemany(
        "UPDATE report SET report_id = ? WHERE id = ?",
        [(item.report.id, local_ids[item.input_index]) for item in sealed.reports],
    )
    db.execute("INSERT INTO sealing (day, reports) VALUES (?, ?)", (day, len(sealed.reports)))


def add_batch(db: Database, sink: str, batch: Batch, day: str) -> None:
    """Owe a batch to a sink."""
    db.execute(
        "INSERT INTO batch (batch_id, sink, source, sealed_day, reports, payload) VALUES (?, ?, ?, ?, ?, ?)",
        (batch.batch_id, sink, batch.source, day, len(batch.reports), b"".join(encode_jsonl(batch))),
    )


@dataclass(frozen=True, slots=True)
class Owed:
    """A sealed batch a sink has not taken yet."""

    sink: str
    batch: Batch
    attempts: int
    next_try_ns: int
    refused: bool


def owed(db: Database) -> list[Owed]:
    """Every batch still to be delivered, oldest first."""
    rows = db.execute(
        "SELECT sink, batch_id, source, payload, attempts, next_try_at, refused FROM batch WHERE delivered_day IS NULL"
        " ORDER BY sealed_day, rowid"
    ).fetchall()
    return [
        Owed(sink, _batch(batch_id, source, payload), attempts, next_try, bool(refused))
        for sink, batch_id, source, payload, attempts, next_try, refused in rows
    ]


def _batch(batch_id: str, source: str, payload: bytes) -> Batch:
    return Batch(batch_id, tuple(parse_event(line) for line in payload.splitlines()), source)


def mark_delivered(db: Database, sink: str, batch_id: str, day: str) -> None:
    """The sink has taken the batch."""
    db.execute("UPDATE batch SET delivered_day = ? WHERE sink = ? AND batch_id = ?", (day, sink, batch_id))


def mark_failed(db: Database, sink: str, batch_id: str, *, next_try_ns: int, refused: bool, why: str) -> None:
    """The sink did not take the batch: it stays owed, not to be tried before `next_try_ns`."""
    db.execute(
        "UPDATE batch SET attempts = attempts + 1, next_try_at = ?, refused = ?, why = ?"
        " WHERE sink = ? AND batch_id = ?",
        (next_try_ns, int(refused), why, sink, batch_id),
    )


def troubles(db: Database) -> dict[str, tuple[int, str | None]]:
    """How many batches each sink is owed, and why it last took none; None where it was not asked yet."""
    rows = db.execute(  # SQLite: a bare column is of the row that max() found
        "SELECT sink, count(*), max(next_try_at), why FROM batch WHERE delivered_day IS NULL GROUP BY sink"
    )
    return {sink: (count, why) for sink, count, _, why in rows}


def sealed_reports(db: Database) -> Iterable[tuple[Report, str]]:
    """Every sealed report and the UTC day of it, in no telling order (by random id)."""
    rows = db.execute("SELECT report_id, body, day FROM report WHERE report_id IS NOT NULL ORDER BY report_id")
    for report_id, body, day in rows:
        yield Report(report_id, parse_body(body)), day
