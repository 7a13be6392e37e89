"""The registry of hash types: how a value is written, how two are compared, and which values say nothing.

Owns `parse`, the only way text becomes a value. Knows no list, entry or store.

Rules
- A parsed value has exactly bits // 8 bytes; nothing is trimmed, padded or guessed.
- A type we cannot compare is still known by name, so that a list holding it is counted and not called broken.
- Messages never repeat the value.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hashsets import plugins
from hashsets.errors import ListError, UsageError
from hashsets.plugins import Distances, Plugin

Comparison = Literal["exact", "hamming", "plugin"]


@dataclass(frozen=True, slots=True)
class HashType:
    """How values of one kind are written and compared.

    `bits` is 0 where the length is not fixed or not published. `revision` rises when our way of computing the type
    changes its values. Radius and floor are what a rule that says nothing means.
    """

    name: str
    bits: int
    comparison: Comparison
    revision: int = 1
    has_quality: bool = False
    default_radius_bits: int = 0
    default_quality_floor: int = 0
    matchable: bool = True
    distances: Distances | None = field(default=None, compare=False, repr=False)
    """How a plug-in's values are compared: (n, size) and (m, size) -> (n, m)."""

    @property
    def size_bytes(self) -> int:
        """Bytes of one value."""
        return self.bits // 8

    @property
    def most_radius(self) -> int:
        """The greatest radius that makes sense: 0 for exact types, all bits for Hamming types."""
        return {"exact": 0, "hamming": self.bits, "plugin": plugins.MOST_DISTANCE}[self.comparison]


def _hamming(name: str, bits: int, radius_bits: int, *, floor: int = 0) -> HashType:
    return HashType(
        name, bits, "hamming", has_quality=floor > 0, default_radius_bits=radius_bits, default_quality_floor=floor
    )


def _unmatchable(name: str, bits: int) -> HashType:
    return HashType(name, bits, "plugin", matchable=False)


# PDQ radius 31 and quality 50: Meta's PDQ paper, section "Matching" (distance 31 of 256, quality 50 of 100).
# 8 of 64 for phash and dhash, 4 for ahash and whash: DESIGN.md, "The join, exactly".
_TYPES: dict[str, HashType] = {
    hash_type.name: hash_type
    for hash_type in (
        HashType("md5", 128, "exact"),
        HashType("sha1", 160, "exact"),
        HashType("sha256", 256, "exact"),
        _hamming("pdq", 256, 31, floor=50),
        _hamming("phash", 64, 8),
        _hamming("dhash", 64, 8),
        _hamming("ahash", 64, 4),
        _hamming("whash", 64, 4),
        _unmatchable("sha512", 512),
        _unmatchable("sha384", 384),
        _unmatchable("sha224", 224),
        _unmatchable("sha3_256", 256),
        _unmatchable("sha3_512", 512),
        _unmatchable("blake2b", 512),
        _unmatchable("blake3", 256),
        _unmatchable("tiger", 192),
        _unmatchable("whirlpool", 512),
        _unmatchable("ripemd160", 160),
        _unmatchable("md4", 128),
        _unmatchable("md2", 128),
        _unmatchable("crc32", 32),
        _unmatchable("ed2k", 128),
        _unmatchable("tth", 192),
        _unmatchable("ssdeep", 0),
        _unmatchable("tlsh", 0),
        _unmatchable("photodna", 1152),
        _unmatchable("netclean", 0),
        _unmatchable("videntifier", 0),
        _unmatchable("tmk", 0),
        _unmatchable("tmk_pdqf", 0),
        _unmatchable("vpdq", 0),
        _unmatchable("pdqf", 0),
        _unmatchable("trend_query", 0),
        _unmatchable("raw_text", 0),
        _unmatchable("url", 0),
    )
}


def _plugin(plugin: Plugin) -> HashType:
    return HashType(
        plugin.name, 8 * plugin.size_bytes, "plugin", plugin.revision, False, plugin.threshold,
        distances=plugin.distances,
    )  # fmt: skip


_OWN = frozenset(name for name, known in _TYPES.items() if known.matchable)
PLUGINS = plugins.installed(_OWN)
_TYPES |= {name: _plugin(plugin) for name, plugin in PLUGINS.plugins.items()}

