"""Codings of HTTP bodies are undone as the bytes come, in bounded steps, and never believed past their end."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.doors.icap_coding import STEP_BYTES, NotInThisCoding, TooMuch, unpacking, zstd

PLAIN = bytes(range(256)) * 3000


def raw_deflate(data: bytes) -> bytes:
    """What some senders call deflate."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": (["gzip"], gzip.compress(PLAIN, mtime=0)),
    "x-gzip of two members": (["x-gzip"], gzip.compress(PLAIN[:5], mtime=0) + gzip.compress(PLAIN[5:], mtime=0)),
    "gzip with padding": (["gzip"], gzip.compress(PLAIN, mtime=0) + bytes(9)),
    "zlib": (["deflate"], zlib.compress(PLAIN)),
    "raw deflate": (["deflate"], raw_deflate(PLAIN)),
    "br": (["br"], brotli.compress(PLAIN)),
    "zstd": (["zstd"], zstd.compress(PLAIN)),
    "zstd of two frames": (["zstd"], zstd.compress(PLAIN[:7]) + zstd.compress(PLAIN[7:])),
    "gzip, then br": (["gzip", "br"], brotli.compress(gzip.compress(PLAIN, mtime=0))),
    "identity": (["identity"], PLAIN),
}


def unpacked(codings: list[str], body: bytes, step: int) -> tuple[bytes, bool]:
    """What a body unpacks to when it comes in steps, and whether it is whole."""
    stream, out = unpacking(codings), []
    assert stream is not None
    for at in range(0, len(body), step):
        for piece in stream.feed(body[at : at + step]):
            assert len(piece) <= max(2 * STEP_BYTES, step)
            out.append(piece)
    return b"".join(out), stream.finished


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("step", [1, 777, 10**9])
def test_a_body_is_the_same_however_it_comes(name: str, step: int) -> None:
    """Byte by byte or at once, of several members, and of codings upon each other."""
    codings, body = CODED[name]

    assert (PLAIN, True) == unpacked(codings, body, step)


@pytest.mark.parametrize("name", [name for name in CODED if name != "identity"])
def test_a_cut_or_prolonged_body_is_not_whole(name: str) -> None:
    """What is missing or too much is seen, or refused."""
    codings, body = CODED[name]
    for changed in (body[: len(body) // 2], body[:-10], body + b"junk that is no member"):
        with contextlib.suppress(NotInThisCoding):
            assert not unpacked(codings, changed, 10**9)[1]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_is_refused_before_it_is_unpacked(coding: str) -> None:
    """Some hundred bytes of which a gigabyte would come; what is unpacked until then is bounded."""
    zeros = bytes(2**20)
    if coding == "gzip":
        once = gzip.compress(zeros * 16, mtime=0) * 40
        codings, body = ["gzip", "gzip"], gzip.compress(once, mtime=0)
    elif coding == "br":
        codings, body = ["br"], brotli.compress(zeros * 256, quality=1)
    else:
        codings, body = ["zstd"], zstd.compress(zeros * 256)
    stream, sizes = unpacking(codings), []
    assert stream is not None
    with pytest.raises(TooMuch):
        sizes.extend(len(piece) for piece in stream.feed(body))

    assert sum(sizes) <= 65 * 2**20 + 1100 * len(body)


def test_unknown_codings_are_not_guessed_at() -> None:
    """Nor too many of them."""
    assert unpacking(["compress"]) is None
    assert unpacking(["gzip"] * 4) is None
    assert unpacking([]) is not None


@settings(max_examples=60)
@given(st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.binary(max_size=200))
def test_whatever_comes_is_taken_or_refused(coding: str, body: bytes) -> None:
    """No other error."""
    stream = unpacking([coding])
    assert stream is not None
    try:
        list(stream.feed(body))
    except NotInThisCoding:
        return
    assert stream.finished in (True, False)
