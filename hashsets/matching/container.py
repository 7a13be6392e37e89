"""The file of a segment: a header that is checked at every opening, and arrays that are mapped, not read.

Owns the layout, the atomic writing and the refusals. Knows neither matchers nor what the arrays mean.

Rules
- A file is written aside, synced and renamed: a reader finds the whole old file or the whole new one.
- The header (format, hash type and its revision, counts, stamp, where each array lies) has its own checksum and is
  checked at every opening, with the file's length. The payload's checksum is for `verify`: once per boot, on demand.
- Torn, foreign, of another format or stale (another stamp): `SegmentRefused`. Nothing in a file is executed.
- Messages name no path.

Layout: 8 bytes magic, 32 bytes SHA-256 of the rest of the block, 4 bytes length, JSON, zeros up to 4,096; then the
arrays, each on a page, each followed by zeros up to the next page and by at least the padding that kernels may read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import SegmentRefused
from hashsets.hashtypes import HashType
from hashsets.matching.kernel import PAD_BYTES

MAGIC = b"HWSEGMNT"
REVISION = 2  # of the layout, of the bit permutation and of what each array holds
PAGE = 4096
_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int64")
PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: numbers by name, arrays by name, and the stamp that says what it was made from."""

    kind: str
    hash_type: HashType
    stamp: bytes
    numbers: Mapping[str, int]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def write(path: Path, contents: Contents) -> None:
    """Put the file in place at once. Raises OSError where the disk does."""
    descriptor, partial = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_all(file, contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard_partials(folder: Path) -> None:
    """Remove what a crash left half written. Only for the one process that writes there."""
    for path in folder.glob(PARTIAL + "*"):
        path.unlink(missing_ok=True)


def _write_all(file: Any, contents: Contents) -> None:
    checksum, at, places = hashlib.sha256(), PAGE, {}
    file.seek(PAGE)
    for name, values in contents.arrays.items():
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        places[name] = [values.dtype.name, at, values.size]
        filling = bytes(-(raw.nbytes + PAD_BYTES) % PAGE + PAD_BYTES)
        for piece in (raw.data, filling):
            file.write(piece)
            checksum.update(piece)
        at += raw.nbytes + len(filling)
    header = {
        "format": REVISION,
        "byte_order": sys.byteorder,
        "kind": contents.kind,
        "hash_type": contents.hash_type.name,
        "bits": contents.hash_type.bits,
        "type_revision": contents.hash_type.revision,
        "stamp": contents.stamp.hex(),
        "numbers": dict(contents.numbers),
        "arrays": places,
        "bytes": at,
        "payload_sha256": checksum.hexdigest(),
    }
    file.seek(0)
    file.write(_header_block(header))


def _header_block(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, sort_keys=True).encode("ascii")
    rest = (struct.pack("<I", len(text)) + text).ljust(PAGE - 40, b"\0")
    if len(rest) > PAGE - 40:
        raise SegmentRefused("a segment's header outgrew its page; shorten its stamp")
    return MAGIC + hashlib.sha256(rest).digest() + rest


def read(path: Path, kind: str, hash_type: HashType, stamp: bytes) -> Contents:
    """Open a file of that kind, type and stamp; its arrays are mapped and read-only. Raises SegmentRefused."""
    mapped, header = _open(path)
    expected = {
        "kind": kind,
        "hash_type": hash_type.name,
        "bits": hash_type.bits,
        "type_revision": hash_type.revision,
        "stamp": stamp.hex(),
    }
    if any(header.get(name) != value for name, value in expected.items()):
        raise SegmentRefused("a segment belongs to another list, type or version; build it again")
    try:
        arrays = {name: _array(mapped, *place) for name, place in header["arrays"].items()}
        numbers = {str(name): int(value) for name, value in header["numbers"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SegmentRefused("a segment's header contradicts itself; build it again") from error
    return Contents(kind, hash_type, stamp, numbers, arrays)


def verify(path: Path) -> None:
    """Read all of a file against its checksum (seconds per gigabyte). Raises SegmentRefused."""
    mapped, header = _open(path)
    with memoryview(mapped) as whole, whole[PAGE:] as payload:
        actual = hashlib.sha256(payload).hexdigest()
    if actual != header.get("payload_sha256"):
        raise SegmentRefused("a segment's contents are damaged; build it again")


def _open(path: Path) -> tuple[mmap.mmap, dict[str, Any]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SegmentRefused("a segment is not there or cannot be opened; build it again") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size < PAGE:
            raise SegmentRefused("a segment is cut short; build it again")
        mapped = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SegmentRefused("a segment cannot be mapped; build it again") from error
    finally:
        os.close(descriptor)
    return mapped, _header(mapped)


def _header(mapped: mmap.mmap) -> dict[str, Any]:
    block = mapped[:PAGE]
    if block[:8] != MAGIC or hashlib.sha256(block[40:]).digest() != block[8:40]:
        raise SegmentRefused("a segment's header is torn or not ours; build it again")
    try:
        header = json.loads(block[44 : 44 + struct.unpack("<I", block[40:44])[0]])
    except ValueError as error:
        raise SegmentRefused("a segment's header cannot be read; build it again") from error
    if (
        not isinstance(header, dict)
        or header.get("format") != REVISION
        or header.get("byte_order") != sys.byteorder
        or header.get("bytes") != len(mapped)
    ):
        raise SegmentRefused("a segment is of another format, machine or length; build it again")
    return header


def _array(mapped: mmap.mmap, dtype: str, at: int, count: int) -> NDArray[Any]:
    if dtype not in _DTYPES or at < PAGE or count < 0:
        raise ValueError("no such array")
    if at + count * np.dtype(dtype).itemsize + PAD_BYTES > len(mapped):
        raise ValueError("past the end")
    return np.frombuffer(mapped, dtype, count, at)
