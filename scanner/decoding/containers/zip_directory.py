"""The entries of a ZIP file (APPNOTE 6.3.10): read here, as the standard library's reader trusts what strangers wrote.

Rules
- The central directory that ends the file decides, wherever in the file it says things are: programs and pictures stand
  before archives. Archives without one, or cut short, are read from local header to local header.
- What a local header tells otherwise than the directory is a second reading, and listed too. So are entries that lie
  behind listed ones and are in no directory.
- Names are kept nowhere; two fixed ones are known, which say that other entries are encrypted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from scanner.decoding.reading import MediaFile

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_TAIL_BYTES = 65_535 + _END.size
_READ_BYTES = 1024 * 1024
_STREAMED_FLAG = 0x8
# OpenDocument part 2, 4.8 and EPUB OCF 3.3, 4.2.6.3.2: what tells that other members are encrypted.
ODF_MARKS, EPUB_MARKS = b"META-INF/manifest.xml", b"META-INF/encryption.xml"


@dataclass(frozen=True, slots=True)
class Entry:
    """One reading of an entry: where its packed bytes are, how they are packed, and what marks it makes."""

    header: int
    method: int
    flags: int
    packed_bytes: int
    size_bytes: int
    disk: int = 0
    marks: bytes = b""


@dataclass(frozen=True, slots=True)
class Directory:
    """A central directory: its place, how many entries it claims, and what is to be added to its offsets."""

    start: int
    end: int
    entries: int
    shift: int


def end_of_central_directory(file: MediaFile) -> Directory | None:
    """The central directory that the end of the file tells of; None where nothing there holds together."""
    start = max(0, file.size_bytes - _TAIL_BYTES)
    tail = file.at(start, _TAIL_BYTES)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if len(tail) - at >= _END.size:
            found = _directory(file, start + at, tail[at : at + _END.size])
            if found is not None:
                return found
    return None


def _directory(file: MediaFile, place: int, record: bytes) -> Directory | None:
    """The directory by one end record, if there is one where it says, or as far before it as it is long."""
    *_, entries, size, offset, _ = _END.unpack(record)
    before = place
    locator = file.at(place - _LOCATOR.size, _LOCATOR.size) if place >= _LOCATOR.size else b""
    if locator[:4] == b"PK\x06\x07":
        *_, where, _ = _LOCATOR.unpack(locator)
        for at in (where, place - _LOCATOR.size - _END64.size):
            record = file.at(at, _END64.size) if at >= 0 else b""
            if record[:4] == b"PK\x06\x06" and len(record) == _END64.size:
                *_, entries, size, offset = _END64.unpack(record)
                before = at
                break
    for start in (before - size, offset):
        if 0 <= start <= before and (size == 0 or file.at(start, 4) == b"PK\x01\x02"):
            return Directory(start, before, entries, start - offset) if size or not entries else None
    return None


def listed(file: MediaFile, directory: Directory, most: int, tick: Callable[[], None]) -> tuple[list[Entry], bool]:
    """The entries of a central directory, and whether it could be read to its end."""
    entries: list[Entry] = []
    block, base, at = b"", directory.start, 0
    while base + at < directory.end:
        if len(block) - at < _CENTRAL.size + 3 * 65_535 and base + len(block) < directory.end:
            base, at = base + at, 0
            block = file.at(base, min(_READ_BYTES, directory.end - base))
            tick()
        if len(block) - at < _CENTRAL.size or block[at : at + 4] != b"PK\x01\x02":
            return entries, block[at : at + 4] in (b"PK\x05\x05", b"PK\x06\x06")
        if len(entries) >= most:
            return entries, False
        entry, length = _central(block, at, directory.shift)
        entries.append(entry)
        at += length
    return entries, len(entries) % 65_536 == directory.entries % 65_536


def _central(block: bytes, at: int, shift: int) -> tuple[Entry, int]:
    """The entry whose central header is at `at`, and the header's length."""
    fields = _CENTRAL.unpack_from(block, at)
    flags, method = fields[3:5]
    packed, size, name, extra, comment, disk = fields[8:14]
    header = fields[16]
    behind = at + _CENTRAL.size
    if 0xFFFFFFFF in (packed, size, header) or disk == 0xFFFF:
        wide = _zip64(block[behind + name : behind + name + extra])
        size, wide = _wide(size, wide)
        packed, wide = _wide(packed, wide)
        header, wide = _wide(header, wide)
        disk = int.from_bytes(wide[:4], "little") if disk == 0xFFFF and len(wide) >= 4 else disk
    marks = b""
    if name in (len(ODF_MARKS), len(EPUB_MARKS)):
        found = block[behind : behind + name]
        marks = found if found in (ODF_MARKS, EPUB_MARKS) else b""
    return Entry(header + shift, method, flags, packed, size, disk, marks), _CENTRAL.size + name + extra + comment


