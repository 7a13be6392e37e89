"""Matches: one row per (content, set, entry), holding the best evidence. Runs inside the caller's transaction.

States: `active`; `suppressed` (only Hamming types support it and the content is known good, or people found that it is
none); `held` (an exact type supports it and the content is known good: the verdict stays, no report leaves, until a
person resolves it to one of the other two); `withdrawn` (nothing supports it).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from hashsets.sqlite import Database
from hashsets.types import Classification, EntryHit, Role
from scanner.ledger import overturned, resolutions
from scanner.ledger.resolutions import Resolution
from scanner.report_fields import Cause
from scanner.types import Trigger


class State(StrEnum):
    """Where a match stands."""

    ACTIVE = "active"
    SUPPRESSED = "suppressed"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Match:
    """A stored match: the hit that is its evidence (`owner` is the content's seq), its state, and its set's role.

    `version` is the set's version that made it a match or withdrew it, 0 where none did; `cause` why it was withdrawn,
    `trigger` what made it a match.
    """

    hit: EntryHit
    state: State
    role: Role
    version: int = 0
    cause: Cause | None = None
    trigger: Trigger = Trigger.RESCAN

    @property
    def content_seq(self) -> int:
        """The content that matched."""
        return self.hit.owner


_COLUMNS = (
    "m.content_seq, m.set_uid, m.entry_key, m.state, m.ref, m.classifications, m.first_version, m.hash_type,"
    " m.distance, m.exact_types, s.role, m.version, m.cause, m.trigger FROM match m JOIN met_set s USING (set_uid)"
)


def _match(row: tuple[object, ...]) -> Match:
    seq, uid, key, state, ref, classifications, first_version, hash_type, distance, exact, role, *rest = row
    version, cause, trigger = rest
    hit = EntryHit(
        owner=seq,  # type: ignore[arg-type]
        set_uid=uid,  # type: ignore[arg-type]
        entry_key=key,  # type: ignore[arg-type]
        ref=ref,  # type: ignore[arg-type]
        classifications=tuple(Classification(*pair) for pair in json.loads(classifications)),  # type: ignore[arg-type]
        first_version=first_version,  # type: ignore[arg-type]
        hash_type=hash_type,  # type: ignore[arg-type]
        distance=distance,  # type: ignore[arg-type]
        exact_types=frozenset(str(exact).split()),
    )
    why = None if cause is None else Cause(str(cause))
    return Match(hit, State(str(state)), Role(str(role)), version, why, Trigger(str(trigger)))  # type: ignore[arg-type]


def of_content(db: Database, seq: int) -> list[Match]:
    """Every match row of a content, withdrawn ones too, ordered by set and entry."""
    rows = db.execute(f"SELECT {_COLUMNS} WHERE m.content_seq = ? ORDER BY m.set_uid, m.entry_key", (seq,))
    return [_match(row) for row in rows]


def one(db: Database, seq: int, set_uid: bytes, entry_key: bytes) -> Match | None:
    """The match row of (content, set, entry), if there is one."""
    row = db.execute(
        f"SELECT {_COLUMNS} WHERE m.content_seq = ? AND m.set_uid = ? AND m.entry_key = ?", (seq, set_uid, entry_key)
    ).fetchone()
    return None if row is None else _match(row)


def of_set(db: Database, set_uid: bytes) -> Iterator[tuple[int, bytes]]:
    """(content seq, entry key) of every match row of a set."""
    return iter(
        db.execute("SELECT content_seq, entry_key FROM match WHERE set_uid = ? ORDER BY content_seq", (set_uid,))
    )


def held(db: Database, set_uid: bytes) -> list[tuple[str, bytes, int]]:
    """(ref, entry key, contents) of the entries of a set that hold matches back, or were resolved."""
    rows = db.execute(
        "SELECT m.ref, m.entry_key, count(*) FROM match m LEFT JOIN resolution r USING (set_uid, entry_key)"
        " WHERE m.set_uid = ? AND m.state != 'withdrawn' AND (m.state = 'held' OR r.decided IS NOT NULL)"
        " GROUP BY m.entry_key ORDER BY m.ref",
        (set_uid,),
    )
    return rows.fetchall()


def of_entry(db: Database, set_uid: bytes, entry_key: bytes) -> list[int]:
    """The contents that match an entry."""
    rows = db.execute(
        "SELECT content_seq FROM match WHERE set_uid = ? AND entry_key = ? AND state != 'withdrawn'",
        (set_uid, entry_key),
    )
    return [row[0] for row in rows]


def put(db: Database, hits: Iterable[EntryHit], trigger: Trigger) -> tuple[list[tuple[int, bytes, bytes]], set[int]]:
    """Write hits over what was there.

    Returns the (content, set, entry) that were not matches before, or were withdrawn; and the contents of which another
    match is supported by other exact types than before, which may change what it vouches for or how it stands.
    """
    fresh = []
    stirred = set()
    for hit in hits:
        identity = (hit.owner, hit.set_uid, hit.entry_key)
        old = db.execute(
            "SELECT state, exact_types, version, trigger FROM match"
            " WHERE content_seq = ? AND set_uid = ? AND entry_key = ?",
            identity,
        ).fetchone()
        is_fresh = old is None or old[0] == State.WITHDRAWN
        if is_fresh:
            fresh.append(identity)
        evidence = (
            hit.ref,
            json.dumps([[c.scheme, c.code] for c in hit.classifications]),
            hit.first_version,
            hit.hash_type,
            hit.distance,
            " ".join(sorted(hit.exact_types)),
        )
        if old is not None and old[1] != evidence[-1]:
            stirred.add(hit.owner)
        state, version, by = (State.ACTIVE.value, hit.changed_version, trigger.value)
        if not is_fresh:
            state, _, version, by = old
        db.execute(
            "INSERT OR REPLACE INTO match (content_seq, set_uid, entry_key, state, ref, classifications,"
            " first_version, hash_type, distance, exact_types, version, trigger)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, state, *evidence, version, by),
        )
    return fresh, stirred


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why matches with an entry are withdrawn: the cause, and the set's version that did it; 0: none did."""

    cause: Cause
    version: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a comparison was about: the entries of these keys, each with its grounds; else all, on `otherwise`."""

    otherwise: Grounds
    keys: Mapping[bytes, Grounds] | None = None

    def grounds(self, key: bytes) -> Grounds | None:
        """On what grounds a match with that entry is withdrawn, if nothing supports it; None: it was not compared."""
        return self.otherwise if self.keys is None else self.keys.get(key)


def withdraw_unsupported(
    db: Database, set_uid: bytes, seq_lo: int, seq_hi: int, scope: Scope, hits: Iterable[EntryHit]
) -> list[tuple[int, bytes, bytes]]:
    """Withdraw the set's matches in seq_lo..seq_hi with entries of the scope that no hit supports."""
    supported = {(hit.owner, hit.entry_key) for hit in hits if hit.set_uid == set_uid}
    rows = db.execute(
        "SELECT content_seq, entry_key FROM match WHERE content_seq BETWEEN ? AND ? AND set_uid = ? AND state != ?",
        (seq_lo, seq_hi, set_uid, State.WITHDRAWN.value),
    ).fetchall()
    lost = []
    for seq, key in rows:
        grounds = scope.grounds(key)
        if grounds is not None and (seq, key) not in supported:
            db.execute(
                "UPDATE match SET state = ?, version = ?, cause = ?"
                " WHERE content_seq = ? AND set_uid = ? AND entry_key = ?",
                (State.WITHDRAWN.value, grounds.version, grounds.cause.value, seq, set_uid, key),
            )
            lost.append((seq, set_uid, key))
    return lost


def waiting_withdrawals(db: Database, set_uid: bytes) -> list[tuple[int, bytes, bytes]]:
    """(content, set, entry) of a set's matches that a version withdrew."""
    rows = db.execute(
        "SELECT content_seq, set_uid, entry_key FROM match WHERE set_uid = ? AND version > 0 AND state = ?",
        (set_uid, State.WITHDRAWN.value),
    )
    return rows.fetchall()


def loosen(db: Database, set_uid: bytes, cause: Cause) -> None:
    """No version is answerable for a set's matches any more: nothing waits."""
    db.execute("UPDATE match SET version = 0, cause = ? WHERE set_uid = ? AND version > 0", (cause.value, set_uid))


def top_firing(db: Database, set_uid: bytes, most: int) -> list[tuple[str, int]]:
    """(ref, contents) of the entries of a set that most contents match, the most first."""
    rows = db.execute(
        "SELECT ref, count(*) AS contents FROM match WHERE set_uid = ? AND state IN ('active', 'held')"
        " GROUP BY entry_key ORDER BY contents DESC, ref LIMIT ?",
        (set_uid, most),
    )
    return rows.fetchall()


def set_state(db: Database, identities: Iterable[tuple[int, bytes, bytes]], state: State) -> None:
    """Move matches to a state."""
    db.connection.executemany(
        "UPDATE match SET state = ? WHERE content_seq = ? AND set_uid = ? AND entry_key = ?",
        [(state.value, *identity) for identity in identities],
    )


def settle(db: Database, seq: int) -> list[Match]:
    """Bring the states of a content's matches in line with whether it is known good; those that moved, as they are now.

    Known good counts by sha256, or by md5 and sha1 of one entry together: a single broken digest is too easy to forge.
    """
    every = [match for match in of_content(db, seq) if match.state is not State.WITHDRAWN]
    known_good = any(_vouches(match) for match in every)
    moved = []
    for match in every:
        state = _settled_state(db, match, known_good)
        if state is not match.state:
            set_state(db, [(seq, match.hit.set_uid, match.hit.entry_key)], state)
            moved.append(replace(match, state=state))
    return moved


def _vouches(match: Match) -> bool:
    exact = match.hit.exact_types
    return match.role is Role.KNOWN_GOOD and ("sha256" in exact or {"md5", "sha1"} <= exact)


_RESOLVED = {None: State.HELD, Resolution.REPORT: State.ACTIVE, Resolution.KNOWN_GOOD: State.SUPPRESSED}


def _settled_state(db: Database, match: Match, known_good: bool) -> State:
    if overturned.is_overturned(db, match.content_seq, match.hit.set_uid, match.hit.entry_key):
        return State.SUPPRESSED
    if match.role is Role.KNOWN_GOOD or not known_good:
        return State.ACTIVE
    if not match.hit.exact_types:
        return State.SUPPRESSED
    return _RESOLVED[resolutions.of(db, match.hit.set_uid, match.hit.entry_key)]


def verdict(db: Database, seq: int) -> tuple[EntryHit, ...]:
    """The hits that make a content matched: active or held, of sets that are not known good."""
    return tuple(
        match.hit
        for match in of_content(db, seq)
        if match.state in (State.ACTIVE, State.HELD) and match.role is not Role.KNOWN_GOOD
    )
