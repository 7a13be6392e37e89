"""Where to go on with a long content, as bytes of one size: for the ledger's row and for the wire to and from workers.

Rules
- Whatever does not decode to a position that can be meant is refused: a look then starts anew, which is always right.
- A position made under other options is no position: `rule` tells them apart.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from scanner.types import Landing, Looked, Reason, Resume

# flags, fruitless, troubles, rule, at, ms, catch-up ms, last value, then the landing: pts, dts, pos, size
_RESUME = struct.Struct("<BBHIQQI4x32sqqqQ")
RESUME_BYTES = _RESUME.size
_DAMAGED, _GAPS, _LAST, _LANDING, _PACKETS, _LOOSE, _MEMBERS = 1, 2, 4, 8, 16, 32, 64
VALUE_BYTES = 32
MOST_AT = 2**40
MOST_MS = 2**40
MOST_FRUITLESS = 255
_MOST_32 = 2**32 - 1
_NOWHERE = Landing(0, 0, 0, 0)


class BadResume(ValueError):
    """These bytes are no position."""


def encode(resume: Resume) -> bytes:
    """The position as `RESUME_BYTES` bytes; numbers beyond what is believed are cut down to it."""
    landing = resume.landing or _NOWHERE
    flags = (
        _DAMAGED * resume.damaged
        | _GAPS * resume.gaps
        | _LAST * bool(resume.last)
        | _LANDING * (resume.landing is not None)
        | _PACKETS * resume.packets
        | _LOOSE * resume.loose
        | _MEMBERS * resume.members
    )
    return _RESUME.pack(
        flags,
        min(resume.fruitless, MOST_FRUITLESS),
        resume.troubles,
        resume.rule,
        min(resume.at, MOST_AT),
        min(resume.ms, MOST_MS),
        min(resume.catch_up_ms, _MOST_32),
        resume.last,
        landing.pts,
        landing.dts,
        landing.pos,
        landing.size_bytes,
    )


def decode(block: bytes) -> Resume:
    """The position in `block`. Raises BadResume for a wrong length, flag, range or padding."""
    if len(block) != RESUME_BYTES:
        raise BadResume("length")
    flags, fruitless, troubles, rule, at, ms, catch_up_ms, last, *place = _RESUME.unpack(block)
    landing = Landing(*place)
    if flags >= 128 or at > MOST_AT or ms > MOST_MS or block[28:32] != b"\0\0\0\0":
        raise BadResume("range")
    if troubles and not flags & _MEMBERS:
        raise BadResume("troubles")
    if (not flags & _LAST and last.strip(b"\0")) or (not flags & _LANDING and landing != _NOWHERE):
        raise BadResume("unused field")
    return Resume(
        at,
        ms,
        catch_up_ms,
        last if flags & _LAST else b"",
        bool(flags & _DAMAGED),
        bool(flags & _GAPS),
        fruitless,
        rule,
        bool(flags & _PACKETS),
        bool(flags & _LOOSE),
        landing if flags & _LANDING else None,
        bool(flags & _MEMBERS),
        troubles,
    )


def rule_of(*what: object) -> int:
    """A number for what a look is made by: the same while all of `what` prints the same."""
    return zlib.crc32(repr(what).encode())


# Reasons that are about what is looked at, and not about the machine around it.
_COSTLY = frozenset({Reason.OVER_BUDGET, Reason.TIMEOUT, Reason.CRASH})


def carried_on(since: Resume | None, latest: Resume | None, looked: Looked, *, hurried: bool = False) -> Resume | None:
    """Where to go on after a look from `since` that last marked `latest` and ended as `looked`; None: nowhere.

    A look that got no further than where it began counts as fruitless there, unless it was hurried. One that met a
    fault of ours is begun anew: what of it was looked at, and by which decoder, is not to be believed.
    """
    if looked.reason is Reason.FAULT:
        return None
    reached = latest if latest is not None else since
    if reached is None or looked.reason is None or not looked.reason.retryable:
        return None
    began = since or Resume(0)
    if reached.at > began.at:
        return replace(reached, fruitless=0)
    base = since or reached
    return replace(base, fruitless=min(MOST_FRUITLESS, base.fruitless + (looked.reason in _COSTLY and not hurried)))
