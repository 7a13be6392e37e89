"""The roster: who may decide at which level, and until when. Rows; one public method of `Roster`, one transaction.

Rules
- One person stands at one level at a time. A seat on the appeals panel ends after a year; another begins anew.
- Whoever stands higher may decide below, except on the panel: its members decide what comes to it, and nothing else.
- Every change is in the audit log.
"""

from __future__ import annotations

from dataclasses import dataclass

from hashsets.sqlite import Database
from scanner.accountability.audit import Event, due
from scanner.accountability.levels import PANEL_TERM_DAYS, Level, days_after, is_name
from scanner.clock import Clock, utc_day
from scanner.errors import UsageError


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person at a level; `until` is the first UTC day on which that is over, None: it has no end."""

    name: str
    level: Level
    since: str
    until: str | None

    def in_force(self, day: str) -> bool:
        """Whether the person may decide on that day."""
        return self.since <= day and (self.until is None or day < self.until)

    def may_decide(self, level: Level) -> bool:
        """Whether the person may decide at a level."""
        if Level.PANEL in (level, self.level):
            return level is self.level
        return self.level.rank >= level.rank


class Roster:
    """Who may decide."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def add(self, name: str, level: Level) -> Reviewer:
        """Let a person decide at a level from today on. Raises UsageError."""
        if not is_name(name):
            raise UsageError("A reviewer's name is 1 to 64 of a-z, 0-9, `.`, `_` and `-`.")
        day = utc_day(self._clock)
        until = days_after(day, PANEL_TERM_DAYS) if level is Level.PANEL else None
        with self._db.write():
            if of(self._db, name, day) is not None:
                raise UsageError("That reviewer stands at a level already: `case reviewer end` comes first.")
            self._db.execute(
                "INSERT INTO reviewer (name, level, since, until) VALUES (?, ?, ?, ?)", (name, level.value, day, until)
            )
            self._tell("added", name, level)
        return Reviewer(name, level, day, until)

    def end(self, name: str) -> None:
        """Let a person decide no more, from now on. Raises UsageError."""
        day = utc_day(self._clock)
        with self._db.write():
            standing = of(self._db, name, day)
            if standing is None:
                raise UsageError("There is no reviewer of that name: `hashward case reviewer list` shows them.")
            self._db.execute("UPDATE reviewer SET until = ?1 WHERE name = ?2 AND since <= ?1 AND (until IS NULL"
                             " OR until > ?1)", (day, name))  # fmt: skip
            self._tell("ended", name, standing.level)

    def listed(self) -> list[Reviewer]:
        """Everybody who ever was one, by name and time."""
        rows = self._db.execute("SELECT name, level, since, until FROM reviewer ORDER BY name, id")
        return [Reviewer(name, Level(level), since, until) for name, level, since, until in rows]

    def _tell(self, change: str, name: str, level: Level) -> None:
        said = {"change": change, "reviewer": name, "level": level.value}
        due(self._db, Event.REVIEWER_CHANGED, said, at_ns=self._clock.now_ns())


def of(db: Database, name: str, day: str) -> Reviewer | None:
    """How a person stands on a day; None: as no reviewer."""
    rows = db.execute("SELECT name, level, since, until FROM reviewer WHERE name = ? ORDER BY id DESC", (name,))
    known = [Reviewer(each, Level(level), since, until) for each, level, since, until in rows.fetchall()]
    return next((each for each in known if each.in_force(day)), None)
