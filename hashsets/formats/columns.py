"""CSV whose header names columns of digests: NSRL's NSRLFile.txt, HashKeeper, Interpol's ICSE, and partners' own.

A row is one entry with all its digests. Columns are found by their names, in any order and case; others, such as names
of files, series, victims and offenders, are passed over.

Rules
- NSRL's special code is kept as a classification; what it marks malicious is known, but not known good: left out.
- Of ICSE, `Baseline` is kept (`icse`, `baseline`): the worst category, agreed between countries.
- Rows of an ICSE list may have more or fewer columns than its header.
- A row that lacks a column up to the last digest is not understood.

Source: sleuthkit's and IPED's readers of these lists.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.formats.plain import refuse_cut
from hashsets.formats.records import Cell, entry_of_cells
from hashsets.formats.tabular import NumberedLines, delimiter_of, folded_header
from hashsets.formats.text import head_lines
from hashsets.types import Classification, Entry

# Column names and the types they hold, in the order in which a key is chosen.
DIGEST_COLUMNS = {
    "md5": "md5", "md5hash": "md5", "md5_hash": "md5", "hash_md5": "md5",
    "sha1": "sha1", "sha-1": "sha1", "sha_1": "sha1", "sha1hash": "sha1",
    "sha256": "sha256", "sha-256": "sha256", "sha_256": "sha256", "sha256hash": "sha256",
    "pdq": "pdq", "pdq_hash": "pdq", "pdqhash": "pdq",
    "phash": "phash", "dhash": "dhash", "ahash": "ahash", "whash": "whash",
    "photodna": "photodna", "pdna": "photodna", "sha512": "sha512", "sha-512": "sha512",
}  # fmt: skip
# Digests that come beside better ones in lists that we read, and that nobody should match by: not worth a count.
_PASSED_OVER = frozenset({"crc32", "md4"})
_YES = frozenset({"y", "yes", "t", "true", "1"})
_MALICIOUS = "M"  # NSRL's SpecialCode


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a header puts what we read."""

    digests: tuple[tuple[str, int], ...]
    last: int
    columns: int
    unknown: int
    special: int | None
    baseline: int | None


class Columns:
    """See the module."""

    name = "csv of digests"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether the first line is a header that names a column of digests."""
        return any(_layout(folded_header(line)) is not None for line in head_lines(head)[:1])

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        text = NumberedLines(stream, lenient=True)
        header = text.header()
        layout = _layout(folded_header(header))
        if layout is None:  # `fits` passes over bytes that are no letters
            raise ListError("the CSV header is not text: expected UTF-8, or UTF-16 with its mark")
        reading.unknown_columns = layout.unknown
        try:
            for fields in csv.reader(text, delimiter=delimiter_of(header), strict=True):
                entry = _entry(fields, layout, text, reading) if any(fields) else None
                if entry is not None:
                    yield entry
        except csv.Error:
            raise ListError(
                f"the CSV is broken at line {text.number}: a quote is not closed, or the list was cut off"
            ) from None


def _layout(names: list[str]) -> _Layout | None:
    kinds = DIGEST_COLUMNS | ({"hash": "md5"} if "hashset_id" in names else {})
    found = {names.index(name): kind for name, kind in kinds.items() if name in names}
    if not found or any(hashtypes.fitting_types(name) for name in names):  # a row, not a header
        return None
    digests = tuple((kind, place) for place, kind in found.items())
    special = _place(names, "specialcode")
    baseline = _place(names, "baseline")
    passed = sum(name in _PASSED_OVER for name in names) + (special is not None) + (baseline is not None)
    return _Layout(digests, max(found), len(names), len(names) - len(found) - passed, special, baseline)


def _place(names: list[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _entry(fields: list[str], layout: _Layout, text: NumberedLines, reading: Reading) -> Entry | None:
    number = text.number
    if len(fields) < layout.columns:
        refuse_cut(text.whole, number)
    if len(fields) <= layout.last:
        reading.reject(Reject.WRONG_COLUMN_COUNT, number)
        return None
    special = _cell(fields, layout.special)
    if special == _MALICIOUS:
        reading.reject(Reject.MARKED_MALICIOUS, number)
        return None
    marks = []
    if special and len(special) == 1 and special.isalnum():
        marks.append(Classification("nsrl", special))
    if _cell(fields, layout.baseline).lower() in _YES:
        marks.append(Classification("icse", "baseline"))
    cells: list[Cell] = [(kind, fields[place].strip()) for kind, place in layout.digests]
    return entry_of_cells(cells, number, reading, whole=text.whole, marks=tuple(marks))


def _cell(fields: list[str], place: int | None) -> str:
    return fields[place].strip() if place is not None and place < len(fields) else ""
