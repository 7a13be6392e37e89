"""Range search by Hamming distance over the compiled kernels: the arrays of an index, and the matcher over them.

Owns the three forms an index can have. Knows no file, entry or set.

Rules
- Exact: every row within the radius, each once, in row order. The forms differ in memory and speed alone.
- Immutable once built; `withdrawn` is an argument of a query, not a state.

| form | bytes a row of 256 bits | for |
|---|---|---|
| full | 160 + 4.2 MB | up to some ten million rows |
| compact | 80 + 2.1 MB | a hundred million: every other chunk has a table, and one payload |
| planes | 44 | a few thousand, where a scan is soonest |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError, TooManyHits
from hashsets.hashtypes import HashType
from hashsets.matching import kernel as kernels
from hashsets.matching.kernel import Strategy
from hashsets.matching.reference import check_radius, check_values
from hashsets.types import Hits

Form = Literal["full", "compact", "planes"]

MAX_ROWS = 2**32 - 1  # row numbers are u32 in the tables
PLANES_BELOW_ROWS = 8_192  # one query costs about as much by scan as by table here (bench/runs)
SCAN_BELOW_ROWS = 128  # so few are soonest scanned for every query of a stream (bench/runs)
COMPACT_FROM_ROWS = 40_000_000  # 40 M rows are 6.4 GB in full
GROUP_ROWS = 16  # HW_GROUP of native/core.h


@dataclass(frozen=True, slots=True)
class HammingArrays:
    """What a kernel reads. `tables` names the chunk of each table; arrays a form lacks are None."""

    n: int
    words: int
    planes: int
    tables: bytes
    rows: NDArray[Any]
    offsets: NDArray[Any] | None = None
    next: NDArray[Any] | None = None
    next2: NDArray[Any] | None = None
    row: NDArray[Any] | None = None
    plane: NDArray[Any] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        arrays = (self.rows, self.offsets, self.next, self.next2, self.row, self.plane)
        return sum(a.nbytes for a in arrays if a is not None)


def fits(hash_type: HashType) -> bool:
    """Whether the kernels can hold values of that type."""
    return hash_type.comparison == "hamming" and 8 <= hash_type.bits <= 256 and hash_type.bits % 8 == 0


def words_of(hash_type: HashType) -> int:
    """How many 64-bit words a row of that type takes. Raises MatchingError for a type the kernels cannot hold."""
    if not fits(hash_type):
        raise MatchingError("only Hamming types of 8 to 256 bits have rows")
    return -(-hash_type.bits // 64)


def checked(values: NDArray[np.uint8], hash_type: HashType) -> NDArray[np.uint8]:
    """`values` in one piece, (n, bits // 8) uint8. Raises MatchingError for another shape, dtype or type."""
    if (
        type(values) is np.ndarray
        and values.dtype == np.uint8
        and values.ndim == 2
        and values.shape[1] == hash_type.size_bytes
        and values.flags.c_contiguous
    ):
        return values  # what nearly every query is: no call may cost more than the look-up
    return check_values(hash_type, values)


def whole_words(values: NDArray[np.uint8], hash_type: HashType) -> NDArray[np.uint8]:
    """`values` checked and widened with zero bytes to whole words. Raises MatchingError for a wrong shape or dtype."""
    values = checked(values, hash_type)
    width = 8 * words_of(hash_type)
    if values.shape[1] == width:
        return values
    wide = np.zeros((len(values), width), dtype=np.uint8)
    wide[:, : values.shape[1]] = values
    return wide


def build_arrays(rows: NDArray[np.uint64], n: int, words: int, form: Form) -> HammingArrays:
    """The index of `n` permuted rows in that form."""
    planes = min(3, 2 * words)
    if form == "planes":
        plane = kernels.array(-(-n // GROUP_ROWS) * GROUP_ROWS * planes, np.uint32)
        kernels.native.build_planes(words, n, planes, rows, plane)
        return HammingArrays(n, words, planes, b"", rows, plane=plane)
    step = 2 if form == "compact" else 1
    tables = bytes(range(0, 4 * words, step))
    stride = kernels.native.OFFSETS_STRIDE
    offsets = kernels.array(len(tables) * stride, np.uint32)
    following = kernels.array(len(tables) * n, np.uint16)
    second = kernels.array(len(tables) * n, np.uint16) if form == "full" else None
    row = kernels.array(len(tables) * n, np.uint32)
    scratch = np.empty(n if form == "full" else 2 * n, dtype=np.uint64)
    for t, chunk in enumerate(tables):
        part = slice(t * n, (t + 1) * n)
        kernels.native.build_table(
            words,
            n,
            chunk,
            rows,
            scratch,
            offsets[t * stride : (t + 1) * stride],
            following[part],
            None if second is None else second[part],
            row[part],
        )
    return HammingArrays(n, words, planes, tables, rows, offsets, following, second, row)


def form_for(rows: int, *, streamed: bool = False) -> Form:
    """The form that suits so many rows; with `streamed` if very many queries are asked at once."""
    if rows < (SCAN_BELOW_ROWS if streamed else PLANES_BELOW_ROWS):
        return "planes"
    return "full" if rows < COMPACT_FROM_ROWS else "compact"


class HammingMatcher:
    """Every listed value within a radius of each query, by the compiled kernels (see `interface.Matcher`)."""

    def __init__(self, hash_type: HashType, arrays: HammingArrays, *, kernel: str | None = None) -> None:
        self.hash_type = hash_type
        self.arrays = arrays
        self.kernel = kernels.choose(kernel)
        self._whole = hash_type.size_bytes == 8 * arrays.words
        try:
            self._index = kernels.native.Index(
                self.kernel,
                arrays.n,
                arrays.words,
                arrays.planes,
                kernels.source_bits(arrays.words),
                arrays.tables,
                arrays.rows,
                arrays.offsets,
                arrays.next,
                arrays.next2,
                arrays.row,
                arrays.plane,
            )
        except (ValueError, OverflowError) as error:
            raise MatchingError("the arrays of this index do not fit together; build it again") from error

    @classmethod
    def build(
        cls,
        hash_type: HashType,
        values: NDArray[np.uint8],
        *,
        form: Form | None = None,
        kernel: str | None = None,
    ) -> HammingMatcher:
        """Index `values` (n, bits // 8). Raises MatchingError for a wrong shape, dtype or size."""
        wide = whole_words(values, hash_type)
        if len(wide) > MAX_ROWS:
            raise MatchingError("an index holds fewer than 2**32 values; split the list")
        words = words_of(hash_type)
        rows = kernels.permuted(wide, words, kernels.choose(kernel))
        arrays = build_arrays(rows, len(wide), words, form or form_for(len(wide)))
        return cls(hash_type, arrays, kernel=kernel)

    @classmethod
    def of_rows(
        cls, hash_type: HashType, rows: NDArray[np.uint8], n: int, *, form: Form | None = None
    ) -> HammingMatcher:
        """Index the first `n` rows of `rows`, permuted and padded as another matcher's are; it keeps them."""
        return cls(hash_type, build_arrays(rows.view(np.uint64), n, words_of(hash_type), form or form_for(n)))

    def __len__(self) -> int:
        return self.arrays.n

    def query(
        self,
        values: NDArray[np.uint8],
        radius: int,
        *,
        withdrawn: NDArray[np.uint8] | None = None,
        strategy: Strategy = Strategy.AUTO,
        most_hits: int = 0,
    ) -> Hits:
        """Look up `values`; rows whose bit is set in `withdrawn` (one bit a row, lowest first) are not there.

        Raises TooManyHits where more than `most_hits` (0: no limit) are found in at most `QUERY_LIMIT` queries.
        """
        wide = checked(values, self.hash_type) if self._whole else whole_words(values, self.hash_type)
        if type(radius) is not int or not 0 <= radius <= self.hash_type.bits:
            radius = check_radius(self.hash_type, radius)
        if withdrawn is not None and (withdrawn.dtype != np.uint8 or withdrawn.shape != (-(-self.arrays.n // 8),)):
            raise MatchingError("`withdrawn` has one bit a row, eight to a uint8")
        limit = kernels.native.QUERY_LIMIT
        if len(wide) <= limit:
            return self._search(wide, radius, withdrawn, strategy, most_hits)
        parts = [
            self._search(wide[at : at + limit], radius, withdrawn, strategy, most_hits)
            for at in range(0, len(wide), limit)
        ]
        return joined(parts, limit)

    def _search(
        self,
        wide: NDArray[np.uint8],
        radius: int,
        withdrawn: NDArray[np.uint8] | None,
        strategy: Strategy,
        most_hits: int,
    ) -> Hits:
        try:
            found = self._index.search(wide, len(wide), radius, strategy, withdrawn, most_hits)
        except OverflowError as error:
            raise TooManyHits("more hits than there is room for; ask less at once") from error
        except ValueError as error:
            raise MatchingError("this form of index cannot be searched that way at that radius") from error
        return hits_of(found)


def _frozen(dtype: type[np.int64] | type[np.int32]) -> NDArray[Any]:
    nothing = np.empty(0, dtype)
    nothing.flags.writeable = False
    return nothing


_NO_HITS = Hits(_frozen(np.int64), _frozen(np.int64), _frozen(np.int32))


def joined(parts: list[Hits], queries_each: int) -> Hits:
    """Hits of consecutive blocks of so many queries as one."""
    return Hits(
        np.concatenate([part.query_rows + i * queries_each for i, part in enumerate(parts)]),
        np.concatenate([part.listed_rows for part in parts]),
        np.concatenate([part.distances for part in parts]),
    )


def hits_of(found: tuple[bytearray, bytearray, bytearray] | None) -> Hits:
    """What a kernel returned, as hits."""
    if found is None:
        return _NO_HITS
    return Hits(np.frombuffer(found[0], np.int64), np.frombuffer(found[1], np.int64), np.frombuffer(found[2], np.int32))
