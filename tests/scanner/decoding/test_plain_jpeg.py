"""Our own decoder of plain JPEGs gives what libjpeg gives, sample for sample, and leaves everything else to it."""

from __future__ import annotations

import io
import math
import random
from typing import Any

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from scanner.decoding.plain_jpeg import available, plain_luma
from tests.shared_material import media

pytestmark = pytest.mark.skipif(not available(), reason="needs the compiled decoder and a processor with AVX2")

SCALES = (1, 2, 4, 8)


def libjpegs(encoded: bytes, size: tuple[int, int], scale: int) -> NDArray[np.uint8]:
    """What libjpeg gives. Raises where it warns."""
    height, width = (math.ceil(side / scale) for side in size)
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(encoded, "GRAY", min_height=height, min_width=width)
    return pixels[:, :, 0]


def picture(seed: int, width: int, height: int, grain: float, mode: str = "RGB") -> Image.Image:
    """Blurred blotches with grain: 0 gives blocks that are all mean, 1 coefficients everywhere."""
    drawn = np.random.default_rng(seed)
    coarse = Image.fromarray(drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    noise = drawn.normal(0, 128 * grain, (height, width, 3))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, **options: Any) -> bytes:
    """The image as a JPEG."""
    held = io.BytesIO()
    image.save(held, "JPEG", **options)
    return held.getvalue()


def assert_alike(encoded: bytes, size: tuple[int, int]) -> None:
    """Both decode it, to the same samples at every scale."""
    for scale in SCALES:
        ours = plain_luma(encoded, size, scale)
        assert ours is not None
        assert np.array_equal(libjpegs(encoded, size, scale), ours)


@pytest.mark.parametrize("quality", [1, 5, 30, 50, 75, 92, 100])
@pytest.mark.parametrize("grain", [0, 0.05, 1])
def test_every_sample_is_libjpegs_at_every_scale_and_quality(quality: int, grain: float) -> None:
    """Flat, photographic and noisy; coarse quantisers overshoot, fine ones use the longest codes."""
    for subsampling in (0, 1, 2):
        made = picture(quality, 203, 149, grain)
        assert_alike(saved(made, quality=quality, subsampling=subsampling), (149, 203))
        # Pillow's own buffer is too short for the noisiest.
        assert_alike(saved(made, quality=min(quality, 92), subsampling=subsampling, progressive=True), (149, 203))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "how", [{}, {"optimize": True}, {"progressive": True}], ids=["plain", "optimize", "progressive"]
)
@pytest.mark.parametrize("restart", [0, 1, 7])
def test_whatever_the_size_the_tables_and_the_restart_interval(mode: str, how: dict[str, bool], restart: int) -> None:
    """Pictures end within a block and within an MCU; intervals within a row and across rows."""
    for width, height in ((1, 1), (7, 9), (8, 8), (16, 17), (33, 31), (250, 3), (5, 130)):
        made = picture(width, width, height, 0.2, mode)
        options = {"restart_marker_blocks": restart} if restart else {}
        assert_alike(saved(made, quality=85, **how, **options), (height, width))


def test_a_camera_s_file() -> None:
    """Twelve megapixels, as a phone wrote them."""
    path = media("images", "exif-rotation", "exif-rotn-6.jpg")
    with Image.open(path) as image:
        size = image.height, image.width

    assert_alike(path.read_bytes(), size)


def test_a_file_is_read_by_its_own_tables() -> None:
    """Whatever tables the file before it had, kept or not, good or not."""
    made = picture(4, 90, 70, 0.3)
    files = [saved(made, quality=70), saved(made, quality=70, optimize=True), saved(made.convert("L"), optimize=True)]
    for one in files:
        for other in files:
            assert_alike(one, (70, 90))
            assert plain_luma(other.replace(b"\xff\xc4\x00", b"\xff\xc4\x01"), (70, 90), 1) is None
            assert_alike(other, (70, 90))


def test_a_file_longer_than_what_is_read_at_once() -> None:
    """The window is filled again and again, with stuffed bytes wherever they fall."""
    assert_alike(saved(picture(3, 900, 700, 1), quality=98), (700, 900))
    assert_alike(saved(picture(3, 900, 700, 1), quality=98, progressive=True), (700, 900))


PLAIN = saved(picture(1, 120, 90, 0.1), quality=80)
PROGRESSIVE = saved(picture(1, 120, 90, 0.1), quality=80, progressive=True)
SCAN = PLAIN.index(b"\xff\xda") + 14


def marker(code: int, body: bytes) -> bytes:
    """A segment."""
    return bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body


def with_symbol(content: bytes, symbol: int) -> bytes:
    """The file's first DC table with one code more, which nothing uses, for such a symbol."""
    at = content.index(b"\xff\xc4") + 4
    counts = bytearray(content[at + 1 : at + 17])
    end = at + 17 + sum(counts)
    counts[15] += 1
    table = content[at : at + 1] + bytes(counts) + content[at + 17 : end] + bytes([symbol])
    return content[: at - 4] + marker(0xC4, table) + content[end:]


QUANTISER = PLAIN.index(b"\xff\xdb")
STUFFED = PLAIN.index(b"\xff\x00", SCAN)

