"""The words of reviews, and who decides what: levels, what a case begins at, outcomes with their reasons.

Knows no database. The tables are the policy; `README` tells them to whoever has to staff them.

Rules
- A case begins at the highest level that its origin, its urgency or its complexity asks for.
- What one level cannot settle (undecided, or two people who differ) goes to the next; above the panel there is none.
- Overturning an exact match says that a list is wrong: that is for `legal` or the panel.
- What a decision said is contested above whoever made it: an appeal is heard one level up, and by other people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

PANEL_TERM_DAYS: Final = 365


class Level(StrEnum):
    """Who decides, lowest first."""

    ANALYST = "analyst"
    SENIOR = "senior"
    LEGAL = "legal"
    PANEL = "panel"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(Level).index(self)

    @property
    def above(self) -> Level:
        """The next level; the panel's is itself."""
        return list(Level)[min(self.rank + 1, Level.PANEL.rank)]


class Origin(StrEnum):
    """What a case came from."""

    REVIEW = "review"
    OPENING = "opening"
    APPEAL = "appeal"
    ABUSE_REPORT = "abuse_report"


class Urgency(StrEnum):
    """How soon; an emergency is an imminent risk of death or serious injury."""

    ROUTINE = "routine"
    URGENT = "urgent"
    EMERGENCY = "emergency"


class Complexity(StrEnum):
    """How hard; novel: nobody here has decided its like."""

    SIMPLE = "simple"
    COMPLEX = "complex"
    NOVEL = "novel"


class Finding(StrEnum):
    """What people found a match to be."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not_confirmed"
    UNDECIDED = "undecided"


class Reason(StrEnum):
    """Why, in one of these."""

    LISTED_MATERIAL = "listed_material"
    OTHER_UNLAWFUL = "other_unlawful"
    OTHER_PICTURE = "other_picture"
    LAWFUL_PICTURE = "lawful_picture"
    WRONG_ENTRY = "wrong_entry"
    CANNOT_TELL = "cannot_tell"
    NEEDS_ESCALATION = "needs_escalation"
    CONTENT_GONE = "content_gone"


REASONS: Final[Mapping[Finding, tuple[Reason, ...]]] = {
    Finding.CONFIRMED: (Reason.LISTED_MATERIAL, Reason.OTHER_UNLAWFUL),
    Finding.NOT_CONFIRMED: (Reason.OTHER_PICTURE, Reason.LAWFUL_PICTURE, Reason.WRONG_ENTRY),
    Finding.UNDECIDED: (Reason.CANNOT_TELL, Reason.NEEDS_ESCALATION, Reason.CONTENT_GONE),
}
# Whoever says one of these has seen the picture, or does not know.
NEEDS_SIGHT: Final = frozenset((Reason.OTHER_UNLAWFUL, Reason.OTHER_PICTURE, Reason.LAWFUL_PICTURE))
MAY_OVERTURN_EXACT: Final = Level.LEGAL

_BY_ORIGIN: Final = {
    Origin.REVIEW: Level.ANALYST,
    Origin.OPENING: Level.ANALYST,
    Origin.ABUSE_REPORT: Level.ANALYST,
    Origin.APPEAL: Level.SENIOR,
}
_BY_URGENCY: Final = {
    Urgency.ROUTINE: Level.ANALYST,
    Urgency.URGENT: Level.SENIOR,
    Urgency.EMERGENCY: Level.LEGAL,
}
_BY_COMPLEXITY: Final = {
    Complexity.SIMPLE: Level.ANALYST,
    Complexity.COMPLEX: Level.SENIOR,
    Complexity.NOVEL: Level.LEGAL,
}

# What people type for themselves and for their papers: nothing that could break out of a line, a log or a file name.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TICKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def begins_at(origin: Origin, urgency: Urgency, complexity: Complexity) -> Level:
    """The level at which a case begins."""
    return highest(_BY_ORIGIN[origin], _BY_URGENCY[urgency], _BY_COMPLEXITY[complexity])


def highest(*levels: Level) -> Level:
    """The highest of these."""
    return max(levels, key=lambda level: level.rank)


def is_name(text: str) -> bool:
    """Whether a person can be called that here: a to z, digits, `.`, `_` and `-`."""
    return _NAME.fullmatch(text) is not None


def is_ticket(text: str) -> bool:
    """Whether a text can be the operator's own number of something."""
    return _TICKET.fullmatch(text) is not None


def days_after(day: str, days: int) -> str:
    """The UTC day so many days after one."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
