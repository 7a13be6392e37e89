"""Bytes or pixels in, hash values out. Knows no file format and never imports decoding."""

from scanner.hashing.digests import ShortRead, digest_fd
from scanner.hashing.frames import FrameFilter
from scanner.hashing.pdq import PdqHash, pdq
from scanner.hashing.phash import PERCEPTUAL_TYPES, perceptual

__all__ = ["PERCEPTUAL_TYPES", "FrameFilter", "PdqHash", "ShortRead", "digest_fd", "pdq", "perceptual"]
