"""The transparency report: its figures over a year, what it withholds, and what may be published."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from scanner.accountability import printing, publishing
from scanner.accountability.document import Document
from scanner.accountability.levels import Finding
from scanner.accountability.page import page
from scanner.accountability.periods import Period, last_over
from scanner.accountability.suppression import Counts, withheld
from scanner.accountability.transparency import build
from scanner.config import Config
from scanner.errors import UsageError
from scanner.transparency_config import Every, TransparencyConfig
from tests.command import Hashward
from tests.scanner.accountability.year import Year, expected
from tests.scanner.fakes import Site

QUARTERS = [
    Period("2100-01-01", "2100-03-31"),
    Period("2100-04-01", "2100-06-30"),
    Period("2100-07-01", "2100-09-30"),
    Period("2100-10-01", "2100-12-31"),
]
AFTER = "2101-01-05"


def report(site: Site, period: Period, k: int = 10) -> Document:
    """The report of a period, made after the year."""
    return build(site.ledger.db, (), Config(transparency=TransparencyConfig(suppress_below=k)), period, AFTER)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """A small year, lived once for the module."""
    with Site(tmp_path_factory.mktemp("year") / "home") as site:
        year = Year(site, seed=1, uploads=20, every=15)
        year.run()
        yield year


def compare(year: Year) -> None:
    """Every count of every quarter, and of the year, against the books."""
    for period in (*QUARTERS, Period("2100-01-01", "2100-12-31")):
        document = report(year.site, period, k=1)
        counted = {name: count for name, count in document.counts.values.items() if count}
        kept_by_hand = expected(year, period.first, period.last)
        ours = {name: count for name, count in counted.items() if name in kept_by_hand or "/" in name}
        ours = {name: count for name, count in ours.items() if not name.startswith("late")}

        assert kept_by_hand == ours


def test_every_quarters_figures_are_those_of_books_kept_by_hand(year: Year) -> None:
    """Volumes, flags, reviews, errors, complaints and requests of each quarter and of the year."""
    compare(year)

    assert all(expected(year, period.first, period.last).get("B1/all/all") for period in QUARTERS)


def test_late_reviews_are_counted_apart(year: Year) -> None:
    """What was flagged in one quarter and reviewed in a later one is in neither quarter's C1."""
    for period in QUARTERS:
        late = {
            number: finding
            for day, number, finding, flagged in year.books.reviews
            if flagged < period.first <= day <= period.last
        }
        values = report(year.site, period, k=1).counts.values

        assert (len(late), sum(finding is Finding.NOT_CONFIRMED for finding in late.values())) == (
            values["late/reviewed"],
            values["late/not confirmed"],
        )


def test_a_figure_that_was_made_later_is_the_same(tmp_path: Path) -> None:
    """What comes after a period changes nothing in it."""
    with Site(tmp_path / "home") as site:
        year = Year(site, seed=2, uploads=8, every=24)
        year.run(90)
        before = printing.as_object(report(site, QUARTERS[0], k=1))
        year.run(60)

        assert before == printing.as_object(report(site, QUARTERS[0], k=1))


# -- what is withheld ------------------------------------------------------------------------------------------------


NO_COUNTS = ("bytes", "share of items", "B1/A1", "B1/C1", "C1/A1", "average time", "median to decide", "figure")


