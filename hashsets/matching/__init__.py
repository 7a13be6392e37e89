"""The matching core: arrays in, hits out. `build` is the single door to it.

Imports types, hashtypes, errors and numpy; nothing else of ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashsets.hashtypes import HashType
from hashsets.matching import kernel
from hashsets.matching.exact import ExactMatcher
from hashsets.matching.hamming import HammingMatcher, fits, form_for
from hashsets.matching.interface import Matcher
from hashsets.matching.reference import reference_of

__all__ = ["Matcher", "build", "kernel_name"]


def build(hash_type: HashType, values: NDArray[np.uint8], *, streamed: bool = False) -> Matcher:
    """A matcher over `values`, shape (n, bits // 8), n from 0. Raises MatchingError for any other.

    With `streamed` in the form that very many queries at once are soonest asked of; all forms give the same hits.
    """
    if hash_type.comparison == "exact" and kernel.available():
        return ExactMatcher.build(hash_type, values)
    if kernel.available() and fits(hash_type):
        return HammingMatcher.build(hash_type, values, form=form_for(len(values), streamed=streamed))
    return reference_of(hash_type, values)


def kernel_name() -> str:
    """Which code compares values, for `status`."""
    return kernel.available()[0] if kernel.available() else "numpy reference (C kernel not built)"
