"""An attack on ourselves: every picture we can write, wrapped and spoilt in every way we know, is seen or not clear."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from functools import cache

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from scanner.fingerprint import Limits, Options
from scanner.isolation.in_process import InProcess
from scanner.types import Extent, Fingerprint
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.scanner.decoding.test_video import clip, frames_of

NEAR = 31
STILLS = (
    "JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PCX", "TGA", "PPM", "SGI", "DDS", "QOI",
    "ICNS", "MPO",
)  # fmt: skip
FILMS = ("mp4", "matroska", "avi", "mpegts", "flv", "h264", "mpeg")
CODECS = {"avi": "mpeg4", "mpeg": "mpeg2video"}
# Junk before a picture that has no viewer: nothing but our own search would show these.
NOBODY_SHOWS_BEHIND_TEXT = {"TIFF", "BMP", "PCX", "TGA", "PPM", "SGI", "DDS", "QOI", "ICNS", "JPEG XL"}


@cache
def picture() -> Image.Image:
    return photograph(256, 256, seed=11)


@cache
def original(name: str) -> bytes:
    """The content under attack."""
    if name == "JPEG XL":
        return bytes(imagecodecs.jpegxl_encode(np.asarray(picture()), level=90))
    if name in STILLS:
        return encoded(picture(), name)
    return clip(30, form=name, codec=CODECS.get(name, "libx264"))


@cache
def wanted(name: str) -> bytes:
    image = Image.fromarray(next(frames_of(30))) if name in FILMS else picture()
    return look(encoded(image, "PNG")).values()[0]


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    return stream.getvalue()


OTHER = encoded(photograph(seed=12), "JPEG")
ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda content: content,
    "behind text": lambda content: b"Good morning. " * 60 + content,
    "behind a program": lambda content: b"\x7fELF" + bytes(range(250)) * 9 + content,
    "behind a JPEG": lambda content: OTHER + content,
    "behind a PNG": lambda content: encoded(photograph(seed=13), "PNG") + content,
    "behind a GIF": lambda content: encoded(photograph(seed=13), "GIF") + content,
    "before a JPEG": lambda content: content + OTHER,
    "before noise": lambda content: content + np.random.default_rng(1).bytes(5000),
    "twice": lambda content: content + content,
    "in a zip": zipped,
    "in a gzip": gzip.compress,
    "behind a zip": lambda content: zipped(b"minutes") + content,
    "without its last byte": lambda content: content[:-1],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "spoilt in the middle": lambda content: (
        content[: len(content) // 2] + bytes(16) + content[len(content) // 2 + 16 :]
    ),
}
# What these leave is another picture, or none: they must not pass for looked at whole and clear with nothing seen.
SPOILT = {"cut in the middle", "spoilt in the middle", "without its last byte"}


def fingerprint(content: bytes) -> Fingerprint:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return InProcess(Options(), Limits()).fingerprint(fd)
    finally:
        os.close(fd)


@pytest.mark.filterwarnings("ignore")  # of spoilt metadata
@pytest.mark.parametrize("name", [*STILLS, "JPEG XL", *FILMS])
def test_nothing_a_viewer_shows_is_clear_unseen(name: str) -> None:
    """For every attack the picture's value is among the signals, or the content is not clear."""
    hidden = []
    for attack, wrap in ATTACKS.items():
        found = fingerprint(wrap(original(name)))
        seen = any(distance(wanted(name), each.value) <= NEAR for each in found.signals if each.hash_type == "pdq")
        if seen or found.looked.extent is not Extent.WHOLE or (attack in SPOILT and found.signals):
            continue
        behind = attack in ("behind text", "behind a program", "behind a zip")
        if not (behind and name in NOBODY_SHOWS_BEHIND_TEXT):
            hidden.append(attack)

    assert [] == hidden


@pytest.mark.parametrize("before", [b"hello\n" * 50, bytes(500), b"x"], ids=["text", "zeros", "a byte"])
def test_pictures_behind_junk_are_no_film_of_which_some_are_passed_over(before: bytes) -> None:
    """JPEGs one behind the other have no times: what FFmpeg makes up for them would have most passed over."""
    rows = [photograph(256, 256, seed=seed) for seed in (1, 2, 3)]
    content = before + b"".join(encoded(each, "JPEG") for each in (*rows, picture()))
    values = look(content).values()

    assert min(distance(wanted("JPEG"), value) for value in values) <= NEAR
