"""Every codec used once on pictures made here: workers then need no import and no library load, and are known to see.

Rules
- A sample that does not come out as it went in is named: such an installation would call everything undecodable.
- Only what can be written here is tried by its pixels; of other codecs it is asked whether they are there.
- What is imported is in every worker, and paid for at every fork: no more than a decoder may ask for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import av
import av.codec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashsets.types import Signal
from scanner.decoding.budget import Budget
from scanner.decoding.second_opinions import codec_pixels, opencv_pixels
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file
from scanner.hashing import pdq
from scanner.types import WHOLE, Looked, MediaKind, Resume

STILLS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "HEIF")
ANIMATIONS = {"animated GIF": "GIF", "animated PNG": "PNG", "animated WebP": "WEBP"}
# Decoders that every build of FFmpeg for PyAV has; what else it has is asked of nobody.
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "theora", "h263", "wmv2", "flv")
_FRAMES = 3
_MOST_BITS = 31  # as far as two values of one picture lie apart for a match; lossy codecs move 0 to 9
# Of the text in a file's metadata. The others are 100 modules and seven libraries.
_ENCODINGS = ("ascii", "latin_1", "utf_8", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252", "mac_roman")
_NEVER_ASKED_FOR = frozenset({"__main__", "datasets"})  # by a decoder: the second fetches films from the network


class _Seen:
    """Remembers what is told of one sample."""

    def __init__(self) -> None:
        self.kind: MediaKind | None = None
        self.values: list[bytes] = []

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Remember the kind."""
        self.kind = kind

    def member(self, number: int, kind: MediaKind) -> None:
        """Ignore."""

    def signal(self, signal: Signal) -> None:
        """Remember a PDQ value of the stored orientation."""
        if signal.hash_type == "pdq" and signal.orientation == "stored":
            self.values.append(signal.value)

    def mark(self, resume: Resume) -> None:
        """Ignore."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """A content made here, and what must be seen in it."""

    name: str
    content: bytes
    kind: MediaKind
    frames: list[NDArray[np.uint8]]


def warm(options: Options) -> tuple[str, ...]:
    """Fingerprint a small picture of each format, whole and cut short, animations and a video.

    Returns the names of what did not come out as it went in: with any, no file may be looked at.
    """
    _import_all(av)
    for name in (*(f"encodings.{each}" for each in _ENCODINGS), "PIL.ImageFilter", "colorsys", "copy"):
        importlib.import_module(name)
    missing = [f"{name} (no reader)" for name in STILLS if name not in Image.OPEN]
    missing += [f"{name} (no decoder)" for name in CODECS if not _has_decoder(name)]
    wrong = [sample.name for sample in _samples() if not _is_seen(sample, options)]
    wrong += [name for name, right in _second_opinions() if not right]
    return (*missing, *wrong)


def _import_all(package: ModuleType) -> None:
    """Every module of a library that imports parts of itself on first use: a confined worker can open no file."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] in _NEVER_ASKED_FOR:
            continue
        with contextlib.suppress(ImportError):  # of other platforms
            importlib.import_module(module.name)
        if module.ispkg and module.name in sys.modules:
            _import_all(sys.modules[module.name])


def _has_decoder(name: str) -> bool:
    try:
        av.codec.Codec(name, "r")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def scene(number: int = 0) -> NDArray[np.uint8]:
    """Patches of grey and a little colour (96, 128, 3), others for another number: strong in every frequency."""
    drawn = hashlib.shake_128(bytes([number])).digest(12 * 16)  # NumPy's random is nine libraries for every worker
    patches = np.frombuffer(drawn, dtype=np.uint8).reshape(12, 16) % 176 + 40
    grey = np.kron(patches, np.ones((8, 8), dtype=np.uint8))
    return np.stack([grey, grey - 10, grey + 30], axis=2)


def _samples() -> Iterator[_Sample]:
    """What this installation can write. An encoder that was left out of it is no reason not to start."""
    frames = [scene(number) for number in range(_FRAMES)]
    first, *later = [Image.fromarray(frame) for frame in frames]
    for name in STILLS:
        if encoded := _saved(first, name, []):
            yield _Sample(name, encoded, MediaKind.IMAGE, frames[:1])
    for name, written_as in ANIMATIONS.items():
        if encoded := _saved(first, written_as, later):
            yield _Sample(name, encoded, MediaKind.ANIMATION, frames)
    yield _Sample("video", film(frames), MediaKind.VIDEO, frames)


def _saved(first: Image.Image, written_as: str, later: list[Image.Image]) -> bytes:
    """The picture, or an animation where others follow it; nothing where there is no encoder."""
    stream = io.BytesIO()
    try:
        if later:
            first.save(stream, written_as, save_all=True, append_images=later)
        else:
            first.save(stream, written_as)
    except (OSError, KeyError):
        return b""
    return stream.getvalue()


def animation(frames: list[NDArray[np.uint8]]) -> bytes:
    """A GIF of these frames."""
    first, *later = [Image.fromarray(frame) for frame in frames]
    return _saved(first, "GIF", later)


def film(frames: list[NDArray[np.uint8]]) -> bytes:
    """A video of these frames, keyframes only, in the one codec that every build writes."""
    encoded = io.BytesIO()
    with av.open(encoded, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return encoded.getvalue()


def _is_seen(sample: _Sample, options: Options) -> bool:
    """Whether the sample is looked at whole, as what it is, and frame by frame as it was made; and, cut, not whole."""
    looked, seen = _look(sample.content, options)
    _look(sample.content[: len(sample.content) // 2], options)
    expected = [pdq(frame)[0].value for frame in sample.frames]
    return (
        looked == WHOLE
        and seen.kind is sample.kind
        and len(seen.values) >= len(expected)
        and all(_alike(*pair) for pair in zip(seen.values, expected, strict=False))
    )


def _look(content: bytes, options: Options) -> tuple[Looked, _Seen]:
    seen = _Seen()
    with _file(content) as file:
        return fingerprint_file(file, options, Limits(), seen), seen


def _second_opinions() -> Iterator[tuple[str, bool]]:
    """Whether the readers of damaged stills read a whole one."""
    picture = scene()
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    for name, opinion in (("OpenCV", opencv_pixels), ("FFmpeg's still decoders", codec_pixels)):
        with _file(stream.getvalue()) as file:
            shown = opinion(file, "png", Budget(Limits()))
        yield name, len(shown) == 1 and _alike(pdq(shown[0])[0].value, pdq(picture)[0].value)


def _alike(one: bytes, other: bytes) -> bool:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count() <= _MOST_BITS


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[MediaFile]:
    fd = os.memfd_create("warm", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        yield MediaFile(fd)
    finally:
        os.close(fd)