class Attacker:
    """Somebody who reads the JSON of a report, knows how its tables add up, and tries to work out what it withholds."""

    def __init__(self, document: Document) -> None:
        self.cells: dict[tuple[str, ...], int | None] = {}
        for section in printing.as_object(document)["sections"]:
            for table in section["tables"]:
                for row in table["rows"]:
                    for head, cell in row["cells"].items():
                        if head not in NO_COUNTS and (cell["standing"] == "withheld" or cell["number"] is not None):
                            self.cells[table["key"], *row["labels"].values(), head] = cell["number"]
        self.hidden = [place for place, number in self.cells.items() if number is None]
        self.sums = list(self._sums())

    def _sums(self) -> Iterator[tuple[list[tuple[str, ...]], tuple[str, ...]]]:
        """(parts, whole) of all that adds up."""
        for key, heads in (("volume", ("items", "contents")), ("accuracy", ("A1", "B1", "C1"))):
            names = sorted({place[1] for place in self.cells if place[0] == key} - {"all"})
            media = ("image", "video", "other")
            for head in heads:
                for at in media:
                    yield [(key, name, at, head) for name in names], (key, "all", at, head)
                for name in (*names, "all"):
                    yield [(key, name, at, head) for at in media], (key, name, "all", head)
        regions = sorted({place[1] for place in self.cells if place[0] == "identified"} - {"all"})
        columns = ("images", "videos", "other files")
        for head in (*columns, "all"):
            yield [("identified", region, head) for region in regions], ("identified", "all", head)
        for region in (*regions, "all"):
            yield [("identified", region, head) for head in columns], ("identified", region, "all")
        for head, media in zip((*columns, "all"), ("image", "video", "other", "all"), strict=True):
            yield [("identified", "all", head)], ("accuracy", "all", media, "A1")
        outcomes = ("granted", "granted in part", "challenged", "refused", "nothing held", "taken back", "open")
        for key in ("requests", "requests_as"):
            names = sorted({place[1] for place in self.cells if place[0] == key} - {"all"})
            for head in (*outcomes, "received"):
                yield [(key, name, head) for name in names], (key, "all", head)
                yield [("requests", "all", head)], ("requests_as", "all", head)
            for name in (*names, "all"):
                yield [(key, name, head) for head in outcomes], (key, name, "received")
        reasons = sorted({place[1] for place in self.cells if place[0] == "not_looked"} - {"all"})
        yield [("not_looked", reason, "items") for reason in reasons], ("not_looked", "all", "items")

    def range_of(self, place: tuple[str, ...], far: int) -> tuple[int, int]:
        """The least and the greatest value (up to `far`) that a withheld count can have."""
        found = []
        for sign in (1, -1):
            size = len(self.hidden)
            goal = np.zeros(size)
            goal[self.hidden.index(place)] = sign
            done = milp(
                goal, integrality=np.ones(size), bounds=Bounds(np.ones(size), np.full(size, far)),
                constraints=self.known,
            )  # fmt: skip
            assert done.x is not None, done.message
            found.append(round(sign * done.fun))
        return found[0], found[1]

    def _lists_cover(self, lists: list[tuple[str, ...]], at: dict[tuple[str, ...], int]) -> list[LinearConstraint]:
        """What is flagged is on one list at least."""
        row, known = np.zeros(len(self.hidden)), 0
        for place, sign in (*((place, 1) for place in lists), (("accuracy", "all", "all", "A1"), -1)):
            if place in at:
                row[at[place]] += sign
            else:
                known += sign * (self.cells.get(place) or 0)
        return [LinearConstraint(row, -known, np.inf)] if row.any() else []

    @cached_property
    def known(self) -> list[LinearConstraint]:
        """All that is known of what is withheld."""
        rows, right = [], []
        at = {place: column for column, place in enumerate(self.hidden)}
        for parts, whole in self.sums:
            row, known = np.zeros(len(self.hidden)), 0
            for place, sign in (*((part, 1) for part in parts), (whole, -1)):
                if place in at:
                    row[at[place]] += sign
                else:
                    known += sign * (self.cells.get(place) or 0)
            if row.any():
                rows.append(row)
                right.append(-known)
            else:
                assert known == 0, whole
        orders = [
            (("accuracy", *place[1:3], low), ("accuracy", *place[1:3], high))
            for place in self.cells
            if place[0] == "accuracy" and place[3] == "A1"
            for low, high in (("B1", "C1"), ("C1", "A1"))
        ]
        orders += [
            (("volume", *place[1:3], "contents"), place)
            for place in self.cells if place[0] == "volume" and place[3] == "items"
        ]  # fmt: skip
        lists = [place for place in self.cells if place[0] == "by_list"]
        orders += [(place, ("accuracy", "all", "all", "A1")) for place in lists]
        made = [LinearConstraint(np.array(rows), right, right)] if rows else []
        made += self._lists_cover(lists, at)
        for low, high in orders:
            row = np.zeros(len(self.hidden))
            known = 0
            for place, sign in ((low, 1), (high, -1)):
                if place in at:
                    row[at[place]] += sign
                else:
                    known += sign * (self.cells.get(place) or 0)
            if row.any():
                made.append(LinearConstraint(row, -np.inf, -known))
        return made


def truth(document: Document) -> dict[tuple[str, ...], int]:
    """What stands behind each count that the attacker sees a place of."""
    bare = Attacker(with_hidden(document, frozenset()))
    return {place: number for place, number in bare.cells.items() if number is not None}


def with_hidden(document: Document, hidden: frozenset[str]) -> Document:
    """The same report with other counts withheld."""
    return Document(**{name: getattr(document, name) for name in Document.__slots__} | {"hidden": hidden})


def worked_out(document: Document, k: int) -> Iterator[tuple[str, ...]]:
    """Small withheld counts of which the attacker can tell more than if every count but zeros were withheld."""
    known = truth(document)
    attacker = Attacker(document)
    blind = Attacker(with_hidden(document, frozenset(document.counts.values)))
    blind.cells |= {place: 0 for place, number in known.items() if not number}
    blind.hidden = [place for place in blind.hidden if known[place]]
    for place in attacker.hidden:
        if known[place] < k:
            low, high = attacker.range_of(place, far=10_000)
            if low > 1 or high < k - 1:
                inherent = blind.range_of(place, far=10_000)[0] if low > 1 else 1
                if low > inherent or high < k - 1:
                    yield place


