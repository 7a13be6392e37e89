"""Bars are found and left out, margins put back, and the value is then that of the picture before the edit."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from samples.scenes import scene
from scanner.decoding.pixels import ImageRows
from scanner.hashing import Reading, Window, pdq, trimmed, uncropped

Pixels = NDArray[np.uint8]
SEEDS = range(20)


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def picture(seed: int) -> Pixels:
    return np.asarray(scene(seed, (500, 400)))


def as_jpeg(pixels: Pixels) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return np.asarray(Image.open(stream))


def nearest(edited: Pixels, original: Pixels, windows: tuple[Window, ...]) -> int:
    """The least distance of any of the windows' readings from the original's value."""
    wanted = pdq(original)[0].value
    return min(distance(wanted, each.value) for each in pdq(edited, [Reading(1, window) for window in windows]))


def captioned(pixels: Pixels, at_the_top: bool) -> Pixels:
    bar = Image.new("RGB", (pixels.shape[1], 60), "white")
    draw, font = ImageDraw.Draw(bar), ImageFont.load_default(20)
    draw.text((20, 5), "WHEN THE CAT IS AWAY", fill="black", font=font)
    draw.text((20, 32), "the mice will dance on the table", fill="black", font=font)
    return np.concatenate([np.asarray(bar), pixels] if at_the_top else [pixels, np.asarray(bar)])


BARS: dict[str, Callable[[Pixels], Pixels]] = {
    "letterbox": lambda pixels: np.pad(pixels, ((60, 60), (0, 0), (0, 0))),
    "pillarbox": lambda pixels: np.pad(pixels, ((0, 0), (90, 90), (0, 0))),
    "padding": lambda pixels: np.pad(pixels, ((10, 70), (33, 20), (0, 0)), constant_values=255),
    "caption below": lambda pixels: captioned(pixels, at_the_top=False),
    "caption above": lambda pixels: captioned(pixels, at_the_top=True),
    "two colours": lambda pixels: np.pad(
        np.pad(pixels, ((20, 20), (0, 0), (0, 0))), ((40, 40), (40, 40), (0, 0)), constant_values=250
    ),
}


@pytest.mark.parametrize("name", BARS)
def test_bars_are_left_out(name: str) -> None:
    """95 of 100 pictures with bars, through JPEG, are near the picture without them; 80 with bars within bars."""
    found = before = 0
    for seed in SEEDS:
        original = picture(seed)
        edited = as_jpeg(BARS[name](original))
        windows = trimmed(edited, (edited.shape[0], edited.shape[1]))
        before += distance(pdq(original)[0].value, pdq(edited)[0].value) <= 31
        found += bool(windows) and nearest(edited, original, windows) <= 31

    assert found >= (0.8 if name == "two colours" else 0.95) * len(SEEDS)
    assert before <= 0.2 * len(SEEDS)


def test_a_picture_without_bars_has_none() -> None:
    """Most pictures are not read a second time; none is cut to nothing."""
    cut = [trimmed(picture(seed), (400, 500)) for seed in SEEDS]

    assert sum(map(bool, cut)) <= 0.25 * len(SEEDS)
    assert () == trimmed(np.zeros((100, 100), np.uint8), (100, 100))
    assert () == trimmed(np.zeros((1, 1), np.uint8), (1, 1))


def test_windows_are_of_the_whole_size() -> None:
    """Found in pixels decoded at a fraction, told in those of the whole picture, inside it."""
    framed = np.pad(picture(3)[:, :, 0], ((40, 40), (0, 0)))
    (window,) = trimmed(framed, (1919, 1999), 4)

    assert abs(160 - window.top) <= 8
    assert (0, 1999) == (window.left, window.width)
    assert window.top + window.height <= 1919


def test_strips_show_the_same_bars() -> None:
    """Pixels that come strip by strip have the windows of the whole array."""
    framed = np.pad(picture(5), ((100, 130), (7, 0), (0, 0)), constant_values=128)

    assert trimmed(framed, framed.shape[:2]) == trimmed(ImageRows(Image.fromarray(framed)), framed.shape[:2])


@pytest.mark.parametrize("cut", ["all round", "top", "bottom", "left", "right", "above and below", "both sides"])
def test_margins_are_put_back(cut: str) -> None:
    """Of pictures that lost 4 % or 5 % of their height or width, at least 60 in 100 are found again."""
    found = before = 0
    for seed in SEEDS:
        original = picture(seed)
        rows, columns = {
            "all round": (slice(10, 390), slice(12, 488)),
            "top": (slice(16, 400), slice(500)),
            "bottom": (slice(384), slice(500)),
            "left": (slice(400), slice(20, 500)),
            "right": (slice(400), slice(480)),
            "above and below": (slice(10, 390), slice(500)),
            "both sides": (slice(400), slice(12, 488)),
        }[cut]
        edited = as_jpeg(original[rows, columns])
        before += distance(pdq(original)[0].value, pdq(edited)[0].value) <= 31
        found += nearest(edited, original, uncropped((edited.shape[0], edited.shape[1]))) <= 31

    assert found >= 0.6 * len(SEEDS)
    assert before < found


def test_margins_of_tiny_pictures_are_no_fault() -> None:
    """Where a thousandth is no pixel, the windows are the picture itself."""
    windows = uncropped((7, 7))

    assert {Window(0, 0, 7, 7)} == set(windows)
    assert len(windows) == len(pdq(picture(1)[:7, :7], [Reading(1, each) for each in windows]))
