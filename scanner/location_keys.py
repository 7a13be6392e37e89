"""What a sealed ledger says in place of a location: digests to know it again, and a box to open it by.

Bytes in, bytes out; touches no file and no database.

Rules
- A digest is keyed BLAKE2b (RFC 7693) over the digest of the folder above and the name in it. Without the key nobody
  can try out names; with it, nobody can read one.
- A box is HPKE (RFC 9180, base mode: X25519, HKDF-SHA256, ChaCha20-Poly1305): whoever seals cannot open.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16  # of places: 10^9 of them meet by chance once in 10^20 homes

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO: Final = b"hashward location 1"
_HEAD: Final = struct.Struct(">qI")  # origin, bytes of the key
_PADDED_TO: Final = 32  # so that a box tells little of how long a name is


@dataclass(frozen=True, slots=True)
class WalkKey:
    """What digests are keyed by: to know a place again, not to read one."""

    secret: bytes

    def origin(self, number: int) -> bytes:
        """The digest of a root's own folder."""
        return self._keyed(b"root", number.to_bytes(8, "big", signed=True))

    def below(self, above: bytes, name: bytes) -> bytes:
        """The digest of a name in a folder."""
        return self._keyed(b"name", above + name)  # `above` has one length, so that no two pairs read the same

    def id(self) -> bytes:
        """What tells keys apart, and says nothing of them."""
        return self._keyed(b"id", b"")

    def _keyed(self, purpose: bytes, said: bytes) -> bytes:
        return hashlib.blake2b(said, digest_size=DIGEST_BYTES, key=self.secret, person=purpose).digest()


@dataclass(frozen=True, slots=True)
class LocationKeys:
    """What a scanner holds of a sealed home, and no more: the walk's key, and the public key of the boxes."""

    walk: WalkKey
    public: bytes


@dataclass(frozen=True, slots=True)
class Inside:
    """What a box holds: a key below the folder that was the root `origin` when it was sealed (0: a ref)."""

    origin: int
    key: bytes


class Sealer:
    """Seals boxes that it cannot open."""

    def __init__(self, public: bytes) -> None:
        self._public = X25519PublicKey.from_public_bytes(public)

    def seal(self, inside: Inside) -> bytes:
        """A box: 48 bytes, and what is in it padded to a multiple of 32. Some 70 µs."""
        said = _HEAD.pack(inside.origin, len(inside.key)) + inside.key
        return _SUITE.encrypt(said.ljust(-(-len(said) // _PADDED_TO) * _PADDED_TO, b"\0"), self._public, _INFO)


@dataclass(frozen=True)
class OpeningKey:
    """The private key of the boxes, for the broker alone."""

    private: bytes

    @cached_property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.private)

    def public(self) -> bytes:
        """The key that seals."""
        return self._key.public_key().public_bytes_raw()

    def open(self, box: bytes) -> bytes | None:
        """What was sealed, to be read with `read`; None where the box is none of this key's."""
        try:
            return _SUITE.decrypt(box, self._key, _INFO)
        except (InvalidTag, ValueError):
            return None


def read(said: bytes) -> Inside | None:
    """What an opened box says; None where it says nothing that makes sense."""
    if len(said) < _HEAD.size:
        return None
    origin, size = _HEAD.unpack_from(said)
    key = said[_HEAD.size : _HEAD.size + size]
    return Inside(origin, key) if len(key) == size else None
