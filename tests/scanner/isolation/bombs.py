"""Small files that cost much: each generated here from its description, none kept."""

from __future__ import annotations

import io
import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, *before: bytes, colour: int = 0, data: bytes | None = None) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    body = _chunk(b"IDAT", zeros((width * (4 if colour == 6 else 1) + 1) * height) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + body + _chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """`count` zero bytes, deflated without ever holding them."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(bytes(count & 0xFFFFF)), packer.flush()])


def png_13000() -> bytes:
    """Just under Pillow's own limit: 1.3 GB in a naive decoder."""
    return _png(13_000, 13_000, colour=6)


def png_one_column() -> bytes:
    """One pixel wide, a hundred million high."""
    return _png(1, 100_000_000)


def png_icc() -> bytes:
    """A profile that inflates to 512 MiB."""
    return _png(64, 64, _chunk(b"iCCP", b"p\0\0" + zeros(512 << 20)))


def png_text() -> bytes:
    """400 comments of 900 KiB."""
    return _png(64, 64, *[_chunk(b"zTXt", b"c%d\0\0" % n + zeros(900 << 10)) for n in range(400)])


def gif_many_frames(canvas: int = 4000, frames: int = 100_000) -> bytes:
    """Frames of one pixel on a canvas of sixteen million."""
    head = b"GIF89a" + struct.pack("<HHBBB", canvas, canvas, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x01\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return head + frame * frames + b";"


def apng_many_frames(canvas: int = 4000, frames: int = 20_000) -> bytes:
    """Frames of one pixel on a canvas of sixteen million."""
    dot = zlib.compress(b"\0\0")
    parts = [_chunk(b"acTL", struct.pack(">II", frames, 0))]
    for n in range(1, frames):
        control = struct.pack(">IIIIIHHBB", 2 * n - 1, 1, 1, 0, 0, 1, 25, 0, 1)
        parts += [_chunk(b"fcTL", control), _chunk(b"fdAT", struct.pack(">I", 2 * n) + dot)]
    whole = _png(canvas, canvas)
    first = _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, canvas, canvas, 0, 0, 1, 25, 0, 0))
    ihdr_end, iend = 33, len(whole) - 12
    return whole[:ihdr_end] + parts[0] + first + whole[ihdr_end:iend] + b"".join(parts[1:]) + whole[iend:]


def mp4_many_keyframes(frames: int = 108_000) -> bytes:
    """Two hours at fifteen frames a second, each a keyframe unlike the one before."""
    stream = io.BytesIO()
    scene = np.random.default_rng(1).integers(0, 256, (200, 64), dtype=np.uint8)
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("mjpeg", rate=15)
        video.width, video.height, video.pix_fmt, video.time_base = 64, 64, "yuvj420p", Fraction(1, 15)
        for n in range(frames):
            luma = np.roll(scene, n, axis=0)[:64]
            planes = np.vstack([luma, np.full((32, 64), 128, dtype=np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuvj420p")
            frame.pts = n
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return stream.getvalue()


# Where in its box a number is, and what it is made: the box's tag, the offset behind it, and four bytes.
TABLES = {
    "stts count": (b"stts", 4, 1 << 28),
    "stsz count": (b"stsz", 8, 0x7FFFFFFF),
    "stsc count": (b"stsc", 4, 1 << 28),
    "stco count": (b"stco", 4, 1 << 30),
    "timescale 0": (b"mdhd", 12, 0),
    "timescale 2^32-1": (b"mdhd", 12, 0xFFFFFFFF),
    "duration 2^32-1": (b"mdhd", 16, 0xFFFFFFFF),
}


def mp4_with_tables(name: str) -> bytes:
    """A second of film with one number of its index made absurd."""
    tag, offset, number = TABLES[name]
    content = bytearray(mp4_many_keyframes(15))
    at = content.index(tag) + len(tag) + offset
    content[at : at + 4] = struct.pack(">I", number)
    return bytes(content)


def jpeg_scans(side: int = 4000, scans: int = 3000) -> bytes:
    """A progressive picture whose last scan comes thousands of times."""
    stream = io.BytesIO()
    Image.new("L", (side, side), 128).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * scans + b"\xff\xd9"


def jpeg_65500() -> bytes:
    """A header of 65,500 squared over the pixels of a small picture."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(content)


def webp_34_bytes() -> bytes:
    """A lossless picture of one colour, said to be 16,383 squared: 268 million pixels from a few bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "WEBP", lossless=True)
    content = bytearray(stream.getvalue())
    at = content.index(b"VP8L") + 9
    sizes = int.from_bytes(content[at : at + 4], "little") >> 28 << 28 | 16_382 | 16_382 << 14
    content[at : at + 4] = sizes.to_bytes(4, "little")
    return bytes(content)


def gif_header_only() -> bytes:
    """65,535 squared, one frame."""
    return gif_many_frames(65_535, 1)


def small_png() -> bytes:
    """No bomb at all."""
    return _png(64, 64)


def sparse(path: Path, head: bytes) -> None:
    """A head, then ten gigabytes of nothing."""
    path.write_bytes(head)
    os.truncate(path, 10 << 30)


BOMBS = {
    each.__name__: each
    for each in (
        png_13000, png_one_column, png_icc, png_text, gif_many_frames, apng_many_frames, jpeg_scans, jpeg_65500,
        webp_34_bytes, gif_header_only,
    )
}  # fmt: skip
