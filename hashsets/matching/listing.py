"""The list of an index's files (`index.json`): what it says, how it is replaced, and when it is refused.

Rules
- Its first line is the SHA-256 of the rest. It names the format, the hash types and their revisions.
- It is replaced by a rename, synced before and after: a reader finds the old one whole or the new one whole.
- Torn, foreign, of another format or of other hash types: `SegmentRefused`. Nothing in it is executed, and it can name
  no file but the index's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashsets.errors import SegmentRefused
from hashsets.hashtypes import HashType
from hashsets.matching import container

LIST_NAME = "index.json"
REVISION = 2
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """The files of one layer."""

    name: str
    withdrawn_name: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Whose index it is, what it stands for, and the layers of each hash type, oldest first."""

    uid: bytes
    state: bytes
    rows: Mapping[str, Sequence[Row]]


def read(folder: Path) -> bytes:
    """The list as it stands, unchecked. Raises SegmentRefused where there is none."""
    try:
        descriptor = os.open(folder / LIST_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise SegmentRefused("there is no index in this folder; build it") from error


def parse(text: bytes, types: Mapping[str, HashType]) -> Listing:
    """The list, checked. Raises SegmentRefused unless it is whole and of just these hash types."""
    checksum, _, body = text.partition(b"\n")
    if hashlib.sha256(body.rstrip(b"\n")).hexdigest().encode("ascii") != checksum:
        raise SegmentRefused("the list of an index is torn or not ours; build it again")
    try:
        listed = json.loads(body)
        if listed["format"] != REVISION or listed["types"] != _revisions(types):
            raise SegmentRefused("an index is of another format or of other hash types; build it again")
        rows = {name: [_row(row) for row in listed["layers"][name]] for name in types}
        return Listing(bytes.fromhex(listed["uid"]), bytes.fromhex(listed["state"]), rows)
    except (KeyError, TypeError, ValueError) as error:
        raise SegmentRefused("the list of an index contradicts itself; build it again") from error


def write(folder: Path, listed: Listing, types: Mapping[str, HashType]) -> bytes:
    """Put a list in the place of the old one, and give its text. Raises OSError."""
    body: dict[str, Any] = {
        "format": REVISION,
        "types": _revisions(types),
        "uid": listed.uid.hex(),
        "state": listed.state.hex(),
        "layers": {name: [[row.name, row.withdrawn_name] for row in rows] for name, rows in listed.rows.items()},
    }
    text = json.dumps(body, sort_keys=True).encode("ascii")
    whole = hashlib.sha256(text).hexdigest().encode("ascii") + b"\n" + text + b"\n"
    partial = folder / f"{container.PARTIAL}{secrets.token_hex(8)}"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / LIST_NAME)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    container.sync_folder(folder)
    return whole


def _revisions(types: Mapping[str, HashType]) -> dict[str, int]:
    return {name: hash_type.revision for name, hash_type in types.items()}


def _row(row: list[str | None]) -> Row:
    name, withdrawn = row
    if not re.fullmatch(r"[0-9a-f]{16}\.segment", name or ""):
        raise SegmentRefused("an index names a file that is none of its own; build it again")
    if withdrawn is not None and not re.fullmatch(r"[0-9a-f]{16}\.withdrawn", withdrawn):
        raise SegmentRefused("an index names a file that is none of its own; build it again")
    return Row(str(name), withdrawn)
