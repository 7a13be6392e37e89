"""What a worker may say: fixed-size records, one a datagram, every field checked by the reader.

Rules
- A worker may be in the hands of whoever made the file it decodes. Nothing it sends is un-pickled, evaluated, used as
  a length, or believed beyond "this is a value of that type for this file".
- A position to go on from has a size of its own; only whether it can be meant is checked: the worker alone suffers.
- Anything unexpected is `BadRecord`; the worker is then killed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeVar

from hashsets.hashtypes import PLUGINS
from hashsets.types import Signal
from scanner.resuming import RESUME_BYTES, BadResume, decode, encode
from scanner.types import WHOLE, Extent, Looked, MediaKind, Reason, Resume, member_of, member_part

_PLUGINS = {name: plugin.size_bytes for name, plugin in sorted(PLUGINS.plugins.items())}
_ROOM_BYTES = max([32, *_PLUGINS.values()])  # for a value: of one installation, so parent and worker agree
# kind, a, b, c, d, 3 pad, value, e (frame), f (part), m (member), g (milliseconds or duration)
_RECORD = struct.Struct(f"<BBBBB3x{_ROOM_BYTES}sIIIQ" + ("x" if _ROOM_BYTES + 28 == RESUME_BYTES else ""))
RECORD_BYTES = _RECORD.size
LONGEST_BYTES = max(RECORD_BYTES, RESUME_BYTES)
_NONE_8, _NONE_32, _NONE_64 = 0xFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_MEDIA, _SIGNAL, _END, _MEMBER = 1, 2, 3, 4

# Order is the wire's: append only.
_TYPES = ("pdq", "phash", "dhash", "ahash", "whash", "md5", "sha1", "sha256", *_PLUGINS)
_VALUE_BYTES = dict(zip(_TYPES, (32, 8, 8, 8, 8, 16, 20, 32), strict=False)) | _PLUGINS
_DIGESTS = frozenset({"md5", "sha1", "sha256"})
_ORIENTATIONS = ("stored", "exif", "2", "3", "4", "5", "6", "7", "8", "trimmed", "uncropped")
_MEDIA_KINDS = tuple(MediaKind)
_EXTENTS = tuple(Extent)
_REASONS = tuple(Reason)
MOST_MS = 2**40
MOST_MEMBERS = 2**20 - 1


T = TypeVar("T")


class BadRecord(Exception):
    """A worker said something it cannot have meant."""


@dataclass(frozen=True, slots=True)
class MediaRecord:
    """The content's kind, and its duration where it has one."""

    media: MediaKind
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The last record of a content."""

    media: MediaKind
    looked: Looked


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """What kind of media a container's member is, of which signals follow."""

    number: int
    media: MediaKind


Record = MediaRecord | MemberRecord | Signal | EndRecord | Resume


def pack_media(kind: MediaKind, duration_ms: int | None) -> bytes:
    """The record that tells a content's kind."""
    return _pack(_MEDIA, _MEDIA_KINDS.index(kind), milliseconds=duration_ms)


def pack_member(number: int, kind: MediaKind) -> bytes:
    """The record that tells a member's kind."""
    return _pack(_MEMBER, _MEDIA_KINDS.index(kind), member=number)


def pack_signal(signal: Signal) -> bytes:
    """The record of one signal (its recipe is the parent's to know)."""
    quality = _NONE_8 if signal.quality is None else signal.quality
    member, part = member_of(signal.part)
    return _pack(
        _SIGNAL,
        _TYPES.index(signal.hash_type),
        _ORIENTATIONS.index(signal.orientation),
        quality,
        len(signal.value),
        signal.value,
        signal.frame,
        None if part is None else int(part),
        signal.frame_ms,
        member,
    )


def pack_resume(resume: Resume) -> bytes:
    """The record of a position to go on from."""
    return encode(resume)


