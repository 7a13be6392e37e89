"""The signals of a content as one packed blob, and back.

Layout, little-endian: the four bytes `HSG1`, then groups until the end. A group holds all signals that share hash type,
recipe, orientation and part (of members of a container: part within the member):

    u8 flags (1 quality, 2 frame, 4 frame_ms, 8 part, 16 member)   u16 value bytes   u32 count
    four texts, each u8 length + UTF-8: hash type, recipe, orientation, part
    count x value, then where flagged: count x u8 quality, u32 frame, i64 frame_ms, u32 member

Digests are columns of the content; those in the blob are of members, and claims. A row per signal would cost SQLite
some 60 bytes of overhead for each frame of each video; arrays also load into the matching core without a Python object
per frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashsets import hashtypes
from hashsets.types import EDITS, Queries, Signal
from scanner.errors import LedgerError
from scanner.ledger.claims import CONTENT_MASK, MEMBER_SHIFT, MOST_MEMBERS
from scanner.types import member_of, member_part

MAGIC = b"HSG1"
_GROUP = struct.Struct("<BHI")
_QUALITY, _FRAME, _FRAME_MS, _PART, _MEMBER = 1, 2, 4, 8, 16
MOST_READINGS = 255  # of one content that are counted apart: more streams and turnings count as the last
_Key = tuple[str, str]  # hash type and edit
NO_QUALITY = 100  # what `Queries.quality` holds for types that have none (documented there)


@dataclass(frozen=True, slots=True)
class Group:
    """Signals of one content that share type, recipe, orientation and part, as arrays of one length."""

    hash_type: str
    recipe: str | None
    orientation: str
    part: str | None
    values: NDArray[np.uint8]
    quality: NDArray[np.uint8] | None
    frame: NDArray[np.uint32] | None
    frame_ms: NDArray[np.int64] | None
    member: NDArray[np.uint32] | None = None

    def owners(self, owner: int) -> NDArray[np.int64]:
        """Who asks with each value: the content `owner`, or its member."""
        owners = np.full(len(self.values), owner, np.int64)
        return owners if self.member is None else owners | (self.member.astype(np.int64) << MEMBER_SHIFT)


def pack(signals: Iterable[Signal]) -> bytes:
    """The blob of `signals`; groups and the signals in them keep the order they came in."""
    groups: dict[tuple[object, ...], list[Signal]] = {}
    for signal in signals:
        groups.setdefault(_group_key(signal), []).append(signal)
    return MAGIC + b"".join(_pack_group(group) for group in groups.values())


def _group_key(signal: Signal) -> tuple[object, ...]:
    member, part = member_of(signal.part)
    return (
        signal.hash_type,
        signal.recipe,
        signal.orientation,
        part,
        member is None,
        signal.quality is None,
        signal.frame is None,
        signal.frame_ms is None,
    )


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    if len(raw) > 255:
        raise LedgerError("A signal's description is longer than 255 bytes.")
    return bytes([len(raw)]) + raw


def _pack_group(signals: list[Signal]) -> bytes:
    first = signals[0]
    member, part = member_of(first.part)
    flags = (
        _QUALITY * (first.quality is not None)
        | _FRAME * (first.frame is not None)
        | _FRAME_MS * (first.frame_ms is not None)
        | _PART * (part is not None)
        | _MEMBER * (member is not None)
    )
    parts = [
        _GROUP.pack(flags, len(first.value), len(signals)),
        _text(first.hash_type),
        _text(first.recipe or ""),
        _text(first.orientation),
        _text(part or ""),
        b"".join(signal.value for signal in signals),
    ]
    if first.quality is not None:
        parts.append(bytes(signal.quality or 0 for signal in signals))
    if first.frame is not None:
        parts.append(np.array([signal.frame for signal in signals], dtype="<u4").tobytes())
    if first.frame_ms is not None:
        parts.append(np.array([signal.frame_ms for signal in signals], dtype="<i8").tobytes())
    if member is not None:
        parts.append(np.array([member_of(signal.part)[0] for signal in signals], dtype="<u4").tobytes())
    return b"".join(parts)


def groups(blob: bytes) -> Iterator[Group]:
    """The groups of a blob, as views into it. Raises LedgerError where it is not one of ours."""
    try:
        yield from _groups(blob)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as exc:
        raise LedgerError("Stored signals of a content are damaged: restore ledger.db from a backup.") from exc


def _groups(blob: bytes) -> Iterator[Group]:
    if blob[: len(MAGIC)] != MAGIC:
        raise ValueError("magic")
    at = len(MAGIC)
    while at < len(blob):
        flags, width, count = _GROUP.unpack_from(blob, at)
        at += _GROUP.size
        texts = []
        for _ in range(4):
            end = at + 1 + blob[at]
            texts.append(blob[at + 1 : end].decode("utf-8"))
            at = end
        hash_type = hashtypes.find(texts[0])
        if hash_type is None or hash_type.name != texts[0] or hash_type.size_bytes != width or not width or flags > 31:
            raise ValueError("group")
        values = np.frombuffer(blob, np.uint8, count * width, at).reshape(count, width)
        at += count * width
        columns: list[NDArray[np.generic] | None] = []
        for flag, dtype in ((_QUALITY, "u1"), (_FRAME, "<u4"), (_FRAME_MS, "<i8"), (_MEMBER, "<u4")):
            if flags & flag:
                column = np.frombuffer(blob, dtype, count, at)
                at += column.nbytes
                columns.append(column)
            else:
                columns.append(None)
        _check_members(flags, texts[3], columns[-1])
        yield Group(
            texts[0],
            texts[1] or None,
            texts[2],
            texts[3] if flags & _PART else None,
            values,
            *columns,  # type: ignore[arg-type]
        )


def _check_members(flags: int, part: str, members: NDArray[np.generic] | None) -> None:
    """Members are numbered as owners can hold them, and no other part is named like one. Raises ValueError."""
    if members is None and part[:1] == "m":
        raise ValueError("part")
    if members is not None and len(members):
        numbers = members.astype(np.int64)
        if numbers.min() < 1 or numbers.max() > MOST_MEMBERS or (flags & _PART and not part):
            raise ValueError("member")


def unpack(blob: bytes) -> tuple[Signal, ...]:
    """The signals of a blob, group by group."""
    return tuple(signal for group in groups(blob) for signal in _signals(group))


def _signals(group: Group) -> Iterator[Signal]:
    for row in range(len(group.values)):
        yield Signal(
            group.hash_type,
            group.values[row].tobytes(),
            group.recipe,
            None if group.quality is None else int(group.quality[row]),
            group.orientation,
            group.part if group.member is None else member_part(int(group.member[row]), group.part),
            None if group.frame is None else int(group.frame[row]),
            None if group.frame_ms is None else int(group.frame_ms[row]),
        )


@dataclass(slots=True)
class _Alike:
    """Blobs of one group that differ in nothing but values and qualities: sliced together, not parsed one by one."""

    group: Group
    start: int
    blobs: list[bytes]
    owners: list[int]

    def queries(self) -> Queries:
        """All their signals, owners in the order they came."""
        count, width = self.group.values.shape
        rows = np.frombuffer(b"".join(self.blobs), np.uint8).reshape(len(self.blobs), -1)
        end = self.start + count * width
        owners = np.repeat(np.array(self.owners, np.int64), count)
        quality = np.full(len(owners), NO_QUALITY, np.uint8)
        if self.group.quality is not None:
            quality = rows[:, end : end + count].reshape(-1)
        readings = np.full(len(owners), self.group.frame is not None, np.uint8)
        values = rows[:, self.start : end].reshape(-1, width)
        return Queries(self.group.hash_type, values, owners, quality, readings, _edit(self.group))


class QueryBuilder:
    """Collects the signals of many contents into one `Queries` per hash type and edit undone.

    Owners are content sequence numbers; of what members of a container have, with the member's above (claims.py).
    """

    def __init__(self) -> None:
        self._columns: dict[_Key, list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8] | None, int]]] = {}
        self._digests: dict[str, tuple[list[bytes], list[int]]] = {}
        self._alike: dict[tuple[bytes, int], _Alike] = {}
        self.rows = 0

    def add(self, owner: int, digests: Iterable[Signal], blob: bytes) -> None:
        """Add a content's digests and its packed signals. Raises LedgerError for a blob that is none of ours."""
        for digest in digests:
            self.add_value(owner, digest.hash_type, digest.value)
        start = _values_start(blob)
        alike = self._alike.get((blob[:start], len(blob)))
        if alike is not None:
            alike.blobs.append(blob)
            alike.owners.append(owner)
            self.rows += len(alike.group.values)
            return
        found = list(groups(blob))
        self.rows += sum(len(group.values) for group in found)
        if len(found) == 1 and found[0].member is None:
            self._alike[blob[:start], len(blob)] = _Alike(found[0], start, [blob], [owner])
            return
        readings: dict[tuple[str, str | None], int] = {}
        for group in found:
            reading = 0
            if group.frame is not None:
                reading = readings.setdefault((group.orientation, group.part), min(len(readings) + 1, MOST_READINGS))
            column = (group.values, group.owners(owner), group.quality, reading)
            self._columns.setdefault((group.hash_type, _edit(group)), []).append(column)

    def add_value(self, owner: int, hash_type: str, value: bytes) -> None:
        """Add one value that has neither quality nor frame: a digest."""
        values, owners = self._digests.setdefault(hash_type, ([], []))
        values.append(value)
        owners.append(owner)
        self.rows += 1

    def queries(self) -> list[Queries]:
        """What was collected, one `Queries` per hash type and edit, sorted by them; the rows by content."""
        built = [self._digest_queries(name) for name in self._digests]
        built += [self._perceptual_queries(*key) for key in self._columns]
        built += [alike.queries() for alike in self._alike.values()]
        by_type: dict[_Key, list[Queries]] = {}
        for queries in built:
            by_type.setdefault((queries.hash_type, queries.edit), []).append(queries)
        return [_joined(by_type[name]) for name in sorted(by_type)]

    def _digest_queries(self, name: str) -> Queries:
        values, owners = self._digests[name]
        rows = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
        n = len(values)
        quality = np.full(n, NO_QUALITY, np.uint8)
        return Queries(name, rows, np.array(owners, np.int64), quality, np.zeros(n, np.uint8))

    def _perceptual_queries(self, name: str, edit: str) -> Queries:
        columns = self._columns[name, edit]
        counts = np.array([len(values) for values, *_ in columns])
        quality = [np.full(len(v), NO_QUALITY, np.uint8) if q is None else q for v, _, q, _ in columns]
        return Queries(
            name,
            np.concatenate([values for values, *_ in columns]),
            np.concatenate([owners for _, owners, *_ in columns]),
            np.concatenate(quality),
            np.repeat(np.array([reading for *_, reading in columns], np.uint8), counts),
            edit,
        )


def _edit(group: Group) -> str:
    """The edit that a group's readings undo; "" where they are of the content as it is."""
    return group.orientation if group.orientation in EDITS else ""


def _values_start(blob: bytes) -> int:
    """Where the values of the first group begin, as its header has it; past the end where there is no group."""
    at = len(MAGIC) + _GROUP.size
    for _ in range(4):
        at += 1 + (blob[at] if at < len(blob) else 0)
    return at


def _joined(parts: list[Queries]) -> Queries:
    """Queries of one type as one, rows by content, in the order they came within one content."""
    if len(parts) == 1:
        return parts[0]
    joined = Queries(
        parts[0].hash_type,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.readings for part in parts]),
        parts[0].edit,
    )
    order = np.argsort(joined.owners & CONTENT_MASK, kind="stable")
    return Queries(
        joined.hash_type,
        joined.values[order],
        joined.owners[order],
        joined.quality[order],
        joined.readings[order],
        joined.edit,
    )
