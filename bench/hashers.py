"""Who makes fingerprints: ours, in this process or through the sandboxed worker, and the peers.

Rules
- One interface: a path in, a hash out. Ours gives md5, sha1 and sha256 beside PDQ; the peers give one perceptual hash.
- One thread each. A peer that is not installed is named as such, never skipped in silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pillow_heif

from bench.engines import EngineMissing, library
from scanner.fingerprint import Limits, Options
from scanner.hashing import digest_fd
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.types import Fingerprinter

LIMITS = Limits(image_s=600, decode_bytes=1 << 30, memory_bytes=4 << 30)


class Hasher(Protocol):
    """One way from a path to a perceptual hash."""

    name: str

    def hash(self, path: Path) -> bytes:
        """The hash, as bytes."""
        ...

    def close(self) -> None:
        """Give processes back."""
        ...


class Ours:
    """hashward: three digests and PDQ, as `hashward hash` makes them of a file."""

    def __init__(self, through: str = "process", options: Options | None = None) -> None:
        self.name = f"hashward ({through})"
        self._pool = WorkerPool(1, LIMITS, options, allow_unsandboxed=True) if through == "worker" else None
        self._fingerprinter: Fingerprinter = self._pool or InProcess(options, LIMITS)

    def hash(self, path: Path) -> bytes:
        """See Hasher."""
        fd = os.open(path, os.O_RDONLY)
        try:
            digest_fd(fd)
            return self._fingerprinter.fingerprint(fd).signals[0].value
        finally:
            os.close(fd)

    def close(self) -> None:
        """See Hasher."""
        if self._pool is not None:
            self._pool.close()


class _Peer:
    name = ""

    def close(self) -> None:
        """See Hasher."""


class ThreatExchange(_Peer):
    """python-threatexchange's PdqSignal, by pdqhash on Pillow's decode."""

    name = "threatexchange"

    def __init__(self) -> None:
        pillow_heif.register_heif_opener(thumbnails=False)
        self._hash = library("threatexchange.signal_type.pdq.pdq_hasher").pdq_from_file

    def hash(self, path: Path) -> bytes:
        """See Hasher."""
        return bytes.fromhex(self._hash(path)[0])


class Perception(_Peer):
    """perception's PHash, by OpenCV's decode."""

    name = "perception-phash"

    def __init__(self) -> None:
        self._hasher: Any = library("perception.hashers").PHash()

    def hash(self, path: Path) -> bytes:
        """See Hasher."""
        return bytes(self._hasher.compute(os.fspath(path), hash_format="vector"))


class ImageHash(_Peer):
    """imagehash's phash, by Pillow's decode and scipy's DCT."""

    name = "imagehash-phash"

    def __init__(self) -> None:
        pillow_heif.register_heif_opener(thumbnails=False)
        self._phash = library("imagehash").phash
        self._open = library("PIL.Image").open

    def hash(self, path: Path) -> bytes:
        """See Hasher."""
        with self._open(path) as image:
            return bytes.fromhex(str(self._phash(image)))


PEERS: dict[str, Callable[[], Hasher]] = {each.name: each for each in (ThreatExchange, Perception, ImageHash)}


def peer(name: str) -> Hasher:
    """The peer of that name. Raises EngineMissing where it is not installed or unknown."""
    if name not in PEERS:
        raise EngineMissing(f"there is no peer named {name}")
    return PEERS[name]()
