"""The zygote's memory as a file that every worker maps, so that a fork copies nothing and an end gives nothing back.

A fork copies an entry for every page of ordinary memory and an end takes each away again, though a worker writes to a
tenth of 9,000. Of a file's private mapping neither happens: what is read comes in by sixteen pages, what is written is
copied then, as before. A worker that meets no file, or dies of its first, costs three fifths of what it did.

Rules
- Called once, in the zygote, single-threaded, when all that workers share is there.
- Only what is plainly memory is moved: private, not executable, without any mark that a fork would have to heed.
- The file has no name, and no descriptor of it is left: nobody can write to what the others read.
- A mapping that cannot be moved stays what it was, and so do all where the extension was not built: forks cost more.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import scanner.isolation._native as _loaded
except ImportError:  # no compiler when the package was installed
    _native: Any = None
else:
    _native = _loaded

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ([r-][w-])-p ")
# Of proc(5)'s VmFlags those that say nothing about forks: may be read, written, made executable, are accounted for, or
# not, and pages may be huge, or not. The stack's (gd) is not among them, nor "wiped on fork" (wf) or "not copied" (dc).
_PLAIN = frozenset(("rd", "wr", "mr", "mw", "me", "ac", "nr", "sd", "hg", "nh"))
_MAPPING = struct.Struct("=4q")
_PROTECTION = {"r-": mmap.PROT_READ, "rw": mmap.PROT_READ | mmap.PROT_WRITE}
# Behind the last mapping: a block that grows where it lies (mremap) may get bytes of its neighbours, as malloc promises
# nothing about them, but must not get beyond the file's end, where a touch kills.
_ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class _Mapping:
    """A stretch of private memory that was written to since it was mapped."""

    start: int
    end: int
    protection: int


def available() -> bool:
    """Whether this installation can do it."""
    return _native is not None


def share() -> int:
    """Move this process's memory into a file that it maps; how many mappings were moved."""
    if _native is None:
        return 0
    try:
        return _move(list(_mappings()))
    except OSError:  # a kernel that tells nothing of mappings, or files may not be as long
        return 0


def _move(mappings: Sequence[_Mapping]) -> int:
    packed, size_bytes = bytearray(), 0
    for each in mappings:
        packed += _MAPPING.pack(each.start, each.end, each.protection, size_bytes)
        size_bytes += each.end - each.start
    file = os.memfd_create("image", os.MFD_CLOEXEC)
    try:
        os.ftruncate(file, size_bytes + _ROOM_BYTES)
        moved: int = _native.move(packed, file, mmap.PAGESIZE)
        return moved
    finally:
        os.close(file)


def _mappings() -> Iterator[_Mapping]:
    """What there is to move, in the order of addresses."""
    with open("/proc/self/smaps", encoding="utf-8", errors="surrogateescape") as lines:
        head, written = None, False
        for line in lines:  # as they come: a text of a megabyte would leave its room to every worker
            key, _, value = line.partition(":")
            if " " in key:
                head = _HEAD.match(line)
            elif key == "Anonymous":
                written = value.split()[0] != "0"
            elif key == "VmFlags" and head and written and head[3] in _PROTECTION and _PLAIN.issuperset(value.split()):
                yield _Mapping(int(head[1], 16), int(head[2], 16), _PROTECTION[head[3]])
