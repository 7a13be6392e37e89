"""Very many values looked up: the pairs are those of brute force, and no block holds more than it may."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hashsets import hashtypes, lookups
from hashsets.matching import kernel
from hashsets.matching.changeable import Change, View, view_of
from hashsets.matching.reference import BruteForce, SortedDigests

ROOM = 50


@pytest.fixture(params=["kernel", "numpy"], autouse=True)
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little room, so that blocks are cut everywhere; with and without compiled kernels."""
    monkeypatch.setattr(lookups, "MOST_HITS", ROOM)
    monkeypatch.setattr(lookups, "BLOCK_QUERIES", 40)
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "native", None)
        kernel.available.cache_clear()
    yield
    kernel.available.cache_clear()


def crowd(name: str, rows: int, seed: int, kinds: int) -> NDArray[np.uint8]:
    """So many values, of which many are equal and many near."""
    rng = np.random.default_rng(seed)
    width = hashtypes.get(name).size_bytes
    centres = np.random.default_rng(7).integers(0, 256, (3, width), dtype=np.uint8)
    drawn = centres[rng.integers(0, 3, kinds)]
    drawn[:, 0] ^= rng.integers(0, 256, kinds, dtype=np.uint8)
    return drawn[rng.integers(0, kinds, rows)]


def view(name: str, values: NDArray[np.uint8], *, streamed: bool = False) -> View:
    """A view of values under their row numbers."""
    return view_of(hashtypes.get(name), Change(values, np.arange(len(values))), streamed=streamed)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.sampled_from(["pdq", "phash", "md5", "sha1"]),
    st.integers(1, 200),
    st.integers(0, 200),
    st.integers(1, 60),
    st.sampled_from([0, 2, 5, 31]),
    st.booleans(),
)
def test_blocks_together_are_every_pair_once(
    name: str, listed_rows: int, asked_rows: int, kinds: int, radius: int, streamed: bool
) -> None:
    """Whatever stands twice on either side, and however often the blocks are cut."""
    hash_type = hashtypes.get(name)
    radius = radius if hash_type.comparison == "hamming" else 0
    listed, asked = crowd(name, listed_rows, 1, kinds), crowd(name, asked_rows, 2, kinds)
    blocks = list(lookups.pairs(view(name, listed, streamed=streamed), asked, radius))
    plain = BruteForce if hash_type.comparison == "hamming" else SortedDigests
    truth = plain(hash_type, listed).query(asked, radius)
    columns = [(block.rows, block.ids, block.distances) for block in blocks]
    found = sorted(row for block in columns for row in zip(*(column.tolist() for column in block), strict=True))

    assert list(zip(truth.query_rows, truth.listed_rows, truth.distances, strict=True)) == found
    assert all((block.rows.dtype, len(block.rows) <= ROOM) == (np.int64, True) for block in blocks)
    assert all((block.listed == block.ids).all() for block in blocks)


def test_equal_lists_meeting_equal_frames_do_not_fill_the_memory() -> None:
    """Three hundred times three hundred pairs come in blocks that have room for fifty."""
    value = crowd("pdq", 1, 1, 1)
    blocks = list(lookups.pairs(view("pdq", np.repeat(value, 300, axis=0)), np.repeat(value, 300, axis=0), 31))

    assert 90_000 == sum(len(block.rows) for block in blocks)
    assert max(len(block.rows) for block in blocks) == ROOM
