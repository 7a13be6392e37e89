"""How decoding tests look at a content: bytes in, what was shown and said out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, Picture, decode
from scanner.hashing import pdq
from scanner.types import Looked, MediaKind, Resume


@dataclass
class Look:
    """Everything one decode said."""

    kind: MediaKind = MediaKind.OTHER
    duration_ms: int | None = None
    pictures: list[Picture] = field(default_factory=list)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    marks: list[Resume] = field(default_factory=list)
    members: dict[int, MediaKind] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    looked: Looked | None = None

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        self.kind, self.duration_ms = kind, duration_ms

    def picture(self, picture: Picture) -> None:
        self.pictures.append(picture)
        self.pixels.append(np.array(picture.pixels[:]))

    def member(self, number: int, kind: MediaKind) -> None:
        self.members[number] = kind

    def digest(self, number: int, blocks: Iterable[bytes]) -> None:
        content = b"".join(blocks)
        self.digests[number] = hashlib.sha256(content).digest()

    def mark(self, resume: Resume) -> None:
        self.marks.append(resume)

    def values(self) -> list[bytes]:
        """The PDQ of each picture."""
        return [
            pdq(pixels, limited=each.limited, original=each.original, scale=each.scale)[0].value
            for pixels, each in zip(self.pixels, self.pictures, strict=True)
        ]


def look(content: bytes, options: DecodeOptions | None = None, limits: Limits | None = None) -> Look:
    """Decode `content` as a file without a name."""
    fd = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        os.write(fd, content)
        return look_at(fd, options, limits)
    finally:
        os.close(fd)


def look_at(fd: int, options: DecodeOptions | None = None, limits: Limits | None = None) -> Look:
    """Decode what is open on `fd`."""
    seen = Look()
    seen.looked = decode(MediaFile(fd), options or DecodeOptions(), Budget(limits or Limits()), seen)
    return seen


def look_at_path(path: Path, options: DecodeOptions | None = None) -> Look:
    """Decode the file at `path`."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return look_at(fd, options)
    finally:
        os.close(fd)


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