ODD = {
    "cut in the scan": PLAIN[:-200],
    "cut behind the scan": PLAIN[:-2],
    "bytes behind the scan": PLAIN[:-2] + bytes(9) + PLAIN[-2:],
    "a scan that lacks bytes": PLAIN[:-40] + PLAIN[-2:],
    "a mark within the scan": PLAIN[: SCAN + 400] + b"\xff\xd3" + PLAIN[SCAN + 400 :],
    "progressive, lacking its last scans": PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xc4")] + b"\xff\xd9",
    "progressive, cut behind the last scan": PROGRESSIVE[:-2] + b"\xff\xc4",
    "progressive, a restart mark behind the last scan": PROGRESSIVE[:-2] + b"\xff\xd0" + bytes(9) + PROGRESSIVE[-2:],
    "a dc symbol of 16": with_symbol(PLAIN, 16),
    "a quantiser of nought": PLAIN[: QUANTISER + 9] + b"\x00" + PLAIN[QUANTISER + 10 :],
    "fill bytes before what is stuffed": PLAIN[:STUFFED] + b"\xff" + PLAIN[STUFFED:],
    "progressive, a scan again": PROGRESSIVE[:-2] + PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xc4") :],
    "progressive, other quantisers in between": PROGRESSIVE.replace(b"\xff\xda", marker(0xDB, bytes(65)) + b"\xff\xda"),
    "cmyk": saved(picture(1, 120, 90, 0.1, "CMYK")),
    "rgb": saved(picture(1, 120, 90, 0.1), keep_rgb=True),
    "a jfif of the future": PLAIN.replace(b"JFIF\x00\x01", b"JFIF\x00\x02"),
    "adobe's unknown colours": PLAIN[:2] + marker(0xEE, b"Adobe\x00d\x00\x00\x00\x00\x02") + PLAIN[2:],
    "a second frame": PLAIN[:2] + marker(0xC0, PLAIN[PLAIN.index(b"\xff\xc0") + 4 :][:15]) + PLAIN[2:],
    "arithmetic": PLAIN.replace(b"\xff\xc0", b"\xff\xc9"),
    "garbage between segments": PLAIN[:2] + b"\x00" + PLAIN[2:],
    "no tables": PLAIN.replace(b"\xff\xc4", b"\xff\xfe"),
    "nothing": b"",
    "a beginning": PLAIN[:3],
    "another": b"\x89PNG" + PLAIN[4:],
}


def test_a_table_may_have_codes_that_nothing_uses() -> None:
    """What is odd about a symbol of 16 is the symbol, not the code beside those in use."""
    assert_alike(with_symbol(PLAIN, 14), (90, 120))


def test_means_beyond_every_picture_are_left_to_libjpeg() -> None:
    """Its table of samples comes round again for them at an eighth, where it has no vector code."""
    coarse = [255] * 64
    bright = saved(Image.new("L", (8, 8), 255), qtables=[coarse, coarse])
    quantiser = bright.index(b"\xff\xdb")
    wide = bytearray(bright[: quantiser + 2] + (131).to_bytes(2, "big") + b"\x10" + (1023).to_bytes(2, "big") * 64)
    head, rest = bytes(wide[:-128]), bright[quantiser + 69 :]
    sound, beyond = (head + quantised.to_bytes(2, "big") * 64 + rest for quantised in (1000, 1100))

    assert plain_luma(sound, (8, 8), 8) is not None
    assert plain_luma(beyond, (8, 8), 8) is None


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_left_to_libjpeg(name: str) -> None:
    """None at every scale; the plain file beside it is read."""
    assert plain_luma(PLAIN, (90, 120), 1) is not None
    assert {None} == {plain_luma(ODD[name], (90, 120), scale) for scale in SCALES}


def test_another_size_than_the_file_s_own_is_none() -> None:
    """Whoever asks has read the header too: the two must agree."""
    assert plain_luma(PLAIN, (91, 120), 1) is None


def test_no_such_scale() -> None:
    """Only those are exact that libjpeg has a transform of its own for and the hash compensates."""
    with pytest.raises(ValueError):
        plain_luma(PLAIN, (90, 120), 3)


HOW: tuple[dict[str, Any], ...] = (
    {},
    {"subsampling": 0},
    {"restart_marker_blocks": 5},
    {"optimize": True},
    {"progressive": True},
    {"progressive": True, "restart_marker_blocks": 5},
)


def libjpegs_or_none(encoded: bytes, scale: int) -> NDArray[np.uint8] | None:
    """What libjpeg gives; None where it warns, or sees another size."""
    try:
        seen = libjpegs(encoded, (90, 120), scale)
    except (ValueError, RuntimeError):
        return None
    return seen if seen.shape == (math.ceil(90 / scale), math.ceil(120 / scale)) else None


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_never_read_otherwise_than_libjpeg_reads_it(seed: int) -> None:
    """Bytes changed, dropped, doubled: what we read at all, libjpeg reads without a warning, to the same samples."""
    draw = random.Random(seed)
    options = HOW[seed % len(HOW)]
    sound = saved(picture(seed, 120, 90, 0.1), quality=80, **options)
    read = 0
    for _ in range(250):
        content = bytearray(sound)
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(2, len(content))
            match draw.randrange(4):
                case 0:
                    content[at] = draw.choice((0, 0xFF, draw.randrange(256)))
                case 1:
                    content[at] ^= 1 << draw.randrange(8)
                case 2:
                    del content[at : at + draw.randrange(1, 4)]
                case _:
                    content[at:at] = content[at : at + draw.randrange(1, 4)]
        scale = draw.choice(SCALES)
        ours = plain_luma(bytes(content), (90, 120), scale)
        if ours is not None:
            read += 1
            theirs = libjpegs_or_none(bytes(content), scale)
            assert theirs is not None
            assert np.array_equal(theirs, ours)

    assert read > 0
