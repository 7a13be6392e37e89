"""The door to the matching core: the fastest matcher this machine has, or NumPy, which says so."""

from __future__ import annotations

import numpy as np
import pytest

from hashsets import hashtypes, matching
from hashsets.errors import MatchingError
from hashsets.matching import kernel
from hashsets.matching.reference import BruteForce, SortedDigests
from tests.hashsets.matching.populations import near, population


@pytest.mark.parametrize("name", hashtypes.names())
def test_every_type_is_matched_with_and_without_a_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was installed, a listed value is found, and both ways find the same."""
    hash_type = hashtypes.get(name)
    values = population("families", 400, hash_type, 1)
    asked = near(values, 20, 6, 2)
    compiled = matching.build(hash_type, values).query(asked, hash_type.default_radius_bits)
    monkeypatch.setattr(kernel, "native", None)
    kernel.available.cache_clear()
    plain = matching.build(hash_type, values)
    found = plain.query(asked, hash_type.default_radius_bits)
    kernel.available.cache_clear()

    assert isinstance(plain, BruteForce | SortedDigests)
    assert compiled.query_rows.tolist() == found.query_rows.tolist()
    assert compiled.listed_rows.tolist() == found.listed_rows.tolist()
    assert len(found) > 0


def test_the_name_says_what_compares(monkeypatch: pytest.MonkeyPatch) -> None:
    """With kernels the fastest is named; without, that NumPy is slower for want of them."""
    if kernel.available():
        assert matching.kernel_name() == kernel.available()[0]
    monkeypatch.setattr(kernel, "native", None)
    kernel.available.cache_clear()
    name = matching.kernel_name()
    kernel.available.cache_clear()

    assert "not built" in name


def test_types_that_cannot_be_compared_are_refused() -> None:
    """A value we know by name alone has no matcher."""
    with pytest.raises(MatchingError):
        matching.build(hashtypes.get("photodna"), np.zeros((1, 144), np.uint8))
