"""The picture a viewer shows is the picture that is looked at, in every format there is a decoder for."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from scanner.decoding import Limits
from scanner.decoding.newer_codecs import jxl_size, jxr_size
from scanner.decoding.reading import MediaFile
from scanner.isolation.pool import WorkerPool
from scanner.types import WHOLE, MediaKind, Reason, digests_only, partial
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph


def value(image: Image.Image) -> bytes:
    return look(encoded(image, "PNG")).values()[0]


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "bmp": lambda image: encoded(image, "BMP"),
    "bmp of 256 colours": lambda image: encoded(image.quantize(256), "BMP"),
    "headless bmp": lambda image: encoded(image, "DIB"),
    "tga": lambda image: encoded(image, "TGA"),
    "tga in runs": lambda image: encoded(image, "TGA", compression="tga_rle"),
    "pcx": lambda image: encoded(image, "PCX"),
    "ppm": lambda image: encoded(image, "PPM"),
    "pgm": lambda image: encoded(image.convert("L"), "PPM"),
    "sgi": lambda image: encoded(image, "SGI"),
    "dds": lambda image: encoded(image, "DDS"),
    "qoi": lambda image: encoded(image, "QOI"),
    "tiff of jpeg strips": lambda image: encoded(image, "TIFF", compression="jpeg"),
    "tiff lzw": lambda image: encoded(image, "TIFF", compression="tiff_lzw"),
    "cmyk jpeg": lambda image: encoded(image.convert("CMYK"), "JPEG", quality=95),
    "cmyk tiff": lambda image: encoded(image.convert("CMYK"), "TIFF"),
    "palette png": lambda image: encoded(image.quantize(256), "PNG"),
    "jpeg 2000": lambda image: encoded(image, "JPEG2000"),
    "bare jpeg 2000": lambda image: encoded(image, "JPEG2000", no_jp2=True),
    "avif": lambda image: encoded(image, "AVIF"),
    "heic": lambda image: encoded(image, "HEIF", quality=90),
    "lossless webp": lambda image: encoded(image, "WEBP", lossless=True),
    "jpeg xl": lambda image: imagecodecs.jpegxl_encode(np.asarray(image), level=90),
    "jpeg xl in its container": lambda image: imagecodecs.jpegxl_encode(np.asarray(image), usecontainer=True),
    "jpeg xl of a jpeg": lambda image: imagecodecs.jpegxl_encode_jpeg(encoded(image, "JPEG")),
    "jpeg xl with alpha": lambda image: imagecodecs.jpegxl_encode(np.asarray(image.convert("RGBA"))),
    "deep grey jpeg xl": lambda image: imagecodecs.jpegxl_encode(np.asarray(image.convert("L"), dtype=np.uint16) * 257),
    "ten bits of jpeg xl": lambda image: imagecodecs.jpegxl_encode(
        np.asarray(image.convert("L"), dtype=np.uint16) * 4, bitspersample=10
    ),
    "jpeg xr": lambda image: imagecodecs.jpegxr_encode(np.asarray(image), level=95),
    "grey jpeg xr": lambda image: imagecodecs.jpegxr_encode(np.asarray(image.convert("L")), level=95),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_picture_of_every_format(name: str) -> None:
    """Whole, one picture, and near its original."""
    seen = look(FORMATS[name](photograph()))

    assert (MediaKind.IMAGE, WHOLE, 1) == (seen.kind, seen.looked, len(seen.pictures))
    assert distance(value(photograph()), seen.values()[0]) <= 16


def test_every_frame_of_an_animated_jpeg_xl() -> None:
    """As many as there are, a black one among them, none of them made of old memory."""
    frames = [photograph(seed=seed) for seed in range(4)]
    frames[2] = Image.new("RGB", frames[0].size)
    content = imagecodecs.jpegxl_encode(np.stack([np.asarray(each) for each in frames]), photometric="RGB")
    seen = look(content)

    assert WHOLE == seen.looked
    assert all(np.array_equal(np.asarray(frame), shown) for frame, shown in zip(frames, seen.pixels, strict=True))


@pytest.mark.parametrize("size", [(8, 8), (256, 128), (200, 200), (3000, 2), (37, 1111), (1600, 1000)])
def test_sizes_are_known_before_decoding(size: tuple[int, int]) -> None:
    """The headers of JPEG XL and JPEG XR tell what a decode will cost."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for content, stated in (
        (imagecodecs.jpegxl_encode(pixels), jxl_size),
        (imagecodecs.jpegxl_encode(pixels, usecontainer=True), jxl_size),
        (imagecodecs.jpegxr_encode(pixels), jxr_size),
    ):
        fd = os.memfd_create("picture")
        os.write(fd, content)

        assert size == stated(MediaFile(fd))
        os.close(fd)
    assert digests_only(Reason.OVER_BUDGET) == look(
        imagecodecs.jpegxl_encode(pixels), limits=Limits(decode_bytes=15 * size[0] * size[1])
    ).looked  # fmt: skip


