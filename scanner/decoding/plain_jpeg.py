"""The luma of a plain, intact JPEG by code of our own, where this machine can run it: what libjpeg gives, sooner.

Rules
- Sample for sample what libjpeg's accurate DCT gives at 1/1, 1/2, 1/4 and 1/8, so that no hash depends on who decoded.
- None for whatever is not a plain file (baseline or progressive) of the size it is said to have, for whatever libjpeg
  would warn of, and where the extension was not built or the processor lacks AVX2: libjpeg then reads it.
- Entropy decoding is the floor of any JPEG path: 8 of 12 ms of a 12-megapixel file were libjpeg's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import scanner.decoding._native as _loaded
except ImportError:  # no compiler when the package was installed
    _native: Any = None
else:
    _native = _loaded if _loaded.is_usable() else None


def available() -> bool:
    """Whether this machine has it."""
    return _native is not None


def plain_luma(encoded: bytes, size: tuple[int, int], scale: int) -> NDArray[np.uint8] | None:
    """The luma of a file of `size` (height, width) at 1/`scale` (1, 2, 4, 8)."""
    made = None if _native is None else _native.luma(encoded, *size, scale)
    if made is None:
        return None
    plane, stride = made
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, stride)
    return rows[: math.ceil(size[0] / scale), : math.ceil(size[1] / scale)]
