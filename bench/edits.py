"""What people do to a picture before they upload it again: each edit from pixels to pixels, seeded.

An edit's name says its strength; what is drawn at random (a side, an offset, a colour) comes from the generator given.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


def _encoded(image: Image.Image, rng: np.random.Generator, form: str, **options: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return Image.open(stream).convert("RGB")


def _resized(image: Image.Image, rng: np.random.Generator, percent: int) -> Image.Image:
    size = max(8, image.width * percent // 100), max(8, image.height * percent // 100)
    return image.resize(size, Image.Resampling.BICUBIC)


def _cropped(image: Image.Image, rng: np.random.Generator, percent: int) -> Image.Image:
    """So many percent of both sides, half at each end."""
    x, y = image.width * percent // 200, image.height * percent // 200
    return image.crop((x, y, image.width - x, image.height - y))


def _cut(image: Image.Image, rng: np.random.Generator, percent: int) -> Image.Image:
    """So many percent at one end of one side."""
    side = int(rng.integers(0, 4))
    x, y = image.width * percent // 100, image.height * percent // 100
    return image.crop((x * (side == 0), y * (side == 1), image.width - x * (side == 2), image.height - y * (side == 3)))


def _offset(image: Image.Image, rng: np.random.Generator, percent: int) -> Image.Image:
    """So many percent of both sides, the rest anywhere."""
    width, height = image.width * (100 - percent) // 100, image.height * (100 - percent) // 100
    x, y = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
    return image.crop((x, y, x + width, y + height))


def _rotated(image: Image.Image, rng: np.random.Generator, degrees: int) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC)


def _turned(image: Image.Image, rng: np.random.Generator, how: Image.Transpose) -> Image.Image:
    return image.transpose(how)


def _enhanced(
    image: Image.Image, rng: np.random.Generator, what: Callable[[Image.Image], ImageEnhance._Enhance], factor: float
) -> Image.Image:
    return what(image).enhance(factor)


def _gamma(image: Image.Image, rng: np.random.Generator, power: float) -> Image.Image:
    return image.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


def _blurred(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(share * min(image.size)))


def _noisy(image: Image.Image, rng: np.random.Generator, deviation: float) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, deviation, pixels.shape), 0, 255).astype(np.uint8))


def _marked(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    """A half transparent text across a corner or the middle."""
    over = Image.new("RGBA", image.size)
    font = ImageFont.load_default(max(8, int(share * image.width / 4)))
    at = (int(rng.uniform(0.02, 0.5) * image.width), int(rng.uniform(0.1, 0.85) * image.height))
    ImageDraw.Draw(over).text(at, "SAMPLE.EXAMPLE", fill=(255, 255, 255, 140), font=font)
    return Image.alpha_composite(image.convert("RGBA"), over).convert("RGB")


def _captioned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A bar of 10 to 20 % of the height, above or below, with two lines of text."""
    ink, paper = ("black", "white") if rng.random() < 0.5 else ("white", "black")
    height = round(image.height * rng.uniform(0.1, 0.2))
    framed = Image.new("RGB", (image.width, image.height + height), paper)
    top = bool(rng.random() < 0.5)
    framed.paste(image, (0, height if top else 0))
    draw, y = ImageDraw.Draw(framed), 0 if top else image.height
    font = ImageFont.load_default(max(8, height // 3))
    draw.text((image.width // 20, y + height // 8), "WHEN THE CAT IS AWAY", fill=ink, font=font)
    draw.text((image.width // 20, y + height // 2), "the mice will dance", fill=ink, font=font)
    return framed


def _framed(image: Image.Image, sides: tuple[int, int, int, int], colour: str) -> Image.Image:
    top, bottom, left, right = sides
    framed = Image.new("RGB", (image.width + left + right, image.height + top + bottom), colour)
    framed.paste(image, (left, top))
    return framed


def _letterboxed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    bar = round(image.height * rng.uniform(0.05, 0.2))
    return _framed(image, (bar, bar, 0, 0), "black")


def _pillarboxed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    bar = round(image.width * rng.uniform(0.05, 0.3))
    return _framed(image, (0, 0, bar, bar), "black")


def _padded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    sides = [round(min(image.size) * share) for share in rng.uniform(0.02, 0.2, 4)]
    return _framed(image, (sides[0], sides[1], sides[2], sides[3]), str(rng.choice(["black", "white", "gray"])))


def _on_a_screen(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Fitted into a phone's screen of 1080 x 2340, black around it, as a screenshot shows it."""
    scale = min(1080 / image.width, 2340 / image.height)
    shown = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    screen = Image.new("RGB", (1080, 2340))
    screen.paste(shown, ((1080 - shown.width) // 2, (2340 - shown.height) // 2))
    return screen.resize((540, 1170), Image.Resampling.LANCZOS)


def _grey(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


_TURNS = {
    "mirror left-right": Image.Transpose.FLIP_LEFT_RIGHT,
    "mirror top-bottom": Image.Transpose.FLIP_TOP_BOTTOM,
    "turn 90": Image.Transpose.ROTATE_90,
    "turn 180": Image.Transpose.ROTATE_180,
    "turn 270": Image.Transpose.ROTATE_270,
}

EDITS: dict[str, Edit] = {
    "none": lambda image, rng: image,
    **{f"jpeg {quality}": partial(_encoded, form="JPEG", quality=quality) for quality in (95, 80, 50, 20)},
    "webp 60": partial(_encoded, form="WEBP", quality=60),
    **{f"resize {percent} %": partial(_resized, percent=percent) for percent in (90, 75, 50, 25)},
    **{f"crop {percent} %": partial(_cropped, percent=percent) for percent in (1, 2, 3, 5, 8, 10)},
    **{f"cut one side {percent} %": partial(_cut, percent=percent) for percent in (2, 4, 8)},
    **{f"crop anywhere {percent} %": partial(_offset, percent=percent) for percent in (2, 5)},
    **{f"rotate {degrees}": partial(_rotated, degrees=degrees) for degrees in (1, 2, 5, 10)},
    **{name: partial(_turned, how=how) for name, how in _TURNS.items()},
    **{f"brightness {f}": partial(_enhanced, what=ImageEnhance.Brightness, factor=f) for f in (0.6, 1.4)},
    **{f"contrast {f}": partial(_enhanced, what=ImageEnhance.Contrast, factor=f) for f in (0.6, 1.5)},
    **{f"gamma {power}": partial(_gamma, power=power) for power in (0.6, 1.6)},
    **{f"blur {share}": partial(_blurred, share=share) for share in (0.005, 0.02)},
    **{f"noise {deviation}": partial(_noisy, deviation=deviation) for deviation in (8, 25)},
    **{f"watermark {share}": partial(_marked, share=share) for share in (0.3, 0.8)},
    "caption bar": _captioned,
    "letterbox": _letterboxed,
    "pillarbox": _pillarboxed,
    "padding": _padded,
    "screenshot": _on_a_screen,
    "greyscale": _grey,
}
