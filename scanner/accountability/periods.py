"""Periods of reports: quarters and years of UTC days, and any other stretch of days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from scanner.errors import UsageError
from scanner.transparency_config import Every


@dataclass(frozen=True, slots=True)
class Period:
    """From a UTC day to another, both included; ISO 8601."""

    first: str
    last: str

    def __post_init__(self) -> None:
        try:
            begins, ends = date.fromisoformat(self.first), date.fromisoformat(self.last)
        except ValueError:
            raise UsageError("A period's days are written YYYY-MM-DD.") from None
        if (begins.isoformat(), ends.isoformat()) != (self.first, self.last) or ends < begins:
            raise UsageError("A period is two days, each YYYY-MM-DD, the first one first.")

    def is_over(self, today: str) -> bool:
        """Whether nothing more can come into it."""
        return self.last < today

    def overlaps(self, other: Period) -> bool:
        """Whether a day lies in both."""
        return self.first <= other.last and other.first <= self.last

    @property
    def name(self) -> str:
        """What people call it."""
        begins, ends = date.fromisoformat(self.first), date.fromisoformat(self.last)
        if self == whole(begins, Every.YEAR):
            return str(begins.year)
        if self == whole(begins, Every.QUARTER):
            return f"{begins.year}, quarter {(begins.month + 2) // 3}"
        return f"{begins.isoformat()} to {ends.isoformat()}"


def whole(day: date, every: Every) -> Period:
    """The quarter or year that a day lies in."""
    if every is Every.YEAR:
        return Period(f"{day.year}-01-01", f"{day.year}-12-31")
    month = (day.month - 1) // 3 * 3 + 1
    after = date(day.year + month // 10, (month + 2) % 12 + 1, 1)
    return Period(date(day.year, month, 1).isoformat(), (after - timedelta(days=1)).isoformat())


def last_over(today: str, every: Every) -> Period:
    """The last quarter or year that is over."""
    begun = whole(date.fromisoformat(today), every)
    return whole(date.fromisoformat(begun.first) - timedelta(days=1), every)
