"""The optional hash types equal ImageHash's own."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from scanner.hashing import perceptual
from tests.shared_material import media

GOLDEN = (
    ("bridge-mods/aaa-orig.jpg", "aca29c1c33dc23d7", "b7b78fa7173336d6"),
    ("misc/pen-and-coaster.png", "b7cfd224d930c3c2", "60604d1f06068f1f"),
    ("misc/wee.jpg", "de5a3d2925256627", "33a9a929d6a9c6c7"),
    ("exif-rotation/exif-rotn-1.jpg", "a3c99479b05f8e16", "f2c3ebcd8d1c4cac"),
)


def hashed(image: Image.Image, *types: str) -> list[tuple[str, str]]:
    return [(name, value.hex()) for name, value in perceptual(np.asarray(image.convert("RGB")), types)]


@pytest.mark.parametrize(("name", "phash", "dhash"), GOLDEN)
def test_golden_values(name: str, phash: str, dhash: str) -> None:
    """Known pictures hash to known values."""
    with Image.open(media("images", *name.split("/"))) as image:
        assert [("phash", phash), ("dhash", dhash)] == hashed(image, "phash", "dhash")


def test_all_four_equal_imagehash() -> None:
    """On pictures of every sort the four values are ImageHash's, bit for bit."""
    pictures = sorted(media("images").glob("labelme-subset/*")) + sorted(media("images").glob("bridge-mods/s*"))
    for path in pictures:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
            theirs = [
                ("phash", str(imagehash.phash(rgb))),
                ("dhash", str(imagehash.dhash(rgb))),
                ("ahash", str(imagehash.average_hash(rgb))),
                ("whash", str(imagehash.whash(rgb))),
            ]

            assert theirs == hashed(rgb, "phash", "dhash", "ahash", "whash")
