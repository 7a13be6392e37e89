"""What a picture's file holds beside its pixels, block by block: where copies of it, and other pictures, are kept.

File managers, editors and viewers of provenance show the previews in EXIF, Photoshop's resources (APP13), FlashPix
(APP2), JUMBF boxes as of C2PA (APP11, `caBX`), XMP, comments, and the chunks of PNG and WebP. Reads bytes only.

Rules
- A block that a format cuts into segments is put together again, without the headers in between.
- Blocks in which nothing can be that is looked for are passed over: most files have no others.
"""

from __future__ import annotations

import binascii
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

from scanner.decoding import extents
from scanner.decoding.heif_items import heif_items
from scanner.decoding.reading import Headed, Made, MediaFile, Virtual

_MOST_CHUNKS = 10_000
_MOST_UNPACKED_BYTES = 16 * 1024 * 1024
_MOST_XMP_BYTES = 4 * 1024 * 1024
_GLANCED_BYTES = 128 * 1024  # blocks that are longer are searched without a glance
# One of these is in every picture that is known by its signature, plain, in base64 or in digits.
_SIGNS = (b"\xff\xd8\xff", b"PNG\r\n", b"GIF8", b"WEBP", b"ftyp", b"9j/", b"9j\\/", b"iVBOR", b"R0lGOD", b"UklGR",
          b"ffd8ff", b"FFD8FF", b"89504e47", b"89504E47")  # fmt: skip
# The headers of a JPEG's segments that go on in others (CIPA DC-008; XMP 3, 1.1.3; ISO 19566-5, 4; FlashPix).
_HEADERS = (
    (0xE1, b"Exif\0", 6),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", 29),
    (0xE1, b"http://ns.adobe.com/xmp/extension/\0", 75),
    (0xE2, b"FPXR\0", 13),
    (0xEB, b"JP", 8),
    (0xED, b"Photoshop 3.0\0", 14),
)
_JUMBF_AGAIN = 8  # the box header that each later segment repeats
_PIXELS_OF_PNG = frozenset({b"IHDR", b"IDAT", b"fdAT", b"fcTL", b"PLTE", b"IEND", b"tRNS", b"acTL"})
_PIXELS_OF_WEBP = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH"})
_BOXES = frozenset({b"Exif", b"xml ", b"uuid", b"jumb"})
_XMP_PREVIEW = b"GImg:image"
_TIFFS = (b"II*\0", b"MM\0*")
_STRIPS, _MOST_FIELDS = 273, 100  # of TIFF 6.0


class Block(Virtual):
    """Stretches of another file, (offset, bytes) each, as one."""

    def __init__(self, outer: MediaFile, stretches: list[tuple[int, int]]) -> None:
        self._offsets = [offset for offset, _ in stretches]
        self._starts = [0, *accumulate(size for _, size in stretches)]
        super().__init__(outer, self._starts[-1])

    def place(self, at: int) -> int:
        """Where in the other file the byte `at` of this one lies."""
        number = min(bisect_right(self._starts, at), len(self._offsets)) - 1
        return self._offsets[number] + at - self._starts[number]

    def _bytes_at(self, offset: int, count: int) -> bytes:
        pieces = []
        while count > 0 and offset < self._starts[-1]:
            left = self._starts[bisect_right(self._starts, offset)] - offset
            piece = self._outer.at(self.place(offset), min(count, left))
            pieces.append(piece)
            if len(piece) < min(count, left):
                break
            offset, count = offset + len(piece), count - len(piece)
        return b"".join(pieces)


class _Unpacked(Made):
    """Bytes in memory, which lie packed at `offset` of a file."""

    def __init__(self, content: bytes) -> None:
        super().__init__(len(content))
        self._content = content

    def _bytes_at(self, offset: int, count: int) -> bytes:
        return self._content[offset : offset + count]


def blocks_beside(file: MediaFile, name: str) -> Iterator[tuple[int, MediaFile]]:
    """Each block of a picture of the sniffed format `name` in which something may be, with where it lies."""
    for offset, block in _blocks(file, name):
        glance = block.at(0, _GLANCED_BYTES)
        bare = _bare_thumbnail(block, glance) if glance[:4] in _TIFFS else None
        if bare is not None:
            yield offset, bare
        if block.size_bytes > _GLANCED_BYTES or any(sign in glance for sign in _SIGNS):
            yield offset, block


