"""A segment answers the same built, saved, loaded, merged and without a kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashsets import hashtypes
from hashsets.errors import MatchingError, SegmentRefused
from hashsets.matching import container, filing, kernel, segments
from hashsets.matching.changeable import Layer, View
from hashsets.matching.container import Contents
from tests.hashsets.matching.populations import near, population, random_values

PDQ = hashtypes.get("pdq")
TYPES = [hashtypes.get(name) for name in ("pdq", "phash", "sha256", "md5")]
STAMP = b"stamp"


def answers(segment: segments.Segment, asked: np.ndarray) -> list[tuple[int, int, int]]:
    hits = View(segment.matcher.hash_type, (Layer(segment),)).query(
        asked, segment.matcher.hash_type.default_radius_bits
    )
    return list(zip(hits.query_rows.tolist(), hits.listed_rows.tolist(), hits.distances.tolist(), strict=True))


@pytest.mark.parametrize("hash_type", TYPES, ids=lambda t: t.name)
@pytest.mark.parametrize("count", [0, 1, 2, 700])
@pytest.mark.parametrize("form", ["full", "compact", "planes"])
def test_loaded_equals_built(tmp_path: Path, hash_type: hashtypes.HashType, count: int, form: str) -> None:
    """Of every type, size and form, one value included, what is loaded answers as what was saved."""
    values = population("families", count, hash_type, 3)
    asked = near(values, 30, 8, 4)
    segment = segments.build(hash_type, values, np.arange(count) * 3 + 5, form=form)
    filing.save(tmp_path / "a.segment", segment, STAMP)
    loaded = filing.load(tmp_path / "a.segment", hash_type, STAMP)

    assert answers(segment, asked) == answers(loaded, asked)
    assert values.tolist() == segments.values_of(loaded).tolist()
    assert len(loaded) == count


@pytest.mark.parametrize("hash_type", TYPES, ids=lambda t: t.name)
def test_without_a_kernel_the_same_files_give_the_same_answers(
    tmp_path: Path, hash_type: hashtypes.HashType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy opens what a kernel saved, and a kernel what NumPy saved."""
    values = population("families", 300, hash_type, 3)
    asked = near(values, 30, 8, 4)
    segment = segments.build(hash_type, values, np.arange(300), form="full")
    filing.save(tmp_path / "fast.segment", segment, STAMP)
    expected = answers(segment, asked)
    with monkeypatch.context() as patch:
        patch.setattr(kernel, "native", None)
        kernel.available.cache_clear()
        plain = filing.load(tmp_path / "fast.segment", hash_type, STAMP)
        assert isinstance(plain.matcher, segments.PlainMatcher)
        assert answers(plain, asked) == expected
        built = segments.build(hash_type, values, np.arange(300))
        filing.save(tmp_path / "plain.segment", built, STAMP)
    kernel.available.cache_clear()

    assert answers(filing.load(tmp_path / "plain.segment", hash_type, STAMP), asked) == expected


def test_merged_segments_keep_live_rows_in_order() -> None:
    """A merge holds the live rows of its sources under their ids, nothing else."""
    values = random_values(90, 32, 1)
    first = segments.build(PDQ, values[:50], np.arange(50))
    second = segments.build(PDQ, values[50:], np.arange(100, 140))
    alive = np.arange(50) % 2 == 0
    merged = segments.merged([first, second], [alive, None])

    assert merged.ids(np.arange(65)).tolist() == [*range(0, 50, 2), *range(100, 140)]
    assert segments.values_of(merged).tolist() == [*values[:50:2].tolist(), *values[50:].tolist()]


def test_rows_are_found_by_id() -> None:
    """An id gives all its rows, whether ids are in a run, apart, or far apart; an id that is not there gives none."""
    values = random_values(6, 32, 1)
    run = segments.build(PDQ, values, np.arange(10, 16))
    apart = segments.build(PDQ, values, np.array([4, 4, 4, 9, 9, 30]))
    far = segments.build(PDQ, values, np.array([-(2**40), 0, 0, 1, 5, 2**40]))

    assert run.rows_of(np.array([9, 12, 16])).tolist() == [2]
    assert apart.rows_of(np.array([9, 4, 3, 2**33])).tolist() == [3, 4, 0, 1, 2]
    assert far.rows_of(np.array([2**40, 0, 7])).tolist() == [5, 1, 2]
    assert (run.last_id(), apart.last_id(), far.last_id()) == (15, 30, 2**40)


def test_ids_that_do_not_fit_are_refused() -> None:
    """Falling ids, another dtype or another length are MatchingErrors."""
    values = random_values(3, 32, 1)
    for ids in (np.array([1, 3, 2]), np.array([1, 2]), np.array([1, 2, 3], np.int32)):
        with pytest.raises(MatchingError):
            segments.build(PDQ, values, ids)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """A file whose header holds but whose arrays contradict each other is refused, and never read past its end."""
    segment = segments.build(PDQ, random_values(500, 32, 1), np.arange(500), form="full")
    filing.save(tmp_path / "a.segment", segment, STAMP)
    whole = container.read(tmp_path / "a.segment", "segment", PDQ, STAMP)
    spoilt = {
        "offsets": whole.arrays["offsets"][::-1].copy(),
        "next": whole.arrays["next"][:100],
        "rows": whole.arrays["rows"][:100],
        "tables": np.array([99], np.uint8),
    }
    for name, array in spoilt.items():
        contents = Contents("segment", PDQ, STAMP, whole.numbers, {**whole.arrays, name: array})
        container.write(tmp_path / "b.segment", contents)
        with pytest.raises(SegmentRefused):
            filing.load(tmp_path / "b.segment", PDQ, STAMP)
    for name in ("rows", "words", "planes"):
        contents = Contents("segment", PDQ, STAMP, {**whole.numbers, name: 2**31}, whole.arrays)
        container.write(tmp_path / "b.segment", contents)
        with pytest.raises(SegmentRefused):
            filing.load(tmp_path / "b.segment", PDQ, STAMP)


def test_damaged_row_numbers_read_nothing_outside(tmp_path: Path) -> None:
    """A payload that no opening checks may name rows that are not there: the answers suffer, the process does not."""
    values = population("families", 2000, PDQ, 1)
    segment = segments.build(PDQ, values, np.arange(2000), form="full")
    filing.save(tmp_path / "a.segment", segment, STAMP)
    whole = container.read(tmp_path / "a.segment", "segment", PDQ, STAMP)
    row = np.full_like(whole.arrays["row"], 0xFFFFFFF0)
    container.write(
        tmp_path / "a.segment", Contents("segment", PDQ, STAMP, whole.numbers, {**whole.arrays, "row": row})
    )
    loaded = filing.load(tmp_path / "a.segment", PDQ, STAMP)

    assert set(loaded.matcher.query(values, 31).listed_rows.tolist()) <= {0}
