"""A plain HEIC goes straight to its luma, and comes to what libheif shows; everything else is left to libheif."""

from __future__ import annotations

import ctypes
import io
import os
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from samples.scenes import scene
from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile
from scanner.decoding.demuxing import packet_of
from scanner.decoding.heif_luma import DamagedPicture, HeifLuma, heif_luma
from scanner.decoding.hevc_parameters import _Bits
from scanner.hashing import pdq
from scanner.types import WHOLE, Reason, partial
from tests.scanner.decoding.heif_files import NCLX, Heic, box, coded, encoded, tiled, zeroed
from tests.scanner.decoding.looks import distance, look

MOST_MEAN = 0.5  # levels; colours that clip on the way to RGB and back are what differs
MOST_BITS = 2


def quick(content: bytes, size: tuple[int, int] | None = None) -> HeifLuma | None:
    """What the short cut gives for a (height, width), that which libheif names if none is said."""
    if size is None:
        with Image.open(io.BytesIO(content)) as image:
            size = image.height, image.width
    fd = os.memfd_create("heic")
    try:
        os.write(fd, content)
        return heif_luma(MediaFile(fd), size, Budget(Limits()))
    finally:
        os.close(fd)


def libheifs(content: bytes) -> NDArray[np.uint8]:
    """The luma of what libheif shows."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB").convert("L"))


def assert_alike(content: bytes) -> None:
    """The short cut is taken, shows what libheif shows, and hashes as the long way does."""
    found = quick(content)
    assert found is not None
    shown = libheifs(content)
    assert shown.shape == found.pixels.shape
    assert np.abs(shown.astype(int) - found.pixels).mean() < MOST_MEAN
    short, long = look(content), look(content, DecodeOptions(full=True))
    assert WHOLE == short.looked == long.looked
    assert 1 == len(short.pictures) == len(long.pictures)
    values = [pdq(each.pictures[0].pixels, limited=each.pictures[0].limited)[0].value for each in (short, long)]
    assert distance(*values) <= MOST_BITS


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return scene(11, (520, 390))


@pytest.fixture(scope="module")
def grid(photo: Image.Image) -> Heic:
    return tiled(photo, 192)


@pytest.fixture(scope="module")
def single(photo: Image.Image) -> Heic:
    return Heic((coded(photo),))


@pytest.mark.parametrize("chroma", [420, 422, 444])
def test_one_picture(photo: Image.Image, chroma: int) -> None:
    """As libheif itself writes it, in every sampling of colour."""
    assert_alike(encoded(photo, chroma=chroma))


def test_grey(photo: Image.Image) -> None:
    """A picture without colour."""
    assert_alike(encoded(photo.convert("L")))


@pytest.mark.parametrize("turns", [None, 0, 1, 2, 3])
def test_turned(grid: Heic, single: Heic, turns: int | None) -> None:
    """Turned by right angles, alone and in tiles of which the last ones are filled up: as phones write it."""
    assert_alike(replace(grid, turns=turns).written())
    assert_alike(replace(single, turns=turns).written())


def test_what_it_leaves_to_libheif(photo: Image.Image, grid: Heic, single: Heic) -> None:
    """What it does not know, what it does not do, and what does not add up."""
    bt709 = NCLX[:-3] + b"\x01\x80"
    mirrored, unknown = box(b"imir", b"\0"), box(b"abcd", b"\0")
    crop = box(b"clap", np.array([400, 1, 300, 1, 0, 1, 0, 1], ">u4").tobytes())
    left = {
        "another matrix": replace(single, colour=bt709),
        "mirrored": replace(single, more=(mirrored,)),
        "a property that must be understood": replace(single, more=(unknown,)),
        "cropped": replace(single, more=(crop,)),
        "more tiles said than tied": replace(grid, lost_tiles=1),
        "a grid of another version": replace(grid, version=1),
        "cut": replace(single, cut_bytes=100),
        "a size that is not the stream's": replace(single, tiles=(replace(single.tiles[0], size=(512, 390)),)),
    }
    for what, file in left.items():
        assert quick(file.written(), (390, 520)) is None, what


def test_deep_ones_are_left_to_libheif(photo: Image.Image) -> None:
    """Ten bits a sample."""
    deep = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) << 8)
    assert quick(encoded(deep)) is None


def test_limited_luma_is_told(photo: Image.Image) -> None:
    """Luma from 16 to 235 comes with a word about it, and hashes as what libheif makes of it."""
    squeezed = Image.fromarray(np.rint(np.asarray(photo) * (219 / 255) + 16).astype(np.uint8))
    content = Heic((coded(squeezed),), colour=NCLX[:-1] + b"\0").written()
    found = quick(content)
    assert found is not None
    assert found.limited
    stretched = np.clip(np.rint((found.pixels.astype(float) - 16) * 255 / 219), 0, 255)
    assert np.abs(libheifs(content) - stretched).mean() < MOST_MEAN


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_lost_bytes_are_not_whole(photo: Image.Image, share: float) -> None:
    """libheif makes up what is missing and says nothing; where the other decoder notices, what is shown is partial."""
    grain = np.random.default_rng(1).integers(-40, 41, (390, 520, 1))
    grainy = Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))
    for file in (Heic((coded(grainy),)), tiled(grainy, 256)):
        lossy = replace(file, tiles=(zeroed(file.tiles[0], share), *file.tiles[1:]))
        content = lossy.written()
        with pytest.raises(DamagedPicture):
            quick(content)
        seen = look(content)
        assert partial(Reason.TRUNCATED) == seen.looked
        assert 1 == len(seen.pictures)


def test_a_flipped_bit_hides_nothing(photo: Image.Image) -> None:
    """Where rows can be read apart, libheif shows all but a bad one: what is lost behind it is noticed."""
    content = encoded(photo)
    noticed = 0
    for at in range(content.find(b"mdat") + 4000, len(content) - 4000, 997):
        flipped = content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]
        try:
            seen = quick(flipped, (390, 520))
        except DamagedPicture:
            noticed += 1
            continue
        assert seen is not None
        assert distance(pdq(seen.pixels)[0].value, pdq(libheifs(flipped))[0].value) <= 31
    assert noticed


def test_a_picture_with_parameters_of_its_own_is_left_to_libheif(single: Heic) -> None:
    """What the configuration says of how to read it need not be true of it."""
    (tile,) = single.tiles
    sets = tile.configuration[tile.configuration.rindex(b"\x44\1") - 2 :]  # the last: of kind 34, behind its length

    assert quick(single.written()) is not None
    assert quick(replace(single, tiles=(replace(tile, payload=b"\0\0" + sets + tile.payload),)).written()) is None


def test_a_number_longer_than_any_is_not_read() -> None:
    """Thousands of bits of one would take a worker seconds; what cannot be read so is read both ways."""
    with pytest.raises(IndexError):
        _Bits(bytes(40) + b"\xff" * 60).golomb()
    assert 2**32 - 2 == _Bits(bytes(3) + b"\x01" + b"\xff" * 3 + b"\xfe").golomb()


def test_decoders_read_nothing_behind_what_they_are_given() -> None:
    """The same damaged picture always shows the same, whatever lies in memory behind it."""
    packet = packet_of(memoryview(b"abc" + b"\xff" * 200)[:3])

    assert b"abc" == bytes(packet)
    assert bytes(64) == ctypes.string_at(packet.buffer_ptr + packet.buffer_size, 64)
    assert b"" == bytes(packet_of(b""))


def test_budgets_hold(photo: Image.Image) -> None:
    """A picture that does not fit is over budget here too, not decoded."""
    content = encoded(photo)
    assert look(content, limits=Limits(decode_bytes=photo.width * photo.height)).looked != WHOLE
