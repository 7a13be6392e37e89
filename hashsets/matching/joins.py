"""The delta join: new listed values against what is stored, by the side that is cheaper to index.

Owns the choice between a kept index, an index of the delta that stored values stream past, and a plain scan. Knows
neither entries nor contents.

Rules
- Every pair within the radius once, whatever way was taken.
- Memory is bounded by the delta and one block of stored values; the blocks may come from a memory map or a database.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hashsets.hashtypes import HashType
from hashsets.matching import build
from hashsets.matching.interface import Matcher
from hashsets.matching.reference import no_hits
from hashsets.types import Hits

BLOCK_ROWS = 1 << 20  # stored values asked about at once: 32 MB of 256-bit rows, and their sorting is not repeated


def against_kept(delta: NDArray[np.uint8], stored: Matcher, radius: int) -> Hits:
    """Pairs (delta row, what `stored` calls its row), by the index kept over what is stored."""
    return stored.query(delta, radius)


def against_stream(
    hash_type: HashType, delta: NDArray[np.uint8], stored: Iterable[NDArray[np.uint8]], radius: int
) -> Hits:
    """Pairs (delta row, stored row), the stored values read once in blocks (n, bits // 8) of any length.

    For values that have no index and need none: the frames of videos, an inventory seen once. Stored rows count through
    all blocks. Raises MatchingError for a wrong shape, dtype or radius.
    """
    index = build(hash_type, delta, streamed=True)
    parts, first_row = [], 0
    for block in stored:
        for at in range(0, len(block), BLOCK_ROWS):
            hits = index.query(block[at : at + BLOCK_ROWS], radius)
            if len(hits):
                parts.append(Hits(hits.listed_rows, hits.query_rows + (first_row + at), hits.distances))
        first_row += len(block)
    if not parts:
        return no_hits()
    delta_rows = np.concatenate([part.query_rows for part in parts])
    stored_rows = np.concatenate([part.listed_rows for part in parts])
    order = np.lexsort((stored_rows, delta_rows))
    return Hits(delta_rows[order], stored_rows[order], np.concatenate([part.distances for part in parts])[order])
