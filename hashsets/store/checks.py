"""What can be wrong with the rows of a set: the questions `verify` asks."""

from __future__ import annotations

from hashsets.sqlite import Connection
from hashsets.store.sets import SetRow

_CHECKS = (
    ("SELECT COUNT(*) FROM entry e WHERE e.set_id = :id AND NOT EXISTS"
     " (SELECT 1 FROM signal s WHERE s.set_id = e.set_id AND s.entry_id = e.id)", "entries have no signal"),
    ("SELECT COUNT(*) FROM signal s WHERE s.set_id = :id AND NOT EXISTS"
     " (SELECT 1 FROM entry e WHERE e.id = s.entry_id AND e.set_id = :id)", "signals have no entry"),
    ("SELECT COUNT(*) FROM signal WHERE set_id = :id AND withdrawn <= added", "signals end before they begin"),
    ("SELECT COUNT(*) FROM signal WHERE set_id = :id AND (added > :next OR withdrawn > :next)",
     "signals belong to a version that does not exist"),
    ("SELECT COUNT(*) FROM signal a JOIN signal b USING (set_id, entry_id, type, value)"
     " WHERE a.set_id = :id AND a.added < b.added AND (a.withdrawn IS NULL OR a.withdrawn > b.added)",
     "signals are listed twice at once"),
)  # fmt: skip


def problems(connection: Connection, row: SetRow) -> list[str]:
    """What is wrong with a set's rows, in words."""
    found = [
        "the database file is damaged" for (answer,) in connection.execute("PRAGMA quick_check(1)") if answer != "ok"
    ]
    staging = row.staging_token is not None
    parameters = {"id": row.id, "next": row.hash_set.version + staging, "version": row.hash_set.version}
    for sql, words in _CHECKS:
        (count,) = connection.execute(sql, parameters).fetchone()
        if count:
            found.append(f"{count} {words}")
    (in_force,) = connection.execute(
        """SELECT COUNT(*) FROM (
               SELECT 1 FROM signal WHERE set_id = :id AND added <= :version
               AND (withdrawn IS NULL OR withdrawn > :version) GROUP BY entry_id)""",
        parameters,
    ).fetchone()
    if in_force != row.hash_set.entries:
        found.append(f"{in_force} entries are in force where {row.hash_set.entries} were counted")
    return found
