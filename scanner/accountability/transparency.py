"""The transparency report: figures of the ledger under the headings of Regulation (EU) 2021/1232, and requests.

Headings 1 to 9 are those of Art. 3(1)(g)(vii), as the standard form of Implementing Regulation (EU) 2024/2916 has them;
then indicators as Regulation (EU) 2022/2065 (Art. 15) asks for them, and requests of authorities.

Rules
- Every number comes from a named query (`figures`); what only the operator knows stands in the configuration, and what
  is not said there is said to be missing.
- What may be shown is decided once, over all tables together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from hashsets.sqlite import Database
from scanner.accountability import figures, transparency_texts
from scanner.accountability.document import Cell, Count, Document, Measure, Ratio, Row, Section, Table, Words
from scanner.accountability.figures import ask
from scanner.accountability.periods import Period
from scanner.accountability.suppression import Counts, withheld
from scanner.config import Config
from scanner.transparency_config import TransparencyConfig

MEDIA: Final = ("image", "video", "other")
ALL: Final = "all"
CAUSES: Final = ("entry", "set", "rule", "known_good", "appeal")
CHANNELS: Final = ("internal", "court")
FINDINGS: Final = ("not_confirmed", "confirmed", "undecided")
OUTCOMES: Final = ("granted", "granted_in_part", "challenged", "refused", "nothing_held", "taken_back", "open")
CATEGORIES: Final = ("product", "account", "transaction", "emergency", "preservation", "restriction")
_SUMMARY: Final = (
    ("files and uploads looked at", Count(f"items/{ALL}/{ALL}")),
    ("known material flagged (A1)", Count(f"A1/{ALL}/{ALL}")),
    ("of it reviewed by people", Ratio(f"C1/{ALL}/{ALL}", f"A1/{ALL}/{ALL}")),
    ("errors, of those reviewed", Ratio(f"B1/{ALL}/{ALL}", f"C1/{ALL}/{ALL}")),
    ("complaints", Count(f"complaints/{ALL}")),
    ("requests of authorities", Count(f"requests/{ALL}/{ALL}")),
)


@dataclass(frozen=True, slots=True)
class ListShown:
    """A list as the report names it: its role, the versions that came into force in the period, rules of comparison."""

    name: str
    role: str
    versions: tuple[int, ...]
    rules: str


def build(
    db: Database, lists: Sequence[ListShown], config: Config, period: Period, today: str, *, draft: bool = True
) -> Document:
    """The report of a period."""
    with db.read():
        made = _Maker(db, period)
        sections = made.sections(lists, config)
    said = config.transparency
    return Document(
        operator=said.operator,
        services=said.services,
        period=period,
        made=today,
        k=said.suppress_below,
        sections=sections,
        queries=made.used,
        counts=made.counts,
        hidden=withheld(made.counts, said.suppress_below),
        summary=_SUMMARY,
        contact=said.contact,
        draft=draft,
        software=f"hashward {version('hashward')}",
    )


class _Maker:
    """Makes the tables of one period, and with them the counts."""

    def __init__(self, db: Database, period: Period) -> None:
        self._db = db
        self._period = period
        self.counts = Counts()
        self._used: dict[str, figures.Query] = {}

    @property
    def used(self) -> tuple[tuple[str, str, str], ...]:
        """(name, what it counts, text) of every query that was asked."""
        return tuple((query.name, query.counts, query.sql.strip()) for query in self._used.values())

    def _ask(self, query: figures.Query) -> list[tuple[object, ...]]:
        self._used[query.name] = query
        return ask(self._db, query, self._period)

    def sections(self, lists: Sequence[ListShown], config: Config) -> tuple[Section, ...]:
        """Every heading in order."""
        texts = transparency_texts.of(config)
        said = config.transparency
        accuracy = self._accuracy()
        return (
            Section("1", "Type and volumes of data processed", texts.data, (self._volume(), self._not_looked())),
            Section("2", "Ground relied on under Regulation (EU) 2016/679", texts.ground),
            Section("3", "Ground for transfers outside the Union", texts.transfers),
            Section("4", "Cases of online child sexual abuse identified", texts.identified, self._identified()),
            Section("5", "Complaints of users and their outcome", texts.complaints, (self._complaints(),)),
            Section("6", "Errors of the technologies used", texts.errors, (accuracy, self._ended(), self._late())),
            Section("7", "Measures to limit errors, and the error rate", texts.measures, (self._lists(lists, said),)),
            Section("8", "Retention and safeguards", texts.retention, (_retention(config),)),
            Section("9", "Organisations that data were shared with", texts.organisations),
            Section("", "Accuracy of automated means", texts.automated, (self._indicators(),)),
            Section("", "Requests of authorities", texts.requests, self._requests()),
        )  # fmt: skip

    # -- what was looked at ------------------------------------------------------------------------------------------

    def _grid(
        self, key: str, values: Mapping[tuple[str, str], int], rows: Sequence[str], columns: Sequence[str]
    ) -> None:
        """Counts by row and column with both totals, named `key/row/column`."""
        for row in rows:
            for column in columns:
                self.counts.put(f"{key}/{row}/{column}", values.get((row, column), 0))
        for row in rows:
            self.counts.total(f"{key}/{row}/{ALL}", [f"{key}/{row}/{column}" for column in columns])
        for column in columns:
            self.counts.total(f"{key}/{ALL}/{column}", [f"{key}/{row}/{column}" for row in rows])
        self.counts.total(f"{key}/{ALL}/{ALL}", [f"{key}/{row}/{ALL}" for row in rows])
        self.counts.total(f"{key}/{ALL}/{ALL}", [f"{key}/{ALL}/{column}" for column in columns])

    def _volume(self) -> Table:
        items: dict[tuple[str, str], int] = {}
        contents: dict[tuple[str, str], int] = {}
        sizes: dict[tuple[str, str], int] = defaultdict(int)
        for region, media, *numbers in self._ask(figures.VOLUME):
            name = figures.region_named(str(region))
            items[name, str(media)], contents[name, str(media)], size_bytes = (int(str(number)) for number in numbers)
            for at in ((name, str(media)), (name, ALL), (ALL, str(media)), (ALL, ALL)):
                sizes[at] += size_bytes
        regions = sorted({name for name, _ in items}) or [figures.NO_REGION]
        self._grid("items", items, regions, MEDIA)
        self._grid("contents", contents, regions, MEDIA)
        rows = []
        for region in (*regions, ALL):
            for media in (*MEDIA, ALL):
                names = f"items/{region}/{media}", f"contents/{region}/{media}"
                self.counts.at_most(names[1], names[0])
                size = Measure(sizes[region, media], names, "bytes")
                rows.append(Row((region, media), (Count(names[0]), Count(names[1]), size), ALL in (region, media)))
        return Table(
            "volume", "Files and uploads looked at", ("region", "media"), ("items", "contents", "bytes"), tuple(rows),
            figures.VOLUME.counts, (figures.VOLUME.name,),
        )  # fmt: skip

    def _not_looked(self) -> Table:
        found = [(str(reason), int(str(count))) for reason, count in self._ask(figures.NOT_LOOKED)]
        names = [self.counts.put(f"not looked/{reason}", count) for reason, count in sorted(found)]
        total = self.counts.total(f"not looked/{ALL}", names)
        self.counts.at_most(total, f"items/{ALL}/{ALL}")
        whole = f"items/{ALL}/{ALL}"
        rows = [Row((name.partition("/")[2],), (Count(name), Ratio(name, whole))) for name in names]
        rows.append(Row((ALL,), (Count(total), Ratio(total, whole)), total=True))
        return Table(
            "not_looked", "Could not be looked at whole", ("reason",), ("items", "share of items"), tuple(rows),
            figures.NOT_LOOKED.counts, (figures.NOT_LOOKED.name,),
        )  # fmt: skip

    # -- what was flagged --------------------------------------------------------------------------------------------

    def _accuracy(self) -> Table:
        """A1, C1 and B1 by hash type and media."""
        cells: dict[str, dict[tuple[str, str], int]] = {"A1": {}, "C1": {}, "B1": {}}
        for hash_type, media, *numbers in self._ask(figures.ACCURACY):
            for key, number in zip(cells, numbers, strict=False):
                cells[key][str(hash_type), str(media)] = int(str(number))
        types = sorted({hash_type for hash_type, _ in cells["A1"]})
        for key, values in cells.items():
            self._grid(key, values, types, MEDIA)
        rows = []
        for hash_type in (*types, ALL):
            for media in (*MEDIA, ALL):
                a, b, c = (f"{key}/{hash_type}/{media}" for key in ("A1", "B1", "C1"))
                self.counts.at_most(b, c)
                self.counts.at_most(c, a)
                shown = (Count(a), Count(b), Ratio(b, a), Count(c), Ratio(b, c), Ratio(c, a))
                if self.counts.values[a] or ALL in (hash_type, media):
                    rows.append(Row((hash_type, media), shown, ALL in (hash_type, media)))
        return Table(
            "accuracy", "Known material: flagged, reviewed, and found otherwise", ("technology", "media"),
            ("A1", "B1", "B1/A1", "C1", "B1/C1", "C1/A1"), tuple(rows), figures.ACCURACY.counts,
            (figures.ACCURACY.name,),
        )  # fmt: skip

    def _identified(self) -> tuple[Table, ...]:
        values = {
            (figures.region_named(str(region)), str(media)): int(str(count))
            for region, media, count in self._ask(figures.IDENTIFIED)
        }
        regions = sorted({region for region, _ in values}) or [figures.NO_REGION]
        for region in regions:
            for media in MEDIA:
                self.counts.put(f"A1 in/{region}/{media}", values.get((region, media), 0))
            self.counts.total(f"A1 in/{region}", [f"A1 in/{region}/{media}" for media in MEDIA])
        for media in MEDIA:  # the same contents as in the table by technology
            self.counts.total(f"A1/{ALL}/{media}", [f"A1 in/{region}/{media}" for region in regions])
        self.counts.total(f"A1/{ALL}/{ALL}", [f"A1 in/{region}" for region in regions])
        rows = [
            Row((region,), (*(Count(f"A1 in/{region}/{media}") for media in MEDIA), Count(f"A1 in/{region}")))
            for region in regions
        ]
        last = tuple(Count(f"A1/{ALL}/{media}") for media in (*MEDIA, ALL))
        rows.append(Row((ALL,), last, total=True))
        by_region = Table(
            "identified", "Known material flagged", ("region",), ("images", "videos", "other files", ALL), tuple(rows),
            figures.IDENTIFIED.counts, (figures.IDENTIFIED.name,),
        )  # fmt: skip
        (sealed,) = self._ask(figures.SEALED)
        name = self.counts.put("sealed", int(str(sealed[0])))
        reports = Table(
            "sealed", "Anonymous reports", (), ("reports",), (Row((), (Count(name),)),), figures.SEALED.counts,
            (figures.SEALED.name,),
        )  # fmt: skip
        return by_region, self._by_list(), reports

    def _by_list(self) -> Table:
        rows = []
        for name, count in sorted((str(name), int(str(count))) for name, count in self._ask(figures.BY_LIST)):
            listed = self.counts.put(f"by list/{name}", self.counts.values.get(f"by list/{name}", 0) + count)
            rows.append(Row((name,), (Count(listed),)))
        self.counts.union(f"A1/{ALL}/{ALL}", sorted({f"by list/{row.labels[0]}" for row in rows}))
        return Table(
            "by_list", "Known material flagged, by list", ("list",), ("contents",), tuple(rows), figures.BY_LIST.counts,
            (figures.BY_LIST.name,),
        )  # fmt: skip

    def _ended(self) -> Table:
        found = {str(cause): int(str(count)) for cause, count in self._ask(figures.ENDED)}
        rows = [
            Row((cause.replace("_", " "),), (Count(self.counts.put(f"ended/{cause}", found.get(cause, 0))),))
            for cause in CAUSES
        ]
        return Table(
            "ended", "No longer flagged", ("cause",), ("contents",), tuple(rows), figures.ENDED.counts,
            (figures.ENDED.name,),
        )  # fmt: skip

    def _late(self) -> Table:
        ((reviewed, otherwise),) = self._ask(figures.LATE)
        names = (
            self.counts.put("late/reviewed", int(str(reviewed))),
            self.counts.put("late/not confirmed", int(str(otherwise))),
        )
        self.counts.at_most(names[1], names[0])
        row = Row((), (Count(names[0]), Count(names[1])))
        return Table(
            "late", "Reviewed later", (), ("contents", "not confirmed"), (row,), figures.LATE.counts,
            (figures.LATE.name,),
        )  # fmt: skip

    # -- complaints, lists, indicators -------------------------------------------------------------------------------

    def _complaints(self) -> Table:
        came = {str(channel): int(str(count)) for channel, count in self._ask(figures.COMPLAINTS)}
        decided: dict[tuple[str, str], int] = defaultdict(int)
        days: dict[str, list[float]] = defaultdict(list)
        for channel, finding, took in self._ask(figures.DECIDED):
            decided[str(channel), str(finding)] += 1
            for at in (str(channel), ALL):
                days[at].append(float(str(took)))
        for channel in CHANNELS:
            self.counts.put(f"complaints/{channel}", came.get(channel, 0))
        self.counts.total(f"complaints/{ALL}", [f"complaints/{channel}" for channel in CHANNELS])
        self._grid("decided", decided, CHANNELS, FINDINGS)
        rows = []
        for channel in (*CHANNELS, ALL):
            names = [f"decided/{channel}/{finding}" for finding in FINDINGS]
            whole = f"decided/{channel}/{ALL}"
            average = sum(days[channel]) / len(days[channel]) if days[channel] else None
            took = Measure(None if average is None else round(average, 1), (whole,), "days")
            cells: tuple[Cell, ...] = (Count(f"complaints/{channel}"), *(Count(name) for name in names), took)
            rows.append(Row((channel,), cells, channel == ALL))
        return Table(
            "complaints", "Complaints and decisions on them", ("channel",),
            ("received", "decided for the user", "decided against", "undecided", "average time"), tuple(rows),
            f"{figures.COMPLAINTS.counts} {figures.DECIDED.counts}", (figures.COMPLAINTS.name, figures.DECIDED.name),
        )  # fmt: skip

    def _lists(self, lists: Sequence[ListShown], said: TransparencyConfig) -> Table:
        roots: dict[str, dict[int, str]] = defaultdict(dict)
        for name, _, number, root in self._ask(figures.VERSIONS):
            roots[str(name)][int(str(number))] = str(root)
        rows = []
        for each in lists:
            about = (
                Words(each.role.replace("_", " ")),
                Words(said.purpose(each.name) or "not stated"),
                Words(each.rules),
            )
            for number in each.versions or (0,):
                root = roots[each.name].get(number, "not on record") if number else "none in the period"
                rows.append(Row((each.name,), (*about, Words(str(number or "-")), Words(root))))
        return Table(
            "lists", "Lists in use", ("list",), ("role", "purpose", "compared by", "version", "salted root hash"),
            tuple(rows), figures.VERSIONS.counts, (figures.VERSIONS.name,),
        )  # fmt: skip

    def _indicators(self) -> Table:
        a, b, c = (f"{key}/{ALL}/{ALL}" for key in ("A1", "B1", "C1"))
        upheld = f"decided/{ALL}/not_confirmed"
        rows = (
            Row(("items found by automated means",), (Count(a),)),
            Row(("of them reviewed by people",), (Ratio(c, a),)),
            Row(("possible error rate: found otherwise, of those found",), (Ratio(b, a),)),
            Row(("possible error rate: found otherwise, of those reviewed",), (Ratio(b, c),)),
            Row(("decisions reversed, of complaints decided",), (Ratio(upheld, f"decided/{ALL}/{ALL}"),)),
        )
        used = (figures.ACCURACY.name, figures.DECIDED.name)
        return Table("indicators", "Indicators", ("indicator",), ("figure",), rows, "", used)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _requests(self) -> tuple[Table, ...]:
        found = [
            (figures.region_of_country(str(country)), str(category), str(outcome), quiet, identifiers, took)
            for country, category, outcome, quiet, identifiers, took in self._ask(figures.REQUESTS)
        ]
        regions = sorted({row[0] for row in found})
        categories = [name for name in CATEGORIES if name in {row[1] for row in found}]
        self._grid("requests", _counted((row[0], row[2]) for row in found), regions, OUTCOMES)
        self._grid("requests as", _counted((row[1], row[2]) for row in found), categories, OUTCOMES)
        for outcome in (*OUTCOMES, ALL):  # the same requests
            self.counts.total(f"requests/{ALL}/{outcome}", [f"requests as/{each}/{outcome}" for each in categories])
        tables = [
            self._outcomes("requests", regions, "region", found, at=0),
            self._outcomes("requests as", categories, "category", found, at=1),
        ]
        return (*tables, self._more_of_requests(found))

    def _outcomes(
        self, key: str, names: Sequence[str], label: str, found: Sequence[tuple[object, ...]], *, at: int
    ) -> Table:
        rows = []
        for name in (*names, ALL):
            mine = [row for row in found if name in (ALL, row[at])]
            whole = f"{key}/{name}/{ALL}"
            took = [float(str(row[5])) for row in mine if row[5] is not None]
            enough = len(took) == self.counts.values[whole] and took  # of some only, it would tell of these
            days = Measure(figures.median_days(took) if enough else None, (whole,), "days")
            cells: tuple[Cell, ...] = (Count(whole), *(Count(f"{key}/{name}/{outcome}") for outcome in OUTCOMES), days)
            rows.append(Row((name,), cells, name == ALL))
        return Table(
            key.replace(" ", "_"), f"Requests by {label}", (label,),
            ("received", *(outcome.replace("_", " ") for outcome in OUTCOMES), "median to decide"), tuple(rows),
            figures.REQUESTS.counts, (figures.REQUESTS.name,),
        )  # fmt: skip

    def _more_of_requests(self, found: Sequence[tuple[object, ...]]) -> Table:
        whole = f"requests/{ALL}/{ALL}"
        quiet = self.counts.put("requests kept quiet", sum(bool(row[3]) for row in found))
        named = self.counts.put("identifiers", sum(int(str(row[4])) for row in found))
        self.counts.at_most(quiet, whole)
        self.counts.at_most(whole, named)
        ((recorded, decided),) = self._ask(figures.LATE_REQUESTS)
        ((against,),) = self._ask(figures.AGAINST_CHECK)
        late = self.counts.put("late requests/recorded", int(str(recorded)))
        late_decided = self.counts.put("late requests/decided", int(str(decided)))
        forced = self.counts.put("against check", int(str(against)))
        rows = (
            Row(("under an order to keep quiet",), (Count(quiet),)),
            Row(("identifiers they name",), (Count(named),)),
            Row(("received earlier, recorded in this period",), (Count(late),)),
            Row(("received earlier, decided in this period",), (Count(late_decided),)),
            Row(("granted although the check said otherwise",), (Count(forced),)),
        )
        used = (figures.REQUESTS.name, figures.LATE_REQUESTS.name, figures.AGAINST_CHECK.name)
        return Table("requests_more", "More of requests", ("what",), ("number",), rows, "", used)


def _counted(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for pair in pairs:
        counted[pair] += 1
    return counted


def _retention(config: Config) -> Table:
    rows = tuple(Row((name,), (Words(days),)) for name, days in transparency_texts.retention_in_force(config.retain))
    return Table("retention", "Retention in force when this report was made", ("what",), ("kept",), rows)
