"""The keys of sealed locations, as a file of the broker's home: made when they are first asked for, never changed.

Rules
- The file is whole or not there; the boxes of a home open with it alone, so a copy of it belongs beside the secrets.
- The private key leaves this module only as what it has opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hashsets.errors import StoreError
from hashsets.locking import open_private
from scanner.errors import AuditError
from scanner.location_keys import KEY_BYTES, LocationKeys, OpeningKey, WalkKey

NAME: Final = "location.key"
_MAX_BYTES: Final = 4096


class LocationFile:
    """The keys in a folder. Read when first needed."""

    def __init__(self, folder: Path, were_used: Callable[[], bool] = lambda: False) -> None:
        self._folder = folder
        self._were_used = were_used  # then they are not made anew: what they sealed could be opened by nobody
        self._held: tuple[WalkKey, OpeningKey] | None = None

    def public(self) -> LocationKeys:
        """What a scanner may hold. Raises AuditError."""
        walk, opening = self._keys()
        return LocationKeys(walk, opening.public())

    def open(self, box: bytes) -> bytes | None:
        """What a box holds; None where it is none of these keys'. Raises AuditError."""
        return self._keys()[1].open(box)

    def _keys(self) -> tuple[WalkKey, OpeningKey]:
        if self._held is None:
            path = self._folder / NAME
            try:
                if not path.exists():
                    if self._were_used():
                        raise AuditError("location.key is gone from the broker's home: put a copy of it back.")
                    _make(path)
                self._held = _read(path)
            except (OSError, StoreError) as error:
                why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it cannot be opened"
                raise AuditError(f"The file of the location keys cannot be used ({why}).") from None
        return self._held


def _read(path: Path) -> tuple[WalkKey, OpeningKey]:
    descriptor = open_private(path)
    try:
        said = json.loads(os.read(descriptor, _MAX_BYTES))
        walk, private = bytes.fromhex(said["walk"]), bytes.fromhex(said["private"])
    except (ValueError, KeyError, TypeError, RecursionError):
        walk = private = b""
    finally:
        os.close(descriptor)
    if not len(walk) == len(private) == KEY_BYTES:
        raise AuditError("The file of the location keys is not as it was made: put a copy of it back.")
    return WalkKey(walk), OpeningKey(private)


def _make(path: Path) -> None:
    """Write new keys and let them count at once, unless others do already."""
    said = {"walk": secrets.token_hex(KEY_BYTES), "private": secrets.token_hex(KEY_BYTES)}
    made = path.with_name(f"{NAME}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(open_private(made), "wb") as file:
            file.write(json.dumps(said).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
