"""One open file to its perceptual signals: the only place where decoding and hashing meet.

Rules
- Signals are emitted one by one as they are made: whatever ends the work, what is known is kept.
- Orientations: "stored" pixels always; "exif" where the content says that they are to be turned; "2".."8" (EXIF codes
  of the turned picture) only when all eight are asked for.
- Edits: "trimmed" and "uncropped" name further readings of PDQ, made only where a set in force asks for them; a film's
  frames are not uncropped.
- A recipe names what made a signal, per media kind, hash type and orientation. A change of pixel or sampling rule is a
  new revision of the recipes it touches and of no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashsets.types import EDITS, Signal
from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, Picture, decode
from scanner.hashing import PERCEPTUAL_TYPES, FrameFilter, Reading, pdq, perceptual, trimmed, uncropped
from scanner.hashing.digests import DIGEST_TYPES, digest_blocks
from scanner.resuming import VALUE_BYTES, carried_on, rule_of
from scanner.types import Looked, MediaKind, Resume, member_of, member_part

__all__ = [
    "Emit",
    "Limits",
    "MediaFile",
    "Options",
    "Orientations",
    "fingerprint_file",
    "go_on",
    "gone_by",
    "recipe",
    "turned",
    "usable",
    "wanted",
    "with_recipes",
]


class Orientations(StrEnum):
    """Which turned readings of a picture get signals of their own."""

    STORED = "stored"
    EXIF = "exif"
    ALL8 = "all8"


@dataclass(frozen=True, slots=True)
class Options:
    """What is computed.

    `exact` forbids every short cut that could move a bit from the full-resolution reference: no JPEG is decoded scaled,
    and one that does not fit its budget otherwise is over budget. `dense` takes every frame
    of a video, repeats included. `hash_types` names the perceptual types wanted beside pdq: phash, dhash, ahash, whash.
    `edits` names the readings wanted that undo an edit.
    `gap_ms` is the longest stretch of video left without a frame when not dense; `repeat_bits` drops a frame that close
    to the last one kept when not dense (0: exact repeats, which cannot change what matches).
    """

    exact: bool = False
    dense: bool = False
    hash_types: tuple[str, ...] = ()
    orientations: Orientations = Orientations.EXIF
    edits: tuple[str, ...] = ()
    gap_ms: int = 5000
    repeat_bits: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.hash_types) - PERCEPTUAL_TYPES
        if unknown:
            raise ValueError(f"hash types that cannot be computed here: {', '.join(sorted(unknown))}")
        if not set(self.edits) <= set(EDITS):
            raise ValueError("edits that cannot be undone here")


class Emit(Protocol):
    """What takes the answer piece by piece."""

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """The content's kind; may be said again as more is known, the last one counts."""
        ...

    def member(self, number: int, kind: MediaKind) -> None:
        """The kind of a container's member; before its first signal that depends on it."""
        ...

    def signal(self, signal: Signal) -> None:
        """One signal, still without its recipe."""
        ...

    def mark(self, resume: Resume) -> None:
        """All signals before `resume` were told: a look that ends from here on can be gone on with there."""
        ...


_ALL8 = ("stored", "exif", *(str(turn) for turn in range(2, 9)))
_ORIENTATIONS = {Orientations.STORED: _ALL8[:1], Orientations.EXIF: _ALL8[:2], Orientations.ALL8: _ALL8}
_MEMBERS = (MediaKind.IMAGE, MediaKind.ANIMATION, MediaKind.VIDEO)
# The recipe of a member's digests: a worker claims them, who may be in the hands of the file's maker.
MEMBER_DIGEST = "member/worker"
# The revision of each pixel and sampling rule; raise one when the golden values of its recipe change.
_REVISIONS: dict[tuple[str, str], int] = {}
# A thumbnail this near to its picture shows the same: 17 of 29 in test collections, the others at 34 bits and more.
SAME_PICTURE_BITS = 31
# Which frames are taken and how positions count; another number makes every look begun earlier start anew.
_SAMPLING = 3


