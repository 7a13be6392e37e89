"""The compiled Hamming matcher equals brute force, whatever kernel, form, strategy, radius or data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashsets import hashtypes
from hashsets.errors import MatchingError, TooManyHits
from hashsets.hashtypes import HashType
from hashsets.matching.hamming import HammingMatcher
from hashsets.matching.kernel import Strategy, available, source_bits
from hashsets.matching.reference import BruteForce
from hashsets.types import Hits
from tests.hashsets.matching.populations import KINDS, near, population, random_values

pytestmark = pytest.mark.skipif(not available(), reason="the C kernel was not built: no compiler at installation")

PDQ = hashtypes.get("pdq")
PHASH = hashtypes.get("phash")
ODD_WIDTHS = (HashType("narrow", 48, "hamming"), HashType("middle", 144, "hamming"), HashType("wide", 192, "hamming"))
FORMS = ("full", "compact", "planes")
NEEDS_TABLES = (Strategy.PROBE, Strategy.JOIN, Strategy.STREAM)
ROUTES = {
    "full": (Strategy.AUTO, Strategy.PROBE, Strategy.JOIN, Strategy.STREAM, Strategy.SCAN),
    "compact": (Strategy.AUTO, Strategy.PROBE, Strategy.JOIN, Strategy.STREAM, Strategy.SCAN),
    "planes": (Strategy.AUTO, Strategy.PLANES, Strategy.SCAN),
}


def reach(matcher: HammingMatcher) -> int:
    """The farthest radius the tables serve: three bits from a chunk."""
    return 4 * len(matcher.arrays.tables) - 1


def assert_same(expected: Hits, actual: Hits) -> None:
    assert expected.query_rows.tolist() == actual.query_rows.tolist()
    assert expected.listed_rows.tolist() == actual.listed_rows.tolist()
    assert expected.distances.tolist() == actual.distances.tolist()


def by_words(hash_type: HashType, values: np.ndarray, queries: np.ndarray, radius: int) -> Hits:
    """Brute force for widths that are no whole words too: zero bytes added to both sides change no distance."""
    words = -(-hash_type.bits // 64)
    widened = [np.pad(v, ((0, 0), (0, 8 * words - v.shape[1]))) for v in (values, queries)]
    return BruteForce(HashType("widened", 64 * words, "hamming"), widened[0]).query(widened[1], radius)


@pytest.mark.parametrize("kernel", available())
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None)
@given(
    hash_type=st.sampled_from((PDQ, PHASH, *ODD_WIDTHS)),
    kind=st.sampled_from(KINDS),
    count=st.one_of(st.integers(0, 3), st.sampled_from((16, 17, 64, 255, 256, 300))),
    radius=st.integers(0, 63),
    queries=st.integers(0, 12),
    seed=st.integers(0, 2**16),
)
def test_equals_brute_force(
    kernel: str, form: str, hash_type: HashType, kind: str, count: int, radius: int, queries: int, seed: int
) -> None:
    """Every kernel and form finds exactly the pairs that brute force finds, by every route that form has."""
    radius = min(radius, hash_type.bits)
    values = population(kind, count, hash_type, seed)
    asked = near(values, queries, min(radius + 4, hash_type.bits), seed + 2)
    matcher = HammingMatcher.build(hash_type, values, form=form, kernel=kernel)
    expected = by_words(hash_type, values, asked, radius)

    for strategy in ROUTES[form]:
        if strategy in NEEDS_TABLES and radius > reach(matcher):
            continue
        assert_same(expected, matcher.query(asked, radius, strategy=strategy))


@pytest.mark.parametrize("kernel", available())
@pytest.mark.parametrize("radius", [0, 1, 8, 15, 16, 23, 30, 31])
def test_equals_brute_force_in_a_full_index(kernel: str, radius: int) -> None:
    """Buckets of several rows, vectors with tails and queries in flight lose and invent nothing."""
    values = np.concatenate([population(kind, 4_000, PDQ, 5) for kind in ("uniform", "families")])
    values[500:700] = values[3]
    asked = near(values, 150, 40, 6)
    expected = BruteForce(PDQ, values).query(asked, radius)

    for form in FORMS:
        matcher = HammingMatcher.build(PDQ, values, form=form, kernel=kernel)
        for strategy in ROUTES[form]:
            assert_same(expected, matcher.query(asked, radius, strategy=strategy))


@pytest.mark.parametrize("kernel", available())
def test_crowded_chunks_and_crowded_queries(kernel: str) -> None:
    """Thousands of queries in one bucket, against thousands of rows in it, are each met once."""
    values = population("families", 3_000, PHASH, 1)
    asked = np.concatenate([np.repeat(values[:1], 6_000, axis=0), near(values, 300, 12, 2)])
    matcher = HammingMatcher.build(PHASH, values, form="full", kernel=kernel)
    expected = BruteForce(PHASH, values).query(asked, 9)

    for strategy in NEEDS_TABLES:
        assert_same(expected, matcher.query(asked, 9, strategy=strategy))


@pytest.mark.parametrize("form", FORMS)
def test_withdrawn_rows_are_not_there(form: str) -> None:
    """A row whose bit is set is found by no route; the rows beside it are."""
    values = population("families", 700, PDQ, 9)
    asked = near(values, 40, 20, 10)
    gone = np.random.default_rng(3).random(700) < 0.4
    matcher = HammingMatcher.build(PDQ, values, form=form)
    every = BruteForce(PDQ, values).query(asked, 31)
    keep = ~gone[every.listed_rows]
    expected = Hits(every.query_rows[keep], every.listed_rows[keep], every.distances[keep])

    for strategy in ROUTES[form]:
        withdrawn = np.packbits(gone, bitorder="little")
        assert_same(expected, matcher.query(asked, 31, withdrawn=withdrawn, strategy=strategy))


def test_empty_sides_match_nothing() -> None:
    """No listed values, or no queries, give no hits and no error."""
    some = random_values(5, 32, 1)

    assert len(HammingMatcher.build(PDQ, some[:0]).query(some, 256)) == 0
    assert len(HammingMatcher.build(PDQ, some).query(some[:0], 256)) == 0


def test_every_row_within_the_whole_width() -> None:
    """At a radius of all bits every pair is a hit."""
    values = random_values(40, 8, 1)

    assert len(HammingMatcher.build(PHASH, values).query(values, 64)) == 1600


def test_kernels_are_named_by_argument() -> None:
    """A kernel this machine has not is refused; one it has is the one in use."""
    values = random_values(5, 32, 1)

    assert HammingMatcher.build(PDQ, values, kernel="portable").kernel == "portable"
    with pytest.raises(MatchingError):
        HammingMatcher.build(PDQ, values, kernel="abacus")


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 31), np.uint8),
        np.zeros((3, 32), np.int8),
        np.zeros(32, np.uint8),
        np.zeros((3, 4), np.uint64),
        [[0] * 32],
    ],
)
def test_wrong_values_get_a_clear_error(values: object) -> None:
    """Another shape, dtype or type is a MatchingError, at building and at asking."""
    matcher = HammingMatcher.build(PDQ, random_values(4, 32, 1))

    with pytest.raises(MatchingError):
        HammingMatcher.build(PDQ, values)  # type: ignore[arg-type]
    with pytest.raises(MatchingError):
        matcher.query(values, 31)  # type: ignore[arg-type]


@pytest.mark.parametrize("radius", [-1, 257, 1.5, True, None])
def test_wrong_radii_get_a_clear_error(radius: object) -> None:
    """A radius outside the value's bits, or no whole number, is a MatchingError."""
    matcher = HammingMatcher.build(PDQ, random_values(4, 32, 1))

    with pytest.raises(MatchingError):
        matcher.query(random_values(1, 32, 2), radius)  # type: ignore[arg-type]


