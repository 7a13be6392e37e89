"""The policy of retention as configured: how long what is kept, by class.

Rules
- None stands for ever, 0 for not at all. A day counts from the UTC day on which something was recorded, identified,
  reported or decided; once so many days lie between, it is past its date.
- What rules ask for is looked up here and told as conflicts; nothing is decided by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

EU_MONTHS_AS_DAYS = 365
US_YEAR_DAYS = 365
RULES = ("eu", "us")


@dataclass(frozen=True, slots=True)
class CasesConfig:
    """What follows of decisions: the known-good set that overturned near matches join; None: none."""

    known_good: str | None = None


def days_of(value: object, *, none: bool = True) -> int | None:
    """How many days a setting says: "forever", "none" where that may be said, or a number. Raises ValueError."""
    if value == "forever":
        return None
    if value == "none" and none:
        return 0
    if type(value) is int and 1 <= value <= 36_500:
        return value
    raise ValueError


def shown(days: int | None) -> str:
    """A number of days as the configuration writes it."""
    return "forever" if days is None else "none" if days == 0 else f"{days:,} days" if days > 1 else "1 day"


@dataclass(frozen=True, slots=True)
class RetainConfig:
    """How long what is kept; `rules` names those against which the policy is held up."""

    unmatched: int | None = None
    matched: int | None = None
    gone: int | None = None
    reports: int | None = None
    cases: int | None = None
    requests: int | None = None
    rules: frozenset[str] = field(default_factory=frozenset)
    hour: int = 3

    def classes(self) -> dict[str, int | None]:
        """The days of each class, by name."""
        return {
            "unmatched": self.unmatched, "matched": self.matched, "gone": self.gone, "reports": self.reports,
            "cases": self.cases, "requests": self.requests,
        }  # fmt: skip

    def conflicts(self) -> Iterator[str]:
        """What the policy itself has against the rules named, a sentence each."""
        if "eu" in self.rules:
            if self.matched is None or self.matched > EU_MONTHS_AS_DAYS:
                yield (
                    f"eu: matched contents are kept {_kept(self.matched)}; Regulation (EU) 2021/1232 allows 12"
                    " months from identification"
                )
            if self.unmatched != 0:
                yield (
                    f"eu: what matches nothing is kept {_kept(self.unmatched)}; where Regulation (EU) 2021/1232"
                    " applies, what shows no abuse is erased at once"
                )
        if "us" in self.rules and self.matched is not None and self.matched < US_YEAR_DAYS:
            yield (
                f"us: matched contents are kept {_kept(self.matched)}; what is reported to NCMEC is preserved for a"
                " year (18 U.S.C. 2258A(h)): place a hold on it (`hashward hold place --kind ncmec_report`)"
            )


def _kept(days: int | None) -> str:
    return "for ever" if days is None else shown(days)
