"""Segments as files: which arrays stand in one, and what becomes of a file whose arrays do not fit together.

Rules
- What is mapped is what a kernel reads: opening takes milliseconds, whatever the size.
- Where no kernel was built, a file that one wrote is opened all the same, and the other way round.
"""

from __future__ import annotations

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
from hashsets.matching.hamming import HammingArrays, HammingMatcher
from hashsets.matching.postings import Postings
from hashsets.matching.segments import PlainMatcher, Segment, SegmentMatcher, matcher_of, unpermuted

_OPTIONAL = ("offsets", "next", "next2", "row", "plane")


def save(path: Path, segment: Segment, stamp: bytes) -> None:
    """Write a segment; `stamp` (at most 64 bytes) says what it was made from, and a reader must name the same."""
    matcher = segment.matcher
    numbers = {"rows": len(segment), "values": len(matcher), "first_id": segment.first_id}
    arrays: dict[str, NDArray[Any]] = {"marks": segment.marks}
    if segment.steps is not None:
        arrays["steps"] = segment.steps
    if segment.postings is not None:
        arrays |= {"posted": segment.postings.order, "starts": segment.postings.starts}
    if isinstance(matcher, HammingMatcher):
        held = matcher.arrays
        numbers |= {"words": held.words, "planes": held.planes}
        arrays |= {"tables": np.frombuffer(held.tables, np.uint8), "rows": held.rows}
        arrays |= {name: array for name in _OPTIONAL if (array := getattr(held, name)) is not None}
    elif isinstance(matcher, ExactMatcher):
        digests = matcher.arrays
        numbers |= {"width": digests.width, "prefix_bits": digests.prefix_bits}
        arrays |= {"heads": digests.heads, "tails": digests.tails, "row": digests.row, "prefixes": digests.prefixes}
    else:
        arrays["values"] = matcher.values
    container.write(path, Contents("segment", matcher.hash_type, stamp, numbers, arrays))


def load(path: Path, hash_type: HashType, stamp: bytes) -> Segment:
    """Map a segment of that type and stamp: milliseconds, whatever its size. Raises SegmentRefused."""
    contents = container.read(path, "segment", hash_type, stamp)
    try:
        return _segment_over(contents)
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, MatchingError) as error:
        raise SegmentRefused("a segment's arrays do not fit together; build it again") from error


def _segment_over(contents: Contents) -> Segment:
    numbers, arrays = contents.numbers, contents.arrays
    matcher, steps, rows = _matcher_over(contents), arrays.get("steps"), numbers["rows"]
    shared = Postings(arrays["posted"], arrays["starts"]) if "posted" in arrays else None
    if (
        arrays["marks"].shape != (rows,)
        or arrays["marks"].dtype != np.uint8
        or (steps is not None and (steps.shape != (rows,) or steps.dtype not in (np.uint32, np.int64)))
        or (rows != len(matcher) if shared is None else shared.order.shape != (rows,))
    ):
        raise MatchingError("a segment's counts disagree; build it again")
    if shared is not None:
        if shared.order.dtype != np.uint32 or shared.starts.dtype != np.uint32:
            raise MatchingError("the rows of equal values are of another width; build the index again")
        shared.check(len(matcher))
    return Segment(matcher, numbers["first_id"], steps, arrays["marks"], shared)


def _matcher_over(contents: Contents) -> SegmentMatcher:
    hash_type, numbers, arrays = contents.hash_type, contents.numbers, contents.arrays
    n = numbers["values"]
    if "values" in arrays:
        return matcher_of(hash_type, arrays["values"].reshape(n, hash_type.size_bytes), None)
    if hash_type.comparison == "exact":
        pieces = (arrays[name] for name in ("heads", "tails", "row", "prefixes"))
        digests = DigestArrays(n, numbers["width"], numbers["prefix_bits"], *pieces)
        return ExactMatcher(hash_type, digests) if kernels.available() else PlainMatcher(hash_type, digests.values())
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
