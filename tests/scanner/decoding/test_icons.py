"""Every picture of an icon or cursor is looked at, in whatever form it is kept."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from scanner.decoding.embedded import MOST_PARTS
from scanner.types import WHOLE, Reason, partial
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph

SIDES = (64, 48, 64, 200)


def square(seed: int, side: int) -> Image.Image:
    return photograph(side, side, seed)


def bitmap(image: Image.Image) -> bytes:
    """A headless bitmap with its mask, which counts in the height."""
    content = encoded(image, "DIB")
    mask = bytes((image.width + 31) // 32 * 4 * image.height)
    return content[:8] + struct.pack("<I", 2 * image.height) + content[12:] + mask


def icon(pictures: list[bytes], sides: tuple[int, ...], *, cursor: bool = False) -> bytes:
    """An ICO of these pictures, or a CUR, in which the hot spot stands where ICO has planes and depth."""
    offset, directory = 6 + 16 * len(pictures), b""
    for side, picture in zip(sides, pictures, strict=True):
        odd = (5, 32) if cursor else (1, 24)
        directory += struct.pack("<BBBBHHII", side % 256, side % 256, 0, 0, *odd, len(picture), offset)
        offset += len(picture)
    return struct.pack("<HHH", 0, 2 if cursor else 1, len(pictures)) + directory + b"".join(pictures)


@pytest.mark.parametrize("cursor", [False, True])
@pytest.mark.parametrize("as_png", [False, True])
def test_every_picture_of_an_icon(cursor: bool, as_png: bool) -> None:
    """Different pictures in one ICO or CUR all show, also two of one size, as bitmaps and as PNG."""
    images = [square(seed, side) for seed, side in enumerate(SIDES)]
    content = icon([encoded(each, "PNG") if as_png else bitmap(each) for each in images], SIDES, cursor=cursor)
    seen = look(content)

    assert WHOLE == seen.looked
    assert [None, "1000", "2000", "3000"] == [each.part for each in seen.pictures]
    assert [look(encoded(each, "PNG")).values()[0] for each in images] == seen.values()


def test_one_bad_picture_hides_no_other() -> None:
    """An icon whose first picture is broken shows the rest, and is not whole."""
    images = [encoded(square(seed, side), "PNG") for seed, side in enumerate(SIDES)]
    seen = look(icon([b"\x89PNG" + bytes(60), *images[1:]], SIDES))

    assert 3 == len(seen.pictures)
    assert partial(Reason.UNDECODABLE) == seen.looked


def test_an_icon_of_very_many_pictures() -> None:
    """More pictures than are looked at leave the icon short of whole."""
    one = encoded(square(0, 16), "PNG")
    most = MOST_PARTS + 1

    assert WHOLE == look(icon([one] * most, (16,) * most)).looked
    assert partial(Reason.EMBEDDED) == look(icon([one] * (most + 1), (16,) * (most + 1))).looked


def test_every_picture_of_an_icns() -> None:
    """Each size of a Mac icon can be another picture; all show."""
    images = [square(seed, 16 << seed) for seed in range(1, 7)]
    seen = look(encoded(images[-1], "ICNS", append_images=images[:-1]))
    wanted = {look(encoded(each, "PNG")).values()[0] for each in images}

    assert WHOLE == seen.looked
    assert wanted == set(seen.values())


def test_packed_elements_of_an_icns() -> None:
    """Old elements in runs of bytes are read, not shown as black."""
    elements = b""
    images = {b"ih32": square(7, 48), b"il32": square(8, 32)}
    for kind, image in images.items():
        planes = [plane.tobytes() for plane in image.split()]
        runs = (each[i : i + 128] for each in planes for i in range(0, len(each), 128))
        packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
        elements += kind + struct.pack(">I", 8 + len(packed)) + packed
    seen = look(b"icns" + struct.pack(">I", 8 + len(elements)) + elements)

    assert [0, 0] == [
        distance(look(encoded(image, "PNG")).values()[0], value)
        for image, value in zip(images.values(), seen.values(), strict=True)
    ]