def test_newer_formats_in_a_confined_worker() -> None:
    """Their libraries need nothing that a worker may not do."""
    with WorkerPool(1) as pool:
        for name in ("jpeg xl", "jpeg xr", "jpeg xl of a jpeg"):
            fd = os.memfd_create("picture")
            os.write(fd, FORMATS[name](photograph()))
            found = pool.fingerprint(fd)
            os.close(fd)

            assert (WHOLE, 1) == (found.looked, len(found.signals))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 8}, {"mode": "CMYK"}])
def test_a_jpeg_damaged_in_the_middle_is_partial(options: dict[str, object]) -> None:
    """Bad entropy-coded data, which decoders paper over, do not pass for a whole picture."""
    image = photograph(600, 450).convert(str(options.pop("mode", "RGB")))
    content = bytearray(encoded(image, "JPEG", **options))
    middle = len(content) // 2
    content[middle : middle + 60] = b"\xaa" * 60
    seen = look(bytes(content))

    assert (partial(Reason.TRUNCATED), 1) == (seen.looked, len(seen.pictures))


def test_padding_before_the_end_of_a_jpeg_is_no_damage() -> None:
    """Some cameras write a few bytes too many; many are data gone astray."""
    content = encoded(photograph(600, 450), "JPEG")

    assert WHOLE == look(content[:-2] + bytes(8) + content[-2:]).looked
    assert partial(Reason.TRUNCATED) == look(content[:-2] + bytes(80) + content[-2:]).looked


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_a_webp_cut_short_shows_what_is_there(lossless: bool, share: float) -> None:
    """As browsers show it; nearly all of it is nearly the picture."""
    content = encoded(photograph(600, 450), "WEBP", lossless=lossless)
    seen = look(content[: int(len(content) * share)])

    assert partial(Reason.TRUNCATED) == seen.looked
    assert share < 0.95 or distance(value(photograph(600, 450)), seen.values()[0]) <= 16


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_damaged_pixels_are_partial(form: str) -> None:
    """Formats with checks of their own tell; what could be decoded is shown."""
    options = {"compression": "tiff_adobe_deflate"} if form == "TIFF" else {}
    content = bytearray(encoded(photograph(600, 450), form, **options))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(byte ^ 0xA5 for byte in content[middle : middle + 40])
    seen = look(bytes(content))

    assert (partial(Reason.TRUNCATED), 1) == (seen.looked, len(seen.pictures))


def test_a_colour_profile_changes_nothing() -> None:
    """No reference applies profiles: the stored values are hashed."""
    from PIL import ImageCms

    profile = io.BytesIO(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()).getvalue()

    assert (
        look(encoded(photograph(), "PNG")).values() == look(encoded(photograph(), "PNG", icc_profile=profile)).values()
    )


def directory(at: int, fields: list[tuple[int, int, int]]) -> bytes:
    """A TIFF directory of short (3) and long (4) fields, which lies at `at`."""
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(fields))
    return struct.pack("<H", len(fields)) + packed + bytes(4)


def raw_file(sensor: int) -> bytes:
    """A grey preview, a sensor's values coloured as `sensor` in a directory below it, and a JPEG preview behind."""
    preview = photograph(64, 48, seed=5).convert("L").tobytes()
    shape = [(256, 3, 64), (257, 3, 48), (258, 3, 8), (259, 3, 1), (277, 3, 1), (278, 3, 48), (279, 4, len(preview))]
    pixels, below = 8 + 2 + 12 * 10 + 4, 8 + 2 + 12 * 10 + 4 + len(preview)
    first = directory(8, [*shape, (262, 3, 1), (273, 4, pixels), (330, 4, below)])
    return (
        b"II*\0\x08\0\0\0" + first + preview + directory(below, [*shape, (262, 3, sensor), (273, 4, pixels)])
        + encoded(photograph(), "JPEG")
    )  # fmt: skip


@pytest.mark.parametrize("sensor", [32803, 34892])
def test_a_raw_file_shows_its_previews_and_is_not_whole(sensor: int) -> None:
    """What the sensor saw is not developed, and may be another picture than the previews."""
    seen = look(raw_file(sensor))

    assert partial(Reason.EMBEDDED) == seen.looked
    assert [
        value(photograph(64, 48, seed=5).convert("L")),
        look(encoded(photograph(), "JPEG")).values()[0],
    ] == seen.values()


def test_a_tiff_with_a_reduced_picture_is_no_raw_file() -> None:
    """Directories below the first are nothing unusual."""
    assert WHOLE == look(raw_file(1)).looked
