"""Matches: one row per (content, set, entry), holding the best evidence. Runs inside the caller's transaction.

States: `active`; `suppressed` (only Hamming types support it and the content is known good); `held` (an exact type
supports it and the content is known good: the verdict stays, no report leaves, until a person resolves it to one of the
other two); `withdrawn` (nothing supports it).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from hashsets.sqlite import Database
from hashsets.types import Classification, EntryHit, Role
from scanner.ledger import resolutions
from scanner.ledger.resolutions import Resolution


class State(StrEnum):
    """Where a match stands."""

    ACTIVE = "active"
    SUPPRESSED = "suppressed"
    HELD = "held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Match:
    """A stored match: the hit that is its evidence (`owner` is the content's seq), its state, and its set's role."""

    hit: EntryHit
    state: State
    role: Role

    @property
    def content_seq(self) -> int:
        """The content that matched."""
        return self.hit.owner


_COLUMNS = (
    "m.content_seq, m.set_uid, m.entry_key, m.state, m.ref, m.classifications, m.first_version, m.hash_type,"
    " m.distance, m.exact_types, s.role FROM match m JOIN met_set s USING (set_uid)"
)


def _match(row: tuple[object, ...]) -> Match:
    seq, uid, key, state, ref, classifications, first_version, hash_type, distance, exact, role = row
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
    return Match(hit, State(str(state)), Role(str(role)))


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


def put(db: Database, hits: Iterable[EntryHit]) -> tuple[list[tuple[int, bytes, bytes]], set[int]]:
    """Write hits over what was there.

    Returns the (content, set, entry) that were not matches before, or were withdrawn; and the contents of which another
    match is supported by other exact types than before, which may change what it vouches for or how it stands.
    """
    fresh = []
    stirred = set()
    for hit in hits:
        identity = (hit.owner, hit.set_uid, hit.entry_key)
        old = db.execute(
            "SELECT state, exact_types FROM match WHERE content_seq = ? AND set_uid = ? AND entry_key = ?", identity
        ).fetchone()
        if old is None or old[0] == State.WITHDRAWN:
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
        state = State.ACTIVE.value if old is None or old[0] == State.WITHDRAWN else old[0]
        db.execute(
            "INSERT OR REPLACE INTO match (content_seq, set_uid, entry_key, state, ref, classifications,"
            " first_version, hash_type, distance, exact_types) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*identity, state, *evidence),
        )
    return fresh, stirred


def withdraw_unsupported(
    db: Database, set_uid: bytes, seq_lo: int, seq_hi: int, keys: Collection[bytes] | None, hits: Iterable[EntryHit]
) -> list[tuple[int, bytes, bytes]]:
    """Withdraw the set's matches in seq_lo..seq_hi (with entries in `keys`, where given) that no hit supports."""
    supported = {(hit.owner, hit.entry_key) for hit in hits if hit.set_uid == set_uid}
    rows = db.execute(
        "SELECT content_seq, entry_key FROM match WHERE content_seq BETWEEN ? AND ? AND set_uid = ? AND state != ?",
        (seq_lo, seq_hi, set_uid, State.WITHDRAWN.value),
    ).fetchall()
    lost = [(seq, set_uid, key) for seq, key in rows if (keys is None or key in keys) and (seq, key) not in supported]
    set_state(db, lost, State.WITHDRAWN)
    return lost


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
            moved.append(Match(match.hit, state, match.role))
    return moved


def _vouches(match: Match) -> bool:
    exact = match.hit.exact_types
    return match.role is Role.KNOWN_GOOD and ("sha256" in exact or {"md5", "sha1"} <= exact)


_RESOLVED = {None: State.HELD, Resolution.REPORT: State.ACTIVE, Resolution.KNOWN_GOOD: State.SUPPRESSED}


def _settled_state(db: Database, match: Match, known_good: bool) -> State:
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