def test_no_small_count_of_the_year_can_be_worked_out(year: Year) -> None:
    """Every value from 1 to k - 1 stays possible for each small count; and none is shown."""
    document = report(year.site, QUARTERS[1], k=3)
    shown = [number for number in Attacker(document).cells.values() if number is not None]

    assert not [number for number in shown if 0 < number < 3]
    assert len(shown) > len(document.hidden)
    assert [] == list(worked_out(document, 3))


def test_the_attack_finds_what_naive_suppression_leaves(year: Year) -> None:
    """With small counts withheld and nothing beside them, the same attack works some of them out."""
    document = report(year.site, QUARTERS[1], k=1)
    small = frozenset(name for name, count in document.counts.values.items() if 0 < count < 3)

    assert next(worked_out(with_hidden(document, small), 3))


@pytest.mark.parametrize("seed", range(12))
def test_small_counts_are_protected_in_any_table(seed: int) -> None:
    """Random tables with both margins: each small count could be as little as zeros allow, and could be k - 1."""
    rng, k, counts = np.random.default_rng(seed), 5, Counts()
    rows, columns = [f"r{n}" for n in range(3)], [f"c{n}" for n in range(3)]
    for row in rows:
        for column in columns:
            counts.put(f"{row}/{column}", int(rng.choice([0, 0, 1, 2, 4, 6, 9, 30])))
    for row in rows:
        counts.total(f"{row}/all", [f"{row}/{column}" for column in columns])
    for column in columns:
        counts.total(f"all/{column}", [f"{row}/{column}" for row in rows])
    counts.total("all/all", [f"{row}/all" for row in rows])
    counts.total("all/all", [f"all/{column}" for column in columns])
    hidden = withheld(counts, k)
    names = sorted(counts.values)

    for name in names:
        if 0 < counts.values[name] < k:
            assert name in hidden
            low, high = _bounds(counts, hidden, names, name)
            inherent, _ = _bounds(counts, frozenset(n for n in names if counts.values[n]), names, name)
            assert (inherent, True) == (low, high >= k - 1)


def _bounds(counts: Counts, hidden: frozenset[str], names: Sequence[str], name: str) -> tuple[float, float]:
    matrix = np.zeros((len(counts.sums), len(names)))
    for at, (total, parts) in enumerate(counts.sums):
        matrix[at, names.index(total)] -= 1
        for part in parts:
            matrix[at, names.index(part)] += 1
    least = np.array([1 if each in hidden else counts.values[each] for each in names], float)
    most = np.array([10_000 if each in hidden else counts.values[each] for each in names], float)
    ends = []
    for sign in (1, -1):
        goal = np.zeros(len(names))
        goal[names.index(name)] = sign
        done = milp(goal, integrality=np.ones(len(names)), bounds=Bounds(least, most),
                    constraints=LinearConstraint(matrix, 0, 0))  # fmt: skip
        assert done.x is not None
        ends.append(sign * done.fun)
    return ends[0], ends[1]


def test_overlapping_counts_protect_each_other_too() -> None:
    """Of two lists that cover 30 the larger tells how small the other may be: it is withheld, or the whole is."""
    counts = Counts()
    for name, value in (("whole", 30), ("large", 25), ("small", 6)):
        counts.put(name, value)
    counts.union("whole", ("large", "small"))

    hidden = withheld(counts, 10)

    assert "small" in hidden
    assert hidden & {"whole", "large"}


def test_with_k_one_nothing_is_withheld() -> None:
    """Suppression can be switched off."""
    counts = Counts()
    counts.total("all", [counts.put("a", 1), counts.put("b", 9)])

    assert frozenset() == withheld(counts, 1)
    assert {"a", "b"} <= withheld(counts, 5)


# -- periods, forms, publication -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "every", "first", "last"),
    [
        ("2100-01-01", Every.QUARTER, "2099-10-01", "2099-12-31"),
        ("2100-06-30", Every.QUARTER, "2100-01-01", "2100-03-31"),
        ("2100-12-31", Every.QUARTER, "2100-07-01", "2100-09-30"),
        ("2096-04-01", Every.QUARTER, "2096-01-01", "2096-03-31"),
        ("2100-12-31", Every.YEAR, "2099-01-01", "2099-12-31"),
    ],
)
def test_the_last_period_that_is_over(today: str, every: Every, first: str, last: str) -> None:
    """Quarters and years of the calendar."""
    assert Period(first, last) == last_over(today, every)


