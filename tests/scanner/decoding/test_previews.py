"""Wherever a picture's file keeps another picture, that one is looked at too."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pillow_heif
import pytest

from scanner.decoding.previews import Block
from scanner.decoding.reading import MediaFile
from scanner.types import WHOLE, MediaKind
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.scanner.decoding.test_video import clip


@cache
def hidden() -> bytes:
    return encoded(photograph(160, 120, seed=9), "JPEG", quality=85)


@cache
def wanted() -> bytes:
    return look(hidden()).values()[0]


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    content = encoded(photograph(), "JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def halves(content: bytes) -> tuple[bytes, bytes]:
    return content[: len(content) // 2], content[len(content) // 2 :]


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def thumbnail() -> bytes:
    return resource(1036, struct.pack(">IIIIIIHH", 1, 160, 120, 480, 57600, len(hidden()), 24, 1) + hidden())


def xmp(content: bytes) -> bytes:
    code = base64.encodebytes(content).replace(b"\n", b"&#xA;")
    return (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><xmpGImg:format>JPEG</xmpGImg:format><xmpGImg:image>"
        + code + b"</xmpGImg:image></x:xmpmeta>"
    )  # fmt: skip


def extended(content: bytes) -> Iterator[bytes]:
    at = 0
    for part in halves(xmp(content)):
        head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", len(xmp(content)), at)
        yield segment(0xE1, head + part)
        at += len(part)


def jumbf(content: bytes) -> Iterator[bytes]:
    box = struct.pack(">I4s", 8 + len(content), b"jumb")
    for number, part in enumerate(halves(content), 1):
        yield segment(0xEB, b"JP" + struct.pack(">HI", 1, number) + box + part)


def uncompressed() -> bytes:
    """An EXIF block whose thumbnail is bare pixels."""
    pixels = np.asarray(photograph(160, 120, seed=9).convert("RGB")).tobytes()
    fields = [(256, 3, 1, 160), (257, 3, 1, 120), (258, 3, 3, 110), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 116),
              (277, 3, 1, 3)]  # fmt: skip
    packed = b"".join(struct.pack("<HHII", *field) for field in fields)
    return (
        b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HI", 0, 14) + struct.pack("<H", len(fields)) + packed
        + struct.pack("<I", 0) + bytes(6) + struct.pack("<HHH", 8, 8, 8) + pixels
    )  # fmt: skip


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(kind: bytes, content: bytes) -> bytes:
    whole = encoded(photograph(), "PNG")
    return whole[:33] + chunk(kind, content) + whole[33:]


def profile(content: bytes) -> bytes:
    digits = (b"Exif\0\0II*\0" + content).hex().encode()
    rows = b"\n".join(digits[at : at + 71] for at in range(0, len(digits), 71))
    return b"\nexif\n%8d\n" % (len(content) + 10) + rows + b"\n"


def webp(kind: bytes, content: bytes) -> bytes:
    added = kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    whole = encoded(photograph(), "WEBP") + added
    return b"RIFF" + struct.pack("<I", len(whole) - 8) + whole[8:]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


PLACES: dict[str, Callable[[], bytes]] = {
    "exif": lambda: jpeg(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + bytes(6) + hidden())),
    "exif behind other bytes": lambda: jpeg(segment(0xE1, b"Exif\0\0" + b"\xff\xd8\xff\0" + bytes(60) + hidden())),
    "photoshop": lambda: jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(1005, bytes(16)) + thumbnail())),
    "photoshop in two segments": lambda: jpeg(
        *(segment(0xED, b"Photoshop 3.0\0" + part) for part in halves(thumbnail()))
    ),
    "photoshop of version 4": lambda: jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(1033, bytes(28) + hidden()))),
    "provenance": lambda: jpeg(*jumbf(b"bidb" + hidden())),
    "flashpix": lambda: jpeg(
        *(segment(0xE2, b"FPXR\0\0\2\0\0" + struct.pack(">I", n) + part) for n, part in enumerate(halves(hidden())))
    ),
    "comment": lambda: jpeg(segment(0xFE, hidden())),
    "comment in base64": lambda: jpeg(segment(0xFE, base64.b64encode(hidden()))),
    "a maker's own segment": lambda: jpeg(segment(0xE3, b"Meta\0\0" + hidden())),
    "xmp": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(hidden()))),
    "extended xmp": lambda: jpeg(*extended(hidden())),
    "png exif": lambda: png(b"eXIf", b"II*\0\x08\0\0\0" + bytes(6) + hidden()),
    "png private": lambda: png(b"prVt", hidden()),
    "png provenance": lambda: png(b"caBX", box(b"jumb", b"bidb" + hidden())),
    "png profile in digits": lambda: png(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(hidden()))
    ),
    "png profile in plain digits": lambda: png(b"tEXt", b"Raw profile type APP1\0" + profile(hidden())),
    "png xmp": lambda: png(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(hidden())),
    "png packed xmp": lambda: png(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(hidden()))),
    "webp exif": lambda: webp(b"EXIF", b"II*\0\x08\0\0\0" + bytes(6) + hidden()),
    "webp xmp": lambda: webp(b"XMP ", xmp(hidden())),
    "tiff xmp": lambda: encoded(photograph(), "TIFF") + xmp(hidden()),
    "jpeg 2000 xmp": lambda: encoded(photograph(), "JPEG2000") + box(b"xml ", xmp(hidden())),
    "jpeg 2000 uuid": lambda: encoded(photograph(), "JPEG2000") + box(b"uuid", bytes(16) + hidden()),
    "heic exif": lambda: encoded(photograph(), "HEIF", exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(6) + hidden()),
    "avif exif": lambda: encoded(photograph(), "AVIF", exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(6) + hidden()),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_picture_beside_a_picture_is_seen(name: str) -> None:
    """In whatever block of the file, also where the format cuts the block up."""
    seen = look(PLACES[name]())
    beside = [value for value, each in zip(seen.values(), seen.pictures, strict=True) if each.part]

    assert (MediaKind.IMAGE, WHOLE) == (seen.kind, seen.looked)
    assert wanted() in beside


def test_a_thumbnail_of_bare_pixels_is_seen() -> None:
    """EXIF may hold it as a TIFF of its own, without any signature."""
    seen = look(jpeg(segment(0xE1, uncompressed())))
    pixels = look(encoded(photograph(160, 120, seed=9), "PNG")).values()

    assert pixels == seen.values()[1:]


def test_a_picture_with_its_own_profiles_shows_one() -> None:
    """Blocks without pictures are no parts: colour profiles, comments, EXIF, provenance without previews."""
    content = jpeg(
        segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + bytes(6)), segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(3000)),
        segment(0xFE, b"Created with pleasure."), *jumbf(b"c2pa" * 900), segment(0xED, b"Photoshop 3.0\0" + bytes(99)),
    )  # fmt: skip

    assert 1 == len(look(content).pictures)


class _InMemory(MediaFile):
    def __init__(self, content: bytes) -> None:
        super().__init__(-1, len(content))
        self._content = content

    def at(self, offset: int, count: int) -> bytes:
        return self._content[offset : offset + count]


def test_a_block_reads_like_its_pieces_joined() -> None:
    """Any stretch of it, and where it lies in the file."""
    content = bytes(range(200))
    stretches = [(10, 5), (100, 1), (50, 30)]
    joined = b"".join(content[at : at + size] for at, size in stretches)
    block = Block(_InMemory(content), stretches)

    assert len(joined) == block.size_bytes
    for at in range(len(joined)):
        assert joined[at] == content[block.place(at)]
        for count in (1, 3, 40):
            assert joined[at : at + count] == block.at(at, count)


def heic(**options: object) -> bytes:
    pictures = pillow_heif.HeifFile()
    for seed in (1, 2, 3):
        pictures.add_from_pillow(photograph(256, 192, seed=seed))
    pictures[0].info["thumbnails"] = [128]
    stream = io.BytesIO()
    pictures.save(stream, **options)
    return stream.getvalue()


def plain(seed: int) -> bytes:
    return look(encoded(photograph(256, 192, seed=seed), "PNG")).values()[0]


@pytest.mark.parametrize("primary", [0, 1])
def test_every_picture_of_a_heic_collection(primary: int) -> None:
    """Whichever comes first; the thumbnail too, beside them."""
    seen = look(heic(primary_index=primary))

    aside = [value for value, each in zip(seen.values(), seen.pictures, strict=True) if each.aside]
    whole = [value for value, each in zip(seen.values(), seen.pictures, strict=True) if not each.aside]

    assert WHOLE == seen.looked
    assert distance(plain(primary + 1), whole[0]) <= 8
    assert (3, 1) == (len(whole), len(aside))
    assert all(min(distance(plain(seed), value) for value in whole) <= 8 for seed in (1, 2, 3))
    assert distance(plain(1), aside[0]) <= 31


def avif_collection() -> bytes:
    """Three pictures in one file, as avifenc and libheif write collections."""
    properties, contents = [], []
    for seed in (1, 2, 3):
        one = encoded(photograph(256, 192, seed=seed), "AVIF")
        properties.append([one[one.index(kind) - 4 :][: struct.unpack(">I", one[one.index(kind) - 4 :][:4])[0]]
                           for kind in (b"ispe", b"pixi", b"av1C")])  # fmt: skip
        contents.append(one[one.index(b"mdat") + 4 :])
    begin = box(b"ftyp", b"avif\0\0\0\0avifmif1miafMA1B")
    entries = b"".join(box(b"infe", struct.pack(">BxxxHH4sx", 2, n, 0, b"av01")) for n in (1, 2, 3))
    ties = b"".join(struct.pack(">HBBB", n, 3, *range(3 * n - 2, 3 * n)) + bytes([0x80 | 3 * n]) for n in (1, 2, 3))

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, content in enumerate(contents, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(content))
            at += len(content)
        return box(b"meta", bytes(4)
                   + box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + box(b"pitm", struct.pack(">IH", 0, 1))
                   + box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 3) + places)
                   + box(b"iinf", struct.pack(">IH", 0, 3) + entries)
                   + box(b"iprp", box(b"ipco", b"".join(b"".join(each) for each in properties))
                         + box(b"ipma", struct.pack(">II", 0, 3) + ties)))  # fmt: skip

    return begin + meta(len(begin) + len(meta(0)) + 8) + box(b"mdat", b"".join(contents))


def test_every_picture_of_an_avif_collection() -> None:
    """Its decoder shows the first alone; the others are looked at all the same."""
    seen = look(avif_collection())

    assert WHOLE == seen.looked
    assert all(min(distance(plain(seed), value) for value in seen.values()) <= 16 for seed in (1, 2, 3))


@pytest.mark.parametrize("brand", [b"hevc", b"msf1"])
def test_every_keyframe_of_a_heic_sequence(brand: bytes) -> None:
    """A sequence of HEVC pictures under a brand of stills is a film."""
    film = clip(30, codec="libx265", gop=1)
    seen = look(film[:8] + brand + film[12:])

    assert WHOLE == seen.looked
    assert 30 <= len([each for each in seen.pictures if each.frame is not None])
