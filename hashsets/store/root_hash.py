"""One salted hash that stands for all that a set lists at a version: it commits to the list and tells nothing of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from hashsets.store.listing import SignalColumns


def root_hash(pages: Iterable[Mapping[str, SignalColumns]], salt: bytes) -> str:
    """SHA-256 over the salt and, for each hash type by name, the number and the digest of its values.

    Values are taken in the order in which their entries were first listed. The salt is no shorter than a digest, so
    that nobody who has not got it can try lists of one value or a few.
    """
    counts: dict[str, int] = {}
    digests: dict[str, hashlib._Hash] = {}
    for page in pages:
        for name, column in page.items():
            counts[name] = counts.get(name, 0) + len(column)
            digests.setdefault(name, hashlib.sha256(salt)).update(column.values.tobytes())
    root = hashlib.sha256(b"hashward root hash 1\0" + salt)
    for name in sorted(counts):
        root.update(f"{name} {counts[name]} {digests[name].hexdigest()}\n".encode("ascii"))
    return root.hexdigest()
