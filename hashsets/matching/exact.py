"""Equality of digests over the compiled kernels: the sorted digests, the bounds of their prefixes, and their matcher.

Owns the arrays of an exact index. Knows no file, entry or set.

Rules
- Memory stays near the digests: beside them a row number (4 bytes) and about one byte of prefix bounds each.
- A digest stands in two pieces. What is not listed is told by heads and bounds alone, nine bytes a digest; tails and
  rows are read where a head is the wanted one, so that of a mapped index they need not be in memory before.
- A digest listed on several rows is found on every one of them.
- No order of values makes a look-up longer than a binary search: lists are not ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError
from hashsets.hashtypes import HashType
from hashsets.matching import kernel as kernels
from hashsets.matching.hamming import MAX_ROWS, checked, hits_of, joined
from hashsets.matching.reference import check_radius, check_room
from hashsets.types import Hits

MAX_PREFIX_BITS = 26  # bounds of 268 MB: past this they would weigh more than they save


@dataclass(frozen=True, slots=True)
class DigestArrays:
    """What a look-up reads: `heads`, the first 8 bytes of each digest as numbers that rise; `tails` (n, width - 8), the
    rest of it; the row each stood on; the bounds of each prefix."""

    n: int
    width: int
    prefix_bits: int
    heads: NDArray[Any]
    tails: NDArray[Any]
    row: NDArray[Any]
    prefixes: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return self.heads.nbytes + self.tails.nbytes + self.row.nbytes + self.prefixes.nbytes

    def values(self) -> NDArray[np.uint8]:
        """The digests (n, width), each on its row."""
        values = np.empty((self.n, self.width), np.uint8)
        rows = self.row[: self.n]
        values[rows, :8] = self.heads[: self.n].astype(">u8").view(np.uint8).reshape(self.n, 8)
        values[rows, 8:] = self.tails[: self.n * (self.width - 8)].reshape(self.n, self.width - 8)
        return values


def prefix_bits_for(n: int) -> int:
    """So many leading bits that about four digests share a prefix: one or two cache lines, one byte of bounds each."""
    return max(0, min(MAX_PREFIX_BITS, n.bit_length() - 2))


def build_arrays(values: NDArray[np.uint8]) -> DigestArrays:
    """Sort `values` (n, width); equal digests keep row order."""
    n, width = values.shape
    bits = prefix_bits_for(n)
    heads, tails = kernels.array(n, np.uint64), kernels.array(n * (width - 8), np.uint8)
    row = kernels.array(n, np.uint32)
    prefixes = kernels.array(2**bits + 1, np.uint32)
    kernels.native.build_digests(n, width, bits, values, heads, tails, row, prefixes)
    return DigestArrays(n, width, bits, heads, tails, row, prefixes)


class ExactMatcher:
    """Every listed value equal to each query, by the compiled kernels (see `interface.Matcher`)."""

    def __init__(self, hash_type: HashType, arrays: DigestArrays) -> None:
        if arrays.width != hash_type.size_bytes or hash_type.comparison != "exact":
            raise MatchingError("these digests are of another hash type; build the index again")
        self.hash_type = hash_type
        self.arrays = arrays
        try:
            self._digests = kernels.native.Digests(
                arrays.n, arrays.width, arrays.prefix_bits, arrays.heads, arrays.tails, arrays.row, arrays.prefixes
            )
        except (ValueError, OverflowError) as error:
            raise MatchingError("the arrays of this index do not fit together; build it again") from error

    @classmethod
    def build(cls, hash_type: HashType, values: NDArray[np.uint8]) -> ExactMatcher:
        """Index `values` (n, bits // 8). Raises MatchingError for a wrong shape, dtype or size."""
        kernels.choose(None)
        values = checked(values, hash_type)
        if len(values) > MAX_ROWS:
            raise MatchingError("an index holds fewer than 2**32 values; split the list")
        return cls(hash_type, build_arrays(values))

    def __len__(self) -> int:
        return self.arrays.n

    def __contains__(self, value: bytes) -> bool:
        """Whether one value is listed: no arrays, for a single look-up as soon as a Python set's."""
        return value in self._digests

    def query(
        self,
        values: NDArray[np.uint8],
        radius: int = 0,
        *,
        withdrawn: NDArray[np.uint8] | None = None,
        most_hits: int = 0,
    ) -> Hits:
        """Look up `values`; the radius is 0. Rows whose bit is set in `withdrawn` (one bit a row) are not there.

        Raises TooManyHits as `interface.Matcher` says, only after the fact: a value has the hits it is listed.
        """
        values = checked(values, self.hash_type)
        check_radius(self.hash_type, radius)
        if withdrawn is not None and (withdrawn.dtype != np.uint8 or withdrawn.shape != (-(-self.arrays.n // 8),)):
            raise MatchingError("`withdrawn` has one bit a row, eight to a uint8")
        limit = kernels.native.QUERY_LIMIT
        parts = [
            hits_of(self._digests.search(values[at : at + limit], min(limit, len(values) - at), withdrawn))
            for at in range(0, max(len(values), 1), limit)
        ]
        hits = parts[0] if len(parts) == 1 else joined(parts, limit)
        check_room(len(hits), most_hits)
        return hits
