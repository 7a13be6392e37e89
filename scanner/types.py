"""The words of what we hold: plain frozen values shared by every module of this package.

Rules
- Imports only hashsets.types.
- "Could not look" is a value with a reason (`Looked`), never None, an empty string or an exception.
- Paths and keys are bytes end to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hashsets.types import EntryHit, Signal


class MediaKind(StrEnum):
    """What a content is, by sniffing its bytes, never by its name.

    `other` is not media itself; a container is other, whatever it holds.
    """

    IMAGE = "image"
    ANIMATION = "animation"
    VIDEO = "video"
    OTHER = "other"


class Reason(StrEnum):
    """Why a content could not be looked at whole. Retryable reasons are owed; final ones are not tried again.

    `fault`: hashward's own code, or the way it calls a library, failed on it. `embedded`: the picture was looked at,
    but another picture or a film inside the same file was not. Of containers (archives, documents): `unopened`, it or a
    member is in a format or packed by a method that cannot be opened here; `nested`, it holds a container, which is not
    opened; `limit`, it holds more than the limits of containers allow.
    """

    TIMEOUT = "timeout"
    CRASH = "crash"
    CHANGED = "changed"
    IO = "io"
    OVER_BUDGET = "over_budget"
    PERMISSION = "permission"
    ENCRYPTED = "encrypted"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    EMBEDDED = "embedded"
    UNOPENED = "unopened"
    NESTED = "nested"
    LIMIT = "limit"
    FAULT = "fault"

    @property
    def retryable(self) -> bool:
        """Whether looking again may help, so that the content is owed a look."""
        return self not in _FINAL


_FINAL = frozenset(
    (
        Reason.ENCRYPTED,
        Reason.UNDECODABLE,
        Reason.TRUNCATED,
        Reason.EMBEDDED,
        Reason.UNOPENED,
        Reason.NESTED,
        Reason.LIMIT,
    )
)


class Extent(StrEnum):
    """How much of a content was looked at."""

    WHOLE = "whole"
    PARTIAL = "partial"
    DIGESTS_ONLY = "digests_only"


@dataclass(frozen=True, slots=True)
class Looked:
    """How much was looked at, and the reason wherever that is not all of it."""

    extent: Extent
    reason: Reason | None = None

    def __post_init__(self) -> None:
        assert (self.reason is None) == (self.extent is Extent.WHOLE)


WHOLE = Looked(Extent.WHOLE)


def partial(reason: Reason) -> Looked:
    """Some of the perceptual signals could be made."""
    return Looked(Extent.PARTIAL, reason)


def digests_only(reason: Reason) -> Looked:
    """No perceptual signal could be made although the content may be media."""
    return Looked(Extent.DIGESTS_ONLY, reason)


@dataclass(frozen=True, slots=True)
class Digests:
    """The cryptographic digests of a content, raw bytes, and its size."""

    md5: bytes
    sha1: bytes
    sha256: bytes
    size_bytes: int

    def signals(self) -> tuple[Signal, ...]:
        """The three digests as signals."""
        return (Signal("md5", self.md5), Signal("sha1", self.sha1), Signal("sha256", self.sha256))


def member_part(member: int | None, part: str | None) -> str | None:
    """What `Signal.part` says of a member of a container: "m" and its number from 1, and of a part of it, as "m3.1"."""
    if member is None:
        return part
    return f"m{member}" if part is None else f"m{member}.{part}"


def member_of(part: str | None) -> tuple[int | None, str | None]:
    """The member's number and the part of it; (None, part) for what is the content's own."""
    if part is None or part[:1] != "m":
        return None, part
    member, _, within = part[1:].partition(".")
    return int(member), within or None


@dataclass(frozen=True, slots=True)
class Landing:
    """The packet a resumed look at a video has to find again before it may believe a seek."""

    pts: int
    dts: int
    pos: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a look that ran out of budget stopped: all before it was looked at, and the next look goes on there.

    `at` counts frames of an animation, pages of a picture, or, where `packets`, those of the video streams in file
    order; `ms` is the time there. `catch_up_ms` is what it costs to get there again without looking. `last` is the PDQ
    value of the last frame kept (empty: none), so that repeats are known across looks. `damaged` and `gaps` say that
    something before `at` could not be decoded, or was passed over as too costly. `fruitless` counts looks in a row that
    got no further. `loose` says that a stream which seemed to have ended held nothing back: if it goes on after all,
    that is a gap. `members` says that `at` counts the members of a container, and `ms` the kibibytes unpacked;
    `troubles` then tells what kept some of those before `at` from being looked at (bits, see decoding.containers.look).
    `rule` tells what the looks were made by: another rule starts anew.
    """

    at: int
    ms: int = 0
    catch_up_ms: int = 0
    last: bytes = b""
    damaged: bool = False
    gaps: bool = False
    fruitless: int = 0
    rule: int = 0
    packets: bool = False
    loose: bool = False
    landing: Landing | None = None
    members: bool = False
    troubles: int = 0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What decoding a content gave: its kind, how far the look went, and its perceptual signals.

    `media` OTHER with `looked` WHOLE is "not media, by sniffing", or a container whose members were all looked at:
    clear. `since` is where the
    look began (None: at the start): `looked` and `signals` are of what lies behind it only. `resume` is where to go on.
    `made` names the recipes the look went by, whether or not they gave a signal here.
    """

    media: MediaKind
    looked: Looked
    signals: tuple[Signal, ...]
    since: Resume | None = None
    resume: Resume | None = None
    made: frozenset[str] = frozenset()


class Stopped(Exception):
    """Whoever asked for a look does not want it any more: nothing is known of the content, and nothing recorded."""


Stop = Callable[[], bool]


def never() -> bool:
    """The `Stop` of a look that is wanted to its end."""
    return False


class InMemory(Protocol):
    """A content that lies in memory, not in a file."""

    @property
    def size_bytes(self) -> int:
        """Its length."""
        ...

    def write_to(self, fd: int) -> None:
        """Make a regular file of ours hold it, and nothing else. Raises OSError."""
        ...


#: What is looked at: a regular file open on a descriptor (not closed, its offset not relied on), or bytes in memory.
Source = int | InMemory


class Fingerprinter(Protocol):
    """Anything that turns a content into a fingerprint within a budget. Safe to call from several threads."""

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """Decode a content. Never raises for a bad one; OSError where there is no room to lay out what is in memory.

        Raises Stopped within a fraction of a second of `stop` being true. With `resume` go on where an earlier look at
        the same content stopped; the answer's `since` says whether it did. `within_s` is for who waits (the upload
        lane): the answer comes within that time on the clock; of a film too long for it, it holds frames from all over
        it, and what is left is owed to looks that have the time (the batch lane), from the answer's `resume` on.
        """
        ...

    def wanted(self, media: MediaKind) -> frozenset[str]:
        """The recipes that a look at a content of this kind goes by today."""
        ...


class Trigger(StrEnum):
    """What made a comparison happen."""

    SCAN = "scan"
    UPLOAD = "upload"
    RESCAN = "rescan"


class Verb(StrEnum):
    """What the operator's own system is asked to do about an asset."""

    RESTRICT = "restrict"
    REVIEW = "review"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one `scan_one`: which entries the content meets, and how far we looked.

    `content_seq` is the ledger's number of the content. `known` says that the content was known and not decoded again.
    """

    content_seq: int
    media: MediaKind
    looked: Looked
    matches: tuple[EntryHit, ...]
    known: bool

    @property
    def clear(self) -> bool:
        """No match, and looked at whole. Anything less is never clear."""
        return not self.matches and self.looked.extent is Extent.WHOLE
