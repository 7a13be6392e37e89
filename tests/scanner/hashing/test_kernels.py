"""Every compiled kernel gives the bits of the NumPy reference, whatever the pixels, their layout, size and scale."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scanner.hashing import Reading, Window, pdq
from scanner.hashing.bands import Span, bands
from scanner.hashing.kernel import available, kernel_name, native
from scanner.hashing.pdq import begun
from scanner.hashing.reference import FREQUENCIES, WAVES, grids, hash_of_grid

pytestmark = pytest.mark.skipif(not available(), reason="the C kernel was not built: no compiler at installation")

ALL8 = [Reading(turn) for turn in range(1, 9)]
LUMA = (1, 2, 3)


def noise(*shape: int, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[NDArray[np.uint8], list[Reading], tuple[int, int], int]:
    """Pixels as decoded, what is asked of them, the size before scaling, the scale."""
    size = draw(st.integers(5, 300)), draw(st.integers(5, 300))
    scale = draw(st.sampled_from((1, 1, 2, 4, 8)))
    shape = [math.ceil(side / scale) for side in size] + draw(st.sampled_from(([], [3])))
    kind, seed = draw(st.sampled_from(("noise", "flat", "extreme"))), draw(st.integers(0, 99))
    pixels = np.full(shape, 255, np.uint8) if kind == "flat" else noise(*shape, seed=seed)
    if kind == "extreme":
        pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)
    readings = [Reading(draw(st.integers(1, 8)))]
    for _ in range(draw(st.integers(0, 3))):
        tall, wide = draw(st.integers(5, size[0])), draw(st.integers(5, size[1]))
        tall, wide = draw(st.sampled_from(((tall, wide), (2 * tall, wide), (tall + 3, wide + 9))))
        tall, wide = min(tall, 2 * size[0]), min(wide, 2 * size[1])
        top, left = draw(st.integers(1 - tall, size[0] - 1)), draw(st.integers(1 - wide, size[1] - 1))
        readings.append(Reading(draw(st.integers(1, 8)), Window(top, left, tall, wide)))
    return pixels, readings, size, scale


@pytest.mark.parametrize("name", available())
@settings(max_examples=60, deadline=None)
@given(picture=pictures(), limited=st.booleans())
def test_kernels_equal_the_reference(
    name: str, picture: tuple[NDArray[np.uint8], list[Reading], tuple[int, int], int], limited: bool
) -> None:
    """Grids, values and qualities are the same, bit for bit."""
    pixels, readings, size, scale = picture
    made = [np.frombuffer(one, np.int32) for one in begun(pixels, readings, size, scale, name).grids()]
    expected = [(one * (1 << 15)).astype(np.int64).ravel() for one in grids(pixels, readings, size, scale)]

    assert [one.tolist() for one in expected] == [one.tolist() for one in made]
    by_numpy = pdq(pixels, readings, limited=limited, original=size, scale=scale, using="numpy")
    assert by_numpy == pdq(pixels, readings, limited=limited, original=size, scale=scale, using=name)


@given(
    length=st.one_of(st.integers(1, 400), st.sampled_from((1023, 1920, 4000, 4032, 9999))),
    before=st.integers(-20, 20),
    behind=st.integers(-20, 20),
    reverse=st.booleans(),
    scale=st.sampled_from((1, 2, 4, 8)),
)
@settings(max_examples=200, deadline=None)
def test_weights_equal_the_reference(length: int, before: int, behind: int, reverse: bool, scale: int) -> None:
    """The C side makes the same whole numbers as NumPy for any axis."""
    before = max(before, 1 - length)
    total = max(before + length + behind, before + 1, 1 + length // 2)
    expected = bands(Span(total, before, length), reverse, scale)
    starts, stops, weights = native.axis(total, before, length, reverse, scale)
    starts, stops = np.frombuffer(starts, np.int32), np.frombuffer(stops, np.int32)
    kept = [row[: stop - start] for row, start, stop in zip(expected.weights, starts, stops, strict=True)]

    assert expected.starts.tolist() == starts.tolist()
    assert expected.stops.tolist() == stops.tolist()
    assert np.concatenate(kept).tolist() == np.frombuffer(weights, np.uint32).tolist()


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("layout", ["padded", "bgr", "rgbx", "xbgr", "upside down", "every second", "columns first"])
def test_pixels_are_read_as_they_lie(name: str, layout: str) -> None:
    """Padding, channel order, a fourth byte or a negative step change nothing: no copy to RGB is needed."""
    whole = noise(90, 131, 4)
    pixels = {
        "padded": np.ascontiguousarray(whole[:, :, 0])[:, 5:120],
        "bgr": np.ascontiguousarray(whole[:, :, :3])[:, :, ::-1],
        "rgbx": whole[:, :, :3],
        "xbgr": whole[:, :, :0:-1],
        "upside down": whole[::-1, :, :3],
        "every second": whole[::2, ::2, :3],
        "columns first": whole[:, :, :3].transpose(1, 0, 2),
    }[layout]
    plain = np.ascontiguousarray(pixels)

    assert pdq(plain, ALL8, using="numpy") == pdq(pixels, ALL8, using=name)


@pytest.mark.parametrize("shape", [(6_000, 5), (5, 6_000), (70_000, 6), (8_193, 8_193)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    """Very long, very thin and very large pictures go through the same sums."""
    pixels = noise(*shape)

    assert pdq(pixels, [Reading(7)], using="numpy") == pdq(pixels, [Reading(7)])


def test_ties_fall_as_in_the_reference() -> None:
    """Pictures full of equal coefficients, where rounding would decide: tiles, stripes, a lone pixel, nothing."""
    tiles = np.kron(np.indices((6, 6)).sum(axis=0) % 2, np.full((40, 40), 255)).astype(np.uint8)
    stripes = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 77, axis=1)
    lone = np.zeros((64, 64), np.uint8)
    lone[0, 0] = 1
    for pixels in (tiles, stripes, lone, np.zeros((9, 9), np.uint8)):
        for name in available():
            assert pdq(pixels, ALL8, using="numpy") == pdq(pixels, ALL8, using=name)


def test_waves_are_the_reference_s() -> None:
    """A grid of one lit point shows the waves themselves: the C table equals the cosine of the reference in sign."""
    for i, j in ((0, 0), (13, 57), (63, 63), (31, 2)):
        pixels = np.zeros((64, 64), np.uint8)
        pixels[i, j] = 255
        flat = np.outer(WAVES[:, i], WAVES[:, j]).ravel()

        assert FREQUENCIES**2 == len(flat)
        assert hash_of_grid(pixels.astype(float)) == pdq(pixels)[0]


@pytest.mark.parametrize(
    "pixels",
    [
        noise(10, 10).astype(np.uint16),
        noise(10, 9),
        noise(11, 10),
        noise(10, 10, 2),
        noise(10, 10, 4),
        noise(100),
        noise(10, 10, 3, 1),
        noise(10, 20)[:, ::2],
    ],
    ids=lambda each: f"{each.dtype}{each.shape}",
)
def test_what_does_not_fit_is_refused(pixels: NDArray[np.uint8]) -> None:
    """Rows of another type, width, number or layout raise, and leave the pass as it was."""
    one = native.Pass(None, 10, 10, 1, ((1, 0, 0, 10, 10),))
    with pytest.raises(ValueError, match="next rows"):
        one.feed(pixels, LUMA)
    one.feed(noise(10, 10), LUMA)

    assert 1 == len(one.hashes(False))


def test_a_pass_is_complete_or_gives_nothing() -> None:
    """No hash of some of the rows; no more rows than there are; grey and colour do not mix."""
    one = native.Pass(None, 10, 10, 1, ((1, 0, 0, 10, 10),))
    for ask in (one.grids, lambda: one.hashes(False)):
        with pytest.raises(ValueError, match="not all rows"):
            ask()
    one.feed(noise(4, 10), LUMA)
    one.feed(noise(0, 10), LUMA)
    with pytest.raises(ValueError, match="next rows"):
        one.feed(noise(6, 10, 3), LUMA)
    one.feed(noise(6, 10), LUMA)
    with pytest.raises(ValueError, match="next rows"):
        one.feed(noise(1, 10), LUMA)


@pytest.mark.parametrize(
    "arguments",
    [
        ("none", 10, 10, 1, ((1, 0, 0, 10, 10),)),
        (None, 0, 10, 1, ((1, 0, 0, 10, 10),)),
        (None, 10, 1 << 30, 1, ((1, 0, 0, 10, 10),)),
        (None, 10, 10, 0, ((1, 0, 0, 10, 10),)),
        (None, 10, 10, 1, ()),
        (None, 10, 10, 1, ((1, 0, 0, 10, 10),) * 65),
        (None, 10, 10, 1, ((0, 0, 0, 10, 10),)),
        (None, 10, 10, 1, ((9, 0, 0, 10, 10),)),
        (None, 10, 10, 1, ((1, -10, 0, 10, 10),)),
        (None, 10, 10, 1, ((1, 0, 10, 10, 10),)),
        (None, 10, 10, 1, ((1, 0, 0, 10, 21),)),
        (None, 10, 10, 1, ((1, 0, 0, 1 << 62, 10),)),
        (None, 10, 10, 1, ((1, 0, 0, 0, 10),)),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: tuple[object, ...]) -> None:
    """Sizes, scales, turns and windows are checked before memory is asked for."""
    with pytest.raises(ValueError, match=r"cannot|outside|no such"):
        native.Pass(*arguments)


def test_threads_do_not_disturb_each_other() -> None:
    """Passes of their own in threads give what they give alone; the GIL is not held while pixels are summed."""
    pixels = [noise(300, 401, seed=seed) for seed in range(4)]
    alone = [pdq(each, ALL8) for each in pixels]
    found: list[object] = [None] * len(pixels)

    def work(place: int) -> None:
        for _ in range(20):
            found[place] = pdq(pixels[place], ALL8)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(pixels))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert alone == found


def test_the_kernel_in_use_is_named() -> None:
    """`status` can say which code makes fingerprints."""
    assert available()[0] == kernel_name()
    assert "portable" == available()[-1]
