"""The quick way through a JPEG shows what the long one shows, and leaves whatever is odd to it."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import ExifTags, Image

from samples.scenes import scene
from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, extents, stills
from scanner.decoding.jpeg import Bare, bare_header, quick_pixels
from scanner.types import WHOLE, Extent, Reason, partial
from tests.scanner.decoding.looks import Look, distance, look
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.shared_material import media

EXACT = DecodeOptions(exact=True)
CAMERA = ("exif-rotation", "exif-rotn-6.jpg")


def camera(width: int, height: int) -> Image.Image:
    """A photograph a phone made, at another size."""
    with Image.open(media("images", *CAMERA)) as image:
        return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def bits_off(content: bytes) -> int:
    """How far the default look is from the exact one; both are whole."""
    quick, exact = look(content), look(content, EXACT)

    assert WHOLE == quick.looked == exact.looked
    return distance(quick.values()[0], exact.values()[0])


@pytest.mark.parametrize(
    ("size", "scale"),
    [((700, 500), 1), ((1023, 1023), 1), ((1024, 2000), 2), ((2047, 2100), 2), ((2048, 2060), 4), ((4097, 4100), 8)],
)
def test_the_short_side_keeps_what_the_hash_needs(size: tuple[int, int], scale: int) -> None:
    """As small as leaves 512 pixels on the short side, luma alone; smaller pictures in colour at full size."""
    seen = look(encoded(photograph(*size), "JPEG"))
    pixels = seen.pixels[0]

    assert (WHOLE, scale) == (seen.looked, seen.pictures[0].scale)
    assert (3 if min(size) < 512 else 2) == pixels.ndim
    assert [-(-side // scale) for side in size[::-1]] == list(pixels.shape[:2])


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["444", "422", "420"])
@pytest.mark.parametrize("size", [(400, 300), (900, 700), (1300, 1111), (2099, 2501)])
@pytest.mark.parametrize("progressive", [False, True])
def test_within_two_bits_of_full_resolution(size: tuple[int, int], subsampling: int, progressive: bool) -> None:
    """Whatever the size, the subsampling and the mode; a small picture is the very same."""
    content = encoded(camera(*size), "JPEG", quality=85, subsampling=subsampling, progressive=progressive)

    assert bits_off(content) <= (0 if min(size) < 512 else 2)


def odd(name: str) -> bytes:
    """An intact file of a rarer kind."""
    picture = camera(800, 600)
    match name:
        case "grey":
            return encoded(picture.convert("L"), "JPEG")
        case "cmyk":
            return encoded(picture.convert("CMYK"), "JPEG")
        case "rgb":
            return encoded(picture, "JPEG", keep_rgb=True)
        case "411":
            return bytes(simplejpeg.encode_jpeg(np.asarray(picture), colorsubsampling="411"))
        case "440":
            return bytes(simplejpeg.encode_jpeg(np.asarray(picture), colorsubsampling="440"))
        case "restarts":
            return encoded(picture, "JPEG", restart_marker_blocks=7)
        case "thumbnail":
            small = encoded(picture.resize((80, 60)), "JPEG")
            return encoded(picture, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + small)
        case _:
            return encoded(picture, "JPEG", comment=b"\xff\xda" * 10, quality=30)


@pytest.mark.parametrize("name", ["grey", "cmyk", "rgb", "411", "440", "restarts", "thumbnail", "comment"])
def test_rarer_kinds_are_the_same_picture(name: str) -> None:
    """Inks, plain RGB, odd subsampling, restart markers: the default look is within two bits of the exact one."""
    assert bits_off(odd(name)) <= 2


def test_a_turned_picture_says_so() -> None:
    """The orientation of the header comes with the pixels of the quick way."""
    exif = Image.Exif()
    exif[0x0112] = 6

    assert 6 == look(encoded(camera(1400, 1100), "JPEG", exif=exif)).pictures[0].exif


def first_way(content: bytes, size: tuple[int, int]) -> bool:
    """Whether the quick way shows this content."""
    with Image.open(io.BytesIO(content)) as image:
        progressive = bool(image.info.get("progressive"))
    return quick_pixels(content, size, progressive=progressive, budget=Budget(Limits())) is not None


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_goes_the_long_way(progressive: bool) -> None:
    """A file cut anywhere in its pixels, or with bytes changed there, is never shown by the quick way as if whole."""
    content = encoded(camera(900, 700), "JPEG", quality=60, progressive=progressive)
    start = content.index(b"\xff\xda") + 20

    assert first_way(content, (700, 900))
    for cut in range(start, len(content) - 1, (len(content) - start) // 9):
        assert not first_way(content[:cut], (700, 900))
        seen: Look = look(content[:cut])
        assert seen.looked is not None
        assert Extent.WHOLE is not seen.looked.extent
    assert not first_way(content[: start + 400] + b"\xff\xd9" * 40 + content[start + 480 :], (700, 900))


def test_what_the_header_says_otherwise_goes_the_long_way() -> None:
    """Pixels of another size than announced are not believed."""
    content = encoded(camera(900, 700), "JPEG")

    assert not first_way(content, (700, 901))
    assert not first_way(content, (1700, 900))


@pytest.mark.parametrize("subsampling", ["444", "420"])
def test_twelve_bits_show_what_eight_do(subsampling: str) -> None:
    """A file of twelve bits a sample is whole, with its picture's fingerprint; damaged it is never whole."""
    codecs = pytest.importorskip("imagecodecs")
    picture = camera(600, 600)
    deep = np.asarray(picture).astype(np.uint16) * 16
    content = codecs.jpeg8_encode(deep, level=95, bitspersample=12, subsampling=subsampling)
    seen, plain = look(content), look(encoded(picture, "JPEG", quality=95))

    assert WHOLE == seen.looked
    assert distance(seen.values()[0], plain.values()[0]) <= 4
    middle = len(content) // 2
    for damaged in (content[:middle], content[:middle] + content[-2:], content[:middle] + content[middle + 900 :]):
        looked = look(damaged).looked
        assert looked is not None
        assert Extent.WHOLE is not looked.extent


