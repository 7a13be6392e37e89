"""Uploads in the ledger: recalled, accepted before they are compared, spooled, and shown under opaque names.

Rules
- One public method, one transaction.
- To accept an upload writes the same rows whatever is listed: how long it takes tells nothing of the list. What a new
  place of known content gives rise to is told later, like everything that follows from the list.
- A file in the spool is on record before it counts, and its record goes before the file: a file without a record is
  rubbish, a record without a file is done with.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hashsets.sqlite import Database
from hashsets.types import Role
from scanner.ledger import ages, assets, contents, coverage, matches, outbox, volumes
from scanner.ledger.contents import MAX_LOOKS, NEVER_LOOKED, Content
from scanner.ledger.coverage import NOTHING, Met
from scanner.ledger.locations import Locations, address
from scanner.ledger.matches import State
from scanner.ledger.outbox import Occasion
from scanner.types import Digests, Fingerprint, Outcome, Trigger

# Without vowels no word comes up by chance, nor OK, FOUND and ERROR; 0, 1, I and L are read as others.
ALPHABET = "23456789BCDFGHJKMNPQRSTVWXZ"
CODE_LETTERS = 8  # 2.8e11 of them: drawn anew where one is taken


@dataclass(frozen=True, slots=True)
class Arrival:
    """An upload to be accepted: its ref (None: it has none), digests, and fingerprint unless it was known before.

    `region` is the label of the listener that took it in. `shared`: the look was another's, and counts as his alone.
    """

    ref: bytes | None
    digests: Digests
    fingerprint: Fingerprint | None
    region: str = volumes.NO_REGION
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """A content that was answered for and is yet to be compared with every set, or told of."""

    id: int
    digests: Digests


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the ledger knows of an upload's content; `held`: it is already on record under that ref, or without one."""

    outcome: Outcome
    held: bool


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file in the spool, by its random name, and how often it was looked at there."""

    name: str
    content_seq: int
    looks: int


class Uploads:
    """The uploads part of the ledger."""

    def __init__(self, db: Database, locations: Locations) -> None:
        self._db = db
        self._locations = locations

    # -- known content -----------------------------------------------------------------------------------------------

    def recall(
        self, content: Content, sha256: bytes, ref: bytes | None, targets: dict[bytes, Met] | None
    ) -> Recalled | None:
        """The answer that is on record of a content that was known just now.

        None where it is owed a look, or behind one of `targets` (None: whatever it has met).
        """
        if content.owed and content.attempts < MAX_LOOKS:
            return None
        with self._db.read():
            if targets is not None and any(coverage.at(self._db, u, content.seq) != met for u, met in targets.items()):
                return None
            hits = () if targets is None else matches.verdict(self._db, content.seq)
            outcome = Outcome(content.seq, content.media, content.looked, hits, known=True)
            key = self._locations.key(assets.UPLOADS, assets.upload_key(ref, sha256))
            return Recalled(outcome, self._is_held(key, content.seq))

    def acting(self, content_seq: int) -> tuple[bool, ...]:
        """Of each match of a content that blocks it, whether a digest supports it.

        Not of versions that are held, nor of what is muted. A version not joined yet counts at once.
        """
        with self._db.read():
            return tuple(
                bool(match.hit.exact_types)
                for match in matches.of_content(self._db, content_seq)
                if match.state in (State.ACTIVE, State.HELD)
                and match.role is not Role.KNOWN_GOOD
                and not outbox.is_held_back(self._db, match)
            )

    def _is_held(self, key: bytes, seq: int) -> bool:
        asset = assets.find(self._db, assets.UPLOADS, key)
        return asset is not None and not asset.gone and asset.content_seq == seq

    # -- accepted before they are compared ---------------------------------------------------------------------------

    def accept(self, arrivals: Sequence[Arrival], day: str) -> list[Outcome | None]:
        """Commit signals and places; None for one whose content is gone meanwhile, to be looked at again."""
        with self._db.write():
            ages.mark(self._db, day)
            tally = volumes.Tally(self._db)
            outcomes = [self._accept_one(arrival, tally) for arrival in arrivals]
            tally.write(day, Trigger.UPLOAD)
            return outcomes

    def _accept_one(self, arrival: Arrival, tally: volumes.Tally) -> Outcome | None:
        old = contents.find(self._db, arrival.digests.sha256)
        if old is None and arrival.fingerprint is None:
            return None
        seq = self._store(arrival, old)
        if old is None:
            volumes.label_upload(self._db, seq, arrival.region)
        key = assets.upload_key(arrival.ref, arrival.digests.sha256)
        at = address(self._locations, assets.UPLOADS, key)
        arrived = assets.put(self._db, at, walk=0, content_seq=seq)[1] != seq
        self._db.execute("INSERT INTO accepted (content_seq) VALUES (?)", (seq,))
        content = contents.by_seq(self._db, seq)
        if arrived:
            size_bytes = arrival.digests.size_bytes
            tally.add(None, arrival.region, content.media, content.looked, size_bytes, new=old is None)
        return Outcome(seq, content.media, content.looked, (), known=old is not None)

    def _store(self, arrival: Arrival, old: Content | None) -> int:
        seen = arrival.fingerprint
        if old is None:
            assert seen is not None
            return contents.insert(self._db, arrival.digests, contents.folded(NEVER_LOOKED, seen))
        if seen is not None:
            both, basis = contents.fold(self._db, old.seq, seen)
            again = basis.changed or not arrival.shared
            if again and contents.look_again(self._db, old.seq, both, basis):
                for uid in coverage.sets(self._db):  # what it has met is what it was before
                    coverage.assign(self._db, uid, old.seq, old.seq, NOTHING)
        return old.seq

    def accepted(self, most: int) -> list[Accepted]:
        """The next accepted contents, oldest first."""
        rows = self._db.execute(
            "SELECT a.id, c.md5, c.sha1, c.sha256, c.size_bytes FROM accepted a JOIN content c ON c.seq = a.content_seq"
            " ORDER BY a.id LIMIT ?",
            (most,),
        )
        return [Accepted(id_, Digests(md5, sha1, sha256, size)) for id_, md5, sha1, sha256, size in rows]

    def tell(self, ids: Iterable[int], occasion: Occasion) -> None:
        """These were compared: say what follows of the places they came to, and be done with them."""
        with self._db.write():
            for id_ in ids:
                row = self._db.execute("SELECT content_seq FROM accepted WHERE id = ?", (id_,)).fetchone()
                if row is not None:
                    outbox.reconcile_content(self._db, row[0], occasion)
            self._db.connection.executemany("DELETE FROM accepted WHERE id = ?", [(id_,) for id_ in ids])

    # -- spooled -----------------------------------------------------------------------------------------------------

    def spool(self, name: str, content_seq: int, size_bytes: int) -> None:
        """Put a file in the spool on record."""
        with self._db.write():
            self._db.execute(
                "INSERT INTO spooled (name, content_seq, size_bytes) VALUES (?, ?, ?)", (name, content_seq, size_bytes)
            )

    def spooled(self) -> list[Spooled]:
        """Every file in the spool, those looked at least first."""
        rows = self._db.execute("SELECT name, content_seq, looks FROM spooled ORDER BY looks, name")
        return [Spooled(*row) for row in rows]

    def spooled_bytes(self) -> int:
        """What the files on record take."""
        return int(self._db.execute("SELECT coalesce(sum(size_bytes), 0) FROM spooled").fetchone()[0])

    def spool_looked(self, name: str) -> None:
        """One more look at a spooled file is to begin."""
        with self._db.write():
            self._db.execute("UPDATE spooled SET looks = looks + 1 WHERE name = ?", (name,))

    def unspool(self, name: str) -> None:
        """A spooled file is done with, and is to go."""
        with self._db.write():
            self._db.execute("DELETE FROM spooled WHERE name = ?", (name,))

    def is_spooled(self, content_seq: int) -> bool:
        """Whether the bytes of a content lie in the spool."""
        return (
            self._db.execute("SELECT 1 FROM spooled WHERE content_seq = ? LIMIT 1", (content_seq,)).fetchone()
            is not None
        )

    def owed(self, content_seq: int) -> bool:
        """Whether another look at a content may find more; of one that was erased none does."""
        content = contents.find_seq(self._db, content_seq)
        return content is not None and content.owed and content.attempts < MAX_LOOKS

    # -- what people were shown --------------------------------------------------------------------------------------

    def code(self, content_seq: int, draw: Callable[[], str] = lambda: random_code()) -> str:
        """The code a matched content is shown under: drawn when it is first shown, the same from then on."""
        while True:
            row = self._db.execute("SELECT code FROM shown_code WHERE content_seq = ?", (content_seq,)).fetchone()
            if row is not None:
                return str(row[0])
            with self._db.write():
                self._db.execute(
                    "INSERT OR IGNORE INTO shown_code (code, content_seq) VALUES (?, ?)", (draw(), content_seq)
                )

    def shown(self, code: str) -> tuple[bytes, list[int]] | None:
        """The SHA-256 and the assets of what was shown under a code; None where nothing was."""
        row = self._db.execute(
            "SELECT c.seq, c.sha256 FROM shown_code s JOIN content c ON c.seq = s.content_seq WHERE s.code = ?",
            (code,),
        ).fetchone()
        return None if row is None else (bytes(row[1]), assets.of_content(self._db, row[0]))


def random_code() -> str:
    """A code nobody can tell anything from."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LETTERS))
