"""The NumPy matchers: the oracle every kernel must equal, and the fallback where none was built.

Rules
- Exact: no false negative, no duplicate, hits ordered by query row, then listed row.
- Memory beyond the listed values and the hits themselves is bounded by the tile sizes below, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError, TooManyHits
from hashsets.hashtypes import HashType
from hashsets.types import Hits

# Pairs compared at once: the working arrays (1.4 MB) stay near the core. On a Zen 4 these did 340 million 256-bit pairs
# a second and core, a tile of one query 230 million.
TILE_QUERIES = 16
TILE_LISTED = 8_192


def check_values(hash_type: HashType, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The values as a contiguous array of shape (n, bits // 8). Raises MatchingError for anything else."""
    if not hash_type.matchable:
        raise MatchingError(f"values of {hash_type.name} cannot be compared")
    if getattr(values, "dtype", None) != np.uint8:
        raise MatchingError("values must be an array of uint8")
    if values.ndim != 2 or values.shape[1] != hash_type.size_bytes:
        raise MatchingError(f"values of {hash_type.name} must have the shape (n, {hash_type.size_bytes})")
    return np.ascontiguousarray(values)


def check_radius(hash_type: HashType, radius: int) -> int:
    """The radius as an int in 0..bits, 0 for exact types. Raises MatchingError for anything else."""
    if isinstance(radius, bool) or not isinstance(radius, int | np.integer):
        raise MatchingError("a radius must be an integer")
    if not 0 <= radius <= hash_type.most_radius:
        raise MatchingError(f"a radius for {hash_type.name} must be 0 to {hash_type.most_radius}")
    return int(radius)


def check_room(found: int, most_hits: int) -> None:
    """Raise TooManyHits where more was found than there is room for (0: no limit)."""
    if most_hits and found > most_hits:
        raise TooManyHits("more hits than there is room for; ask less at once")


def ordered_hits(query_rows: NDArray[np.int64], listed_rows: NDArray[np.int64], distances: NDArray[np.int32]) -> Hits:
    """Hits in the promised order."""
    order = np.lexsort((listed_rows, query_rows))
    return Hits(query_rows[order], listed_rows[order], distances[order])


