"""A still whose file holds a film or a second picture is never whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.isolation import InProcess
from scanner.types import WHOLE, Looked, Reason, partial

FILM = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(200)


def jpeg(seed: int, **options: object) -> bytes:
    """A made picture, busy enough to hold any byte."""
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", **options)
    return encoded.getvalue()


def looked(content: bytes, folder: Path) -> Looked:
    """How far the look at some bytes went."""
    path = folder / "content"
    path.write_bytes(content)
    with path.open("rb") as file:
        return InProcess().fingerprint(file.fileno()).looked


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (jpeg(1), WHOLE),
        (jpeg(1) + b"some maker's note behind the picture", WHOLE),
        (jpeg(1, progressive=True), WHOLE),
        (jpeg(1) + FILM, partial(Reason.EMBEDDED)),
        (jpeg(1) + b"padding" + FILM, partial(Reason.EMBEDDED)),
        (jpeg(1) + jpeg(2), partial(Reason.EMBEDDED)),
    ],
)
def test_what_lies_behind_a_jpeg_is_told(content: bytes, expected: Looked, tmp_path: Path) -> None:
    """Harmless trailing bytes leave a picture whole; a film or another picture behind it does not."""
    assert expected == looked(content, tmp_path)


def test_a_thumbnail_in_the_header_is_no_second_picture(tmp_path: Path) -> None:
    """EXIF thumbnails end with the same marker and are followed by the picture's own segments."""
    exif = Image.Exif()
    exif[0x010E] = "x"
    thumbnail = b"Exif\x00\x00" + exif.tobytes()[6:] + jpeg(3, quality=20)[:20000]

    assert WHOLE == looked(jpeg(1, exif=thumbnail[:60000]), tmp_path)
