"""Lists and questions to measure with: uniform, or skewed as perceptual hashes are. Seeded, and kept between runs.

Rules
- A population is a function of (kind, bits, rows, seed, real seeds), whatever machine makes it.
- Questions in even places are copies of listed rows with 0..40 of 256 bits flipped (10 of 64); odd ones are fresh.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["uniform", "skewed"]
Values = NDArray[np.uint8]

REVISION = 1  # rises when the same arguments would give other values
FLIPPED_BITS_OF_256 = 40  # past the radius on both sides, so that near misses are asked about too
_BLOCK_ROWS = 50_000

# The skewed population: spectra whose neighbours correlate, as DCT coefficients of pictures do; amplitudes that fall
# with frequency; a quarter of the rows around 300 families, few of them large; one row in 10,000 an exact duplicate.
_SIGMA = 0.8
_FALL = 0.7
_FAMILIES = 300
_FAMILY_SHARE = 0.25
_DUPLICATE_SHARE = 1e-4


@dataclass(frozen=True, slots=True)
class Population:
    """What is listed and what is asked: `listed` (rows, bits // 8), `asked` (questions, bits // 8)."""

    listed: Values
    asked: Values


def listed_values(kind: Kind, bits: int, rows: int, seed: int, real: Values | None = None) -> Values:
    """What is listed. `real` (n, bits // 8), if given, are values of real pictures that seed the first families."""
    rng = np.random.Generator(np.random.PCG64([seed, rows, bits, REVISION, 0]))
    listed = _Source(kind, bits, seed, rng, real).rows(rows)
    duplicates = int(rows * _DUPLICATE_SHARE) if kind == "skewed" else 0
    listed[rng.integers(0, max(rows, 1), duplicates)] = listed[rng.integers(0, max(rows, 1), duplicates)]
    return listed


def population(kind: Kind, bits: int, rows: int, questions: int, seed: int, real: Values | None = None) -> Population:
    """A list and what is asked of it."""
    listed = listed_values(kind, bits, rows, seed, real)
    return Population(listed, questions_of(listed, kind, questions, seed, real))


def kept(kind: Kind, bits: int, rows: int, questions: int, seed: int, real: Values | None = None) -> Population:
    """Like `population`, its list from a file of an earlier run where there is one: ten million rows take minutes."""
    folder = Path(tempfile.gettempdir()) / f"hashward-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{kind}-{bits}-{rows}-{seed}-{0 if real is None else len(real)}-{REVISION}.npy"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, listed_values(kind, bits, rows, seed, real), allow_pickle=False)
        partial.replace(path)
    listed = np.load(path, allow_pickle=False)
    return Population(listed, questions_of(listed, kind, questions, seed, real))


def questions_of(listed: Values, kind: Kind, count: int, seed: int, real: Values | None = None) -> Values:
    """So many questions to a list."""
    bits = 8 * listed.shape[1]
    rng = np.random.Generator(np.random.PCG64([seed, len(listed), bits, REVISION, 1]))
    asked = _Source(kind, bits, seed, rng, real).rows(count)
    for at in range(0, count if len(listed) else 0, 2):
        row = np.unpackbits(listed[rng.integers(0, len(listed))])
        row[rng.choice(bits, rng.integers(0, FLIPPED_BITS_OF_256 * bits // 256 + 1), replace=False)] ^= 1
        asked[at] = np.packbits(row)
    return asked


class _Source:
    """Rows of one kind, as many as are wanted."""

    def __init__(self, kind: Kind, bits: int, seed: int, rng: np.random.Generator, real: Values | None) -> None:
        self._kind = kind
        self._bits = bits
        self._rng = rng
        self._side = int(bits**0.5)
        if kind == "skewed":
            side = np.arange(self._side)
            apart = np.subtract.outer(side, side)
            nearness = np.exp(-0.5 * (np.minimum(apart % self._side, -apart % self._side) / _SIGMA) ** 2)
            self._smoothing = (nearness / nearness.sum(axis=0)).astype(np.float32)
            self._amplitude = ((1 / (1 + np.add.outer(side, side))) ** _FALL).astype(np.float32)
            own = np.random.Generator(np.random.PCG64([seed, bits, REVISION]))  # the same for list and questions
            self._families = self._spectra(own, _FAMILIES)
            if real is not None:
                signs = 2 * np.unpackbits(real[:_FAMILIES], axis=1).astype(np.float32) - 1
                sizes = np.abs(self._families[: len(signs)])
                self._families[: len(signs)] = sizes * signs.reshape(-1, self._side, self._side)
            weights = 1 / np.arange(1, _FAMILIES + 1)
            self._chances = weights / weights.sum()

    def rows(self, count: int) -> Values:
        """`count` more rows."""
        if self._kind == "uniform":
            return self._rng.integers(0, 256, (count, self._bits // 8), dtype=np.uint8)
        parts = [self._skewed(min(_BLOCK_ROWS, count - at)) for at in range(0, count, _BLOCK_ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self._bits // 8), np.uint8)

    def _skewed(self, count: int) -> Values:
        spectra = self._spectra(self._rng, count)
        members = np.nonzero(self._rng.random(count) < _FAMILY_SHARE)[0]
        families = self._rng.choice(_FAMILIES, len(members), p=self._chances)
        weights = self._rng.uniform(0.6, 1.4, (len(members), 1, 1)).astype(np.float32)
        spectra[members] += weights * self._families[families]
        flat = (spectra * self._amplitude).reshape(count, self._bits)
        middle = np.partition(flat, self._bits // 2, axis=1)[:, self._bits // 2 - 1 : self._bits // 2]
        return np.packbits(flat > middle, axis=1)

    def _spectra(self, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
        noise = rng.standard_normal((count, self._side, self._side), dtype=np.float32)
        smooth: NDArray[np.float32] = self._smoothing @ noise @ self._smoothing
        return smooth