def pack_end(media: MediaKind, looked: Looked) -> bytes:
    """The record that ends a content."""
    reason = _NONE_8 if looked.reason is None else _REASONS.index(looked.reason)
    return _pack(_END, _MEDIA_KINDS.index(media), _EXTENTS.index(looked.extent), reason)


def _pack(
    kind: int,
    a: int,
    b: int = 0,
    c: int = 0,
    d: int = 0,
    value: bytes = b"",
    frame: int | None = None,
    part: int | None = None,
    milliseconds: int | None = None,
    member: int | None = None,
) -> bytes:
    return _RECORD.pack(
        kind,
        a,
        b,
        c,
        d,
        value,
        _NONE_32 if frame is None else min(frame, _NONE_32 - 1),
        _NONE_32 if part is None else min(part, _NONE_32 - 1),
        _NONE_32 if member is None else member,
        _NONE_64 if milliseconds is None else min(milliseconds, MOST_MS),
    )


def parse(datagram: bytes) -> Record:
    """The record in `datagram`. Raises BadRecord for a wrong length, kind, enumeration, range or padding."""
    if len(datagram) == RESUME_BYTES:
        try:
            return decode(datagram)
        except BadResume as error:
            raise BadRecord("position") from error
    if len(datagram) != RECORD_BYTES:
        raise BadRecord("length")
    kind, a, b, c, d, value, frame, part, member, milliseconds = _RECORD.unpack(datagram)
    if datagram[5:8] != b"\0\0\0":
        raise BadRecord("padding")
    if milliseconds != _NONE_64 and milliseconds > MOST_MS:
        raise BadRecord("milliseconds")
    if member != _NONE_32 and not 0 < member <= MOST_MEMBERS:
        raise BadRecord("member")
    ms = None if milliseconds == _NONE_64 else int(milliseconds)
    if kind == _SIGNAL:
        place = member_part(None if member == _NONE_32 else member, None if part == _NONE_32 else str(part))
        return _signal(a, b, c, d, value, frame, place, ms)
    if value.strip(b"\0") or frame != _NONE_32 or part != _NONE_32 or d:
        raise BadRecord("unused field")
    if kind == _MEMBER and member != _NONE_32 and not b and not c and ms is None:
        return MemberRecord(member, _pick(_MEDIA_KINDS, a))
    if member != _NONE_32:
        raise BadRecord("unused field")
    if kind == _MEDIA and not b and not c:
        return MediaRecord(_pick(_MEDIA_KINDS, a), ms)
    if kind == _END and ms is None:
        return EndRecord(_pick(_MEDIA_KINDS, a), _looked(b, c))
    raise BadRecord("kind")


def _signal(a: int, b: int, c: int, d: int, value: bytes, frame: int, part: str | None, ms: int | None) -> Signal:
    hash_type = _pick(_TYPES, a)
    if hash_type in _DIGESTS and member_of(part)[0] is None:
        raise BadRecord("a digest of the content itself is not the worker's to say")
    if d != _VALUE_BYTES[hash_type] or value[d:].strip(b"\0"):
        raise BadRecord("value length")
    if (c > 100 and c != _NONE_8) or (c == _NONE_8) == (hash_type == "pdq"):
        raise BadRecord("quality")
    return Signal(
        hash_type,
        value[:d],
        quality=None if c == _NONE_8 else c,
        orientation=_pick(_ORIENTATIONS, b),
        part=part,
        frame=None if frame == _NONE_32 else frame,
        frame_ms=ms,
    )


def _looked(extent: int, reason: int) -> Looked:
    if _pick(_EXTENTS, extent) is Extent.WHOLE:
        if reason != _NONE_8:
            raise BadRecord("reason")
        return WHOLE
    return Looked(_pick(_EXTENTS, extent), _pick(_REASONS, reason))


def _pick(choices: tuple[T, ...], index: int) -> T:
    if index >= len(choices):
        raise BadRecord("enumeration")
    return choices[index]