@pytest.mark.parametrize(("first", "last"), [("2100-02-30", "2100-03-01"), ("x", "y"), ("2100-02-02", "2100-02-01")])
def test_an_impossible_period_is_refused(first: str, last: str) -> None:
    """Days that are none, and the wrong way round."""
    with pytest.raises(UsageError):
        Period(first, last)


HOSTILE = "<script>alert(1)</script>|`x`=cmd()\n# head ![x](http://a)"


def test_hostile_texts_stay_texts_in_every_form(year: Year) -> None:
    """What an operator or a list is called becomes no markup, no formula and no other cell."""
    said = TransparencyConfig(suppress_below=1, operator="=" + HOSTILE, services=(HOSTILE,), ground="=1+1")
    document = build(year.site.ledger.db, (), Config(transparency=said), QUARTERS[0], AFTER)

    html, text = page(document), printing.markdown(document)
    assert "<script" not in html
    assert "<script" not in text
    assert "\n# head" not in text
    assert "![x](" not in text
    assert json.loads(printing.as_json(document))["operator"].startswith("=<script>")
    rows = list(csv.reader(io.StringIO(printing.as_csv(document))))
    assert {10} == {len(row) for row in rows}
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "@")]


def test_every_form_shows_the_same_figures(year: Year) -> None:
    """JSON, CSV, Markdown and the page hold the same numbers, and each names the queries."""
    document = report(year.site, QUARTERS[1], k=2)
    numbers = {
        cell["text"]
        for section in printing.as_object(document)["sections"]
        for table in section["tables"]
        for row in table["rows"]
        for cell in row["cells"].values()
    }

    in_csv = {row[7] for row in csv.reader(io.StringIO(printing.as_csv(document)))} - {"text"}
    assert numbers == {cell.removeprefix("'") for cell in in_csv}
    for made in (page(document), printing.markdown(document)):
        assert all(query[0] in made for query in document.queries)


def test_a_day_is_published_once(year: Year) -> None:
    """The same report may be given out again; another of one of its days, one of days to come, a revised one not."""
    db, clock = year.site.ledger.db, year.site.clock
    publishing.publish(db, report(year.site, QUARTERS[2], k=1), clock)
    publishing.publish(db, report(year.site, QUARTERS[2], k=1), clock)
    for other in (
        report(year.site, Period("2100-01-01", "2100-12-31"), k=1),
        report(year.site, QUARTERS[2], k=2),
        report(year.site, Period("2100-12-01", "2101-12-31"), k=1),
    ):
        with pytest.raises(UsageError):
            publishing.publish(db, other, clock)
    publishing.publish(db, report(year.site, QUARTERS[3], k=1), clock)

    assert [QUARTERS[2], QUARTERS[3]] == [period for period, _ in publishing.published(db)]


def test_the_command_writes_reports_and_the_statement(tmp_path: Path) -> None:
    """Each form of an empty home, the statement, and words that do not go together."""
    hashward = Hashward(tmp_path / "home")
    days = ("--from", "2020-01-01", "--to", "2020-03-31")

    assert "quarter 1" in hashward("transparency", *days).out
    assert hashward("transparency", *days, "--format", "html").out.startswith("<!DOCTYPE html>")
    assert "2020-01-01" == hashward.json("transparency", *days)["period"]["first"]
    assert {"least": 0, "most": 0} == hashward.json("transparency", "--statement")["requests_disclosed"]
    assert "no data have ever" in hashward("transparency", "--statement").out
    published = hashward("transparency", *days, "--publish")
    assert (0, True) == (published.code, "Draft" not in published.out)
    for wrong in (("--from", "2020-01-01"), ("--statement", "--publish"), ("--json", "--format", "csv")):
        assert 2 == hashward("transparency", *wrong).code
    (hashward.home / "config.toml").write_text("[transparency]\nskip_empty = true\n")
    skipped = hashward("transparency", *days)
    assert ("", True) == (skipped.out, "no report" in skipped.err)


@pytest.mark.prove
def test_a_large_year(tmp_path: Path, proof: Callable[..., None]) -> None:
    """Tens of thousands of uploads: every figure of every quarter, and no small count worked out."""
    with Site(tmp_path / "home") as site:
        year = Year(site, seed=7, uploads=60, every=1)
        year.run()
        compare(year)
        documents = [report(site, period) for period in QUARTERS]
        found = [list(worked_out(document, 10)) for document in documents]

        assert [[]] * 4 == found
        proof(
            "accountability", "a year of transparency reports", contents=len(year.contents),
            flags=len(year.books.flags), reviews=len(year.books.reviews), requests=len(year.books.requests),
            counts=[len(document.counts.values) for document in documents],
            withheld=[len(document.hidden) for document in documents],
            small=[sum(0 < count < 10 for count in document.counts.values.values()) for document in documents],
            worked_out=0,
        )  # fmt: skip