def _zip64(extra: bytes) -> bytes:
    """The extended information (APPNOTE 4.5.3) of an extra field; empty where there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _wide(value: int, wide: bytes) -> tuple[int, bytes]:
    """The value, taken from the extended information where it says so."""
    if value != 0xFFFFFFFF or len(wide) < 8:
        return value, wide
    return int.from_bytes(wide[:8], "little"), wide[8:]


def with_hidden(file: MediaFile, entries: list[Entry], tick: Callable[[], None]) -> list[Entry]:
    """The entries with those that lie hidden between them, and with other readings of their local headers."""
    known = {entry.header for entry in entries}
    more: list[Entry] = []
    for entry in sorted(entries, key=lambda each: each.header):
        tick()
        local, behind = local_entry(file, entry.header)
        if local is None:
            continue
        differs = local.method != entry.method or (local.packed_bytes and local.packed_bytes != entry.packed_bytes)
        if differs and not entry.flags & _STREAMED_FLAG and not local.flags & _STREAMED_FLAG:
            more.append(local)
        more += walked(file, _after(file, behind + entry.packed_bytes), known, tick)
    first = min(known, default=0)
    more += [entry for entry in walked(file, 0, known, tick) if entry.header < first]
    return entries + more


def _after(file: MediaFile, at: int) -> int:
    """Where the next header may be: behind the data descriptor, which has its signature or not, and short or long."""
    descriptor = file.at(at, 28)
    if descriptor[:4] == b"PK\x03\x04":
        return at
    for length in (16, 24, 12, 20):
        if descriptor[length : length + 4] == b"PK\x03\x04":
            return at + length
    return at


def walked(file: MediaFile, at: int, known: set[int], tick: Callable[[], None]) -> list[Entry]:
    """The entries from one local header to the next, up to one that is `known` already, to which they are added."""
    found: list[Entry] = []
    while at not in known:
        tick()
        entry, behind = local_entry(file, at)
        if entry is None:
            break
        known.add(at)
        if entry.flags & _STREAMED_FLAG and not entry.packed_bytes:
            end = _next_signature(file, behind, tick)
            entry = Entry(at, entry.method, entry.flags, end - behind, entry.size_bytes)
        found.append(entry)
        at = _after(file, behind + entry.packed_bytes)
    return found


def _next_signature(file: MediaFile, at: int, tick: Callable[[], None]) -> int:
    """Where the next header, descriptor or directory begins; the end of the file where none does."""
    while block := file.at(at, _READ_BYTES + 3):
        tick()
        ends = [block.find(mark) for mark in (b"PK\x07\x08", b"PK\x03\x04", b"PK\x01\x02")]
        if any(end >= 0 for end in ends):
            return at + min(end for end in ends if end >= 0)
        at += _READ_BYTES
    return file.size_bytes


def local_entry(file: MediaFile, at: int) -> tuple[Entry | None, int]:
    """The entry by its local header, and where its packed bytes begin."""
    header = file.at(at, _LOCAL.size) if at >= 0 else b""
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        return None, at
    _, _, flags, method, _, _, _, packed, size, name, extra = _LOCAL.unpack(header)
    if 0xFFFFFFFF in (packed, size):
        wide = _zip64(file.at(at + _LOCAL.size + name, extra))
        size, wide = _wide(size, wide)
        packed, wide = _wide(packed, wide)
    return Entry(at, method, flags, packed, size), at + _LOCAL.size + name + extra
