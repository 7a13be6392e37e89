"""What tells that not all of a content came, by its own bytes: every format cut at many places, and whole."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from scanner.doors.cuts import LARGE_BYTES, is_cut
from scanner.selftest import picture


@dataclass(frozen=True)
class Bytes:
    """A content in memory."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def at(self, offset: int, count: int) -> bytes:
        return self.content[offset : offset + count]


def saved(kind: str, **how: object) -> bytes:
    """A made picture in a format."""
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, kind, **how)  # type: ignore[arg-type]
    return out.getvalue()


def thumbnailed() -> bytes:
    """A JPEG with another, whole one in its EXIF."""
    inner = saved("JPEG", quality=30)[:60_000]
    return saved("JPEG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0" + inner[:40_000])


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


MP4 = box(b"ftyp", b"isom\0\0\0\0isom") + box(b"moov", bytes(500)) + box(b"mdat", bytes(9000))
MKV = b"\x1a\x45\xdf\xa3\x84\x42\x82\x81m" + b"\x18\x53\x80\x67" + b"\x01\0\0\0\0\0\x10\0" + bytes(4096)
WHOLE = {
    "jpeg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "thumbnail": thumbnailed(),
    "png": saved("PNG"),
    "gif": saved("GIF"),
    "webp": saved("WEBP"),
    "avif": saved("AVIF"),
    "mp4": MP4,
    "mp4, index behind": box(b"ftyp", b"isom\0\0\0\0isom") + box(b"mdat", bytes(9000)) + box(b"moov", bytes(500)),
    "matroska": MKV,
}


@pytest.mark.parametrize("name", list(WHOLE))
def test_a_whole_content_is_not_cut_and_any_part_of_it_is(name: str) -> None:
    """Every cut that leaves the beginning is seen, to the last byte; what follows the end does not matter."""
    content = WHOLE[name]
    ends = sorted({len(content) - 1, len(content) // 2, len(content) * 9 // 10, len(content) // 3, 64})

    assert not is_cut(Bytes(content))
    assert [] == [end for end in ends if not is_cut(Bytes(content[:end]))]
    if name not in ("matroska", "mp4", "mp4, index behind", "avif"):
        assert not is_cut(Bytes(content + b"trailing"))


def test_a_film_without_its_index_is_cut() -> None:
    """What precedes the index of an MP4, to the boundary of a box."""
    content = WHOLE["mp4, index behind"]

    assert is_cut(Bytes(content[: len(content) - 508]))


def test_a_large_stream_that_begins_with_nothing_known_is_a_middle_piece() -> None:
    """Small ones, and texts of any length, may be anything."""
    noise = np.random.default_rng(1).integers(0, 256, LARGE_BYTES, dtype=np.uint8).tobytes()

    assert is_cut(Bytes(noise))
    assert not is_cut(Bytes(noise), begins=True)
    assert not is_cut(Bytes(noise[:-1]))
    assert not is_cut(Bytes(b"a line of text\n" * 100_000))


@pytest.mark.parametrize(
    "head", [b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypisom"]
)
def test_rubbish_behind_a_beginning_ends(head: bytes) -> None:
    """Whatever follows, there is an answer."""
    for seed in range(20):
        rubbish = np.random.default_rng(seed).integers(0, 256, 3000, dtype=np.uint8).tobytes()
        assert is_cut(Bytes(head + rubbish)) in (True, False)
        assert is_cut(Bytes(head + bytes([seed]) * 3000)) in (True, False)
