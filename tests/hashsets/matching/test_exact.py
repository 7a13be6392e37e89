"""The compiled exact matcher equals a look-up in the list itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashsets import hashtypes
from hashsets.errors import MatchingError
from hashsets.matching.exact import ExactMatcher
from hashsets.matching.kernel import available
from hashsets.matching.reference import SortedDigests
from tests.hashsets.matching.populations import random_values

pytestmark = pytest.mark.skipif(not available(), reason="the C kernel was not built: no compiler at installation")

SHA256 = hashtypes.get("sha256")
TYPES = [hashtypes.get(name) for name in ("md5", "sha1", "sha256")]


@settings(max_examples=150, deadline=None)
@given(
    hash_type=st.sampled_from(TYPES),
    count=st.one_of(st.integers(0, 4), st.sampled_from((63, 64, 65, 256, 3000))),
    shared_bytes=st.integers(0, 16),
    distinct=st.integers(1, 3000),
    seed=st.integers(0, 2**16),
)
def test_equals_the_reference(
    hash_type: hashtypes.HashType, count: int, shared_bytes: int, distinct: int, seed: int
) -> None:
    """Values that share their first bytes, or all of them, are told apart and each found on every row."""
    pool = random_values(distinct, hash_type.size_bytes, seed)
    pool[:, :shared_bytes] = 7
    rng = np.random.default_rng(seed)
    values = pool[rng.integers(0, distinct, count)]
    asked = np.concatenate([pool[rng.integers(0, distinct, 40)], random_values(40, hash_type.size_bytes, seed + 1)])
    expected = SortedDigests(hash_type, values).query(asked)
    actual = ExactMatcher.build(hash_type, values).query(asked)

    assert expected.query_rows.tolist() == actual.query_rows.tolist()
    assert expected.listed_rows.tolist() == actual.listed_rows.tolist()
    assert expected.distances.tolist() == actual.distances.tolist()


def test_first_and_last_values_are_found() -> None:
    """All zeros and all ones, at the ends of the prefixes, are values like others."""
    values = np.concatenate([np.zeros((2, 32), np.uint8), np.full((2, 32), 255, np.uint8), random_values(500, 32, 1)])

    assert ExactMatcher.build(SHA256, values).query(values[1:3], 0).listed_rows.tolist() == [0, 1, 2, 3]


def test_one_value_without_arrays() -> None:
    """`in` answers for one value; a value of another length is not listed."""
    values = random_values(100, 32, 1)
    matcher = ExactMatcher.build(SHA256, values)

    assert bytes(values[17]) in matcher
    assert bytes(31) not in matcher
    assert bytes(32) not in matcher
    assert len(matcher) == 100


def test_withdrawn_rows_are_not_there() -> None:
    """Of two rows with one value, the one that is not withdrawn is found."""
    values = np.repeat(random_values(50, 32, 1), 2, axis=0)
    gone = np.zeros(100, bool)
    gone[::2] = True
    found = ExactMatcher.build(SHA256, values).query(values[::2], withdrawn=np.packbits(gone, bitorder="little"))

    assert found.listed_rows.tolist() == list(range(1, 100, 2))


def test_memory_stays_near_the_digests() -> None:
    """A sha256 costs 32 bytes, its row number, and about a byte of prefixes."""
    matcher = ExactMatcher.build(SHA256, random_values(200_000, 32, 1))

    assert matcher.arrays.nbytes / 200_000 <= 39


def test_digests_that_share_their_first_eight_bytes_are_told_apart() -> None:
    """Made to share a head, however many: each is found alone, by itself and in a batch, and near misses are not."""
    values = np.full((3000, 32), 9, np.uint8)
    values[:, 20:22] = np.arange(3000, dtype=">u2").view(np.uint8).reshape(3000, 2)
    values = values[np.random.default_rng(1).permutation(3000)]
    misses = values.copy()
    misses[:, 31] ^= 1
    matcher = ExactMatcher.build(SHA256, values)

    assert list(range(3000)) == matcher.query(values).listed_rows.tolist()
    assert 0 == len(matcher.query(misses))
    assert all(bytes(value) in matcher for value in values[::50])
    assert not any(bytes(value) in matcher for value in misses[::50])
    assert values.tolist() == matcher.arrays.values().tolist()


def test_wrong_arguments_get_a_clear_error() -> None:
    """Another shape, a perceptual type, a radius or a mask of another length is a MatchingError."""
    matcher = ExactMatcher.build(SHA256, random_values(10, 32, 1))

    with pytest.raises(MatchingError):
        ExactMatcher.build(hashtypes.get("pdq"), random_values(10, 32, 1))
    with pytest.raises(MatchingError):
        ExactMatcher.build(SHA256, random_values(10, 20, 1))
    with pytest.raises(MatchingError):
        matcher.query(random_values(1, 32, 1), 1)
    with pytest.raises(MatchingError):
        matcher.query(random_values(1, 16, 1))
    with pytest.raises(MatchingError):
        matcher.query(random_values(1, 32, 1), withdrawn=np.zeros(1, np.uint8))
