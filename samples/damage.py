"""Ways in which a good file becomes one that cannot be looked at whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator

PNG_SIGNATURE_BYTES = 8
PNG_CHUNK_OVERHEAD = 12  # length, type, checksum: PNG specification, 5.3


def cut(content: bytes, percent: int) -> bytes:
    """The first `percent` of the bytes, as an upload that broke off leaves them."""
    return content[: len(content) * percent // 100]


def with_broken_pixels(png: bytes) -> bytes:
    """A PNG whose first data chunk keeps its place and length but holds ones: no checksum and no stream is right."""
    for start, length, kind in _png_chunks(png):
        if kind == b"IDAT":
            body = start + 8
            return png[:body] + b"\xff" * length + png[body + length :]
    raise ValueError("a PNG without a data chunk")


def _png_chunks(png: bytes) -> Iterator[tuple[int, int, bytes]]:
    start = PNG_SIGNATURE_BYTES
    while start < len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        yield start, length, kind
        start += length + PNG_CHUNK_OVERHEAD


def without_box(mp4: bytes, unwanted: bytes) -> bytes:
    """An MP4 without one of its top-level boxes (ISO/IEC 14496-12, 4.2)."""
    kept = []
    start = 0
    while start < len(mp4):
        length, kind = struct.unpack_from(">I4s", mp4, start)
        if kind != unwanted:
            kept.append(mp4[start : start + length])
        start += length
    return b"".join(kept)
