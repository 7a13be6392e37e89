"""What the operator's own system is to do about its assets, and what it was told. One public method, one transaction.

Rules
- What may be acted on is what may be reported. `outbox.reconcile` marks a match's content in the transaction that
  brings reports in line with it; `draw` turns marks into actions, from how the matches then stand.
- One chain of actions for every (asset, content). An action that was never tried is dropped once it is no longer true;
  one that was tried may have been taken, so its opposite follows.
- A standing match that may not be said (held, of a set in shadow, of a version that is not settled) starts nothing and
  ends nothing. One of a muted entry asks for nothing.
- An asset that is gone is told of no more restrictions, but of a release: what was restricted may have been moved away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hashsets.sqlite import Database
from hashsets.types import EntryHit, Role
from scanner.ledger import assets, matches, outbox, speech
from scanner.ledger.matches import State
from scanner.reports import Proximity
from scanner.types import MediaKind, Verb

LONGEST_WAIT_NS = 86_400 * 10**9  # a wait that seems longer was set under a clock ahead
_CHUNK = 50  # contents a transaction, some 10 ms


@dataclass(frozen=True, slots=True)
class ActionRules:
    """What a match asks for, by its tier (None: nothing); and the sets that may ask: none for every alert set."""

    exact: Verb | None
    near: Verb | None
    hash_sets: frozenset[str]

    def verb(self, tier: Proximity) -> Verb | None:
        """What a match of that tier asks for."""
        return self.exact if tier is Proximity.EXACT else self.near


@dataclass(frozen=True, slots=True)
class Owed:
    """An action the target has not taken yet, with what it says."""

    id: int
    verb: Verb
    tier: Proximity
    media: MediaKind
    sha256: bytes
    asset_id: int
    is_upload: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of what was told and is owed: `state` is owed, delivered or dropped; the times are nanoseconds."""

    id: int
    asset_id: int
    verb: Verb
    tier: Proximity
    state: str
    attempts: int
    drawn_ns: int
    delivered_ns: int | None


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    verb: Verb
    tier: Proximity
    attempts: int
    delivered: bool
    dropped: bool

    @property
    def pending(self) -> bool:
        return not self.delivered and not self.dropped

    def says(self, verb: Verb, tier: Proximity) -> bool:
        return self.verb is verb and (self.tier is tier or verb is Verb.RELEASE)

    def outranks(self, asked: tuple[Verb, Proximity] | None) -> bool:
        """Whether what was taken is stricter than what is asked for."""
        if asked is None or not self.delivered or self.verb is Verb.RELEASE:
            return False
        return _rank((self.verb, self.tier)) > _rank(asked)


class Actions:
    """The actions part of the ledger."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def due(self) -> bool:
        """Whether anything is marked."""
        return self._db.execute("SELECT 1 FROM action_due LIMIT 1").fetchone() is not None

    def draw(self, rules: ActionRules, now_ns: int) -> int:
        """Turn the next marked contents into actions; how many contents that were, 0 when none is left."""
        if not self.due():
            return 0
        with self._db.write():
            rows = self._db.execute("SELECT content_seq FROM action_due ORDER BY content_seq LIMIT ?", (_CHUNK,))
            seqs = [seq for (seq,) in rows.fetchall()]
            for seq in seqs:
                _draw_one(self._db, seq, rules, now_ns)
            self._db.connection.executemany("DELETE FROM action_due WHERE content_seq = ?", [(seq,) for seq in seqs])
            return len(seqs)

    def owed(self, now_ns: int, *, even_if_waiting: bool = False, most: int = 1000) -> list[Owed]:
        """Actions to be told now, those that waited longest first."""
        rows = self._db.execute(
            f"{_OWED} AND (? OR next_try_at <= ? OR next_try_at > ?) ORDER BY a.next_try_at, a.id LIMIT ?",
            (even_if_waiting, now_ns, now_ns + LONGEST_WAIT_NS, most),
        )
        return [_owed(row) for row in rows.fetchall()]

    def waiting(self) -> int:
        """How many actions are owed, due or not."""
        return int(self._db.execute(f"SELECT count(*) {_PENDING}").fetchone()[0])

    def begin(self, action: Owed, next_try_ns: int) -> bool:
        """Note, before it is told, that an action may have been taken from now on; False when it is no longer true."""
        with self._db.write():
            moved = self._db.execute(
                "UPDATE action SET attempts = attempts + 1, next_try_at = ? WHERE id = ? AND dropped_at IS NULL"
                " AND delivered_at IS NULL",
                (next_try_ns, action.id),
            )
            return moved.rowcount > 0

    def taken(self, action: Owed, now_ns: int) -> None:
        """The target has taken an action."""
        with self._db.write():
            self._db.execute("UPDATE action SET delivered_at = ? WHERE id = ?", (now_ns, action.id))

    def listed(self) -> Iterable[Listed]:
        """Everything that was told and is owed, oldest first."""
        rows = self._db.execute(
            "SELECT id, asset_id, verb, tier, attempts, drawn_at, delivered_at, dropped_at FROM action ORDER BY id"
        )
        for id_, asset_id, verb, tier, attempts, drawn, delivered, dropped in rows:
            state = "delivered" if delivered is not None else "owed" if dropped is None else "dropped"
            yield Listed(id_, asset_id, Verb(verb), Proximity(tier), state, attempts, drawn, delivered)


_PENDING = (
    "FROM action a JOIN content c ON c.seq = a.content_seq JOIN asset s ON s.id = a.asset_id"
    " WHERE a.delivered_at IS NULL AND a.dropped_at IS NULL"
)
_OWED = f"SELECT a.id, a.verb, a.tier, a.attempts, a.asset_id, c.media, c.sha256, s.root_id {_PENDING}"


def _owed(row: tuple[int, str, str, int, int, str, bytes, int]) -> Owed:
    id_, verb, tier, attempts, asset_id, media, sha256, root_id = row
    upload = root_id == assets.UPLOADS
    return Owed(id_, Verb(verb), Proximity(tier), MediaKind(media), bytes(sha256), asset_id, upload, attempts)


def _draw_one(db: Database, seq: int, rules: ActionRules, now_ns: int) -> None:
    """Bring the chains of one content's assets in line with its matches."""
    asked, standing = _asked(db, seq, rules)
    holders = set(assets.of_content(db, seq))
    chains = _chains(db, seq)
    for asset_id in sorted(holders | chains.keys()):
        chain = chains.get(asset_id, [])
        heard = next((row for row in reversed(chain) if row.attempts), None)
        if asked is None and not standing:
            wanted = None if heard is None else (Verb.RELEASE, heard.tier)
        elif asset_id not in holders or (standing and heard is not None and heard.outranks(asked)):
            wanted = None
        else:
            wanted = asked
        _follow(db, asset_id, seq, chain, heard, wanted, now_ns)


