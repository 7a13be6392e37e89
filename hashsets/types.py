"""The words of what is listed: plain frozen values that every module of this package shares.

Rules
- Imports nothing of ours; numpy only for the arrays of `Hits` and `Queries`.
- A value that exists has been parsed: `hashtypes.parse` is the only way text becomes `Signal.value`.
- Knows no content, asset or report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Role(StrEnum):
    """What a match with a hash set means."""

    ALERT = "alert"
    KNOWN_GOOD = "known_good"
    CANARY = "canary"


class Mode(StrEnum):
    """Whether a set's matches may be reported (`active`) or are only recorded (`shadow`).

    A `retired` set matches nothing: its matches are withdrawn; what it listed and its history stay.
    """

    SHADOW = "shadow"
    ACTIVE = "active"
    RETIRED = "retired"


class Shape(StrEnum):
    """How an entry's signals are joined: any one of them (`item`) or as a bag of frames (`frames`)."""

    ITEM = "item"
    FRAMES = "frames"


@dataclass(frozen=True, slots=True)
class Signal:
    """One value of one hash type, with what made it.

    `value` is the raw big-endian bytes of the hash (bits // 8 of them). `recipe` names what computed it (None on listed
    signals); `quality` is 0..100 where the type has one; `orientation` is the EXIF orientation whose pixels were hashed
    ("stored" or "exif"); `part` names a member inside its content (an ordinal, never a file name); `frame` and
    `frame_ms` place a frame of a video or animation (decoded-frame index from 0, milliseconds from the start).
    """

    hash_type: str
    value: bytes
    recipe: str | None = None
    quality: int | None = None
    orientation: str = "stored"
    part: str | None = None
    frame: int | None = None
    frame_ms: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Classification:
    """What the list says of an entry, opaque to us: a scheme and a code within it."""

    scheme: str
    code: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed thing: 1..n signals under one key.

    `key` is the source's own identity, or type + value where it has none (see `entry_key`). `ref` is the source's
    public id; None lets the store draw 16 random bytes (32 hex digits) at first listing.
    """

    key: bytes
    signals: tuple[Signal, ...]
    shape: Shape = Shape.ITEM
    ref: str | None = None
    classifications: tuple[Classification, ...] = ()


def entry_key(signal: Signal) -> bytes:
    """The key of an entry whose source gives it none: its type, a NUL, its value."""
    return signal.hash_type.encode("ascii") + b"\x00" + signal.value


def entry_key_of_ref(ref: str) -> bytes:
    """The key of an entry whose source names it by a public id."""
    return b"ref\x00" + ref.encode("utf-8")


@dataclass(frozen=True, slots=True)
class FrameShares:
    """Least shares (0..1) of distinct good frames that must find a partner for a `frames` match."""

    query: float = 0.8
    listed: float = 0.0


# Edits that a content's PDQ does not survive, by the name of the readings that undo them: bars round the picture, and a
# margin cut off. A set asks for them; signals so named (as their orientation) meet no other set.
EDITS = ("trimmed", "uncropped")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one set is compared. `radius_bits` and `quality_floor` override the hash type's defaults, by type name.

    `edits` names the further readings of a content that may match; each costs further chances of a false match.
    `hash_types` are the only types compared, `codes` the only classifications that match (a code, or scheme:code);
    empty: all. Of an entry that lists several of the types compared, so many must agree as `agreeing` says, or all
    where it lists fewer.
    """

    radius_bits: dict[str, int] = field(default_factory=dict)
    quality_floor: dict[str, int] = field(default_factory=dict)
    frame_shares: FrameShares = FrameShares()
    edits: frozenset[str] = frozenset()
    hash_types: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    agreeing: int = 1

    def compares(self, hash_type: str) -> bool:
        """Whether values of a hash type are compared at all."""
        return not self.hash_types or hash_type in self.hash_types

    def takes(self, classifications: tuple[Classification, ...]) -> bool:
        """Whether an entry so classified may match."""
        return not self.codes or any(
            mark.code in self.codes or f"{mark.scheme}:{mark.code}" in self.codes for mark in classifications
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a version of an active set may bring without a person's word; see `scanner.ledger.probation`.

    New matches, and contents newly matched as a share (0..1) of all; entries more, and entries fewer, as a share of
    those there were. A version past one of the first three is held; one past the last is refused at the door.
    """

    matches: int = 1000
    share: float = 0.10
    growth: float = 1.0
    shrink: float = 0.20


@dataclass(frozen=True, slots=True)
class HashSet:
    """A named list as it stands: identity, role, rule and the version in force.

    `uid` is 16 random bytes minted at creation or rebuild, never reused. `rule_revision` rises with every change of
    `rule` or `role` (coverage remembers which revision it met). `version` rises by one per committed
    delta; 0 is "created, nothing listed".
    """

    uid: bytes
    name: str
    source: str
    role: Role
    mode: Mode
    enabled: bool
    rule: Rule
    rule_revision: int
    version: int
    entries: int
    bounds: Bounds = Bounds()

    @property
    def in_force(self) -> bool:
        """Whether contents are compared with it."""
        return self.enabled and self.mode is not Mode.RETIRED


@dataclass(frozen=True, slots=True)
class Version:
    """One committed delta of a set, as history tells it. `day` is the UTC date of activation (ISO 8601).

    `rollback_to` is the earlier version whose entries it lists again; None: the delta came from a source.
    """

    version: int
    day: str
    added: int
    changed: int
    withdrawn: int
    complete: bool
    checkpoint: bytes | None
    rollback_to: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Many entries at once, each nothing but one value: its key is type and value, its ref is drawn. (n, bytes)."""

    hash_type: str
    values: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Delta:
    """A page of a change to a set. `complete` says the pages together are the full list: what they lack goes."""

    added: tuple[Entry, ...] = ()
    removed: tuple[bytes, ...] = ()
    checkpoint: bytes | None = None
    complete: bool = False
    blocks: tuple[Block, ...] = ()

    @property
    def listed(self) -> int:
        """How many entries it adds."""
        return len(self.added) + sum(map(len, self.blocks))


@dataclass(frozen=True, slots=True)
class Hits:
    """What a matcher found: aligned arrays, one element a hit, ordered by query row, then listed row.

    `query_rows` and `listed_rows` are (h,) int64 positions; `distances` is (h,) int32 bits.
    """

    query_rows: NDArray[np.int64]
    listed_rows: NDArray[np.int64]
    distances: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.query_rows)


