"""The join of DESIGN.md in plain Python: slow, obvious, and what every faster form must equal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hashsets import hashtypes
from hashsets.types import Entry, HashSet, Queries, Rule, Shape, Signal


@dataclass(frozen=True)
class Asked:
    """One query row."""

    owner: int
    hash_type: str
    value: bytes
    quality: int = 100
    is_frame: bool = False
    reading: int = 1


@dataclass(frozen=True)
class Meeting:
    """What `match` should say of one (owner, set, entry)."""

    owner: int
    set_uid: bytes
    entry_key: bytes
    hash_type: str
    distance: int
    exact_types: frozenset[str]


def queries_of(asked: Iterable[Asked]) -> list[Queries]:
    """Query rows as the arrays a snapshot takes."""
    by_type: dict[str, list[Asked]] = {}
    for row in asked:
        by_type.setdefault(row.hash_type, []).append(row)
    return [
        Queries(
            name,
            np.frombuffer(b"".join(row.value for row in rows), np.uint8).reshape(len(rows), -1),
            np.array([row.owner for row in rows], np.int64),
            np.array([row.quality for row in rows], np.uint8),
            np.array([row.reading * row.is_frame for row in rows], np.uint8),
        )
        for name, rows in by_type.items()
    ]


def meetings(listed: Sequence[tuple[HashSet, Sequence[Entry]]], asked: Sequence[Asked]) -> list[Meeting]:
    """Every match, by comparing everything with everything."""
    found = []
    for owner in sorted({row.owner for row in asked}):
        own = [row for row in asked if row.owner == owner]
        for hash_set, entries in listed:
            for entry in entries:
                evidence = _evidence(hash_set.rule, entry, own)
                if evidence:
                    name, distance = min(evidence, key=_strength)
                    exact = frozenset(known for known, _ in evidence if _is_exact(known))
                    found.append(Meeting(owner, hash_set.uid, entry.key, name, distance, exact))
    return sorted(found, key=lambda meeting: (meeting.owner, meeting.set_uid, meeting.entry_key))


def _strength(evidence: tuple[str, int]) -> tuple[object, ...]:
    name, distance = evidence
    if _is_exact(name):
        return (0, 0, -hashtypes.get(name).bits)
    return (1, distance, hashtypes.names().index(name))


def _is_exact(name: str) -> bool:
    return hashtypes.get(name).comparison == "exact"


def _evidence(rule: Rule, entry: Entry, own: Sequence[Asked]) -> list[tuple[str, int]]:
    evidence = []
    for name in {signal.hash_type for signal in entry.signals}:
        listed = [signal for signal in entry.signals if signal.hash_type == name and _good(rule, signal)]
        asked = [row for row in own if row.hash_type == name and _good(rule, row)]
        if _is_exact(name) or entry.shape is Shape.ITEM:
            evidence += [(name, d) for row in asked for signal in listed if (d := _near(rule, row, signal)) is not None]
        else:
            frames = [row for row in asked if row.is_frame]
            for reading in {row.reading for row in frames}:
                evidence += _frames_evidence(rule, name, listed, [row for row in frames if row.reading == reading])
    return evidence


def _frames_evidence(rule: Rule, name: str, listed: Sequence[Signal], asked: Sequence[Asked]) -> list[tuple[str, int]]:
    wanted, given = {signal.value: signal for signal in listed}, {row.value: row for row in asked}
    pairs = [
        (value, other, d)
        for value, row in given.items()
        for other, signal in wanted.items()
        if (d := _near(rule, row, signal)) is not None
    ]
    if not pairs:
        return []
    if len({value for value, _, _ in pairs}) / len(given) < rule.frame_shares.query:
        return []
    if len({other for _, other, _ in pairs}) / len(wanted) < rule.frame_shares.listed:
        return []
    return [(name, min(d for _, _, d in pairs))]


def _good(rule: Rule, signal: Signal | Asked) -> bool:
    hash_type = hashtypes.get(signal.hash_type)
    if hash_type.comparison == "exact":
        return signal.value != hashtypes.empty_file_digest(hash_type)
    ones = sum(bin(byte).count("1") for byte in signal.value)
    if ones < hash_type.bits / 8 or ones > hash_type.bits * 7 / 8:
        return False
    floor = rule.quality_floor.get(signal.hash_type, hash_type.default_quality_floor)
    return not hash_type.has_quality or signal.quality is None or signal.quality >= floor


def _near(rule: Rule, row: Asked, signal: Signal) -> int | None:
    hash_type = hashtypes.get(row.hash_type)
    distance = sum(bin(a ^ b).count("1") for a, b in zip(row.value, signal.value, strict=True))
    radius = 0
    if hash_type.comparison == "hamming":
        radius = rule.radius_bits.get(row.hash_type, hash_type.default_radius_bits)
    return distance if distance <= radius else None
