"""An immutable segment: values under ids, searched by the matcher that suits them, in memory or mapped from a file.

Owns what a segment's arrays mean, and the way back from a matcher to its values. Knows no folder and no change.

Rules
- Ids never fall from row to row; one id may have several rows (the frames of one content).
- A segment is the same in memory and on disk: what is mapped is what a kernel reads.
- Where no kernel was built, a segment keeps plain values and NumPy compares them: slower, same answers, same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError, SegmentRefused
from hashsets.hashtypes import HashType
from hashsets.matching import container, hamming
from hashsets.matching import kernel as kernels
from hashsets.matching.container import Contents
from hashsets.matching.exact import DigestArrays, ExactMatcher
from hashsets.matching.hamming import Form, HammingArrays, HammingMatcher
from hashsets.matching.reference import BruteForce, SortedDigests, check_values
from hashsets.types import Hits

_OPTIONAL = ("offsets", "next", "next2", "row", "plane")


class PlainMatcher:
    """NumPy over plain values, where no kernel was built."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8]) -> None:
        self.hash_type = hash_type
        self.values = values
        exact_type = hash_type.comparison == "exact"
        self._reference = SortedDigests(hash_type, values) if exact_type else BruteForce(hash_type, values)

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
    """Rows and their ids: row i has the id `first_id + steps[i]`, or `first_id + i` where there are no steps."""

    matcher: SegmentMatcher
    first_id: int
    steps: Steps | None

    def __len__(self) -> int:
        return len(self.matcher)

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
        count = np.searchsorted(self.steps, wanted, "right") - start
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        rows: NDArray[np.int64] = np.repeat(start, count) + within
        return rows


def build(
    hash_type: HashType, values: NDArray[np.uint8], ids: NDArray[np.int64], *, form: Form | None = None
) -> Segment:
    """A segment of `values` (n, bits // 8) under `ids` (n,) that never fall. Raises MatchingError."""
    first, steps = _steps(ids, len(values))
    return Segment(_matcher(hash_type, values, form), first, steps)


def _matcher(hash_type: HashType, values: NDArray[np.uint8], form: Form | None) -> SegmentMatcher:
    if not kernels.available():
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
    matcher = segment.matcher
    hash_type, n = matcher.hash_type, len(matcher)
    if isinstance(matcher, PlainMatcher):
        return matcher.values
    if isinstance(matcher, ExactMatcher):
        values = np.empty((n, matcher.arrays.width), dtype=np.uint8)
        values[matcher.arrays.row[:n]] = matcher.arrays.sorted[: n * matcher.arrays.width].reshape(values.shape)
        return values
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


def save(path: Path, segment: Segment, stamp: bytes) -> None:
    """Write a segment; `stamp` (at most 64 bytes) says what it was made from, and a reader must name the same."""
    matcher = segment.matcher
    numbers = {"rows": len(segment), "first_id": segment.first_id}
    arrays: dict[str, NDArray[Any]] = {} if segment.steps is None else {"steps": segment.steps}
    if isinstance(matcher, HammingMatcher):
        held = matcher.arrays
        numbers |= {"words": held.words, "planes": held.planes}
        arrays |= {"tables": np.frombuffer(held.tables, np.uint8), "rows": held.rows}
        arrays |= {name: array for name in _OPTIONAL if (array := getattr(held, name)) is not None}
    elif isinstance(matcher, ExactMatcher):
        numbers |= {"width": matcher.arrays.width, "prefix_bits": matcher.arrays.prefix_bits}
        arrays |= {"sorted": matcher.arrays.sorted, "row": matcher.arrays.row, "prefixes": matcher.arrays.prefixes}
    else:
        arrays["values"] = matcher.values
    container.write(path, Contents("segment", matcher.hash_type, stamp, numbers, arrays))


def load(path: Path, hash_type: HashType, stamp: bytes) -> Segment:
    """Map a segment of that type and stamp: milliseconds, whatever its size. Raises SegmentRefused."""
    contents = container.read(path, "segment", hash_type, stamp)
    try:
        matcher = _matcher_over(contents)
        steps = contents.arrays.get("steps")
        if len(matcher) != contents.numbers["rows"] or (steps is not None and steps.shape != (len(matcher),)):
            raise SegmentRefused("a segment's counts disagree; build it again")
        return Segment(matcher, contents.numbers["first_id"], steps)
    except (KeyError, TypeError, ValueError, OverflowError, MatchingError) as error:
        raise SegmentRefused("a segment's arrays do not fit together; build it again") from error


def _matcher_over(contents: Contents) -> SegmentMatcher:
    hash_type, numbers, arrays = contents.hash_type, contents.numbers, contents.arrays
    n = numbers["rows"]
    if "values" in arrays:
        return _matcher(hash_type, arrays["values"].reshape(n, hash_type.size_bytes), None)
    if hash_type.comparison == "exact":
        digests = DigestArrays(
            n, numbers["width"], numbers["prefix_bits"], arrays["sorted"], arrays["row"], arrays["prefixes"]
        )
        if kernels.available():
            return ExactMatcher(hash_type, digests)
        values = np.empty((n, digests.width), dtype=np.uint8)
        values[digests.row[:n]] = digests.sorted[: n * digests.width].reshape(values.shape)
        return PlainMatcher(hash_type, values)
    words = hamming.words_of(hash_type)
    if numbers["words"] != words:
        raise SegmentRefused("a segment's rows are of another width; build it again")
    if not kernels.available():
        return PlainMatcher(hash_type, unpermuted(arrays["rows"], n, words)[:, : hash_type.size_bytes])
    held = HammingArrays(
        n,
        words,
        numbers["planes"],
        arrays["tables"].tobytes(),
        arrays["rows"],
        *(arrays.get(name) for name in _OPTIONAL),
    )
    return HammingMatcher(hash_type, held)


def merged(segments: list[Segment], live: list[NDArray[np.bool_] | None], *, form: Form | None = None) -> Segment:
    """One segment of the live rows (all, where None) of segments whose ids follow each other."""
    hash_type = segments[0].matcher.hash_type
    values, ids = [], []
    for segment, alive in zip(segments, live, strict=True):
        rows = np.arange(len(segment)) if alive is None else np.nonzero(alive)[0]
        whole = values_of(segment)
        values.append(whole if alive is None else whole[rows])
        ids.append(segment.ids(rows))
    return build(hash_type, np.concatenate(values), np.concatenate(ids), form=form)
