"""How the source of each set stands: when it was asked, when it answered, when it had news, and what is wrong.

Kept by the name of the set, which need not exist yet: a source may fail before it has listed anything. Nothing here
says what is in force; a source that is in trouble never stops the set it fed from serving.
"""

from __future__ import annotations

from dataclasses import dataclass

from hashsets.sqlite import Database

MAX_FAILURE_LETTERS = 500


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """Times are nanoseconds since the epoch, None for never. `problem` is one word of a closed list, `failure` our own
    sentence; both are None once it answers again.
    """

    tried_ns: int | None = None
    succeeded_ns: int | None = None
    changed_ns: int | None = None
    """When it last had news; or first answered."""
    failures: int = 0
    problem: str | None = None
    failure: str | None = None


class Standings:
    """The table of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, hash_set: str) -> SourceStanding:
        """How one stands; one never asked too."""
        row = self._database.execute(
            "SELECT tried, succeeded, changed, failures, problem, failure FROM source_standing WHERE hash_set = ?",
            (hash_set,),
        ).fetchone()
        return SourceStanding() if row is None else SourceStanding(*row)

    def begin(self, hash_set: str, now_ns: int) -> None:
        """It is being asked."""
        self._set(hash_set, "tried = ?", (now_ns,))

    def succeeded(self, hash_set: str, now_ns: int, *, news: bool) -> None:
        """It has told all that it had to tell."""
        changed = "changed = ?" if news else "changed = COALESCE(changed, ?)"
        self._set(hash_set, f"succeeded = ?, {changed}, failures = 0, problem = NULL, failure = NULL", (now_ns, now_ns))

    def failed(self, hash_set: str, problem: str, failure: str) -> None:
        """It could not be asked, or what it said was not taken."""
        said = (problem, failure[:MAX_FAILURE_LETTERS])
        self._set(hash_set, "failures = failures + 1, problem = ?, failure = ?", said)

    def _set(self, hash_set: str, assignments: str, values: tuple[object, ...]) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO source_standing (hash_set) VALUES (?)", (hash_set,))
            connection.execute(f"UPDATE source_standing SET {assignments} WHERE hash_set = ?", (*values, hash_set))
