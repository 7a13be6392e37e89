"""Generated pictures with the statistics of photographs, and the edits that copies of a picture go through.

Rules
- Integers only: seeded lattices grown by Pillow's fixed-point resize and added in octaves, each half as strong as the
  one before (a 1/f spectrum, as photographs have). No FFT, no float sums: the same pixels on every processor.
- Shapes with edges stand in front, so that PDQ's gradient measure gives quality 100: a flat picture would not match.
- No name, place or time is in the pixels.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

Size = tuple[int, int]
OCTAVES = 6  # 4 to 128 cells across: finer grain would only cost bytes, the 64x64 grid of PDQ does not see it


def scene(seed: int, size: Size = (640, 480)) -> Image.Image:
    """A picture of nothing in particular, the same for one seed: clouds over ground, with some shapes in front."""
    rng = random.Random(seed)
    light = _octaves(rng, size)
    tint = _octaves(rng, size)
    channels = [light + (tint - 128) * share // 4 for share in rng.sample((-3, -1, 1, 3), 3)]
    pixels = np.stack(channels, axis=-1)
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    _draw_shapes(rng, picture)
    return picture


def _octaves(rng: random.Random, size: Size) -> NDArray[np.int32]:
    """Noise of 1/f strength around 128, stretched to the range a camera would fill."""
    total = np.zeros((size[1], size[0]), dtype=np.int32)
    for octave in range(OCTAVES):
        cells = 4 << octave
        lattice = Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells))
        layer = np.asarray(lattice.resize(size, Image.Resampling.BICUBIC), dtype=np.int32)
        total += (layer - 128) * (1 << (OCTAVES - octave))
    return np.clip(128 + total * 5 // (4 << OCTAVES), 0, 255)


def _draw_shapes(rng: random.Random, picture: Image.Image) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for _ in range(7):
        left, top = rng.randrange(width * 3 // 4), rng.randrange(height * 3 // 4)
        right, bottom = left + width // rng.randint(5, 12), top + height // rng.randint(4, 10)
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        if rng.random() < 0.5:
            draw.ellipse((left, top, right, bottom), fill=colour)
        else:
            draw.polygon([(left, bottom), (left + (right - left) // 3, top), (right, bottom)], fill=colour)


def resized(picture: Image.Image, percent: int) -> Image.Image:
    """The picture at `percent` of its width and height."""
    width, height = picture.size
    return picture.resize((width * percent // 100, height * percent // 100), Image.Resampling.LANCZOS)


def brightened(picture: Image.Image, percent: int) -> Image.Image:
    """The picture `percent` brighter."""
    return ImageEnhance.Brightness(picture).enhance(1 + percent / 100)


def watermarked(picture: Image.Image) -> Image.Image:
    """The picture with a small mark in its lower right corner: a ring and a bar, an eighth of the width."""
    marked = picture.copy()
    width, height = marked.size
    side = width // 16
    left, top = width - 2 * side - 8, height - side - 8
    draw = ImageDraw.Draw(marked)
    draw.ellipse((left, top, left + side, top + side), outline="white", width=4)
    draw.rectangle((left + side + 4, top + side // 3, left + 2 * side, top + side * 2 // 3), fill="white")
    return marked
