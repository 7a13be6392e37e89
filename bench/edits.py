"""What happens to a picture before somebody uploads it again: the edits that recall is measured under.

Every edit is a function of the picture (and of a fixed seed), named by what it does and how hard. The result is encoded
as its `form` says, as an uploader's program would: JPEG of quality 90 unless the edit is about the encoding.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from samples.scenes import resized, watermarked

Change = Callable[[Image.Image], Image.Image]
Transpose = Image.Transpose


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: `family` groups a row of the chart, `name` says how hard."""

    family: str
    name: str
    change: Change
    form: str = "JPEG"
    quality: int = 90

    def file(self, picture: Image.Image) -> bytes:
        """The edited picture as a file."""
        options: dict[str, Any] = {} if self.form in ("PNG", "BMP", "GIF") else {"quality": self.quality}
        out = io.BytesIO()
        self.change(picture).save(out, self.form, **options)
        return out.getvalue()


def as_it_is(picture: Image.Image) -> Image.Image:
    """No change."""
    return picture


def cropped(picture: Image.Image, percent: float) -> Image.Image:
    """Without `percent` of width and height, taken off all four sides alike."""
    width, height = picture.size
    left, top = round(width * percent / 200), round(height * percent / 200)
    return picture.crop((left, top, width - left, height - top))


def cropped_corner(picture: Image.Image, percent: float) -> Image.Image:
    """Without `percent` of width and height, all taken off at the left and the top."""
    width, height = picture.size
    return picture.crop((round(width * percent / 100), round(height * percent / 100), width, height))


def rotated(picture: Image.Image, degrees: float) -> Image.Image:
    """Turned by a few degrees, black in the corners: as a scan or a phone's picture of a picture."""
    return picture.rotate(degrees, Image.Resampling.BICUBIC)


def gamma(picture: Image.Image, exponent: float) -> Image.Image:
    """Every channel to the power of `exponent`."""
    return picture.point([round(255 * (level / 255) ** exponent) for level in range(256)] * 3)


def noisy(picture: Image.Image, sigma: float) -> Image.Image:
    """With normal noise of that standard deviation, in levels."""
    pixels = np.asarray(picture, dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, sigma, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def padded(picture: Image.Image, percent: float, colour: str, *, sides: str = "tb") -> Image.Image:
    """With bars of `percent` of the height (t, b) or width (l, r) on each of `sides`."""
    width, height = picture.size
    down, across = round(height * percent / 100), round(width * percent / 100)
    left, top = across * ("l" in sides), down * ("t" in sides)
    made = Image.new("RGB", (width + left + across * ("r" in sides), height + top + down * ("b" in sides)), colour)
    made.paste(picture, (left, top))
    return made


def captioned(picture: Image.Image, percent: float) -> Image.Image:
    """With a white bar above it and dark lines of writing in the bar, as memes have."""
    made = padded(picture, percent, "white", sides="t")
    bar = made.height - picture.height
    draw = ImageDraw.Draw(made)
    rng = np.random.default_rng(2)
    lines = max(1, bar // 24)
    for line in range(lines):
        x, y = 10, line * bar // lines + bar // lines // 4
        while x < made.width - 40:
            word = int(rng.integers(8, 40))
            draw.rectangle((x, y, x + word, y + max(bar // lines // 2, 2)), fill="black")
            x += word + 8
    return made


def screenshot(picture: Image.Image, percent: int) -> Image.Image:
    """Shown at `percent` on a dark page, and the page kept as a picture of the same shape."""
    width, height = picture.size
    small = picture.resize((width * percent // 100, height * percent // 100), Image.Resampling.BILINEAR)
    page = Image.new("RGB", (width, height), (24, 24, 28))
    page.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return page


def _series(family: str, change: Callable[..., Image.Image], steps: dict[str, float]) -> list[Edit]:
    return [Edit(family, name, partial(change, **{_KNOB[change]: step})) for name, step in steps.items()]


def _brighter(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(factor)


def _contrasted(picture: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(factor)


def _blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


def _grey(picture: Image.Image) -> Image.Image:
    return ImageOps.grayscale(picture).convert("RGB")


_KNOB: dict[Callable[..., Image.Image], str] = {
    cropped: "percent",
    cropped_corner: "percent",
    rotated: "degrees",
    gamma: "exponent",
    noisy: "sigma",
    screenshot: "percent",
    resized: "percent",
    captioned: "percent",
    _brighter: "factor",
    _contrasted: "factor",
    _blurred: "radius",
}

EDITS: tuple[Edit, ...] = (
    *(Edit("JPEG quality", str(quality), as_it_is, quality=quality) for quality in (95, 80, 60, 40, 20)),
    *(Edit("format", form, as_it_is, form) for form in ("PNG", "WEBP", "AVIF", "GIF", "BMP")),
    Edit("format", "greyscale", _grey),
    *_series("resize to", resized, {f"{percent} %": percent for percent in (90, 75, 50, 25)}),
    *_series("crop, all sides", cropped, {f"{percent} %": percent for percent in (1, 2, 5, 10)}),
    *_series("crop, one corner", cropped_corner, {f"{percent} %": percent for percent in (1, 2, 5, 10)}),
    *_series("rotate by", rotated, {f"{degrees} deg": degrees for degrees in (1, 2, 5, 10)}),
    Edit("turn", "90 deg", lambda picture: picture.transpose(Transpose.ROTATE_90)),
    Edit("turn", "180 deg", lambda picture: picture.transpose(Transpose.ROTATE_180)),
    Edit("turn", "270 deg", lambda picture: picture.transpose(Transpose.ROTATE_270)),
    Edit("turn", "mirrored", lambda picture: picture.transpose(Transpose.FLIP_LEFT_RIGHT)),
    Edit("turn", "upside down", lambda picture: picture.transpose(Transpose.FLIP_TOP_BOTTOM)),
    *_series("brightness", _brighter, {f"{change:+d} %": 1 + change / 100 for change in (-50, -20, 20, 50)}),
    *_series("contrast", _contrasted, {f"{change:+d} %": 1 + change / 100 for change in (-50, -20, 20, 50)}),
    *_series("gamma", gamma, {str(exponent): exponent for exponent in (0.5, 0.8, 1.25, 2.0)}),
    *_series("blur", _blurred, {f"{radius} px": radius for radius in (1, 2, 4, 8)}),
    *_series("noise", noisy, {f"sigma {sigma}": sigma for sigma in (5, 10, 20, 40)}),
    Edit("overlay", "watermark", watermarked),
    *_series("caption bar", captioned, {f"{percent} %": percent for percent in (5, 10, 20, 30)}),
    *(
        Edit("letterbox", f"{percent} % black", partial(padded, percent=percent, colour="black"))
        for percent in (5, 10, 20)
    ),
    Edit("letterbox", "10 % white", partial(padded, percent=10, colour="white")),
    Edit("pad", "10 % black, left and right", partial(padded, percent=10, colour="black", sides="lr")),
    Edit("pad", "10 % white, all round", partial(padded, percent=10, colour="white", sides="tblr")),
    *_series("screenshot at", screenshot, {f"{percent} %": percent for percent in (90, 70, 50)}),
)
