"""The NumPy matchers, which every kernel must equal, equal comparing every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.errors import MatchingError
from hashsets.matching import build, kernel_name
from hashsets.matching.reference import TILE_LISTED, TILE_QUERIES, BruteForce, SortedDigests


def array(rows: list[bytes], size: int) -> NDArray[np.uint8]:
    """Values as an array, also when there are none."""
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), size)


def every_pair(asked: list[bytes], listed: list[bytes], radius: int) -> list[tuple[int, int, int]]:
    """The hits, by definition."""
    return [
        (row, other, distance)
        for row, value in enumerate(asked)
        for other, known in enumerate(listed)
        if (distance := (int.from_bytes(value) ^ int.from_bytes(known)).bit_count()) <= radius
    ]


@st.composite
def populations(draw: st.DrawFn, size: int) -> tuple[list[bytes], list[bytes]]:
    """Values crowded around few centres, with duplicates, zeros and all-ones; either side may be empty."""
    centres = [0, (1 << 8 * size) - 1, *draw(st.lists(st.integers(0, (1 << 8 * size) - 1), min_size=1, max_size=3))]

    def near(centre: int, bits: int) -> bytes:
        for bit in range(bits):
            centre ^= 1 << (bit * 37) % (8 * size)
        return centre.to_bytes(size)

    values = st.lists(st.builds(near, st.sampled_from(centres), st.sampled_from([0, 1, 7, 8, 31, 32, 63])), max_size=30)
    return draw(values), draw(values)


@given(st.sampled_from(["pdq", "phash"]), st.integers(0, 63), st.data())
def test_brute_force_finds_every_pair_within_the_radius(name: str, radius: int, data: st.DataObject) -> None:
    """Once each, ordered, with the right distance."""
    hash_type = hashtypes.get(name)
    asked, listed = data.draw(populations(hash_type.size_bytes))
    hits = BruteForce(hash_type, array(listed, hash_type.size_bytes)).query(array(asked, hash_type.size_bytes), radius)

    found = list(zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True))
    assert every_pair(asked, listed, radius) == found
    assert (np.int64, np.int64, np.int32) == (hits.query_rows.dtype, hits.listed_rows.dtype, hits.distances.dtype)


@given(st.sampled_from(["md5", "sha1", "sha256"]), st.data())
def test_sorted_digests_find_every_equal_pair(name: str, data: st.DataObject) -> None:
    """Duplicates on both sides, and values that end or begin in zeros."""
    size = hashtypes.get(name).size_bytes
    values = st.sampled_from(
        [bytes(size), bytes(size - 1) + b"\x01", b"\x01" + bytes(size - 1), b"\xff" * size, b"a\0" * (size // 2)]
    )
    asked, listed = data.draw(st.lists(values, max_size=20)), data.draw(st.lists(values, max_size=20))
    hits = SortedDigests(hashtypes.get(name), array(listed, size)).query(array(asked, size), 0)

    found = list(zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True))
    assert every_pair(asked, listed, 0) == found


def test_hits_are_found_across_the_borders_of_tiles() -> None:
    """One planted neighbour in the first and last row of each tile, and in a short last one."""
    generator = np.random.default_rng(7)
    count, queries = 2 * TILE_LISTED + 5, 2 * TILE_QUERIES + 3
    listed = generator.integers(0, 256, (count, 32), np.uint8)
    asked = generator.integers(0, 256, (queries, 32), np.uint8)
    rows = [0, TILE_LISTED - 1, TILE_LISTED, 2 * TILE_LISTED - 1, 2 * TILE_LISTED, count - 1]
    askers = [0, TILE_QUERIES - 1, TILE_QUERIES, 2 * TILE_QUERIES - 1, 2 * TILE_QUERIES, queries - 1]
    for asker, row in zip(askers, rows, strict=True):
        listed[row] = asked[asker]
        listed[row, :3] ^= 0xFF  # 24 bits
    hits = BruteForce(hashtypes.get("pdq"), listed).query(asked, 24)

    assert askers == hits.query_rows.tolist()
    assert rows == hits.listed_rows.tolist()
    assert {24} == set(hits.distances.tolist())
    assert 0 == len(BruteForce(hashtypes.get("pdq"), listed).query(asked, 23))


@pytest.mark.parametrize("name", hashtypes.names())
@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_factory_serves_every_type_and_size(name: str, count: int) -> None:
    """An index of one hash finds it, and an empty one finds nothing."""
    hash_type = hashtypes.get(name)
    values = np.arange(count * hash_type.size_bytes, dtype=np.uint8).reshape(
        count, -1 if count else hash_type.size_bytes
    )
    matcher = build(hash_type, values)

    assert count == len(matcher)
    assert hash_type == matcher.hash_type
    assert list(range(count)) == matcher.query(values, 0).listed_rows.tolist()
    assert kernel_name()


@pytest.mark.parametrize("name", ["pdq", "sha256"])
def test_arrays_of_the_wrong_kind_are_refused(name: str) -> None:
    """Shape, width and element type, when building and when asking; and impossible radii."""
    hash_type = hashtypes.get(name)
    good = np.zeros((2, 32), np.uint8)
    matcher = SortedDigests(hash_type, good) if name == "sha256" else BruteForce(hash_type, good)
    for wrong in (np.zeros((2, 31), np.uint8), np.zeros(32, np.uint8), np.zeros((2, 32), np.int8), [[0] * 32]):
        with pytest.raises(MatchingError):
            matcher.query(wrong, 0)  # type: ignore[arg-type]
        with pytest.raises(MatchingError):
            type(matcher)(hash_type, wrong)  # type: ignore[arg-type]
    for radius in (-1, 257, 1.0, None, True):
        with pytest.raises(MatchingError):
            matcher.query(good, radius)  # type: ignore[arg-type]


def test_a_type_is_not_compared_in_a_way_that_is_not_its_own() -> None:
    """Nor one that cannot be compared at all."""
    with pytest.raises(MatchingError):
        BruteForce(hashtypes.get("md5"), np.zeros((1, 16), np.uint8))
    with pytest.raises(MatchingError):
        SortedDigests(hashtypes.get("pdq"), np.zeros((1, 32), np.uint8))
    with pytest.raises(MatchingError):
        build(hashtypes.get("sha512"), np.zeros((1, 64), np.uint8))
