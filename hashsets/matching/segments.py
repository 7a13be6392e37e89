"""An immutable segment: values under ids, searched by the matcher that suits them, in memory or mapped from a file.

Owns what a segment's arrays mean, and the way back from a matcher to its values. Knows no folder and no change.

Rules
- Ids never fall from row to row; one id may have several rows (the frames of one content).
- Beside each row stands a mark, a byte that means what the caller says.
- A segment is the same in memory and on disk: what is mapped is what a kernel reads.
- Where no kernel was built, a segment keeps plain values and NumPy compares them: slower, same answers, same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError
from hashsets.hashtypes import HashType
from hashsets.matching import kernel as kernels
from hashsets.matching import postings
from hashsets.matching.exact import ExactMatcher
from hashsets.matching.hamming import Form, HammingMatcher, words_of
from hashsets.matching.postings import Postings
from hashsets.matching.reference import check_values, reference_of
from hashsets.types import Hits


class PlainMatcher:
    """Plain values, where no kernel was built or a plug-in compares them."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8]) -> None:
        self.hash_type = hash_type
        self.values = values
        self._reference = reference_of(hash_type, values)

    def __len__(self) -> int:
        return len(self.values)

    def query(
        self,
        values: NDArray[np.uint8],
        radius: int,
        *,
        withdrawn: NDArray[np.uint8] | None = None,
        most_hits: int = 0,
    ) -> Hits:
        """See Matcher; `withdrawn` as in HammingMatcher."""
        hits = self._reference.query(values, radius, most_hits=most_hits)
        if withdrawn is None:
            return hits
        gone = np.unpackbits(withdrawn, bitorder="little", count=len(self)).astype(bool)
        keep = ~gone[hits.listed_rows]
        return Hits(hits.query_rows[keep], hits.listed_rows[keep], hits.distances[keep])


