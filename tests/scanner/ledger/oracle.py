"""The join and the fate of assets as DESIGN.md words them, in plain Python: what the product must equal.

Slow on purpose and written from the page, not from the code: no arrays, no index, no delta.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from hashsets.types import Entry, Role, Rule, Shape, Signal

EXACT = ("md5", "sha1", "sha256")
DEFAULT_RADIUS = {"pdq": 31, "phash": 8, "dhash": 8, "ahash": 4, "whash": 4}
DEFAULT_FLOOR = {"pdq": 50}


@dataclass(frozen=True)
class Met:
    """How a content meets an entry: the exact types that agree, and the least distance of those that do not have to."""

    exact_types: frozenset[str]
    distance: int | None


def join(digests: Mapping[str, bytes], signals: Iterable[Signal], entry: Entry, rule: Rule) -> Met | None:
    """Whether and how a content meets an entry under a rule."""
    if rule.codes and not any({c.code, f"{c.scheme}:{c.code}"} & rule.codes for c in entry.classifications):
        return None
    listed = [s for s in entry.signals if not rule.hash_types or s.hash_type in rule.hash_types]
    digests_listed = [s for s in listed if s.hash_type in EXACT and s.value != hashlib.new(s.hash_type, b"").digest()]
    exact = frozenset(s.hash_type for s in digests_listed if digests[s.hash_type] == s.value)
    near = _near_frames if entry.shape is Shape.FRAMES else _near_items
    distances = {
        hash_type: distance
        for hash_type in DEFAULT_RADIUS
        if (
            distance := near(
                [s for s in signals if s.hash_type == hash_type and _counts(s, rule)],
                [s for s in listed if s.hash_type == hash_type and _counts(s, rule)],
                rule.radius_bits.get(hash_type, DEFAULT_RADIUS[hash_type]),
                rule,
            )
        )
        is not None
    }
    types = {s.hash_type for s in digests_listed}
    types |= {s.hash_type for s in listed if s.hash_type in DEFAULT_RADIUS and _counts(s, rule)}
    agreeing = len(exact) + len(distances)
    if not agreeing or agreeing < min(rule.agreeing, len(types)):
        return None
    return Met(exact, min(distances.values(), default=None))


def _counts(signal: Signal, rule: Rule) -> bool:
    """Neither degenerate nor under the floor."""
    bits = 8 * len(signal.value)
    ones = int.from_bytes(signal.value).bit_count()
    floor = rule.quality_floor.get(signal.hash_type, DEFAULT_FLOOR.get(signal.hash_type, 0))
    quality = 100 if signal.quality is None or signal.hash_type not in DEFAULT_FLOOR else signal.quality
    return bits / 8 <= ones <= bits * 7 / 8 and quality >= floor


def _bits_between(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def _near_items(held: list[Signal], listed: list[Signal], radius: int, rule: Rule) -> int | None:
    distances = [_bits_between(s.value, t.value) for s in held for t in listed]
    return min((d for d in distances if d <= radius), default=None)


def _near_frames(held: list[Signal], listed: list[Signal], radius: int, rule: Rule) -> int | None:
    ours = {s.value for s in held if s.frame is not None}
    theirs = {t.value for t in listed}
    if not ours or not theirs:
        return None
    pairs = [(a, b) for a in ours for b in theirs if _bits_between(a, b) <= radius]
    our_share = len({a for a, _ in pairs}) / len(ours)
    their_share = len({b for _, b in pairs}) / len(theirs)
    if not pairs or our_share < rule.frame_shares.query or their_share < rule.frame_shares.listed:
        return None
    return min(_bits_between(a, b) for a, b in pairs)


def vouches(role: Role, met_exact: Collection[str]) -> bool:
    """Whether a match with a set of that role makes its content known good."""
    return role is Role.KNOWN_GOOD and ("sha256" in met_exact or {"md5", "sha1"} <= set(met_exact))


def state(role: Role, exact_types: Collection[str], known_good: bool) -> str:
    """How a match that is not withdrawn stands."""
    if role is Role.KNOWN_GOOD or not known_good:
        return "active"
    return "held" if exact_types else "suppressed"


@dataclass
class Held:
    """An asset of a root: what it holds, when it was first missed, whether it is gone, and the walk that met it."""

    sha256: bytes
    born_walk: int
    missing_at: int | None = None
    gone: bool = False


@dataclass
class RootModel:
    """What is known of the places of one root, walk by walk.

    Of places that could each have moved, the first in the `order` of keys as they are written has: no other is told.
    """

    order: Callable[[bytes], bytes] = lambda key: key
    held: dict[bytes, Held] = field(default_factory=dict)
    identity: tuple[int, int] | None = None
    walks: int = 0
    completed: int = 0
    accepted: bool = False
    moves: int = 0

    def walk(
        self, files: Mapping[bytes, bytes], identity: tuple[int, int], now_ns: int, told: Collection[bytes]
    ) -> bool:
        """A walk that found `files` (key to sha256); whether it concluded. `told` keys have sealed reports."""
        self.walks += 1
        for key, sha256 in files.items():
            known = self.held.get(key)
            if known is None:
                self.held[key] = Held(sha256, self.walks)
            else:
                self.held[key] = Held(sha256, known.born_walk)
        absent = sorted((key for key, h in self.held.items() if not h.gone and key not in files), key=self.order)
        lost = [key for key in absent if self.held[key].missing_at is None]
        if not self.accepted and self._doubtful(files, lost, identity, told):
            return False
        moved = self._move(files, lost, told)
        for key in absent:
            if key not in moved:
                self._miss(self.held[key], now_ns)
        self.completed, self.identity, self.accepted = self.walks, identity, False
        return True

    def _appeared(self, files: Mapping[bytes, bytes], sha256: bytes, told: Collection[bytes]) -> list[bytes]:
        return [
            key
            for key, held in sorted(self.held.items(), key=lambda item: self.order(item[0]))
            if key in files and held.sha256 == sha256 and held.born_walk > self.completed and key not in told
        ]

    def _doubtful(
        self, files: Mapping[bytes, bytes], lost: list[bytes], identity: tuple[int, int], told: Collection[bytes]
    ) -> bool:
        if self.identity is not None and self.identity != identity:
            return True
        if not lost:
            return False
        if not files:
            return True
        appeared = {sha256: len(self._appeared(files, sha256, told)) for sha256 in set(files.values())}
        lost_of = Counter(self.held[key].sha256 for key in lost)
        vanished = sum(max(0, count - appeared.get(sha256, 0)) for sha256, count in lost_of.items())
        return vanished > 0.2 * (len(files) + len(lost))

    def _move(self, files: Mapping[bytes, bytes], lost: list[bytes], told: Collection[bytes]) -> set[bytes]:
        moved = set()
        for key in lost:
            targets = self._appeared(files, self.held[key].sha256, told)
            if targets:
                del self.held[key]
                self.held[targets[0]] = Held(files[targets[0]], 0)  # it is an old asset now
                moved.add(key)
                self.moves += 1
        return moved

    def _miss(self, held: Held, now_ns: int) -> None:
        if held.missing_at is None:
            held.missing_at = now_ns
        elif now_ns - held.missing_at >= 86_400 * 10**9:
            held.gone = True

    def summary(self) -> tuple[dict[bytes, bytes], Counter[bytes], Counter[bytes]]:
        """(present key to sha256, missing by sha256, gone by sha256)."""
        present = {key: h.sha256 for key, h in self.held.items() if h.missing_at is None and not h.gone}
        missing = Counter(h.sha256 for h in self.held.values() if h.missing_at is not None and not h.gone)
        return present, missing, Counter(h.sha256 for h in self.held.values() if h.gone)
