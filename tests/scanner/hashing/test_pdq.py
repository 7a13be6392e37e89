"""PDQ equals the published full-resolution values, in any orientation, from whole or scaled pixels."""

from __future__ import annotations

import csv
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from scanner.decoding.pixels import ImageRows
from scanner.fingerprint import turned
from scanner.hashing import Reading, Window, kernel, pdq
from scanner.hashing.bands import WEIGHT_BITS, bands
from scanner.hashing.reference import full_range, grids
from tests.shared_material import media, vectors

ALL8 = [Reading(turn) for turn in range(1, 9)]
STORED = [Reading()]


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def photograph(height: int, width: int, seed: int = 1) -> NDArray[np.uint8]:
    """Smooth random colour, so that the hash has a quality worth comparing."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def published() -> list[dict[str, str]]:
    with vectors("pdq.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_published_vectors() -> None:
    """Every published row is met: full-resolution ones bit for bit, others within the distance they state."""
    rows = published()
    found = []
    for row in rows:
        with Image.open(media("images", *row["image"].split("/"))) as image:
            value = pdq(np.asarray(image.convert("RGB")))[0].value
        found.append(distance(value, bytes.fromhex(row["pdq_hex"])))

    assert [] == [(row, bits) for row, bits in zip(rows, found, strict=True) if bits > int(row["max_distance"])]
    assert [0] * 18 == [bits for row, bits in zip(rows, found, strict=True) if row["downscale"] == "full"]


def test_published_qualities() -> None:
    """The qualities the published vectors state are met exactly."""
    for name, quality in (("misc/small.jpg", 0), ("labelme-subset/q0003.jpg", 3), ("labelme-subset/q0004.jpg", 4)):
        with Image.open(media("images", *name.split("/"))) as image:
            assert quality == pdq(np.asarray(image.convert("RGB")))[0].quality


def boxed(n: int) -> NDArray[np.float64]:
    """The box matrix of the published rule, one row at a time."""
    width = (n + 127) // 128
    ahead = (width + 2) // 2
    box = np.zeros((n, n))
    for i in range(n):
        low, high = max(0, i + ahead - width), min(n, i + ahead)
        box[i, low:high] = 1 / (high - low)
    return box


@given(st.integers(5, 700), st.booleans())
def test_bands_are_two_boxes_sampled(n: int, reverse: bool) -> None:
    """The operator of every axis length is the box applied twice, at the sampled points."""
    box = boxed(n)
    expected = (box @ box)[[math.floor((i + 0.5) * n / 64) for i in range(64)]]
    if reverse:
        expected = expected[:, ::-1]
    starts, stops, weights = bands(n, reverse)
    dense = np.zeros((64, n))
    for k in range(64):
        dense[k, starts[k] : stops[k]] = weights[k, : stops[k] - starts[k]]

    assert np.allclose(expected, dense / (1 << WEIGHT_BITS), atol=1e-6)
    assert [1 << WEIGHT_BITS] * 64 == dense.sum(axis=1).tolist()


@pytest.mark.parametrize(
    "size", [(64, 64), (65, 130), (127, 129), (200, 333), (256, 256), (517, 300), (1001, 777), (40, 700)]
)
def test_orientations_equal_really_turned_pixels(size: tuple[int, int]) -> None:
    """Each of the eight readings is 0 bits from the hash of pixels that were really turned."""
    pixels = photograph(*size)
    together = pdq(pixels, ALL8)

    assert [pdq(turned(pixels, each.turn))[0] for each in ALL8] == together
    assert 8 == len({each.value for each in together})


def test_orientation_of_published_turns() -> None:
    """The turned bridge files are within JPEG's noise of the original's turned readings."""
    with Image.open(media("images", "dihedral", "bridge-1-original.jpg")) as image:
        readings = [each.value for each in pdq(np.asarray(image), ALL8)]
    names = {8: "2-rotate-90", 3: "3-rotate-180", 6: "4-rotate-270", 4: "5-flipx", 2: "6-flipy", 5: "7-flip-plus-1"}
    for turn, name in names.items():
        with Image.open(media("images", "dihedral", f"bridge-{name}.jpg")) as image:
            really = pdq(np.asarray(image))[0].value

        assert distance(readings[turn - 1], really) <= 2


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size", [(2048, 2304), (1999, 2051), (1537, 2600)])
def test_scaled_pixels_are_compensated(scale: int, size: tuple[int, int]) -> None:
    """Pixels averaged by a scaled decoder hash to almost the same value as the whole picture."""
    pixels = photograph(*size)
    height, width = math.ceil(size[0] / scale), math.ceil(size[1] / scale)
    padded = np.pad(pixels, ((0, height * scale - size[0]), (0, width * scale - size[1]), (0, 0)), mode="edge")
    small = padded.reshape(height, scale, width, scale, 3).mean(axis=(1, 3)).round().astype(np.uint8)

    assert distance(pdq(pixels)[0].value, pdq(small, original=size, scale=scale)[0].value) <= 2


def test_strips_equal_the_whole_array() -> None:
    """Reading a picture strip by strip gives the same bits as one array."""
    pixels = photograph(1500, 1100)

    assert pdq(pixels, ALL8) == pdq(ImageRows(Image.fromarray(pixels)), ALL8)


def test_grey_equals_the_same_grey_in_rgb() -> None:
    """A grey picture hashes as its RGB form."""
    grey = photograph(300, 400)[:, :, 1]

    assert pdq(grey) == pdq(np.repeat(grey[:, :, None], 3, axis=2))


def test_limited_luma_is_stretched() -> None:
    """Limited-range luma hashes as the full-range picture it stands for, quality included."""
    grey = photograph(400, 500)[:, :, 0]
    limited = np.round(grey * (219 / 255) + 16).astype(np.uint8)
    full, stretched = pdq(grey)[0], pdq(limited, limited=True)[0]

    assert distance(full.value, stretched.value) <= 4
    assert abs(full.quality - stretched.quality) <= 1
    assert 255.0 == full_range(grids(np.full((64, 64), 250, dtype=np.uint8), STORED, (64, 64))[0]).max()


@pytest.mark.parametrize("size", [(4, 100), (100, 4), (1, 1)])
def test_tiny_pictures_get_the_degenerate_value(size: tuple[int, int]) -> None:
    """Below five pixels a side the value is zero and so is the quality, as in the reference."""
    hashed = pdq(photograph(*size), [Reading(1), Reading(6)])

    assert [(bytes(32), 0)] * 2 == [(each.value, each.quality) for each in hashed]


def test_extreme_shapes_stay_small() -> None:
    """A picture a million pixels wide needs no operator of a million columns by 64."""
    starts, stops, weights = bands(1_000_000)

    assert weights.nbytes < 10_000_000
    assert 0 <= starts.min()
    assert stops.max() <= 1_000_000


def test_values_depend_on_no_order_of_summation() -> None:
    """Every stage is exact, so that a picture full of ties hashes alike whatever BLAS, strip size or thread count."""
    tiles = np.kron(np.indices((6, 6)).sum(axis=0) % 2, np.full((40, 40), 255)).astype(np.uint8)
    starts, stops, weights = bands(240)
    dense = np.zeros((64, 240), dtype=object)
    for k in range(64):
        dense[k, starts[k] : stops[k]] = [int(weight) for weight in weights[k, : stops[k] - starts[k]]]
    rows = np.vectorize(lambda value: round(Fraction(value, 4)))(dense.dot(tiles.astype(object)))
    exact = np.vectorize(lambda value: round(Fraction(value, 1 << 27)))(rows.dot(dense.T))

    assert np.array_equal(exact.astype(float) / (1 << 15), grids(tiles, STORED, (240, 240))[0])


@pytest.mark.parametrize("turn", [1, 3, 6])
@pytest.mark.parametrize("colour", [True, False])
def test_a_window_hashes_as_the_picture_cut_out(turn: int, colour: bool) -> None:
    """A rectangle of a picture, turned or not, is 0 bits from the hash of that rectangle alone."""
    pixels = photograph(300, 451)
    pixels = pixels if colour else pixels[:, :, 0]
    window = Window(31, 7, 201, 333)
    alone = np.ascontiguousarray(pixels[31:232, 7:340])

    assert pdq(alone, [Reading(turn)]) == pdq(pixels, [Reading(), Reading(turn, window)])[1:]


@pytest.mark.parametrize("turn", [1, 8])
def test_a_window_reaches_beyond_the_picture(turn: int) -> None:
    """Where it does, the picture's edge goes on: 0 bits from the hash of a picture padded so."""
    pixels = photograph(300, 451)
    padded = np.pad(pixels, ((20, 7), (3, 41), (0, 0)), mode="edge")

    assert pdq(padded, [Reading(turn)]) == pdq(pixels, [Reading(turn, Window(-20, -3, 327, 495))])