@dataclass(frozen=True, slots=True)
class Queries:
    """Signals of one hash type to be looked up, each belonging to an asker the caller numbers.

    Arrays of one length n: `values` (n, bits // 8) uint8, `owners` (n,) int64, `quality` (n,) uint8 (100 where the type
    has no quality), `readings` (n,) uint8: 0 for what is no frame of a video or animation; else which of its owner's
    readings the frame is of. A film turned as a player shows it is another reading than the film as stored, and so is
    each further stream: shares are counted within one. `edit` names what all these readings undo; "" for the content as
    it is.
    """

    hash_type: str
    values: NDArray[np.uint8]
    owners: NDArray[np.int64]
    quality: NDArray[np.uint8]
    readings: NDArray[np.uint8]
    edit: str = ""

    @property
    def is_frame(self) -> NDArray[np.bool_]:
        """Whether each row is a frame of a video or animation."""
        return np.asarray(self.readings != 0)

    def __len__(self) -> int:
        return len(self.owners)


@dataclass(frozen=True, slots=True)
class EntryHit:
    """One owner met one entry under the set's rule: the best evidence of it.

    `first_version` is the set's version that first listed the entry. Exact types rank before Hamming types, then the
    smaller distance. `distance` is 0 for exact types. `exact_types` names every exact type of the entry that
    agreed, so that known-good can demand md5 and sha1 together. `changed_version` is the set's version that last
    changed anything of the entry on which matches depend.
    """

    owner: int
    set_uid: bytes
    entry_key: bytes
    ref: str
    classifications: tuple[Classification, ...]
    first_version: int
    hash_type: str
    distance: int
    exact_types: frozenset[str]
    changed_version: int = 0
