"""Every codec used once on pictures made here, so that workers need no import and no library load afterwards."""

from __future__ import annotations

import contextlib
import encodings
import importlib
import io
import os
import pkgutil
import sys
from types import ModuleType

import av
import numpy as np
import PIL
from PIL import Image

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file
from scanner.types import MediaKind, Resume

_STILLS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "HEIF")


_FRONT_ENDS = frozenset(
    {"__main__", "report", "ImageTk", "_imagingtk", "_tkinter_finder", "ImageQt", "ImageShow", "ImageGrab"}
)


class _Nobody:
    """Takes answers and forgets them."""

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Ignore."""

    def member(self, number: int, kind: MediaKind) -> None:
        """Ignore."""

    def signal(self, signal: Signal) -> None:
        """Ignore."""

    def mark(self, resume: Resume) -> None:
        """Ignore."""


def warm(options: Options) -> None:
    """Fingerprint one small picture of each format, whole and cut short, and one small video."""
    for package in (av, encodings, PIL):
        _import_all(package)
    picture = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    for name in _STILLS:
        encoded = io.BytesIO()
        # An encoder left out of this build is no reason not to start: its decoder is then loaded on first use.
        with contextlib.suppress(OSError, KeyError):
            picture.save(encoded, name)
            _fingerprint(encoded.getvalue(), options)
            _fingerprint(encoded.getvalue()[: len(encoded.getvalue()) // 2], options)
    _fingerprint(_video(), options)


def _import_all(package: ModuleType) -> None:
    """Every module of a library that imports parts of itself on first use: a confined worker can open no file."""
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] in _FRONT_ENDS:
            continue
        with contextlib.suppress(ImportError):  # of other platforms
            importlib.import_module(module.name)
        if module.ispkg and module.name in sys.modules:
            _import_all(sys.modules[module.name])


def _fingerprint(content: bytes, options: Options) -> None:
    fd = os.memfd_create("warm", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        fingerprint_file(MediaFile(fd), options, Limits(), _Nobody())
    finally:
        os.close(fd)


def _video() -> bytes:
    encoded = io.BytesIO()
    with av.open(encoded, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), dtype=np.uint8), format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return encoded.getvalue()
