"""What a decoder hands over: pixels, where in the content they belong, and how to read their luma."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scanner.types import MediaKind, Resume


class Rows(Protocol):
    """Pixels that can be read by rows: (height, width) grey or (height, width, 3) RGB, uint8."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, 3)."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """The rows of one slice."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture.

    `limited` says that grey pixels are luma from 16 to 235. `exif` is the EXIF orientation (1..8) of the stored pixels.
    `original` is (height, width) before the decoder scaled by 1/`scale`. `frame` and `frame_ms` place a frame; `part`
    names a page or a further track by its ordinal, `member` the file of a container it is in, from 1. `aside` is a
    small copy that the content keeps of its own picture: it counts where it shows something else.
    """

    pixels: Rows
    limited: bool = False
    exif: int = 1
    original: tuple[int, int] | None = None
    scale: int = 1
    part: str | None = None
    frame: int | None = None
    frame_ms: int | None = None
    member: int | None = None
    aside: bool = False


class Sink(Protocol):
    """What takes pictures as they are decoded, so that a kill keeps what is known."""

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """The content is of this kind; may be said again as more is known. What holds a film has a duration."""
        ...

    def picture(self, picture: Picture) -> None:
        """One picture, in decoding order."""
        ...

    def mark(self, resume: Resume) -> None:
        """Everything before `resume` was shown: a look that ends here can be gone on with there."""
        ...


class ContentSink(Sink, Protocol):
    """What takes a whole content, which may be a container with members."""

    def member(self, number: int, kind: MediaKind) -> None:
        """The pictures that follow of this member are of this kind."""
        ...

    def digest(self, number: int, blocks: Iterable[bytes]) -> None:
        """All bytes of a member; what iterating raises comes back, and nothing is made of them then."""
        ...
