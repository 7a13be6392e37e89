"""Which counts of a report are withheld, so that no small one can be worked out from what is shown. Pure; no table.

The reader knows what is shown, how counts add up, that zeros are shown, and the rule. Small counts (1 to k - 1) are
withheld, and beside them as many others as it takes: until each small count could be k - 1, and could be as little as
if all counts were withheld, in some whole report that reads the same. (As little as 1; a sum as many as it has parts
that are not zero, for zeros are shown.) One mark stands for both kinds, so it tells nothing of which is which.

Whether such reports exist is asked of an integer solver (HiGHS), over all tables of the report together, since tables
share totals. Source of the method: cell suppression with protection by feasibility, as in Hundepool et al., Statistical
Disclosure Control (2012), chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint


@dataclass(slots=True)
class Counts:
    """The counts of a report by name, and what is known of them whatever they are.

    `sums`: a count is the sum of others. `orders`: a count is at most another. `unions`: a count is at most the sum of
    others, which overlap.
    """

    values: dict[str, int] = field(default_factory=dict)
    sums: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    unions: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def put(self, name: str, value: int) -> str:
        """Add a count; its name."""
        assert self.values.setdefault(name, value) == value
        return name

    def total(self, name: str, parts: Iterable[str]) -> str:
        """Add the sum of counts; its name."""
        parts = tuple(parts)
        self.put(name, sum(self.values[part] for part in parts))
        if (name, parts) not in self.sums:
            self.sums.append((name, parts))
        return name

    def at_most(self, lesser: str, greater: str) -> None:
        """A count can never be over another."""
        self.orders.append((lesser, greater))

    def union(self, whole: str, parts: Iterable[str]) -> None:
        """Whatever is in a count is in one of some others at least, and each of these is in it."""
        parts = tuple(parts)
        if parts:
            self.unions.append((whole, parts))
        for part in parts:
            self.at_most(part, whole)


def withheld(counts: Counts, k: int) -> frozenset[str]:
    """The names of the counts that are not shown; with k = 1 none."""
    small = {name for name, value in counts.values.items() if 0 < value < k}
    least = _Reader(counts, {name for name, value in counts.values.items() if value}).least(small) if small else {}
    hidden = set(small)
    while hidden:
        exposed = _Reader(counts, hidden).exposed(least, k)
        more = {other for name in exposed if (other := _next_to(counts, hidden, name)) is not None}
        if not more:
            break
        hidden |= more
    for name in sorted(hidden - small, key=lambda name: (-counts.values[name], name)):  # what protects nothing is shown
        if not _Reader(counts, hidden - {name}).exposed(least, k):
            hidden.remove(name)
    return frozenset(hidden)


def _next_to(counts: Counts, hidden: set[str], name: str) -> str | None:
    """What to withhold beside an exposed count: the smallest part shown near it, else the smallest total, else any."""
    near = [(total, parts) for total, parts in counts.sums if name == total or name in parts]
    for group in (
        [part for total, parts in near for part in parts],
        [total for total, _ in near],
        [other for pair in counts.orders if name in pair for other in pair],
        [other for whole, parts in counts.unions if name in parts for other in (*parts, whole)],
        [part for total, parts in counts.sums for part in (*parts, total)],
    ):
        choice = _smallest(counts, hidden, group)
        if choice is not None:
            return choice
    return None


def _smallest(counts: Counts, hidden: set[str], names: Iterable[str]) -> str | None:
    shown = {name for name in names if name not in hidden and counts.values[name] > 0}
    return min(shown, key=lambda name: (counts.values[name], name), default=None)


class _Reader:
    """What whoever reads the report can tell of what it withholds."""

    def __init__(self, counts: Counts, hidden: set[str]) -> None:
        self._columns = {name: at for at, name in enumerate(sorted(hidden))}
        rows = list(self._rows(counts))
        self._constraints = [] if not rows else [self._matrix(rows)]

    def _rows(self, counts: Counts) -> Iterator[tuple[Mapping[str, int], float, float]]:
        """(coefficients, least, most) of everything that is known of what is withheld."""
        for total, parts in counts.sums:
            yield self._row(counts, {**dict.fromkeys(parts, 1), total: -1}, 0.0, 0.0)
        for whole, parts in counts.unions:
            yield self._row(counts, {whole: 1, **dict.fromkeys(parts, -1)}, -np.inf, 0.0)
        for lesser, greater in counts.orders:
            yield self._row(counts, {lesser: 1, greater: -1}, -np.inf, 0.0)

    def _row(
        self, counts: Counts, terms: Mapping[str, int], least: float, most: float
    ) -> tuple[Mapping[str, int], float, float]:
        known = sum(sign * counts.values[name] for name, sign in terms.items() if name not in self._columns)
        open_ = {name: sign for name, sign in terms.items() if name in self._columns}
        return open_, least - known, most - known

    def _matrix(self, rows: Sequence[tuple[Mapping[str, int], float, float]]) -> LinearConstraint:
        from scipy.optimize import LinearConstraint  # takes as long as a command takes to begin, and most need none
        from scipy.sparse import csr_array

        kept = [row for row in rows if row[0]]
        at = [(line, self._columns[name], sign) for line, row in enumerate(kept) for name, sign in row[0].items()]
        lines, columns, signs = zip(*at, strict=True) if at else ((), (), ())
        matrix = csr_array((signs, (lines, columns)), shape=(len(kept), len(self._columns)), dtype=float)
        return LinearConstraint(matrix, [row[1] for row in kept], [row[2] for row in kept])

    def least(self, names: Iterable[str]) -> dict[str, int]:
        """The least that each of some counts can be."""
        together = self._report(goal=[self._columns[name] for name in names])
        found = {}
        for name in sorted(names):
            at = self._columns[name]
            low = together if together is not None and together[at] <= 1 else self._report(goal=[at])
            assert low is not None  # what is reported is such a report itself
            found[name] = int(low[at])
        return found

    def exposed(self, least: Mapping[str, int], k: int) -> list[str]:
        """The counts that cannot be the least they could be if all were withheld, or cannot be k - 1."""
        low, high = dict(least), dict.fromkeys(least, k - 1)
        at = [self._columns[name] for name in sorted(least)]
        for sign in (1, -1):  # two reports in which as many as can be are small, and large, at once
            self._strike(self._report(goal=at, sign=sign, most=k - 1), low, high)
        for name in sorted(least):
            if name in low:
                self._strike(self._report(self._columns[name], most=least[name]), low, high)
            if name in high and name not in low:
                self._strike(self._report(self._columns[name], least=k - 1), low, high)
        return sorted(low.keys() | high.keys())

    def _strike(self, report: NDArray[np.float64] | None, low: dict[str, int], high: dict[str, int]) -> None:
        """Strike off what a report shows to be possible."""
        if report is not None:
            for name in [name for name, value in low.items() if report[self._columns[name]] <= value]:
                del low[name]
            for name in [name for name, value in high.items() if report[self._columns[name]] >= value]:
                del high[name]

    def _report(
        self, at: int | None = None, *, least: int = 1, most: float = np.inf, goal: Sequence[int] = (), sign: int = 1
    ) -> NDArray[np.float64] | None:
        """What a report withholds that reads the same; None: there is none.

        One count is held between bounds; or the sum of some, each at most `most`, is made least (most with sign -1).
        """
        from scipy.optimize import Bounds, milp

        size = len(self._columns)
        lower, upper, wanted = np.ones(size), np.full(size, np.inf), np.zeros(size)
        if at is not None:
            lower[at], upper[at] = least, most
        wanted[list(goal)], upper[list(goal)] = sign, most if goal else np.inf
        found = milp(wanted, integrality=np.ones(size), bounds=Bounds(lower, upper), constraints=self._constraints)
        return None if found.x is None else np.rint(found.x)
