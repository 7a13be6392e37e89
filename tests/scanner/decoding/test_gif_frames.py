"""Frames of a GIF are drawn as Pillow draws them, for what they change and not for the canvas they change it on."""

from __future__ import annotations

import io
import os
import random

import numpy as np
import pytest
from PIL import GifImagePlugin, Image

from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, Picture, decode
from scanner.decoding.stills import _Cleared, _ClearedGif
from scanner.types import WHOLE, Looked, MediaKind, Resume
from tests.scanner.isolation import bombs


class Pillows(GifImagePlugin.GifImageFile, _Cleared):
    """Pillow's own way of drawing frames."""


def animation(seed: int) -> bytes:
    """A GIF whose frames change a little here and there, with gaps to see through and every way of disposal."""
    rng = random.Random(seed)
    side = rng.choice((20, 64))
    frame = np.full((side, side, 4), 255, dtype=np.uint8)
    frames = []
    for _ in range(6):
        top, left, extent = rng.randrange(side), rng.randrange(side), rng.choice((1, 2, side))
        frame = frame.copy()
        frame[top : top + extent, left : left + extent, :3] = [rng.randrange(0, 256, 51) for _ in range(3)]
        frame[rng.randrange(side), :3, 3] = rng.choice((0, 255))
        frames.append(Image.fromarray(frame if seed % 2 else frame[:, :, :3].copy()))
    stream = io.BytesIO()
    disposal = [rng.choice((0, 1, 2, 3)) for _ in frames]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], disposal=disposal, optimize=False)
    return stream.getvalue()


def drawn(kind: type[GifImagePlugin.GifImageFile], content: bytes) -> list[tuple[str, bytes]]:
    """Every frame as this class draws it."""
    seen = []
    with kind(io.BytesIO(content)) as image:
        for number in range(image.n_frames):
            image.seek(number)
            seen.append((image.mode, image.tobytes()))
    return seen


@pytest.mark.parametrize("seed", range(40))
def test_frames_are_drawn_as_pillow_draws_them(seed: int) -> None:
    """Mode and pixels of every frame are the same, whatever its rectangle, transparency and disposal."""
    content = animation(seed)

    assert drawn(Pillows, content) == drawn(_ClearedGif, content)


class Counting:
    """Counts pictures."""

    def __init__(self) -> None:
        self.frames: list[int | None] = []

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Ignore."""

    def member(self, number: int, kind: MediaKind) -> None:
        """Ignore."""

    def digest(self, number: int, blocks: object) -> None:
        """Ignore."""

    def picture(self, picture: Picture) -> None:
        """Count."""
        self.frames.append(picture.frame)

    def mark(self, resume: Resume) -> None:
        """Ignore."""


def shown(content: bytes, *, dense: bool) -> tuple[Looked, list[int | None]]:
    """The outcome, and the numbers of the frames that were handed on."""
    counting = Counting()
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return decode(MediaFile(fd), DecodeOptions(dense=dense), Budget(Limits()), counting), counting.frames
    finally:
        os.close(fd)


def test_a_frame_that_changes_nothing_is_not_hashed() -> None:
    """A pixel drawn again where it was adds nothing; asked for every frame, it is handed on all the same."""
    content = bombs.gif_many_frames(300, 50)

    assert (WHOLE, [0]) == shown(content, dense=False)
    assert (WHOLE, list(range(50))) == shown(content, dense=True)


def test_a_frame_behind_a_restored_one_is_hashed() -> None:
    """What a frame's disposal takes away is a change too, even where the next frame draws nothing new."""
    still = bombs.gif_many_frames(300, 6)
    restoring = still.replace(b"\x21\xf9\x04\0", b"\x21\xf9\x04\x08")

    assert (WHOLE, list(range(6))) == shown(restoring, dense=False)
