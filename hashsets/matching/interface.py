"""The narrow interface of the matching core: rows in, hits out.

The core speaks rows, so labels and assets cannot leak into it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashsets.hashtypes import HashType
from hashsets.types import Hits


class Matcher(Protocol):
    """Every listed value within `radius` bits of each query: no false negatives. Immutable once built."""

    hash_type: HashType

    def __len__(self) -> int:
        """How many values are listed."""
        ...

    def query(self, values: NDArray[np.uint8], radius: int, *, most_hits: int = 0) -> Hits:
        """Look up `values`, shape (n, bits // 8), within `radius` bits (0 for exact types).

        Raises MatchingError for a wrong shape, dtype or radius, and TooManyHits, as soon as it shows, where there are
        more than `most_hits` (0: no limit).
        """
        ...
