"""The samples of PDF images as pixels: bit depths, predictors, colour spaces, fax codes (ISO 32000-1, 7.4.4, 8.6, 8.9).

Rules
- Colours are read plainly: profiles are not applied, as in the hashes of other pictures. One component is grey, three
  are RGB, four are CMYK; a separation is ink on white.
- ValueError says that the samples make no picture. What is missing at the end is black.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

MOST_SIDE = 1 << 20
_CHANNELS = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG colour types with so many bytes a pixel


@dataclass(frozen=True, slots=True)
class Samples:
    """How the bytes of an image are to be read. `palette` holds RGB triples; `inverted` as `Decode` has it."""

    width: int
    height: int
    bits: int
    components: int
    ink: bool = False
    palette: bytes | None = None
    inverted: bool = False
    predictor: int = 1

    def __post_init__(self) -> None:
        sides = 0 < self.width <= MOST_SIDE and 0 < self.height <= MOST_SIDE
        if not sides or self.bits not in (1, 2, 4, 8, 16) or self.components not in (1, 2, 3, 4):
            raise ValueError("no picture")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of samples."""
        return -(-self.width * self.components * self.bits // 8)

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows, as the filters give them."""
        return (self.row_bytes + (self.predictor >= 10)) * self.height

    @property
    def decode_bytes(self) -> int:
        """What reading them costs in memory, about."""
        return 3 * self.size_bytes + self.width * self.height * (12 if self.components == 4 else 6)


def pixels_of(samples: Samples, content: bytes) -> Pixels:
    """(height, width) grey or (height, width, 3) RGB."""
    if len(content) < samples.row_bytes:
        raise ValueError("no row of samples")
    content = content[: samples.size_bytes].ljust(samples.size_bytes, b"\0")
    if samples.predictor >= 10:
        content = _unfiltered(samples, content)
    rows = np.frombuffer(content, np.uint8).reshape(samples.height, samples.row_bytes)
    values = _values(samples, rows).reshape(samples.height, samples.width, samples.components)
    if samples.predictor == 2 and samples.bits == 8:
        values = values.cumsum(axis=1, dtype=np.uint8)
    return _coloured(samples, values)


def _unfiltered(samples: Samples, content: bytes) -> bytes:
    """Rows without PNG predictors, by way of a PNG whose pixels are these bytes."""
    if samples.bits == 16:
        raise ValueError("16-bit samples with a predictor")
    step = max(1, samples.components * samples.bits // 8)
    header = struct.pack(">LLBBBBB", samples.row_bytes // step, samples.height, 8, _CHANNELS[step], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(content, 0)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return image.tobytes()
    except (OSError, SyntaxError) as error:
        raise ValueError("no rows of a predictor") from error


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def _values(samples: Samples, rows: Pixels) -> Pixels:
    """One byte a sample: full range, or, of a palette, as they are."""
    count = samples.width * samples.components
    if samples.bits == 8:
        return rows
    if samples.bits == 16:
        return rows[:, ::2]
    bits = np.unpackbits(rows, axis=1)[:, : count * samples.bits]
    values = np.zeros((samples.height, count), np.uint8)
    for at in range(samples.bits):
        values = (values << 1 | bits[:, at :: samples.bits]).astype(np.uint8, copy=False)
    return values if samples.palette is not None else values * np.uint8(255 // ((1 << samples.bits) - 1))


def _coloured(samples: Samples, values: Pixels) -> Pixels:
    if samples.palette is not None:
        palette = np.zeros((256, 3), np.uint8)
        given = np.frombuffer(samples.palette[: len(samples.palette) // 3 * 3][:768], np.uint8).reshape(-1, 3)
        palette[: len(given)] = given
        return palette[values[:, :, 0]]
    if samples.inverted != samples.ink:
        values = 255 - values
    match samples.components:
        case 3:
            return np.ascontiguousarray(values)
        case 4:
            return _from_cmyk(values if not samples.ink else 255 - values)
        case _:
            return np.ascontiguousarray(values[:, :, 0])


def _from_cmyk(values: Pixels) -> Pixels:
    light = 255 - values
    product = light[:, :, :3].astype(np.uint16) * light[:, :, 3:]
    return ((product + 127) // 255).astype(np.uint8)


def rgb_palette(table: bytes, components: int) -> bytes:
    """A palette of any base as RGB triples."""
    entries = np.frombuffer(table[: len(table) // components * components], np.uint8).reshape(1, -1, components)
    colours = _coloured(Samples(max(1, entries.shape[1]), 1, 8, components), entries)
    if colours.ndim == 2:
        colours = np.repeat(colours[:, :, None], 3, axis=2)
    return colours.tobytes()


@dataclass(frozen=True, slots=True)
class Fax:
    """The parameters of CCITTFaxDecode that a TIFF can tell too."""

    k: int
    columns: int
    rows: int
    black_is_1: bool


def fax_pixels(fax: Fax, content: bytes) -> Pixels:
    """The picture of fax codes, by way of a TIFF around them (TIFF 6.0, section 11)."""
    if not (0 < fax.columns <= MOST_SIDE and 0 < fax.rows <= MOST_SIDE):
        raise ValueError("no picture")
    entries = (
        (256, fax.columns), (257, fax.rows), (258, 1), (259, 4 if fax.k < 0 else 3), (262, int(fax.black_is_1)),
        (273, 8), (277, 1), (278, fax.rows), (279, len(content)), (292, int(fax.k > 0)),
    )  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", tag, 4, 1, v) for tag, v in entries)
    padded = content + bytes(len(content) % 2)
    tiff = b"II*\0" + struct.pack("<L", 8 + len(padded)) + padded + directory + bytes(4)
    try:
        with Image.open(io.BytesIO(tiff), formats=["TIFF"]) as image:
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, RuntimeError, KeyError) as error:
        raise ValueError("no fax codes") from error