def no_hits() -> Hits:
    """Nothing found."""
    return Hits(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


class BruteForce:
    """Every pair compared, by exclusive-or and population count."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8]) -> None:
        if hash_type.comparison != "hamming" or hash_type.bits % 64:
            raise MatchingError(f"{hash_type.name} is not compared by Hamming distance over 64-bit words")
        self.hash_type = hash_type
        self._words = _words(check_values(hash_type, values))

    def __len__(self) -> int:
        return int(self._words.shape[1])

    def query(self, values: NDArray[np.uint8], radius: int, *, most_hits: int = 0) -> Hits:
        """See Matcher."""
        queries = _words(check_values(self.hash_type, values)).T
        reach = check_radius(self.hash_type, radius)
        parts, found = [], 0
        for part in self._tiles(np.ascontiguousarray(queries), reach):
            parts.append(part)
            found += len(part[0])
            check_room(found, most_hits)
        if not parts:
            return no_hits()
        return ordered_hits(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _tiles(
        self, queries: NDArray[np.uint64], radius: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]]:
        for first_query in range(0, len(queries), TILE_QUERIES):
            tile = queries[first_query : first_query + TILE_QUERIES]
            scratch = _Scratch(len(tile), min(TILE_LISTED, len(self)))
            for first_listed in range(0, len(self), TILE_LISTED):
                distances = scratch.distances(tile, self._words[:, first_listed : first_listed + TILE_LISTED], radius)
                if distances is None:
                    continue
                query, listed = np.nonzero(distances <= radius)
                if len(query):
                    yield query + first_query, listed + first_listed, distances[query, listed].astype(np.int32)


class _Scratch:
    """The working arrays of one tile, allocated once."""

    def __init__(self, queries: int, listed: int) -> None:
        self._differing = np.empty((queries, listed), np.uint64)
        self._counts = np.empty((queries, listed), np.uint8)
        self._sums = np.empty((queries, listed), np.uint16)

    def distances(
        self, queries: NDArray[np.uint64], listed: NDArray[np.uint64], radius: int
    ) -> NDArray[np.uint16] | None:
        """Distances of a tile, or None when the first half of the bits shows that none is within the radius."""
        words, count = listed.shape
        differing, counts, sums = self._differing[:, :count], self._counts[:, :count], self._sums[:, :count]
        for word in range(words):
            np.bitwise_xor(listed[word], queries[:, word, None], out=differing)
            np.bitwise_count(differing, out=counts)
            if word == 0:
                sums[...] = counts
            else:
                np.add(sums, counts, out=sums)
            if 2 * (word + 1) == words and int(sums.min()) > radius:
                return None
        return sums


def _words(values: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Values (n, bytes) as (words, n): a word of all values lies together."""
    return np.ascontiguousarray(values.view(np.uint64).T)


class PluginDistances:
    """Every pair compared as a plug-in says, which is trusted to be right and asked a tile at a time."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8]) -> None:
        if hash_type.distances is None:
            raise MatchingError(f"{hash_type.name} is not compared by a plug-in")
        self.hash_type = hash_type
        self._distances = hash_type.distances
        self._values = check_values(hash_type, values)

    def __len__(self) -> int:
        return len(self._values)

    def query(self, values: NDArray[np.uint8], radius: int, *, most_hits: int = 0) -> Hits:
        """See Matcher."""
        asked = check_values(self.hash_type, values)
        reach = check_radius(self.hash_type, radius)
        parts, found = [no_hits()], 0
        for first_query in range(0, len(asked), TILE_QUERIES):
            tile = asked[first_query : first_query + TILE_QUERIES]
            for first_listed in range(0, len(self), TILE_LISTED):
                listed = self._values[first_listed : first_listed + TILE_LISTED]
                distances = self._distances(tile, listed)
                if distances.shape != (len(tile), len(listed)):
                    raise MatchingError(f"the plug-in of {self.hash_type.name} gave distances of a wrong shape")
                query, row = np.nonzero(distances <= reach)
                near = distances[query, row].astype(np.int32)
                parts.append(Hits(query + first_query, row + first_listed, near))
                found += len(query)
                check_room(found, most_hits)
        columns = ("query_rows", "listed_rows", "distances")
        return ordered_hits(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def reference_of(hash_type: HashType, values: NDArray[np.uint8]) -> BruteForce | SortedDigests | PluginDistances:
    """The NumPy matcher of a type."""
    if hash_type.comparison == "exact":
        return SortedDigests(hash_type, values)
    return PluginDistances(hash_type, values) if hash_type.comparison == "plugin" else BruteForce(hash_type, values)


class SortedDigests:
    """Equality by binary search over the sorted values: the digests themselves and four or eight bytes a row."""

    def __init__(self, hash_type: HashType, values: NDArray[np.uint8]) -> None:
        if hash_type.comparison != "exact":
            raise MatchingError(f"{hash_type.name} is not compared for equality")
        self.hash_type = hash_type
        digests = _sortable(check_values(hash_type, values))
        order = np.argsort(digests, kind="stable")
        self._sorted = digests[order]
        self._rows = order.astype(np.uint32) if len(order) <= 0xFFFF_FFFF else order

    def __len__(self) -> int:
        return len(self._sorted)

    def query(self, values: NDArray[np.uint8], radius: int = 0, *, most_hits: int = 0) -> Hits:
        """See Matcher."""
        asked = _sortable(check_values(self.hash_type, values))
        check_radius(self.hash_type, radius)
        first = np.searchsorted(self._sorted, asked, "left")
        counts = np.searchsorted(self._sorted, asked, "right") - first
        check_room(int(counts.sum()), most_hits)
        query_rows = np.repeat(np.arange(len(asked)), counts)
        within = np.arange(len(query_rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        # A stable sort kept equal values in row order, so the hits are in the promised order already.
        listed_rows = self._rows[np.repeat(first, counts) + within].astype(np.int64)
        return Hits(query_rows, listed_rows, np.zeros(len(query_rows), np.int32))


def _sortable(values: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Values as fixed-width byte strings: NumPy compares them as memcmp does, and of one width NULs lose nothing."""
    return values.view(f"S{values.shape[1]}").reshape(len(values))