class BareThumbnail(Headed):
    """The second directory of an EXIF block, whose picture is no file of its own, as a TIFF of one picture."""


def _bare_thumbnail(block: MediaFile, head: bytes) -> BareThumbnail | None:
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    first = int.from_bytes(head[4:8], order)
    behind = first + 2 + 12 * int.from_bytes(head[first : first + 2], order)
    second = head[behind : behind + 4]
    at = int.from_bytes(second, order)
    fields = head[at : at + 2 + 12 * _MOST_FIELDS] if at else b""
    count = int.from_bytes(fields[:2], order)
    tags = {int.from_bytes(fields[place : place + 2], order) for place in range(2, 2 + 12 * count, 12)[:_MOST_FIELDS]}
    return BareThumbnail(head[:4] + second, block.within(8)) if _STRIPS in tags else None


def _blocks(file: MediaFile, name: str) -> Iterator[tuple[int, MediaFile]]:
    match name:
        case "jpeg":
            yield from _of_jpeg(file)
        case "png":
            yield from _of_png(file)
        case "webp":
            yield from _of_webp(file)
        case "heif" | "avif":
            for item in heif_items(file).others:
                yield item.stretches[0][0], Block(file, list(item.stretches))
        case "jpeg2000" | "jxl":
            for kind, offset, end in extents.boxes(file):
                if kind in _BOXES and end > offset + 8:
                    yield offset, file.within(offset + 8, end - offset - 8)
        case "tiff" | "psd" | "gif" | "eps":
            at = extents.find(file, _XMP_PREVIEW, 0)
            if at is not None:
                yield at, file.within(at, _MOST_XMP_BYTES)


def _of_jpeg(file: MediaFile) -> Iterator[tuple[int, MediaFile]]:
    """Segments of one kind together, others each by itself."""
    together: dict[bytes, list[tuple[int, int]]] = {}
    for marker, offset, size in extents.segments(file):
        head = file.at(offset, 35)
        known = next(
            ((name, skipped) for kind, name, skipped in _HEADERS if kind == marker and head.startswith(name)), None
        )
        if known is None:
            yield offset, file.within(offset, size)
            continue
        name, skipped = known
        before = together.setdefault(name + head[2:4] if name == b"JP" else name, [])
        skipped += _JUMBF_AGAIN if name == b"JP" and before else 0
        if size > skipped:
            before.append((offset + skipped, size - skipped))
    for stretches in together.values():
        if stretches:
            yield stretches[0][0], Block(file, stretches)


def _of_png(file: MediaFile) -> Iterator[tuple[int, MediaFile]]:
    offset = 8
    for _ in range(_MOST_CHUNKS):
        header = file.at(offset, 8)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8 or kind == b"IEND":
            return
        if kind not in _PIXELS_OF_PNG:
            chunk = file.within(offset + 8, size)
            yield offset, _text_of_png(kind, chunk) or chunk
        offset += 12 + size


def _text_of_png(kind: bytes, chunk: MediaFile) -> MediaFile | None:
    """What a text chunk says, unpacked, and a profile that ImageMagick wrote in digits as the bytes that it was."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or chunk.size_bytes > _MOST_UNPACKED_BYTES:
        return None
    word, _, rest = chunk.at(0, chunk.size_bytes).partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    try:
        text = zlib.decompressobj().decompress(rest, _MOST_UNPACKED_BYTES) if packed else rest
        if word.startswith(b"Raw profile type"):
            text = binascii.unhexlify(b"".join(text.split()[2:]))
    except (zlib.error, ValueError):
        return None
    return _Unpacked(text)


def _of_webp(file: MediaFile) -> Iterator[tuple[int, MediaFile]]:
    offset = 12
    for _ in range(_MOST_CHUNKS):
        header = file.at(offset, 8)
        if len(header) < 8:
            return
        size = int.from_bytes(header[4:], "little")
        if header[:4] not in _PIXELS_OF_WEBP:
            yield offset, file.within(offset + 8, size)
        offset += 8 + size + size % 2
