"""The key that signs what leaves for an authority: an Ed25519 key of this home, made when first needed.

Whoever gets a signed manifest checks it with the public key that stands in it, whose fingerprint the audit log has: so
papers of one installation can be told from anybody else's, and a changed one from what was written.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scanner.errors import UsageError

KEY_NAME: Final = "export.key"
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs bytes; `public` is the raw public key."""

    _private: Ed25519PrivateKey
    public: bytes

    @classmethod
    def of(cls, folder: Path) -> Signer:
        """The key of a home, made where there is none. Raises UsageError where what lies there is none."""
        raw = _read(folder / KEY_NAME)
        if raw is None:
            raw = _made(folder)
        if len(raw) != _KEY_BYTES:
            raise UsageError(
                "The file export.key of the home is no key of hashward: move it away, and another is made."
            )
        private = Ed25519PrivateKey.from_private_bytes(raw)
        return cls(private, private.public_key().public_bytes_raw())

    @property
    def fingerprint(self) -> str:
        """What tells this key from another."""
        return hashlib.sha256(self.public).hexdigest()

    def sign(self, content: bytes) -> bytes:
        """The signature, in base64 with its end of line."""
        return base64.b64encode(self._private.sign(content)) + b"\n"


def is_signed(content: bytes, signature: bytes, public: bytes) -> bool:
    """Whether a signature, in base64, is of these bytes by this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for its owner only."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _made(folder: Path) -> bytes:
    """A new key; of two that are made at a time one counts."""
    made = Ed25519PrivateKey.generate().private_bytes_raw()
    partial = folder / f"{KEY_NAME}.{secrets.token_hex(4)}.partial"
    replace(partial, made)
    with contextlib.suppress(FileExistsError):
        os.link(partial, folder / KEY_NAME)
    partial.unlink()
    return (folder / KEY_NAME).read_bytes()