def test_other_hash_types_see_every_pixel() -> None:
    """`full` shows what an exact look shows, and still shrinks what does not fit."""
    content = encoded(photograph(1999, 1501), "JPEG", quality=95)
    full = look(content, DecodeOptions(full=True))
    shrunk = look(content, DecodeOptions(full=True), Limits(decode_bytes=8_000_000))

    assert np.array_equal(look(content, EXACT).pixels[0], full.pixels[0])
    assert (WHOLE, 2) == (shrunk.looked, shrunk.pictures[0].scale)


def _with_orientation(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    return exif


BARE_OR_NOT: dict[str, tuple[str, dict[str, Any], bool]] = {
    "plain": ("RGB", {}, True),
    "grey": ("L", {}, True),
    "progressive": ("RGB", {"progressive": True}, True),
    "with a comment": ("RGB", {"comment": b"a comment"}, True),
    "with a colour profile": ("RGB", {"icc_profile": bytes(3000)}, True),
    "coded in red, green and blue": ("RGB", {"keep_rgb": True}, True),
    "four colours": ("CMYK", {}, False),
    "turned": ("RGB", {"exif": _with_orientation(6)}, False),
    "turned by XMP": ("RGB", {"xmp": b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="3"/>'}, False),
}


@pytest.mark.parametrize("name", BARE_OR_NOT)
def test_a_bare_header_needs_no_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown and said of a file is the same whether Pillow has read its header or not."""
    mode, options, is_bare = BARE_OR_NOT[name]
    stream = io.BytesIO()
    scene(3, (900, 700)).convert(mode).save(stream, "JPEG", **options)
    content = stream.getvalue()

    def header_of(file: MediaFile) -> Bare | None:
        found.append(bare_header(file))
        return found[-1]

    found: list[Bare | None] = []
    monkeypatch.setattr(stills, "bare_header", header_of)
    short = look(content)
    monkeypatch.setattr(stills, "bare_header", lambda _: None)
    long = look(content)

    assert [is_bare] == [each is not None for each in found]
    assert (long.kind, long.looked, long.pictures[0].exif) == (short.kind, short.looked, short.pictures[0].exif)
    assert len(long.pictures) == len(short.pictures)
    assert all(np.array_equal(one, other) for one, other in zip(long.pixels, short.pixels, strict=True))


@pytest.mark.parametrize("cut", [300, 2000, 20_000])
def test_a_damaged_file_with_a_bare_header_is_not_whole(cut: int) -> None:
    """What libjpeg would warn of goes the long way, which says so."""
    stream = io.BytesIO()
    scene(3, (900, 700)).save(stream, "JPEG")
    seen = look(stream.getvalue()[:-cut])

    assert partial(Reason.TRUNCATED) == seen.looked


def test_markers_between_scans_are_found_alike() -> None:
    """The compiled search and NumPy's agree on every place."""
    drawn = random.Random(5)
    for _ in range(2000):
        block = bytes(
            drawn.choice((0, 1, 0xC4, 0xD0, 0xD7, 0xD8, 0xD9, 0xFF, 0xFF)) for _ in range(drawn.randrange(30))
        )
        assert extents.marker_by_numpy(block) == extents.first_marker(block)
