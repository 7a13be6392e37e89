"""A delta join finds every pair once, whichever side is indexed."""

from __future__ import annotations

import numpy as np
import pytest

from hashsets import hashtypes
from hashsets.errors import MatchingError
from hashsets.matching import build, joins
from hashsets.matching.changeable import Change, view_of
from hashsets.matching.reference import BruteForce, SortedDigests
from hashsets.types import Hits
from tests.hashsets.matching.populations import near, population, random_values

PDQ = hashtypes.get("pdq")


def pairs(hits: Hits) -> list[tuple[int, int, int]]:
    return list(zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True))


@pytest.mark.parametrize("name", ["pdq", "phash", "sha256", "md5"])
@pytest.mark.parametrize("delta_rows", [0, 1, 50, 700])
def test_every_way_finds_the_same_pairs(name: str, delta_rows: int) -> None:
    """A kept index, a changeable one and a stream in uneven blocks give the pairs of brute force, in one order."""
    hash_type = hashtypes.get(name)
    stored = population("families", 3000, hash_type, 1)
    delta = np.concatenate([near(stored, delta_rows - delta_rows // 2, 10, 2), near(stored, delta_rows // 2, 0, 3)])
    radius = hash_type.default_radius_bits
    exact = hash_type.comparison == "exact"
    reference = (SortedDigests if exact else BruteForce)(hash_type, stored)
    expected = pairs(reference.query(delta, radius))
    view = view_of(hash_type, Change(stored, np.arange(3000)))
    blocks = [stored[:1], stored[1:1], stored[1:2900], stored[2900:]]

    assert pairs(joins.against_stream(hash_type, delta, blocks, radius)) == expected
    assert pairs(joins.against_kept(delta, build(hash_type, stored), radius)) == expected
    assert pairs(joins.against_kept(delta, view, radius)) == expected
    assert len(expected) > 0 or delta_rows < 2


def test_blocks_longer_than_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of any length is asked about in parts; rows count on through them."""
    monkeypatch.setattr(joins, "BLOCK_ROWS", 100)
    stored = random_values(1050, 32, 1)

    assert pairs(joins.against_stream(PDQ, stored, [stored[:450], stored[450:]], 31)) == [
        (i, i, 0) for i in range(1050)
    ]


def test_nothing_stored_is_no_pair() -> None:
    """No block, and blocks of nothing, give no pairs."""
    assert len(joins.against_stream(PDQ, random_values(5, 32, 1), [], 31)) == 0
    assert len(joins.against_stream(PDQ, random_values(5, 32, 1), [random_values(0, 32, 1)], 31)) == 0


def test_a_wrong_block_gets_a_clear_error() -> None:
    """A block of another width is a MatchingError."""
    with pytest.raises(MatchingError):
        joins.against_stream(PDQ, random_values(5, 32, 1), [random_values(5, 8, 1)], 31)
