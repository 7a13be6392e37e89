"""A home with matches that people look into, and the people."""

from __future__ import annotations

from pathlib import Path

from scanner.accountability.appeals import Appeals
from scanner.accountability.cases import Case, Cases
from scanner.accountability.levels import Finding, Level, Reason
from scanner.accountability.review import Reviews, Statement
from scanner.accountability.reviewers import Roster
from tests.scanner.fakes import MovableClock, Site, entry_of, fake_media, pdq, sha256_entry

EXACT = fake_media(pdq(7), comment="listed by its digest")
NEAR = fake_media(pdq(1, 3), comment="near")
STAFF = {
    Level.ANALYST: ("ann", "abe", "amy"),
    Level.SENIOR: ("sue", "sid"),
    Level.LEGAL: ("lea", "leo"),
    Level.PANEL: ("pam", "per", "pia"),
}
CONFIRMED = (Finding.CONFIRMED, Reason.LISTED_MATERIAL)
OTHER = (Finding.NOT_CONFIRMED, Reason.OTHER_PICTURE)
WRONG = (Finding.NOT_CONFIRMED, Reason.WRONG_ENTRY)
UNCLEAR = (Finding.UNDECIDED, Reason.CANNOT_TELL)


class Office:
    """A home with one exact and one near match, both reported, and reviewers at every level."""

    def __init__(self, home: Path, *, vouches: bool = False, start_ns: int | None = None) -> None:
        self.site = Site(home) if start_ns is None else Site(home, MovableClock(start_ns))
        self.site.list_entries("A", sha256_entry(EXACT, "exact"), entry_of(pdq(1), ref="near"))
        self.site.upload(EXACT, b"upload-exact")
        self.site.upload(NEAR, b"upload-near")
        self.site.seal()
        db, clock = self.site.ledger.db, self.site.clock
        self.cases, self.appeals = Cases(db, clock), Appeals(db, clock)
        self.reviews, self.roster = Reviews(db, clock, vouches=vouches), Roster(db, clock)
        for level, names in STAFF.items():
            for name in names:
                self.roster.add(name, level)

    def report(self, ref: str) -> str:
        """The id of the report of an entry."""
        return next(
            r.id for r, _ in self.site.ledger.sealing.sealed() if r.body.ref == ref and r.body.withdraws is None
        )

    def case(self, ref: str) -> Case:
        """The case of that report."""
        return self.cases.review(self.report(ref))

    def say(
        self, case: Case, who: str, said: tuple[Finding, Reason], *, viewed: bool = True, key: str | None = None
    ) -> Case:
        """One person's finding."""
        return self.reviews.give(case.id, Statement(*said, who, viewed, key))

    def decide(self, case: Case, said: tuple[Finding, Reason], level: Level | None = None) -> Case:
        """Two people of the level it stands at find the same."""
        first, second = STAFF[level or case.level][-2:]
        self.say(case, first, said)
        return self.say(case, second, said)

    def close(self) -> None:
        """Close the home."""
        self.site.close()
