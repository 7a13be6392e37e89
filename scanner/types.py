"""The words of what we hold: plain frozen values shared by every module of this package.

Rules
- Imports only hashsets.types.
- "Could not look" is a value with a reason (`Looked`), never None, an empty string or an exception.
- Paths and keys are bytes end to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hashsets.types import EntryHit, Signal


class MediaKind(StrEnum):
    """What a content is, by sniffing its bytes, never by its name. `other` is not media at all."""

    IMAGE = "image"
    ANIMATION = "animation"
    VIDEO = "video"
    OTHER = "other"


class Reason(StrEnum):
    """Why a content could not be looked at whole. Retryable reasons are owed; final ones are not tried again."""

    TIMEOUT = "timeout"
    CRASH = "crash"
    CHANGED = "changed"
    IO = "io"
    OVER_BUDGET = "over_budget"
    PERMISSION = "permission"
    ENCRYPTED = "encrypted"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"

    @property
    def retryable(self) -> bool:
        """Whether looking again may help, so that the content is owed a look."""
        return self not in (Reason.ENCRYPTED, Reason.UNDECODABLE, Reason.TRUNCATED)


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


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What decoding a content gave: its kind, how far the look went, and its perceptual signals.

    `media` OTHER with `looked` WHOLE is "not media, by sniffing": nothing to look at, so clear.
    """

    media: MediaKind
    looked: Looked
    signals: tuple[Signal, ...]


class Fingerprinter(Protocol):
    """Anything that turns an open file into a fingerprint within a budget. Safe to call from several threads."""

    def fingerprint(self, fd: int) -> Fingerprint:
        """Decode the regular file open on `fd` (not closed, its offset not relied on). Never raises for bad content."""
        ...


class Trigger(StrEnum):
    """What made a comparison happen."""

    SCAN = "scan"
    UPLOAD = "upload"
    RESCAN = "rescan"


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
