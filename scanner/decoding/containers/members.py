"""What a container lists, in its order: files to look at, pictures to draw, or why something stays closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.decoding.containers.files import MemberFile
from scanner.types import Reason


@dataclass(frozen=True, slots=True)
class Member:
    """A file held. `open` may be called once; its bytes are sniffed, never its name."""

    open: Callable[[], MemberFile]


@dataclass(frozen=True, slots=True)
class Closed:
    """Something held that cannot be opened, or that could not be listed."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture held as bare samples: its pixels, and whether none was missing.

    `pixels` raises ValueError where they make no picture, and OverBudget.
    """

    pixels: Callable[[], tuple[NDArray[np.uint8], bool]]


Held = Member | Closed | Drawn
