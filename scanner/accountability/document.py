"""A transparency report as values: sections, tables, cells, and what of them may be shown. Knows no format.

A cell names the counts it is made of; whether it is shown follows from whether they are. A ratio of which a part is
withheld, or whose whole is zero, is not shown either, but for another reason, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.accountability.periods import Period
from scanner.accountability.suppression import Counts


class Standing(StrEnum):
    """Why a cell shows what it shows."""

    SHOWN = "shown"
    WITHHELD = "withheld"
    NOT_AVAILABLE = "not_available"


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as it may be read: its text, and its number where there is one."""

    text: str
    number: float | None = None
    standing: Standing = Standing.SHOWN


WITHHELD = Shown("w", None, Standing.WITHHELD)
NOT_AVAILABLE = Shown("n/a", None, Standing.NOT_AVAILABLE)


@dataclass(frozen=True, slots=True)
class Count:
    """The count of a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """One count as a share of another, in per cent."""

    part: str
    whole: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that is shown where counts are: bytes (to three digits), or days."""

    number: float | None
    of: tuple[str, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text that counts nothing."""

    text: str


Cell = Count | Ratio | Measure | Words


@dataclass(frozen=True, slots=True)
class Row:
    """What a row is about, and its cells. `total`: it is the sum of others."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its key, title, the headings of labels and of cells, rows, a note, and the queries it was made from."""

    key: str
    title: str
    labels: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the report, with its number in the EU's form where it has one."""

    number: str
    title: str
    texts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. `queries`: (name, what it counts, text) of each that it was made from. `draft`: not published.

    `summary` are the figures that stand at its head.
    """

    operator: str
    services: tuple[str, ...]
    period: Period
    made: str
    k: int
    sections: tuple[Section, ...]
    queries: tuple[tuple[str, str, str], ...]
    counts: Counts
    hidden: frozenset[str]
    summary: tuple[tuple[str, Cell], ...] = ()
    contact: str = ""
    draft: bool = True
    software: str = field(default="")

    @property
    def title(self) -> str:
        """What it is called."""
        return f"Transparency report, {self.period.name}"

    @property
    def empty(self) -> bool:
        """Whether there was nothing in the period."""
        return not any(self.counts.values.values())

    def tables(self) -> Iterator[tuple[Section, Table]]:
        """Every table with its section."""
        for section in self.sections:
            for table in section.tables:
                yield section, table

    def shown(self, cell: Cell) -> Shown:
        """A cell as it may be read."""
        if isinstance(cell, Words):
            return Shown(cell.text)
        if isinstance(cell, Count):
            number = self.counts.values[cell.name]
            return WITHHELD if cell.name in self.hidden else Shown(f"{number:,}", number)
        if isinstance(cell, Ratio):
            return self._ratio(cell)
        if self.hidden.intersection(cell.of):
            return WITHHELD
        return NOT_AVAILABLE if cell.number is None else _measured(cell.number, cell.unit)

    def _ratio(self, cell: Ratio) -> Shown:
        if not self.counts.values[cell.whole]:
            return NOT_AVAILABLE
        if {cell.part, cell.whole} & self.hidden:
            return WITHHELD
        share = 100 * self.counts.values[cell.part] / self.counts.values[cell.whole]
        return Shown(f"{share:.2f} %", round(share, 4))

    @property
    def legend(self) -> str:
        """What the marks mean."""
        if self.k == 1:
            return "n/a: not available, for there is nothing to divide by."
        small = "of 1" if self.k == 2 else f"from 1 to {self.k - 1}"
        return (
            f"w: withheld. It is a count {small}, or one from which such a count could be worked out; a zero is always"
            " shown. n/a: not available, for there is nothing to divide by."
        )


def _measured(number: float, unit: str) -> Shown:
    if unit == "bytes":
        kept = 0 if not number else round(number, 2 - math.floor(math.log10(number)))
        return Shown(_bytes(kept), int(kept))
    return Shown(f"{number:g} {unit if number != 1 else unit.removesuffix('s')}", number)


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"
