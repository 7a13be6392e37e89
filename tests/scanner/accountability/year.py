"""A year of an operator: uploads, lists that change, reviews, appeals, requests; and what of it must be counted.

Everything goes through the real ledger, cases and register, under a clock that is moved. Beside it `Expected` keeps
books of its own from what was done alone, and never asks the ledger.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from hashsets.types import Bounds, Delta, Entry, Signal, entry_key
from scanner.accountability import cases
from scanner.accountability.appeals import Appeals, Channel
from scanner.accountability.levels import Finding, Level, Origin, Reason
from scanner.accountability.request_words import Ask, Data, Instrument, Request, Requester
from scanner.accountability.requests import Decision, RequestOutcome, Requests, Why
from scanner.accountability.review import Reviews, Statement
from scanner.accountability.reviewers import Roster
from scanner.ledger import Place
from scanner.ledger.assets import UPLOADS
from scanner.pipeline import Look
from scanner.transparency_config import RequestsConfig
from scanner.types import WHOLE, Digests, Fingerprint, MediaKind, Trigger, partial
from scanner.types import Reason as Why_not
from tests.scanner.fakes import Site, pdq

REGIONS = ("EU", "US", "")
# Each list compares by one type, so that whoever keeps books by hand knows which technology flags.
LISTS = {"police": "sha256", "hotline": "md5", "films": "pdq"}
COUNTRIES = {"DE": "European Union", "US": "North America", "BR": "Latin America and the Caribbean", "JP": "Asia"}
_KINDS = (MediaKind.IMAGE, MediaKind.IMAGE, MediaKind.ANIMATION, MediaKind.VIDEO, MediaKind.OTHER)
_SHOWN = {MediaKind.IMAGE: "image", MediaKind.ANIMATION: "image", MediaKind.VIDEO: "video", MediaKind.OTHER: "other"}
_FINDINGS = {Finding.CONFIRMED: Reason.LISTED_MATERIAL, Finding.NOT_CONFIRMED: Reason.OTHER_PICTURE}


@dataclass
class Content:
    """One generated content."""

    number: int
    media: MediaKind
    region: str
    size_bytes: int
    partial: bool
    seq: int = 0

    @property
    def digests(self) -> Digests:
        """What stands for its bytes."""
        seed = b"%d" % self.number
        return Digests(
            hashlib.md5(seed).digest(), hashlib.sha1(seed).digest(), hashlib.sha256(seed).digest(), self.size_bytes
        )

    @property
    def look(self) -> Look:
        """A look at it, as a door hands it on."""
        signals = () if self.media is MediaKind.OTHER else (pdq(1000 + self.number),)
        looked = partial(Why_not.UNDECODABLE) if self.partial else WHOLE
        made = frozenset() if self.media is MediaKind.OTHER else frozenset({"pdq"})
        return Look(self.digests, Fingerprint(self.media, looked, signals, made=made), self.region)

    def entry(self, hash_type: str) -> Entry | None:
        """The entry that lists it by one type."""
        if hash_type == "pdq":
            signal = Signal("pdq", pdq(1000 + self.number, 2).value, quality=80)
            return None if self.media is MediaKind.OTHER else Entry(entry_key(signal), (signal,))
        signal = Signal(hash_type, getattr(self.digests, hash_type))
        return Entry(entry_key(signal), (signal,))


@dataclass
class Expected:
    """Books kept by hand: everything that was done, by day."""

    items: list[tuple[str, str, str, bool, int, str]] = field(default_factory=list)  # day region media new size reason
    flags: list[tuple[str, int, str]] = field(default_factory=list)  # day, content, list
    ended: list[tuple[str, int, str]] = field(default_factory=list)  # day, content, cause
    reviews: list[tuple[str, int, Finding, str]] = field(default_factory=list)  # day, content, finding, flagged on
    complaints: list[tuple[str, str]] = field(default_factory=list)  # day, channel
    decided: list[tuple[str, str, Finding, int]] = field(default_factory=list)  # day, channel, finding, days it took
    requests: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # id: day, country, category
    outcomes: list[tuple[str, str, str]] = field(default_factory=list)  # day, id, outcome
    standing: dict[tuple[int, str], None] = field(default_factory=dict)


class Year:
    """The year; `run` lives it day by day."""

    def __init__(self, site: Site, seed: int, uploads: int, every: int) -> None:
        self.site = site
        self.rng = random.Random(seed)
        self.uploads = uploads
        self.every = every
        self.books = Expected()
        self.contents: list[Content] = []
        self.listed: dict[str, set[int]] = {name: set() for name in LISTS}
        self.overturned: set[tuple[int, str]] = set()
        self.cases: dict[tuple[int, str], str] = {}
        self.rounds: Counter[tuple[int, str]] = Counter()
        self.requests = Requests(site.ledger.db, site.clock, RequestsConfig(home=tuple(COUNTRIES)))
        for name in LISTS:
            site.store.create(name)
            site.store.set_bounds(name, Bounds(10**9, 1.0, 10.0**6, 1.0))
        roster = Roster(site.ledger.db, site.clock)
        for name, level in (("a1", Level.ANALYST), ("a2", Level.ANALYST), ("s1", Level.SENIOR), ("s2", Level.SENIOR),
                            ("l1", Level.LEGAL), ("l2", Level.LEGAL)):  # fmt: skip
            roster.add(name, level)

    def run(self, days: int = 365) -> None:
        """Live it."""
        for day in range(days):
            if day % self.every == 0:
                self._upload()
                self._change_lists()
                self._work()
            self.site.clock.move(1)

    # -- what comes in -----------------------------------------------------------------------------------------------

    def _upload(self) -> None:
        fresh = [self._draw() for _ in range(self.uploads)]
        again = [self.rng.choice(self.contents) for _ in range(2) if self.contents]
        self.contents += fresh
        looks = [
            (Place(UPLOADS, b"%s-%d-%d" % (self.site.day.encode(), at, each.number)), each.look)
            for at, each in enumerate((*fresh, *again))
        ]
        recorded = self.site.pipeline.settle(looks, Trigger.UPLOAD)
        for each, done in zip((*fresh, *again), recorded, strict=True):
            new, each.seq = not each.seq, done.outcome.content_seq
            reason = "undecodable" if each.partial else ""
            self.books.items.append((self.site.day, each.region, _SHOWN[each.media], new, each.size_bytes, reason))

    def _draw(self) -> Content:
        rng = self.rng
        return Content(
            len(self.contents) + rng.randrange(10**9), rng.choice(_KINDS), rng.choice(REGIONS), rng.randrange(1, 10**7),
            rng.random() < 0.1,
        )  # fmt: skip

    def _change_lists(self) -> None:
        for name, hash_type in LISTS.items():
            if self.rng.random() < 0.5:
                continue
            added = [
                each
                for each in self.rng.sample(self.contents, min(len(self.contents), self.uploads // 2))
                if each.entry(hash_type) is not None
            ]
            gone = self.rng.sample(sorted(self.listed[name]), min(len(self.listed[name]), self.rng.choice((0, 0, 1))))
            by_number = {each.number: each for each in self.contents}
            entries = [entry for each in added if (entry := each.entry(hash_type)) is not None]
            lost = [entry.key for number in gone if (entry := by_number[number].entry(hash_type)) is not None]
            kept = {each.number for each in added}
            self.site.store.stage(
                name, Delta(added=tuple(entries), removed=tuple(set(lost) - {e.key for e in entries}))
            )
            self.site.store.activate(name, complete=False, checkpoint=None, day=self.site.day)
            self.listed[name] = (self.listed[name] - set(gone)) | kept
        self.site.rescan()
        self._settle("entry")

    def _settle(self, cause: str) -> None:
        """Note what is flagged from today on, and what no longer."""
        wanted = {(number, name): None for name in sorted(self.listed) for number in sorted(self.listed[name])}
        wanted = {each: None for each in wanted if each not in self.overturned}
        for each in [each for each in self.books.standing if each not in wanted]:
            self.books.ended.append((self.site.day, each[0], cause))
        for each in [each for each in wanted if each not in self.books.standing]:
            self.books.flags.append((self.site.day, *each))
        self.books.standing = wanted

    # -- what people do ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        near = sorted(each for each in self.books.standing if each[1] == "films")
        exact = sorted(each for each in self.books.standing if each[1] != "films" and each not in self.cases)
        for each in self.rng.sample(near, min(3, len(near))):
            if each not in self.cases:
                self._review(each, self.rng.choice(tuple(_FINDINGS)))
            elif self.rounds[each] < 2:
                self._appeal(each)
        for each in self.rng.sample(exact, min(2, len(exact))):
            self._review(each, Finding.CONFIRMED)
        for _ in range(self.rng.randrange(4)):
            self._request()
        open_ = [each for each in self.books.requests if not any(each == done for _, done, _ in self.books.outcomes)]
        for each_open in self.rng.sample(sorted(open_), len(open_) // 2):
            self._decide(each_open)

    def _review(self, each: tuple[int, str], finding: Finding) -> None:
        db, content = self.site.ledger.db, self._content(each[0])
        (subject,) = [one for one in cases.subjects(db, content.seq) if one.set_uid == self.site.hash_set(each[1]).uid]
        with db.write():
            self.cases[each] = cases.ensure(db, subject, Origin.REVIEW, self.site.day).id
        self.rounds[each] = 1
        self._find(each, finding, ("a1", "a2"))

    def _find(self, each: tuple[int, str], finding: Finding, people: Iterable[str]) -> None:
        reviews = Reviews(self.site.ledger.db, self.site.clock)
        for who in people:
            reviews.give(self.cases[each], Statement(finding, _FINDINGS[finding], who, viewed=True))
        flagged = max(day for day, *which in self.books.flags if tuple(which) == each)
        self.books.reviews.append((self.site.day, each[0], finding, flagged))
        if finding is Finding.NOT_CONFIRMED:
            self.overturned.add(each)
            self._settle("appeal")

    def _appeal(self, each: tuple[int, str]) -> None:
        channel = self.rng.choice(tuple(Channel))
        Appeals(self.site.ledger.db, self.site.clock).of_case(self.cases[each], Origin.APPEAL, channel=channel)
        self.rounds[each] += 1
        self.books.complaints.append((self.site.day, channel.value))
        finding = self.rng.choice(tuple(_FINDINGS))
        self._find(each, finding, ("s1", "s2"))
        self.books.decided.append((self.site.day, channel.value, finding, 0))

    def _content(self, number: int) -> Content:
        return next(each for each in self.contents if each.number == number)

    def _request(self) -> None:
        country = self.rng.choice(tuple(COUNTRIES))
        emergency = self.rng.random() < 0.2
        said = Request(
            received=date.fromisoformat(self.site.day), requester=Requester.LAW_ENFORCEMENT,
            ask=Ask.EMERGENCY if emergency else Ask.DISCLOSURE, jurisdiction=country, certified=True,
            data=frozenset({Data.SUBSCRIBER}), instrument=Instrument.SUBPOENA, life_at_risk=emergency,
            confidential=self.rng.random() < 0.3, signed=True, identifiers=self.rng.randrange(1, 4),
        )  # fmt: skip
        entry = self.requests.add(said)
        self.books.requests[entry.id] = (self.site.day, country, entry.category)

    def _decide(self, request_id: str) -> None:
        outcome = self.rng.choice((RequestOutcome.GRANTED, RequestOutcome.REFUSED, RequestOutcome.NOTHING_HELD))
        given = frozenset({Data.SUBSCRIBER}) if outcome is RequestOutcome.GRANTED else frozenset[Data]()
        against = outcome is RequestOutcome.GRANTED
        self.requests.decide(request_id, Decision(outcome, Why.VALID_PROCESS, given, "legal", "x", against))
        self.books.outcomes.append((self.site.day, request_id, outcome.value))


def expected(year: Year, first: str, last: str) -> dict[str, int]:
    """What a report of these days must count, under the names it counts by, from the books alone."""
    books, found = year.books, Counter[str]()
    about = {each.number: each for each in year.contents}
    for _, region, media, new, _, reason in _of(books.items, first, last):
        for at in _margins(region or "not stated", media):
            found[f"items/{at}"] += 1
            found[f"contents/{at}"] += new
        if reason:
            found[f"not looked/{reason}"] += 1
            found["not looked/all"] += 1
    flagged: dict[int, tuple[str, bool, str]] = {}
    for day, number, name in _of(books.flags, first, last):
        mark = (day, LISTS[name] == "pdq", LISTS[name])
        flagged[number] = min(flagged.get(number, mark), mark)
    latest = {number: finding for _, number, finding, on in _of(books.reviews, first, last) if on >= first}
    for number, (_, _, hash_type) in flagged.items():
        media, region = _SHOWN[about[number].media], about[number].region or "not stated"
        found[f"A1 in/{region}/{media}"] += 1
        found[f"A1 in/{region}"] += 1
        for at in _margins(hash_type, media):
            found[f"A1/{at}"] += 1
            found[f"C1/{at}"] += number in latest
            found[f"B1/{at}"] += latest.get(number) is Finding.NOT_CONFIRMED
    for name in LISTS:
        found[f"by list/{name}"] = len({number for _, number, of in _of(books.flags, first, last) if of == name})
    for cause in ("entry", "appeal"):
        found[f"ended/{cause}"] = len({number for _, number, why in _of(books.ended, first, last) if why == cause})
    for _, channel in _of(books.complaints, first, last):
        found[f"complaints/{channel}"] += 1
        found["complaints/all"] += 1
    for _, channel, finding, _ in _of(books.decided, first, last):
        for at in _margins(channel, finding.value):
            found[f"decided/{at}"] += 1
    for request, (day, country, category) in books.requests.items():
        if first <= day <= last:
            state = [outcome for when, which, outcome in books.outcomes if which == request and when <= last]
            for at in _margins(COUNTRIES[country], state[-1] if state else "open"):
                found[f"requests/{at}"] += 1
            for at in _margins(category, state[-1] if state else "open"):
                found[f"requests as/{at}"] += 1
    return {name: count for name, count in found.items() if count}


def _margins(row: str, column: str) -> Sequence[str]:
    return f"{row}/{column}", f"{row}/all", f"all/{column}", "all/all"


def _of(events: Iterable[tuple], first: str, last: str) -> list[tuple]:  # type: ignore[type-arg]
    return [event for event in events if first <= event[0] <= last]


__all__ = ["Expected", "Year", "expected"]
