"""Encrypted documents that open without a password: the standard security handler (ISO 32000-2, 7.6), given none.

Many documents are encrypted only to forbid printing or copying; every reader opens them. Where the empty password does
not open a document, nothing here tries another.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from scanner.decoding.containers.pdf_ciphers import BLOCK, aes_cbc_decrypted, aes_cbc_encrypted, rc4
from scanner.decoding.containers.pdf_syntax import Value

# ISO 32000-1, 7.6.3.3, algorithm 2, step a: what an empty password is filled up with.
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_EMPTY_BLOCK = bytes(BLOCK)


@dataclass(frozen=True, slots=True)
class Lock:
    """An opened document's key, and how its streams are encrypted: `V2` (RC4), `AESV2`, `AESV3` or `Identity`."""

    key: bytes
    method: bytes

    def opened(self, content: bytes, number: int, generation: int = 0) -> bytes:
        """The bytes of the stream that is the object of that number."""
        if self.method == b"Identity":
            return content
        key = self.key
        if self.method != b"AESV3":
            salt = number.to_bytes(4, "little")[:3] + generation.to_bytes(2, "little")
            salt += b"sAlT" if self.method == b"AESV2" else b""
            key = _md5(self.key + salt)[: min(len(self.key) + 5, 16)]
        if self.method == b"V2":
            return rc4(key, content)
        plain = aes_cbc_decrypted(key, content[:BLOCK].ljust(BLOCK, b"\0"), content[BLOCK:])
        padding = plain[-1] if plain else 0
        return plain[:-padding] if 0 < padding <= BLOCK else plain


def unlocked(encryption: dict[bytes, Value], identity: bytes, resolve: Callable[[Value], Value]) -> Lock | None:
    """The lock of a document that the empty password opens; None for any other. `identity`: the first of its ID."""
    given = {key: resolve(value) for key, value in encryption.items()}
    revision, version = _number(given.get(b"R")), _number(given.get(b"V"))
    owner, user = given.get(b"O"), given.get(b"U")
    if given.get(b"Filter") != b"Standard" or not isinstance(owner, bytes) or not isinstance(user, bytes):
        return None
    method = _method(given, version, resolve)
    if revision in (5, 6):
        packed = given.get(b"UE")
        key = _long_key(revision, user, packed) if isinstance(packed, bytes) else None
    elif revision in (2, 3, 4):
        key = _short_key(given, revision, owner, user, identity)
    else:
        return None
    return None if key is None or method is None else Lock(key, method)


def _number(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _method(given: dict[bytes, Value], version: int, resolve: Callable[[Value], Value]) -> bytes | None:
    """How streams are encrypted."""
    if version in (1, 2, 3):
        return b"V2"
    name, filters = given.get(b"StmF", b"Identity"), given.get(b"CF")
    if name == b"Identity":
        return b"Identity"
    chosen = resolve(filters.get(name)) if isinstance(filters, dict) and isinstance(name, bytes) else None
    method = resolve(chosen.get(b"CFM")) if isinstance(chosen, dict) else None
    known: dict[Value, bytes] = {b"V2": b"V2", b"AESV2": b"AESV2", b"AESV3": b"AESV3", b"None": b"Identity"}
    return known.get(method) if isinstance(method, bytes) else None


def _short_key(given: dict[bytes, Value], revision: int, owner: bytes, user: bytes, identity: bytes) -> bytes | None:
    """Algorithms 2, 4 and 5: the key by the empty password, if the document's own check bears it out."""
    length = 5 if revision == 2 else _number(given.get(b"Length", 40.0)) // 8
    if _number(given.get(b"V")) == 4:
        length = 16
    if not 5 <= length <= 16:
        return None
    rights = struct.pack("<I", _number(given.get(b"P")) & 0xFFFFFFFF)
    plain_metadata = revision == 4 and given.get(b"EncryptMetadata") is False
    key = _md5(_PADDING + owner[:32] + rights + identity + (b"\xff" * 4 if plain_metadata else b""))
    if revision == 2:
        return key[:5] if rc4(key[:5], _PADDING) == user[:32] else None
    for _ in range(50):
        key = _md5(key[:length])
    key = key[:length]
    check = _md5(_PADDING + identity)
    for turn in range(20):
        check = rc4(bytes(byte ^ turn for byte in key), check)
    return key if check == user[:16] else None


def _long_key(revision: int, user: bytes, packed: bytes) -> bytes | None:
    """Algorithm 2.A for the user's side: the document's key, encrypted under a hash of the empty password."""
    if len(user) < 48 or len(packed) < 32:
        return None
    digest = _hash_6 if revision == 6 else _hash_5
    if digest(user[32:40]) != user[:32]:
        return None
    return aes_cbc_decrypted(digest(user[40:48]), _EMPTY_BLOCK, packed[:32])


def _hash_5(salt: bytes) -> bytes:
    return hashlib.sha256(salt).digest()


def _hash_6(salt: bytes) -> bytes:
    """Algorithm 2.B with an empty password."""
    key = hashlib.sha256(salt).digest()
    turn = 0
    while True:
        encrypted = aes_cbc_encrypted(key[:16], key[16:32], key * 64)
        kind = sum(encrypted[:16]) % 3
        key = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[kind](encrypted).digest()
        turn += 1
        if turn >= 64 and encrypted[-1] <= turn - 32:
            return key[:32]
