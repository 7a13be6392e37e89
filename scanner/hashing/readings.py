"""What is asked of a picture and what comes back: orientations, windows, and one PDQ value for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Rows(Protocol):
    """Pixels that can be read by rows: (height, width) or (height, width, 3) uint8, RGB order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, 3)."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """The rows of one slice."""
        ...


@dataclass(frozen=True, slots=True)
class PdqHash:
    """One PDQ value: 32 bytes, the most significant bit first, and its quality 0..100."""

    value: bytes
    quality: int


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a picture, in pixels before any scaling; beyond the picture, the pixels at its edge go on."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to look at a picture: turned by an EXIF orientation (1: as stored), whole or through a window."""

    turn: int = 1
    window: Window | None = None


# EXIF orientation of the stored pixels -> (reverse A_H, reverse A_W, transpose the grid).
FLIPS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}