_ALIASES = {
    "hash_md5": "md5",
    "hash_sha1": "sha1",
    "hash_pdq": "pdq",
    "hash_sha256": "sha256",
    "image_md5": "md5",
    "video_md5": "md5",
    "file_md5": "md5",
    "image_sha1": "sha1",
    "video_sha1": "sha1",
    "file_sha1": "sha1",
    "image_sha256": "sha256",
    "video_sha256": "sha256",
    "sha_1": "sha1",
    "sha_256": "sha256",
    "sha2_256": "sha256",
    "sha_512": "sha512",
    "sha_384": "sha384",
    "sha_224": "sha224",
    "sha2_512": "sha512",
    "image_pdq": "pdq",
    "pdq_image": "pdq",
    "pdqhash": "pdq",
    "pdq_hash": "pdq",
    "p_hash": "phash",
    "d_hash": "dhash",
    "a_hash": "ahash",
    "average_hash": "ahash",
    "w_hash": "whash",
    "photo_dna": "photodna",
    "pdna": "photodna",
    "hash_photodna": "photodna",
    "image_photodna": "photodna",
    "tmkpdqf": "tmk_pdqf",
    "hash_tmk": "tmk",
    "video_tmk_pdqf": "tmk_pdqf",
    "video_vpdq": "vpdq",
    "video_pdq": "vpdq",
    "crc_32": "crc32",
    "md_5": "md5",
    "md_4": "md4",
}


def get(name: str) -> HashType:
    """The type of that name or alias, in any case, '-' and ' ' read as '_'. Raises UsageError."""
    known = find(name)
    if known is None:
        raise UsageError(f"no such hash type; known and comparable are {', '.join(names())}")
    return known


def find(name: str) -> HashType | None:
    """Like `get`, with None where the name is unknown."""
    folded = name.strip().lower().replace("-", "_").replace(" ", "_").replace("/", "_")
    return _TYPES.get(_ALIASES.get(folded, folded))


def names(*, matchable: bool = True) -> tuple[str, ...]:
    """The names of the types we compare, or with matchable=False of every type we know."""
    return tuple(name for name, known in _TYPES.items() if known.matchable or not matchable)


def _exact_bits(hash_type: HashType) -> int:
    return hash_type.bits if hash_type.comparison == "exact" else 0


# Exact types by length, so that equal evidence is told by the strongest digest; then Hamming types in registry order.
_RANKED = tuple(sorted(names(), key=lambda name: (_TYPES[name].comparison != "exact", -_exact_bits(_TYPES[name]))))
_RANKS = {name: rank for rank, name in enumerate(_RANKED)}


def rank(name: str) -> int:
    """The place of a matchable type among all: the smaller, the stronger evidence at equal distance."""
    return _RANKS[name]


def by_rank(place: int) -> HashType:
    """The matchable type at that place."""
    return _TYPES[_RANKED[place]]


_HEX = re.compile(r"[0-9A-Fa-f]+")
_BASE64 = re.compile(r"[0-9A-Za-z+/]+={0,2}")


def parse(type_name: str, text: str) -> bytes:
    """The value that `text` writes: hex in any case, or padded base64 in the standard alphabet.

    Raises ListError, without the value, unless all of `text` is exactly one value of the type; UsageError for an
    unknown type. Hex wins where the lengths could be either (they differ for every matchable type).
    """
    hash_type = get(type_name)
    if hash_type.bits == 0:
        raise ListError(f"values of {hash_type.name} cannot be read: its form is not published")
    value = read_value(hash_type, text)
    if value is None:
        digits, letters = hash_type.bits // 4, 4 * -(-hash_type.size_bytes // 3)
        raise ListError(f"not a value of {hash_type.name}: expected {digits} hex digits or {letters} base64 characters")
    return value


def read_value(hash_type: HashType, text: str) -> bytes | None:
    """`parse` for readers that count what is not a value instead of raising; None for types without a fixed length."""
    return _decode(text, hash_type.size_bytes) if hash_type.bits else None


# Lengths of bare hex digests that are well known, though we do not compare them.
_BARE_UNMATCHABLE = {128: "sha512", 96: "sha384", 56: "sha224"}


def unmatchable_type(text: str) -> str | None:
    """The type a bare value is well known to be, where it is one that cannot be compared."""
    return _BARE_UNMATCHABLE.get(len(text)) if _HEX.fullmatch(text) else None