@lru_cache(maxsize=1024)
def recipe(media: MediaKind, hash_type: str, orientation: str, *, dense: bool = False) -> str:
    """What makes a signal of this kind today, such as "image/pdq/1", "image/pdq/exif/1" or "video/pdq/dense/1"."""
    parts = [media.value, hash_type]
    if orientation != "stored":
        parts.append(orientation)
    if dense and media is MediaKind.VIDEO:
        parts.append("dense")
    return "/".join((*parts, str(_REVISIONS.get((media.value, hash_type), 1))))


@lru_cache(maxsize=64)
def wanted(media: MediaKind, options: Options) -> frozenset[str]:
    """The recipes that a look at a content of this kind goes by: a content that lacks one owes it.

    Of what is no media itself they are those of a container's members, whatever these are.
    """
    kinds = _MEMBERS if media is MediaKind.OTHER else (media,)
    return frozenset(
        recipe(kind, hash_type, orientation, dense=options.dense)
        for kind in kinds
        for hash_type in ("pdq", *options.hash_types)
        for orientation in _ORIENTATIONS[options.orientations]
    ) | {recipe(kind, "pdq", edit, dense=options.dense) for kind in kinds for edit in options.edits}


def gone_by(media: MediaKind, options: Options, members: Mapping[int, MediaKind]) -> frozenset[str]:
    """The recipes that a look went by: none where there was no media and no member that is."""
    return wanted(media, options) if media is not MediaKind.OTHER or members else frozenset()


def with_recipes(
    media: MediaKind, signals: list[Signal], options: Options, members: Mapping[int, MediaKind] = MappingProxyType({})
) -> tuple[Signal, ...]:
    """The signals with their recipes, which are known only when the content's kind is, and those of its members."""

    def made(signal: Signal) -> str:
        member, _ = member_of(signal.part)
        if signal.hash_type in DIGEST_TYPES:
            return MEMBER_DIGEST
        kind = media if member is None else members.get(member, MediaKind.IMAGE)
        return recipe(kind, signal.hash_type, signal.orientation, dense=options.dense)

    return tuple(replace(each, recipe=made(each)) for each in signals)


def rule(options: Options, limits: Limits, resume: Resume | None) -> int:
    """What the looks at a content are made by: positions of another rule are not gone on from.

    After something was passed over as too costly, other limits are another rule, so that raising them mends the gap.
    """
    limits = replace(limits, within_s=None)  # how long one look may take makes no frame another one
    return rule_of(_SAMPLING, sorted(_REVISIONS.items()), options, limits if resume is not None and resume.gaps else 0)


def usable(resume: Resume | None, options: Options, limits: Limits) -> Resume | None:
    """The position, if it was made by this rule; else None: from the start."""
    return resume if resume is not None and resume.rule == rule(options, limits, resume) else None


def go_on(
    since: Resume | None, latest: Resume | None, looked: Looked, options: Options, limits: Limits
) -> Resume | None:
    """Where to go on after a look from `since` that last marked `latest` and ended as `looked`; None: nowhere."""
    resume = carried_on(since, latest, looked, hurried=limits.within_s is not None)
    return None if resume is None else replace(resume, rule=rule(options, limits, resume))


def fingerprint_file(
    file: MediaFile, options: Options, limits: Limits, emit: Emit, resume: Resume | None = None
) -> Looked:
    """Decode and hash the content, emitting its kind and each signal; how far the look went.

    With `resume` (of the same rule) only what lies behind it; WHOLE then says that both together are everything.

    Never raises for bad content. Not for use by several threads at once on Pillow's global switches: they are locked.
    """
    decode_options = DecodeOptions(options.dense, options.gap_ms, options.exact, full=bool(options.hash_types))
    return decode(file, decode_options, Budget(limits, resume), _Hasher(options, emit, resume), resume)


