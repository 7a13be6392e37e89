"""CSV with a header: type, value, and optionally ref, scheme, code, shape; in any order and any case.

Rows that share a ref are one entry with several signals, wherever they stand: neighbours are gathered here, the others
are united by the store (`fragments`). A row without a ref is an entry of its own. `scheme` and `code` go together;
several rows give an entry several classifications. Shape is `item` (the default) or `frames`, which needs a ref.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.formats.plain import checked_signal, refuse_cut
from hashsets.formats.text import head_lines, lines
from hashsets.limits import MAX_CLASSIFICATIONS, is_classification, is_ref
from hashsets.types import Classification, Entry, Shape, Signal, entry_key, entry_key_of_ref

COLUMNS = ("type", "value", "ref", "scheme", "code", "shape")
DELIMITERS = ",;\t"

# Neighbouring rows gathered into one entry; more become fragments, which the store unites. Bounds our memory.
MAX_GATHERED = 4_096


@dataclass(frozen=True, slots=True)
class _Row:
    """One row understood."""

    signal: Signal
    ref: str | None
    mark: Classification | None
    shape: Shape


class Tabular:
    """See the module."""

    name = "csv"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether the first line is a header that names the column `value`."""
        return any("value" in folded_header(line) for line in head_lines(head)[:1])

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        return _gathered(_rows(stream, options, reading))


def folded_header(line: str) -> list[str]:
    """The column names a header line gives, in lower case; a line without columns is one name."""
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter_of(line)), [])]


def delimiter_of(header: str) -> str:
    """The delimiter a header line uses most."""
    return max(DELIMITERS, key=header.count)


class NumberedLines:
    """The text lines of a CSV, remembering where the reader is and whether the last line had its end."""

    def __init__(self, stream: BinaryIO, *, lenient: bool = False) -> None:
        self._lines = lines(stream, lenient=lenient)
        self.number = 0
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        self.whole = line.endswith("\n")
        return line

    def header(self) -> str:
        """The first significant line."""
        for line in self:
            if line.strip() and not line.startswith("#"):
                return line
        raise ListError("the list is empty")


def _rows(stream: BinaryIO, options: Options, reading: Reading) -> Iterator[_Row]:
    text = NumberedLines(stream)
    header = text.header()
    names = folded_header(header)
    places = _places(names, options, reading)
    given = None if options.type_name is None else hashtypes.get(options.type_name)
    try:
        for fields in csv.reader(text, delimiter=delimiter_of(header), strict=True):
            if not fields or not any(fields):
                continue
            if len(fields) != len(names):
                refuse_cut(text.whole, text.number)
                reading.reject(Reject.WRONG_COLUMN_COUNT, text.number)
                continue
            cells = {name: fields[place].strip() for name, place in places.items()}
            row = _row(cells, given, text.number, reading, whole=text.whole)
            if row is not None:
                reading.valid += 1
                yield row
    except csv.Error:
        raise ListError(
            f"the CSV is broken at line {text.number}: a quote is not closed, or the list was cut off"
        ) from None


def _places(names: list[str], options: Options, reading: Reading) -> dict[str, int]:
    """Where each known column stands. Raises ListError for a header that cannot be used."""
    known = [name for name in names if name in COLUMNS]
    if len(set(known)) != len(known):
        raise ListError("the CSV header names a column twice")
    needed = ("value",) if options.type_name is not None else ("type", "value")
    missing = [name for name in needed if name not in known]
    if missing:
        raise ListError(
            f"the CSV header lacks {' and '.join(missing)}: its columns are {', '.join(COLUMNS)}; type and value are"
            " needed (--type gives a missing type)"
        )
    reading.unknown_columns = len(names) - len(known)
    return {name: names.index(name) for name in known}


def _row(
    cells: dict[str, str], given: hashtypes.HashType | None, number: int, reading: Reading, *, whole: bool
) -> _Row | None:
    hash_type = hashtypes.find(cells["type"]) if cells.get("type") else given
    if hash_type is None:
        reading.reject(Reject.UNKNOWN_TYPE, number)
        return None
    ref = cells.get("ref") or None
    shape = cells.get("shape", "").lower() or Shape.ITEM.value
    scheme, code = cells.get("scheme", ""), cells.get("code", "")
    mark = Classification(scheme, code) if scheme or code else None
    if ref is not None and not is_ref(ref):
        reading.reject(Reject.BAD_REF, number)
    elif shape not in tuple(Shape) or (shape == Shape.FRAMES and ref is None):
        reading.reject(Reject.BAD_SHAPE, number)
    elif mark is not None and not is_classification(mark):
        reading.reject(Reject.BAD_CLASSIFICATION, number)
    else:
        signal = checked_signal(hash_type, cells["value"], number, reading, whole=whole)
        return None if signal is None else _Row(signal, ref, mark, Shape(shape))
    return None


def _gathered(rows: Iterable[_Row]) -> Iterator[Entry]:
    gathered: list[_Row] = []
    for row in rows:
        if gathered and (row.ref is None or row.ref != gathered[0].ref or len(gathered) == MAX_GATHERED):
            yield _entry(gathered)
            gathered = []
        gathered.append(row)
    if gathered:
        yield _entry(gathered)


def _entry(rows: list[_Row]) -> Entry:
    first = rows[0]
    marks = tuple(dict.fromkeys(row.mark for row in rows if row.mark is not None))[:MAX_CLASSIFICATIONS]
    if first.ref is None:
        return Entry(entry_key(first.signal), (first.signal,), Shape.ITEM, None, marks)
    shape = Shape.FRAMES if any(row.shape is Shape.FRAMES for row in rows) else Shape.ITEM
    signals = tuple({(row.signal.hash_type, row.signal.value): row.signal for row in rows}.values())
    return Entry(entry_key_of_ref(first.ref), signals, shape, first.ref, marks)