def _decode(text: str, size_bytes: int) -> bytes | None:
    if len(text) == 2 * size_bytes and _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if len(text) == 4 * -(-size_bytes // 3) and _BASE64.fullmatch(text):
        try:
            value = base64.b64decode(text, validate=True)
        except binascii.Error:
            return None
        # Non-zero padding bits would give one value two spellings: refuse, as RFC 4648 section 3.5 allows.
        if len(value) == size_bytes and base64.b64encode(value).decode("ascii") == text:
            return value
    return None


def fitting_types(text: str) -> tuple[str, ...]:
    """The matchable types a bare value could be, in registry order; empty when it is none."""
    sizes: dict[int, bool] = {}
    for hash_type in _TYPES.values():
        if hash_type.matchable and hash_type.size_bytes not in sizes:
            sizes[hash_type.size_bytes] = _decode(text, hash_type.size_bytes) is not None
    return tuple(name for name in names() if sizes[_TYPES[name].size_bytes])


def to_hex(value: bytes) -> str:
    """A value as lower-case hex, the form files and the command use."""
    return value.hex()


# Digests of zero bytes: https://www.rfc-editor.org/rfc/rfc1321 A.5, FIPS 180-4 examples.
_EMPTY_FILE = {
    "md5": bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"),
    "sha1": bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709"),
    "sha256": bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
}


def degenerate_bits(hash_type: HashType) -> tuple[int, int]:
    """Fewest and most set bits a perceptual value may have: an eighth of its bits, and seven eighths."""
    return hash_type.bits // 8, hash_type.bits - hash_type.bits // 8


def is_degenerate(hash_type: HashType, value: bytes) -> bool:
    """Whether the value says nothing: the digest of the empty file, or a perceptual value that is nearly flat."""
    if hash_type.comparison == "exact":
        return value == _EMPTY_FILE[hash_type.name]
    if hash_type.comparison != "hamming":
        return False
    fewest, most = degenerate_bits(hash_type)
    return not fewest <= int.from_bytes(value).bit_count() <= most


# Files that everybody has (one NUL byte, one newline), and what programs write where they have no value.
_PLACEHOLDERS = {
    "md5": ("93b885adfe0da089cdf634904fd59f71", "68b329da9893e34099c7d8ad5cb9c940"),
    "sha1": ("5ba93c9db0cff93f52b521d7420e43f6eda2784f", "adc83b19e793491b1c6ea0fd8b46cd9f32e592fc"),
    "sha256": (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
    ),
}
_PLACEHOLDER_VALUES = {
    name: frozenset(map(bytes.fromhex, texts))
    | {bytes(_TYPES[name].size_bytes), b"\xff" * _TYPES[name].size_bytes, _EMPTY_FILE[name]}
    for name, texts in _PLACEHOLDERS.items()
}


def says_nothing(hash_type: HashType, value: bytes) -> bool:
    """Whether no list should hold the value: degenerate, a file that everybody has, or no digest at all."""
    if hash_type.comparison == "exact":
        return value in _PLACEHOLDER_VALUES[hash_type.name]
    return is_degenerate(hash_type, value)


def saying_nothing(hash_type: HashType, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`says_nothing` of many values, (n, bytes)."""
    if hash_type.comparison == "exact":
        # Digests share eight bytes by chance alone: what begins as a placeholder is looked at whole.
        begins = [value[:8] for value in _PLACEHOLDER_VALUES[hash_type.name]]
        suspects = np.isin(values[:, :8].copy().view(np.uint64)[:, 0], np.frombuffer(b"".join(begins), np.uint64))
        for row in np.flatnonzero(suspects).tolist():
            suspects[row] = says_nothing(hash_type, values[row].tobytes())
        return suspects
    if hash_type.comparison != "hamming":
        return np.zeros(len(values), bool)
    fewest, most = degenerate_bits(hash_type)
    bits = np.bitwise_count(values).sum(axis=1, dtype=np.int64)
    flat: NDArray[np.bool_] = (bits < fewest) | (bits > most)
    return flat


def empty_file_digest(hash_type: HashType) -> bytes:
    """The digest of zero bytes, the one degenerate value of an exact type."""
    return _EMPTY_FILE[hash_type.name]