class _Hasher:
    """Turns pictures into signals as they come."""

    def __init__(self, options: Options, emit: Emit, resume: Resume | None) -> None:
        self._options = options
        self._emit = emit
        self._filter = FrameFilter(None if options.dense else options.repeat_bits, resume.last if resume else b"")
        self._stills: list[bytes] = []

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Pass the kind on."""
        self._emit.media(kind, duration_ms)

    def picture(self, picture: Picture) -> None:
        """Emit the picture's signals, unless it repeats the last frame."""
        named = self._turns(picture)
        edited = self._edited(picture) if self._options.edits else []
        readings = [*(Reading(turn) for _, turn in named), *(reading for _, reading in edited)]
        hashes = pdq(picture.pixels, readings, limited=picture.limited, original=picture.original, scale=picture.scale)
        part = member_part(picture.member, picture.part)
        if picture.frame is not None and not self._filter.keep(hashes[0].value, part):
            return
        if picture.aside and any(_distance(hashes[0].value, each) <= SAME_PICTURE_BITS for each in self._stills):
            return
        if picture.frame is None and not picture.aside:
            self._stills = [*self._stills[-3:], hashes[0].value]
        names = [*(name for name, _ in named), *(name for name, _ in edited)]
        for orientation, one in zip(names, hashes, strict=True):
            self._signal(picture, "pdq", one.value, orientation, one.quality)
        if self._options.hash_types:
            self._others(picture, named)

    def member(self, number: int, kind: MediaKind) -> None:
        """Pass a member's kind on."""
        self._emit.member(number, kind)

    def digest(self, number: int, blocks: Iterable[bytes]) -> None:
        """Emit the three digests of a member's bytes."""
        for each in digest_blocks(blocks).signals():
            self._emit.signal(replace(each, part=member_part(number, None)))

    def mark(self, resume: Resume) -> None:
        """Pass the position on, with the value that the next frame may repeat."""
        self._emit.mark(replace(resume, last=self._filter.last(VALUE_BYTES)))

    def _turns(self, picture: Picture) -> list[tuple[str, int]]:
        """The orientations to hash, each with its EXIF code; stored first."""
        named = [("stored", 1)]
        if self._options.orientations is not Orientations.STORED and picture.exif != 1:
            named.append(("exif", picture.exif))
        if self._options.orientations is Orientations.ALL8:
            named.extend((str(turn), turn) for turn in range(2, 9))
        return named

    def _edited(self, picture: Picture) -> list[tuple[str, Reading]]:
        """The readings that undo an edit, each with its name, as stored and as shown."""
        size = picture.original or (picture.pixels.shape[0], picture.pixels.shape[1])
        windows = []
        if "trimmed" in self._options.edits:
            windows += [("trimmed", each) for each in trimmed(picture.pixels, size, picture.scale)]
        if "uncropped" in self._options.edits and picture.frame is None:
            windows += [("uncropped", each) for each in uncropped(size)]
        shown = {1, picture.exif} if self._options.orientations is not Orientations.STORED else {1}
        return [(name, Reading(turn, window)) for name, window in windows for turn in sorted(shown)]

    def _others(self, picture: Picture, named: list[tuple[str, int]]) -> None:
        pixels = np.ascontiguousarray(picture.pixels[:])
        if picture.limited:
            pixels = _stretched(pixels)
        for orientation, turn in named:
            for hash_type, value in perceptual(turned(pixels, turn), self._options.hash_types):
                self._signal(picture, hash_type, value, orientation, None)

    def _signal(self, picture: Picture, hash_type: str, value: bytes, orientation: str, quality: int | None) -> None:
        self._emit.signal(
            Signal(
                hash_type,
                value,
                quality=quality,
                orientation=orientation,
                part=member_part(picture.member, picture.part),
                frame=picture.frame,
                frame_ms=picture.frame_ms,
            )
        )


def _distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def _stretched(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Limited-range luma as full-range, rounded."""
    stretched: NDArray[np.float32] = np.rint((pixels.astype(np.float32) - 16) * np.float32(255 / 219))
    return np.clip(stretched, 0, 255).astype(np.uint8)


def turned(pixels: NDArray[np.uint8], exif: int) -> NDArray[np.uint8]:
    """The pixels as a viewer that honours the EXIF orientation shows them."""
    if exif in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if exif in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if exif >= 5:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels)