Steps = NDArray[np.uint32] | NDArray[np.int64]  # the wider only where ids lie 2**32 apart
SegmentMatcher = HammingMatcher | ExactMatcher | PlainMatcher


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows, their ids and marks: row i has the id `first_id + steps[i]`, or `first_id + i` where there are no steps.

    The matcher knows rows, or where values stand twice, distinct values and `postings` their rows.
    """

    matcher: SegmentMatcher
    first_id: int
    steps: Steps | None
    marks: NDArray[np.uint8]
    postings: Postings | None = None

    def __len__(self) -> int:
        return len(self.marks)

    def ids(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids of those rows."""
        return self.first_id + (rows if self.steps is None else self.steps[rows].astype(np.int64))

    def last_id(self) -> int:
        """The id of the last row; below `first_id` where there are none."""
        if self.steps is None:
            return self.first_id + len(self) - 1
        return self.first_id + int(self.steps[-1]) if len(self) else self.first_id - 1

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that have any of these ids, in no order."""
        offsets: NDArray[np.int64] = ids - self.first_id
        if self.steps is None:
            return offsets[(offsets >= 0) & (offsets < len(self))]
        # Of the same dtype, or searchsorted would copy all the steps.
        wanted = offsets[(offsets >= 0) & (offsets <= int(self.steps[-1]))].astype(self.steps.dtype)
        start = np.searchsorted(self.steps, wanted, "left")
        count = np.maximum(np.searchsorted(self.steps, wanted, "right") - start, 0)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        rows: NDArray[np.int64] = np.repeat(start, count) + within
        return rows


def build(
    hash_type: HashType,
    values: NDArray[np.uint8],
    ids: NDArray[np.int64],
    marks: NDArray[np.uint8] | None = None,
    *,
    form: Form | None = None,
) -> Segment:
    """A segment of `values` (n, bits // 8) under `ids` (n,) that never fall, with `marks` (n,), by default 0.

    Raises MatchingError.
    """
    values = check_values(hash_type, values)
    marks = np.zeros(len(values), np.uint8) if marks is None else marks
    if marks.dtype != np.uint8 or marks.shape != (len(values),):
        raise MatchingError("marks must be an array (n,) of uint8, one for each value")
    first, steps = _steps(ids, len(values))
    found = postings.of(values)
    if found is None:
        return Segment(matcher_of(hash_type, values, form), first, steps, marks)
    shared, one_row_each = found
    return Segment(matcher_of(hash_type, values[one_row_each], form), first, steps, marks, shared)


def matcher_of(hash_type: HashType, values: NDArray[np.uint8], form: Form | None) -> SegmentMatcher:
    """The matcher that suits the type, and this machine."""
    if hash_type.comparison == "plugin" or not kernels.available():
        return PlainMatcher(hash_type, check_values(hash_type, values))
    if hash_type.comparison == "exact":
        return ExactMatcher.build(hash_type, values)
    return HammingMatcher.build(hash_type, values, form=form)


def _steps(ids: NDArray[np.int64], count: int) -> tuple[int, Steps | None]:
    if ids.dtype != np.int64 or ids.shape != (count,):
        raise MatchingError("ids must be an array (n,) of int64, one for each value")
    if count == 0:
        return 0, None
    rises = np.diff(ids)
    if (rises < 0).any():
        raise MatchingError("ids must not fall from row to row")
    if (rises == 1).all():
        return int(ids[0]), None
    steps: Steps = ids - ids[0]
    return int(ids[0]), steps.astype(np.uint32) if steps[-1] < 2**32 else steps


def values_of(segment: Segment) -> NDArray[np.uint8]:
    """The values of a segment, in row order."""
    return _by_row(segment, _matcher_values(segment.matcher))


def _by_row(segment: Segment, distinct: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a segment's matcher knows of each distinct value, for each row."""
    if segment.postings is None:
        return distinct
    values = np.empty((len(segment), distinct.shape[1]), np.uint8)
    values[segment.postings.order] = np.repeat(distinct, np.diff(segment.postings.starts), axis=0)
    return values


def _matcher_values(matcher: SegmentMatcher) -> NDArray[np.uint8]:
    hash_type, n = matcher.hash_type, len(matcher)
    if isinstance(matcher, PlainMatcher):
        return matcher.values
    if isinstance(matcher, ExactMatcher):
        return matcher.arrays.values()
    return unpermuted(matcher.arrays.rows, n, matcher.arrays.words)[:, : hash_type.size_bytes]


def unpermuted(rows: NDArray[Any], n: int, words: int) -> NDArray[np.uint8]:
    """The values (n, 8 * words) of permuted rows."""
    back = np.argsort(kernels.source_bits(words)).astype(np.uint8)
    flat = np.ascontiguousarray(rows[: n * words]).view(np.uint8)
    values = np.empty((n, 8 * words), dtype=np.uint8)
    if kernels.available():
        kernels.native.permute(None, words, back, flat, n, values)
    else:
        bits = np.unpackbits(flat.reshape(n, 8 * words), axis=1, bitorder="little")
        values[...] = np.packbits(bits[:, back], axis=1, bitorder="little")
    return values


def merged(
    segments: Sequence[Segment], live: Sequence[NDArray[np.bool_] | None], *, form: Form | None = None
) -> Segment:
    """One segment of the live rows (all, where None) of several, by id; rows of one id in the order they stood in.

    Permuted rows stay as they are, and everything has its place from the start: what a merge holds beside the index
    it makes decides how large a list can be (bench/runs).
    """
    hash_type = segments[0].matcher.hash_type
    permuted = all(isinstance(segment.matcher, HammingMatcher) for segment in segments)
    width = 8 * words_of(hash_type) if permuted else hash_type.size_bytes
    kept = [
        np.arange(len(s)) if alive is None else np.nonzero(alive)[0] for s, alive in zip(segments, live, strict=True)
    ]
    total = sum(map(len, kept))
    values, ids, marks = kernels.array(total * width, np.uint8), np.empty(total, np.int64), np.empty(total, np.uint8)
    table, end = values[: total * width].reshape(total, width), 0
    for segment in segments:
        rows = kept.pop(0)
        part, end = slice(end, end + len(rows)), end + len(rows)
        stood = _by_row(segment, _permuted_rows(segment.matcher)) if permuted else values_of(segment)
        table[part] = stood if len(rows) == len(stood) else stood[rows]
        ids[part], marks[part] = segment.ids(rows), segment.marks[rows]
    del rows, stood
    if (np.diff(ids) < 0).any():
        order = np.argsort(ids, kind="stable")
        table[:], ids, marks = table[order], ids[order], marks[order]
        del order
    if not permuted:
        return build(hash_type, table, ids, marks, form=form)
    first, steps = _steps(ids, total)
    del ids
    found = postings.of(table)
    if found is None:
        return Segment(HammingMatcher.of_rows(hash_type, values, total, form=form), first, steps, marks)
    shared, one_row_each = found
    distinct = kernels.array(len(one_row_each) * width, np.uint8)
    distinct[: len(one_row_each) * width] = table[one_row_each].reshape(-1)
    return Segment(
        HammingMatcher.of_rows(hash_type, distinct, len(one_row_each), form=form), first, steps, marks, shared
    )


def _permuted_rows(matcher: SegmentMatcher) -> NDArray[np.uint8]:
    assert isinstance(matcher, HammingMatcher)
    held = matcher.arrays
    return held.rows[: held.n * held.words].view(np.uint8).reshape(held.n, 8 * held.words)
