"""JPEG: straight to the luma plane at a fraction of its size, and what its decoder does not say by itself.

Rules
- `quick_pixels` gives what an intact file shows, or nothing: whatever is odd about a file (CMYK, 12 bits, a warning of
  the decoder, too large to hold) goes the long way, so that no short cut can lose a picture or hide damage.
- The decoder's block average is exact at 1/2, 1/4 and 1/8 only; the hash compensates for it. The short side keeps
  `LEAST_SHORT_SIDE` pixels, and small pictures are decoded to RGB: colours that clip are what moves a small one's bits.
- Counting scans reads the file once and decodes nothing; only progressive files are asked, where a scan is a pass over
  every coefficient.
- libjpeg fills what is missing or bad in a scan and only warns, which Pillow does not hear. So what goes the long way
  is decoded once more, at an eighth, by a library that does hear.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.plain_jpeg import plain_luma
from scanner.decoding.reading import MediaFile

# No encoder writes more than some twenty; the standard allows for more than a thousand, each of them a full pass.
MOST_SCANS = 200
_START_OF_SCAN = b"\xff\xda"
_MOST_SEGMENTS = 1000
_BLOCK_BYTES = 1024 * 1024
_SCAN = 0xDA
# Of how a picture is read: tables, restart interval, JFIF, Photoshop's resources, Adobe's transform, comments.
_TELL_NOTHING = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xED, 0xEE, 0xFE})
# Larger files are not read into memory to be asked a second time.
MOST_ASKED_BYTES = 64 * 1024 * 1024
# libjpeg's jerror.h; what it warns of besides are oddities of headers.
_WARNINGS_OF_DAMAGE = ("premature end", "bad huffman", "bad arithmetic", "instead of rst")
_EXTRANEOUS = re.compile("([0-9]+) extraneous bytes")
MOST_PADDING_BYTES = 16
LEAST_SHORT_SIDE = 512  # measured: at most 2 bits from full resolution; at 256 as many as 4, at 128 as many as 34
_STANDING_BYTES_PER_PIXEL = 10  # of a progressive file: full-size coefficients of every component, whatever the scale


@dataclass(frozen=True, slots=True)
class Quick:
    """Pixels as decoded at 1/`scale`: (height, width) luma, or (height, width, 3) RGB."""

    pixels: NDArray[np.uint8]
    scale: int


def quick_pixels(encoded: bytes, size: tuple[int, int], *, progressive: bool, budget: Budget) -> Quick | None:
    """The picture of an intact grey or YCbCr file of `size` (height, width); None where the long way is to be gone.

    Raises OverBudget where no scale fits the budget.
    """
    scale, channels = _plan(size, len(encoded), progressive, budget)
    luma = None if channels > 1 else plain_luma(encoded, size, scale)
    if luma is not None:
        return Quick(luma, scale)
    shape = math.ceil(size[0] / scale), math.ceil(size[1] / scale)
    colours = "GRAY" if channels == 1 else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(encoded, colours, min_height=shape[0], min_width=shape[1])
    except (ValueError, RuntimeError):  # damaged, CMYK, 12 bits; a warning counts
        return None
    if pixels.shape != (*shape, channels):
        return None
    return Quick(pixels[:, :, 0] if channels == 1 else pixels, scale)


def _plan(size: tuple[int, int], encoded_bytes: int, progressive: bool, budget: Budget) -> tuple[int, int]:
    """The scale and the number of channels: as small as fidelity allows, smaller where the budget asks for it."""
    pixels = size[0] * size[1]
    standing = encoded_bytes + (pixels * _STANDING_BYTES_PER_PIXEL if progressive else 0)
    if min(size) < LEAST_SHORT_SIDE and budget.fits(standing + 3 * pixels):
        return 1, 3
    wanted = max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(size) / scale >= LEAST_SHORT_SIDE)
    for scale in (1, 2, 4, 8):
        if scale >= wanted and budget.fits(standing + pixels // (scale * scale)):
            return scale, 1
    raise OverBudget


@dataclass(frozen=True, slots=True)
class Bare:
    """A header that says nothing but how large the picture is, (height, width), and how it is coded."""

    size: tuple[int, int]
    progressive: bool


def bare_header(file: MediaFile) -> Bare | None:
    """The header of a grey or YCbCr file of 8 bits without EXIF, XMP and further pictures, as platforms write them.

    None where there is more to read in it, or anything odd: it takes Pillow to know what that means.
    """
    offset, found = 2, None
    for _ in range(_MOST_SEGMENTS):
        header = file.at(offset, 16)
        if len(header) < 16 or header[0] != 0xFF:
            return None
        marker = header[1]
        if marker == _SCAN:
            return found
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = int.from_bytes(header[5:7], "big"), int.from_bytes(header[7:9], "big")
            if found is not None or header[4] != 8 or header[9] not in (1, 3) or not height or not width:
                return None
            found = Bare((height, width), marker == 0xC2)
        elif marker not in _TELL_NOTHING and not (marker == 0xE2 and header[4:15] == b"ICC_PROFILE"):
            return None
        offset += 2 + int.from_bytes(header[2:4], "big")
    return None


def is_progressive(file: MediaFile) -> bool:
    """Whether the frame header is of a progressive mode (ITU T.81, table B.1); True too where none can be found."""
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        header = file.at(offset, 4)
        if len(header) < 4 or header[0] != 0xFF:
            return True
        if 0xC0 <= header[1] <= 0xCF and header[1] not in (0xC4, 0xC8, 0xCC):
            return header[1] & 3 == 2
        offset += 2 + int.from_bytes(header[2:], "big")
    return True


def where_scans_are_too_many(file: MediaFile) -> int | None:
    """The offset of the first scan beyond `MOST_SCANS`; None where there are not so many."""
    seen, offset = 0, 0
    while block := file.at(offset, _BLOCK_BYTES + 1):  # one byte over, for a marker that lies across two blocks
        count = block.count(_START_OF_SCAN)
        if seen + count > MOST_SCANS:
            at = -1
            for _ in range(MOST_SCANS + 1 - seen):
                at = block.index(_START_OF_SCAN, at + 1)
            return offset + at
        seen += count
        offset += _BLOCK_BYTES
    return None


def is_damaged(file: MediaFile) -> bool:
    """Whether the decoder warns that entropy-coded data are bad or end too soon, of which Pillow says nothing.

    Decodes once more, at an eighth. A few bytes too many before the end marker are some cameras' padding.
    """
    encoded = file.at(0, min(file.size_bytes, MOST_ASKED_BYTES))
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", fastdct=True, min_height=1, min_width=1, min_factor=8)
        return False
    except (ValueError, RuntimeError) as error:
        message = str(error).lower()
    extraneous = _EXTRANEOUS.search(message)
    if extraneous is not None:
        return int(extraneous[1]) > MOST_PADDING_BYTES
    return any(warning in message for warning in _WARNINGS_OF_DAMAGE)
