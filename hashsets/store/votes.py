"""What was voted of listed entries: written before a vote is sent, as nobody can tell afterwards whether it arrived."""

from __future__ import annotations

from dataclasses import dataclass

from hashsets.sqlite import Database


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote as it was sent; `answered` where its receiver said that it took it."""

    ref: str
    hash_type: str
    up: bool
    reason: str | None
    day: str
    answered: bool


class Votes:
    """The table of them, by the set's uid."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def types_of(self, uid: bytes, ref: str) -> set[str]:
        """The hash types that the entry of that ref has in force; none where no entry has it. Reads the whole set."""
        rows = self._database.execute(
            "SELECT DISTINCT t.name FROM hash_set h JOIN entry e ON e.set_id = h.id JOIN signal s"
            " ON s.set_id = h.id AND s.entry_id = e.id AND s.withdrawn IS NULL AND s.added <= h.version"
            " JOIN hash_type t ON t.id = s.type WHERE h.uid = ? AND e.ref = ?",
            (uid, ref),
        )
        return {name for (name,) in rows}

    def of(self, uid: bytes, ref: str) -> list[Vote]:
        """What was voted of an entry, oldest first."""
        rows = self._database.execute(
            "SELECT ref, hash_type, up, reason, day, answered FROM vote WHERE set_uid = ? AND ref = ? ORDER BY id",
            (uid, ref),
        )
        return [Vote(ref, kind, bool(up), reason, day, bool(answered)) for ref, kind, up, reason, day, answered in rows]

    def sending(self, uid: bytes, vote: Vote) -> int:
        """Note a vote that is about to be sent; its number."""
        with self._database.write() as connection:
            done = connection.execute(
                "INSERT INTO vote (set_uid, ref, hash_type, up, reason, day, answered) VALUES (?, ?, ?, ?, ?, ?, 0)",
                (uid, vote.ref, vote.hash_type, int(vote.up), vote.reason, vote.day),
            )
            return int(done.lastrowid or 0)

    def answered(self, number: int) -> None:
        """It was taken."""
        with self._database.write() as connection:
            connection.execute("UPDATE vote SET answered = 1 WHERE id = ?", (number,))

    def refused(self, number: int) -> None:
        """It was refused, and so not given."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM vote WHERE id = ?", (number,))
