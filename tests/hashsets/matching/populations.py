"""Values to search and to ask for: generated, seeded, of the shapes that break indexes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashsets.hashtypes import HashType

Values = NDArray[np.uint8]


def random_values(count: int, width: int, seed: int) -> Values:
    """Uniform values."""
    return np.random.default_rng(seed).integers(0, 256, (count, width), dtype=np.uint8)


def near(values: Values, count: int, most_bits: int, seed: int) -> Values:
    """Copies of random rows with 0..most_bits of their bits flipped; random values where there is nothing to copy."""
    rng = np.random.default_rng(seed)
    width = values.shape[1]
    if len(values) == 0:
        return random_values(count, width, seed)
    bits = np.unpackbits(values[rng.integers(0, len(values), count)], axis=1)
    for row in bits:
        row[rng.choice(8 * width, rng.integers(0, most_bits + 1), replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def population(kind: str, count: int, hash_type: HashType, seed: int) -> Values:
    """`uniform`, `duplicates` (one value), `chunks` (16 bits repeated), `families` (copies of a few) or `zeros`."""
    width = hash_type.size_bytes
    if kind == "uniform":
        return random_values(count, width, seed)
    if kind == "duplicates":
        return np.repeat(random_values(1, width, seed), count, axis=0)
    if kind == "chunks":
        return np.tile(random_values(count, 2, seed), (1, width // 2))
    if kind == "families":
        return near(random_values(4, width, seed), count, 24, seed + 1)
    return np.zeros((count, width), dtype=np.uint8)


KINDS = ("uniform", "duplicates", "chunks", "families", "zeros")
