"""Bar charts of a report's tables as inline SVG: a bar for each row, in parts or side by side. Lines of HTML out.

A chart takes its figures from the cells as they are shown; where one is withheld there is a dashed mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from scanner.accountability.document import Document, Row, Shown, Standing, Table

_WIDTH: Final = 400  # near a telephone's, so that letters there are as large as those of the text
_ROOM: Final = _WIDTH - 64  # for the number behind a bar
_LABEL: Final = 18
_BAR: Final = 13
_GAP: Final = 10
_MARK: Final = 26


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a table is drawn: which columns, whether they stand side by side, which rows."""

    columns: tuple[str, ...]
    stacked: bool
    keep: str = ""  # rows whose last label is this one; empty: every row but totals


_KINDS: Final = {
    "volume": _Kind(("items",), stacked=False, keep="all"),
    "not_looked": _Kind(("items",), stacked=False),
    "identified": _Kind(("images", "videos", "other files"), stacked=True),
    "by_list": _Kind(("contents",), stacked=False),
    "accuracy": _Kind(("A1", "C1", "B1"), stacked=False, keep="all"),
    "requests": _Kind(
        ("granted", "granted in part", "challenged", "refused", "nothing held", "taken back", "open"), stacked=True
    ),
    "requests_as": _Kind(
        ("granted", "granted in part", "challenged", "refused", "nothing held", "taken back", "open"), stacked=True
    ),
}


def chart(document: Document, table: Table) -> Iterator[str]:
    """The chart of a table, where it has one and something to show."""
    kind = _KINDS.get(table.key)
    if kind is None:
        return
    rows = [row for row in table.rows if _is_drawn(row, kind)]
    bars = [(row.labels[0], [_of(document, table, row, column) for column in kind.columns]) for row in rows]
    most = max((_length(shown, stacked=kind.stacked) for _, shown in bars), default=0.0)
    if len(bars) < 2 - (len(kind.columns) > 1) or not most:
        return
    drawn = list(_stacked(bars, most) if kind.stacked else _beside(bars, most))
    height = _height(bars, kind)
    said = escape(f"Chart: {table.title}, by {table.labels[0]}. The table below has the figures.", quote=True)
    yield f'<figure><svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{said}">'
    yield from drawn
    yield "</svg>"
    if len(kind.columns) > 1:
        yield from _key(kind.columns)
    yield "</figure>"


def _is_drawn(row: Row, kind: _Kind) -> bool:
    if kind.keep:
        return row.labels[-1] == kind.keep and row.labels[0] != kind.keep
    return not row.total


def _of(document: Document, table: Table, row: Row, column: str) -> Shown:
    return document.shown(row.cells[table.heads.index(column)])


def _length(shown: Sequence[Shown], *, stacked: bool) -> float:
    numbers = [each.number or 0.0 for each in shown]
    return sum(numbers) if stacked else max(numbers)


def _height(bars: Sequence[tuple[str, Sequence[Shown]]], kind: _Kind) -> int:
    lines = 1 if kind.stacked else len(kind.columns)
    return len(bars) * (_LABEL + lines * (_BAR + 2) + _GAP)


def _label(text: str, y: float) -> str:
    short = text if len(text) <= 48 else f"{text[:47]}…"
    return f'<text x="0" y="{y:g}">{escape(short)}</text>'


def _beside(bars: Sequence[tuple[str, Sequence[Shown]]], most: float) -> Iterator[str]:
    y = 0
    for label, shown in bars:
        yield _label(label, y + 13)
        y += _LABEL
        for at, each in enumerate(shown):
            width = 0.0
            if each.standing is Standing.WITHHELD:
                width = _MARK
                yield f'<rect class="hid" x="1" y="{y}" width="{_MARK}" height="{_BAR}"/>'
            elif each.number:
                width = max(1.5, _ROOM * each.number / most)
                yield f'<rect class="s{at}" x="0" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
            yield f'<text class="faint" x="{width + 5:.1f}" y="{y + _BAR - 2}">{escape(each.text)}</text>'
            y += _BAR + 2
        y += _GAP


def _stacked(bars: Sequence[tuple[str, Sequence[Shown]]], most: float) -> Iterator[str]:
    y = 0
    for label, shown in bars:
        yield _label(label, y + 13)
        y += _LABEL
        x = 0.0
        for at, each in enumerate(shown):
            if each.number:
                width = max(1.5, _ROOM * each.number / most)
                yield f'<rect class="s{at}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
                x += width
        hidden = sum(each.standing is Standing.WITHHELD for each in shown)
        if hidden:
            yield f'<rect class="hid" x="{x + 2:.1f}" y="{y}" width="{_MARK}" height="{_BAR}"/>'
            x += _MARK + 2
        total = f"{sum(each.number or 0 for each in shown):,.0f}" + (f" + {hidden} w" if hidden else "")
        yield f'<text class="faint" x="{x + 5:.1f}" y="{y + _BAR - 2}">{total}</text>'
        y += _BAR + 2 + _GAP


def _key(columns: Sequence[str]) -> Iterator[str]:
    yield "<figcaption>"
    for at, column in enumerate(columns):
        yield (
            '<span class="key"><svg viewBox="0 0 12 12" aria-hidden="true">'
            f'<rect class="s{at}" width="12" height="12"/></svg>{escape(column)}</span>'
        )
    yield "</figcaption>"