def _follow(
    db: Database,
    asset_id: int,
    seq: int,
    chain: Collection[_Row],
    heard: _Row | None,
    wanted: tuple[Verb, Proximity] | None,
    now_ns: int,
) -> None:
    """Make the end of a chain say what is wanted (None: nothing more), dropping what waits and says something else."""
    for row in chain:
        if row.pending and wanted is not None and row.says(*wanted):
            return
        if row.pending:
            db.execute("UPDATE action SET dropped_at = ? WHERE id = ?", (now_ns, row.id))
    if wanted is None or (heard is not None and heard.delivered and heard.says(*wanted)):
        return
    db.execute(
        "INSERT INTO action (asset_id, content_seq, verb, tier, drawn_at) VALUES (?, ?, ?, ?, ?)",
        (asset_id, seq, wanted[0].value, wanted[1].value, now_ns),
    )


def _asked(db: Database, seq: int, rules: ActionRules) -> tuple[tuple[Verb, Proximity] | None, bool]:
    """What a content's matches ask for, and whether any stands that may not ask."""
    sets = outbox.met_sets(db)
    asked: list[tuple[Verb, Proximity]] = []
    standing = False
    for match in matches.of_content(db, seq):
        name, role, _ = sets[match.hit.set_uid]
        if speech.is_muted(db, match.hit):
            continue
        in_scope = name in rules.hash_sets if rules.hash_sets else role is Role.ALERT
        if not in_scope or role is Role.KNOWN_GOOD:
            continue
        # What a version withdrew that is not settled yet still stands, as its report does.
        unsettled = match.state is State.WITHDRAWN and match.version > speech.version(db, match.hit.set_uid)
        standing = standing or unsettled
        if match.state not in (State.ACTIVE, State.HELD):
            continue
        verb = rules.verb(tier_of(match.hit))
        if outbox.may_be_said(db, match):
            asked += [] if verb is None else [(verb, tier_of(match.hit))]
        else:
            standing = True
    return (max(asked, key=_rank) if asked else None), standing


def tier_of(hit: EntryHit) -> Proximity:
    """Exact where any cryptographic type supports the match."""
    return Proximity.EXACT if hit.exact_types else Proximity.NEAR


def _rank(asked: tuple[Verb, Proximity]) -> tuple[bool, bool]:
    return asked[0] is Verb.RESTRICT, asked[1] is Proximity.EXACT


def _chains(db: Database, seq: int) -> dict[int, list[_Row]]:
    """What was told and is owed of a content, by asset, oldest first."""
    rows = db.execute(
        "SELECT asset_id, id, verb, tier, attempts, delivered_at IS NOT NULL, dropped_at IS NOT NULL FROM action"
        " WHERE content_seq = ? ORDER BY id",
        (seq,),
    )
    chains: dict[int, list[_Row]] = {}
    for asset_id, id_, verb, tier, attempts, delivered, dropped in rows.fetchall():
        row = _Row(id_, Verb(verb), Proximity(tier), attempts, bool(delivered), bool(dropped))
        chains.setdefault(asset_id, []).append(row)
    return chains
