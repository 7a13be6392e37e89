"""Pictures, clips and the containers that hold them, all made here."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from functools import cache

import av
import numpy as np
from PIL import Image


@cache
def pixels(number: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A picture of soft shapes, another one for each number."""
    draw = np.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC))


@cache
def picture(number: int, form: str = "JPEG") -> bytes:
    """The picture as a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels(number)).save(stream, form)
    return stream.getvalue()


@cache
def film(frames: int = 12) -> bytes:
    """A short film whose index stands at its end, another one for each length."""
    stream = io.BytesIO()
    scene = np.random.default_rng(frames).integers(0, 256, (30, 60 + frames, 3), dtype=np.uint8)
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt, video.gop_size = 160, 120, "yuv420p", 10
        for number in range(frames):
            shown = Image.fromarray(scene[:, number : number + 40]).resize((160, 120), Image.Resampling.BICUBIC)
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.asarray(shown), format="rgb24")))
        container.mux(video.encode(None))
    return stream.getvalue()


TEXT = b"minutes of the meeting\n" * 50


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"CANARYNAME-{number}", member)
    return stream.getvalue()


def tarred(*members: bytes, form: int = tarfile.PAX_FORMAT, packed: str = "") -> bytes:
    """A tar archive, as it is or packed by `gz`, `bz2` or `xz`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{packed}", format=form) as archive:  # type: ignore[call-overload]
        for number, member in enumerate(members):
            entry = tarfile.TarInfo(f"CANARYNAME-{number}-" + "long" * 40)
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return stream.getvalue()


def noise(count: int, seed: int = 1) -> bytes:
    """Bytes that no packer makes smaller."""
    return random.Random(seed).randbytes(count)


def pdf(*streams: tuple[bytes, bytes], others: bytes = b"", encrypted: bool = False) -> bytes:
    """A document of these streams: (what its dictionary holds beside the length, its bytes). Objects from 10 on."""
    body = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\n" + others
    for number, (dictionary, content) in enumerate(streams, 10):
        body += b"%d 0 obj\n<<%b/Length %d>>\nstream\n%b\nendstream\nendobj\n" % (
            number, dictionary, len(content), content,
        )  # fmt: skip
    return body + b"trailer\n<</Root 1 0 R%b>>\nstartxref\n0\n%%%%EOF\n" % (b"/Encrypt 9 0 R" if encrypted else b"")