def test_wrong_types_and_masks_get_a_clear_error() -> None:
    """An exact type, a mask of another length and a route the form lacks are MatchingErrors."""
    values = random_values(20, 32, 1)
    matcher = HammingMatcher.build(PDQ, values, form="planes")

    with pytest.raises(MatchingError):
        HammingMatcher.build(hashtypes.get("sha256"), values)
    with pytest.raises(MatchingError):
        matcher.query(values, 3, withdrawn=np.zeros(2, np.uint8))
    with pytest.raises(MatchingError):
        matcher.query(values, 3, strategy=Strategy.PROBE)


def test_values_in_any_memory_order() -> None:
    """A slice that is not in one piece is asked for as its copy would be."""
    values = random_values(60, 32, 1)
    matcher = HammingMatcher.build(PDQ, values[::2])

    assert matcher.query(values[::2], 0).listed_rows.tolist() == list(range(30))


@pytest.mark.parametrize("words", [1, 2, 3, 4])
def test_the_permutation_takes_every_bit_once(words: int) -> None:
    """Bits are moved, never lost, so that distances stay what they were."""
    assert sorted(source_bits(words).tolist()) == list(range(64 * words))


def test_threads_share_one_index() -> None:
    """Searches of several threads at once find what each finds alone: an index has no state of its own."""
    values = population("families", 20_000, PDQ, 5)
    asked = near(values, 400, 40, 6)
    matcher = HammingMatcher.build(PDQ, values, form="full")
    parts = np.array_split(asked, 8)
    expected = [matcher.query(part, 31) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: matcher.query(part, 31), parts))

    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("form", FORMS)
def test_a_search_stops_where_it_finds_more_than_there_is_room_for(form: str) -> None:
    """By every route: all hits where there is room for them, a clear error where there is not, whatever the number."""
    values = population("families", 300, PDQ, 1)
    matcher = HammingMatcher.build(PDQ, values, form=form)  # type: ignore[arg-type]
    asked = near(values, 60, 4, 2)
    for strategy in ROUTES[form]:
        whole = matcher.query(asked, 12, strategy=strategy)
        assert_same(whole, matcher.query(asked, 12, strategy=strategy, most_hits=len(whole)))
        for room in {len(whole) - 1, len(whole) // 2, 1}:
            with pytest.raises(TooManyHits):
                matcher.query(asked, 12, strategy=strategy, most_hits=room)
