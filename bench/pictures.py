"""Files to fingerprint: generated scenes with grain, encoded once and kept between runs.

A picture is a function of (seed, size, grain), whatever machine makes it; its encoding is the installed library's.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from samples.scenes import scene

REVISION = 2  # rises when the same arguments would give other pixels
_GRAIN_SIDE = 512

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 85}),
    "progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 80, "method": 2}),
    "avif": ("AVIF", {"quality": 60, "speed": 9}),
    "heif": ("HEIF", {"quality": 50, "enc_params": {"x265:wpp": "0"}}),
    "heif-rows": ("HEIF", {"quality": 50}),  # x265's own choice: rows that can be read apart
}


def picture(seed: int, size: tuple[int, int], grain: int) -> Image.Image:
    """A scene of that size, with grain of so many levels either way."""
    pixels = np.asarray(scene(seed, size), dtype=np.int16)
    tile = np.random.default_rng(seed).integers(-grain, grain + 1, (_GRAIN_SIDE, _GRAIN_SIDE, 1), dtype=np.int16)
    height, width, _ = pixels.shape
    whole = np.tile(tile, (-(-height // _GRAIN_SIDE), -(-width // _GRAIN_SIDE), 1))[:height, :width]
    return Image.fromarray(np.clip(pixels + whole, 0, 255).astype(np.uint8))


def kept(seed: int, size: tuple[int, int], form: str, grain: int = 4) -> Path:
    """The picture as a file of that form, from an earlier run where there is one."""
    folder = Path(tempfile.gettempdir()) / f"hashward-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"picture-{seed}-{size[0]}x{size[1]}-{grain}-{REVISION}.{form}"
    if not path.exists():
        pillow_heif.register_heif_opener(thumbnails=False)
        name, options = FORMS[form]
        partial = path.with_suffix(f".{os.getpid()}.partial")
        picture(seed, size, grain).save(partial, name, **options)
        partial.replace(path)
    return path
