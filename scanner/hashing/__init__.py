"""Bytes or pixels in, hash values out. Knows no file format and never imports decoding."""

from scanner.hashing.digests import ShortRead, digest_fd
from scanner.hashing.edits import trimmed, uncropped
from scanner.hashing.frames import FrameFilter
from scanner.hashing.kernel import kernel_name
from scanner.hashing.pdq import pdq
from scanner.hashing.phash import PERCEPTUAL_TYPES, perceptual
from scanner.hashing.readings import PdqHash, Reading, Window

__all__ = [
    "PERCEPTUAL_TYPES",
    "FrameFilter",
    "PdqHash",
    "Reading",
    "ShortRead",
    "Window",
    "digest_fd",
    "kernel_name",
    "pdq",
    "perceptual",
    "trimmed",
    "uncropped",
]
