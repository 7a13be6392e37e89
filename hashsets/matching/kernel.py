"""The compiled kernels, where there are any: which ones, and the arrays they read.

Owns the loading of `_native` and the permutation of bits. Knows no hash type and no file.

Rules
- A missing extension is a fact, not an error: `available()` is then empty, and the factory serves NumPy instead.
- Arrays for the kernels start on a cache line and are readable a vector's length past their end.
- Every kernel gives the same hits; a kernel is named by argument, never by the environment.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hashsets.errors import MatchingError

NATIVE_REVISION = 2  # of what the extension's functions take, as module.c says it

try:
    import hashsets.matching._native as _loaded
except ImportError:  # no compiler when the package was installed
    native: Any = None
else:
    # An extension left from another release of the sources is as good as none.
    native = _loaded if _loaded.REVISION == NATIVE_REVISION else None

PAD_BYTES = 64  # HW_PAD_BYTES of native/core.h
CACHE_LINE = 64


class Strategy(IntEnum):
    """How an index is searched; AUTO takes what should be soonest. All but AUTO are for tests and measurements."""

    AUTO = 0
    PROBE = 1
    JOIN = 2
    PLANES = 3
    SCAN = 4
    STREAM = 5


@cache
def available() -> tuple[str, ...]:
    """The compiled kernels this machine can run, fastest first; empty where the extension was not built."""
    return tuple(native.kernels()) if native is not None else ()


def choose(name: str | None) -> str:
    """That kernel, or the fastest. Raises MatchingError when this machine cannot run it."""
    if name in available() or (name is None and available()):
        return name or available()[0]
    raise MatchingError("no such compiled kernel on this machine; `hashward status` names the one in use")


def array(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of `count` elements on a cache line, with room to read a vector past its end."""
    width = np.dtype(dtype).itemsize
    raw = np.empty(count * width + PAD_BYTES + CACHE_LINE, dtype=np.uint8)
    raw[count * width :] = 0
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + count * width + PAD_BYTES].view(dtype)


@cache
def source_bits(words: int) -> NDArray[np.uint8]:
    """For each bit of a row, the bit of the value it is taken from: bit k is bit k % 8 of byte k // 8.

    Perceptual hashes are squares of coefficients (16 x 16, 8 x 8) whose neighbours agree too often: chunks made of
    neighbours crowd few buckets. So a chunk takes every fourth (second) coefficient of every fourth (second) row, and
    chunks that follow on the ring lie far apart. Against chunks as they come this leaves a sixth of the candidates, and
    a sixtieth of what passes the chain of two; against a random permutation, three quarters and half (skewed
    population, 1 M rows). Widths that are no such square are permuted at random.

    The permutation is part of the file format: a change of it is a change of `container.REVISION`.
    """
    if words not in (1, 4):
        generator = np.random.Generator(np.random.PCG64(0x68617368))
        return generator.permutation(64 * words).astype(np.uint8)
    side, step = (16, 4) if words == 4 else (8, 2)
    square = np.arange(64 * words, dtype=np.uint8).reshape(side, side)
    half = step // 2
    near = [(0, 0), (1, 1), (0, 1), (1, 0)] if words == 4 else [(0, 0)]
    far = [(0, 0), (half, half), (0, half), (half, 0)]
    starts = [((a + c) % step, (b + d) % step) for a, b in near for c, d in far]
    return np.concatenate([square[a::step, b::step].ravel() for a, b in starts])


def permuted(values: NDArray[np.uint8], words: int, kernel: str) -> NDArray[np.uint64]:
    """Values (n, 8 * words) as rows: (n, words), padded."""
    rows: NDArray[np.uint64] = array(len(values) * words, np.uint64)
    native.permute(kernel, words, source_bits(words), values, len(values), rows)
    return rows