def test_a_window_of_scaled_pixels_is_near_that_of_all_pixels() -> None:
    """A window that begins inside a block of a scaled decode is compensated for it."""
    pixels, window = photograph(1600, 1800), Window(101, 53, 1333, 1500)
    small = pixels.reshape(400, 4, 450, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    whole = pdq(pixels, [Reading(1, window)])[0]

    assert distance(whole.value, pdq(small, [Reading(1, window)], original=(1600, 1800), scale=4)[0].value) <= 2


def test_a_window_too_small_gets_the_degenerate_value() -> None:
    """Beside a whole picture that has a value of its own."""
    whole, slit = pdq(photograph(100, 100), [Reading(), Reading(1, Window(0, 0, 4, 100))])

    assert (bytes(32), 0) == (slit.value, slit.quality)
    assert whole == pdq(photograph(100, 100))[0]


def test_without_a_compiler_the_values_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extension was not built NumPy gives the same bits, and `status` says which code it is."""
    pixels = photograph(300, 451)
    compiled = pdq(pixels, ALL8)
    monkeypatch.setattr(kernel, "native", None)
    kernel.available.cache_clear()
    try:
        assert compiled == pdq(pixels, ALL8)
        assert "not built" in kernel.kernel_name()
    finally:
        monkeypatch.undo()
        kernel.available.cache_clear()
