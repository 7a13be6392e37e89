"""The packed form of staged pages: operations on entries, split by the hash of their key.

Owns the byte layout; knows no SQL. A page lives from `stage` to the merge of the same refresh and is never read by
another release, so its layout has no version.

Layout, little-endian: one record per operation:
    key_hash i64 | flags u8 | [key u16 + bytes] | then for additions: [ref u16 + UTF-8] | labels u32 | signals u32 times
    (type u8 | quality i16 | frame i64 | frame_ms i64 | value u8 + bytes)
with -1 for an absent number. A bare record (flag BARE) is key_hash | flags | labels u32 | type u8 | value u8 + bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import ListError
from hashsets.limits import MAX_CLASSIFICATIONS, MAX_REF_LETTERS, is_classification, is_ref
from hashsets.types import Block, Classification, Entry, Shape, Signal, entry_key

PARTS = 256  # 10 million entries make 40,000 a part, 100 million 400,000: what one merge step holds in memory

_ADD, _FRAGMENT, _KEYED, _FRAMES, _REF, _BARE = 1, 2, 4, 8, 16, 32
_HEAD = struct.Struct("<qB")
_BARE_BODY = struct.Struct("<IBB")
_SIGNAL = struct.Struct("<BhqqB")
_U16 = struct.Struct("<H")
_COUNTS = struct.Struct("<II")
MAX_KEY_BYTES = 0xFFFF

#: (type id, value, quality, frame, frame_ms)
PackedSignal = tuple[int, bytes, int | None, int | None, int | None]
#: Neither quality nor frame.
NOTHING_MORE = (None, None, None)


class TypeId(NamedTuple):
    """The store's number of a hash type, and the bytes of its values."""

    number: int
    size_bytes: int


@dataclass(slots=True)
class Operation:
    """What a page does to one key: list it (`signals` not empty), add to it (`fragment`) or withdraw it.

    `key` is None where it is the type and value of the one signal.
    """

    key_hash: int
    key: bytes | None
    signals: tuple[PackedSignal, ...] = ()
    frames: bool = False
    ref: str | None = None
    labels: int = 0
    fragment: bool = False


def distinct(signals: tuple[PackedSignal, ...]) -> Iterable[PackedSignal]:
    """One signal a value: the first of those that differ only in frame or quality."""
    if len(signals) == 1:
        return signals
    return {signal[:2]: signal for signal in reversed(signals)}.values()


def key_hash(key: bytes) -> int:
    """64 bits of BLAKE2b as a signed integer: the order in which entries are merged."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), signed=True)


def part_of(hash_: int) -> int:
    """The part (0..255) a key hash falls in; parts are consecutive ranges of hashes."""
    return (hash_ >> 56) + 128


def part_range(first: int, last: int) -> tuple[int, int]:
    """The least and greatest key hash of the parts `first` to `last`."""
    return (first - 128) << 56, ((last - 127) << 56) - 1


def pack_removal(key: bytes) -> tuple[int, bytes]:
    """A withdrawal of `key`: its key hash and its record."""
    hashed = key_hash(key)
    return hashed, _HEAD.pack(hashed, _KEYED) + _U16.pack(len(_checked(key))) + key


def pack_entry(entry: Entry, labels: int, types: Mapping[str, TypeId], *, fragment: bool) -> tuple[int, bytes]:
    """An addition of `entry`: its key hash and its record. Raises ListError for an entry that cannot be compared."""
    if not entry.signals:
        raise ListError("an entry of the list has no value")
    if entry.ref is not None and not is_ref(entry.ref):
        raise ListError(f"a ref of the list is not 1 to {MAX_REF_LETTERS} printable characters")
    if entry.classifications:
        _check_classifications(entry.classifications)
    hashed = key_hash(entry.key)
    first = entry.signals[0]
    derived = len(entry.signals) == 1 and entry.key == entry_key(first)
    flags = _ADD | (_FRAGMENT if fragment else 0) | (_FRAMES if entry.shape is Shape.FRAMES else 0)
    plain = first.quality is None and first.frame is None and entry.ref is None and entry.shape is Shape.ITEM
    if derived and plain:
        body = _BARE_BODY.pack(labels, _checked_type(first, types), len(first.value)) + first.value
        return hashed, _HEAD.pack(hashed, flags | _BARE) + body
    parts = [b""]
    if not derived:
        flags |= _KEYED
        parts.append(_U16.pack(len(_checked(entry.key))) + entry.key)
    if entry.ref is not None:
        flags |= _REF
        ref = entry.ref.encode("utf-8")
        parts.append(_U16.pack(len(_checked(ref))) + ref)
    parts[0] = _HEAD.pack(hashed, flags)
    parts.append(_COUNTS.pack(labels, len(entry.signals)))
    parts.extend(_pack_signal(signal, _checked_type(signal, types)) for signal in entry.signals)
    return hashed, b"".join(parts)


def pack_block(block: Block, types: Mapping[str, TypeId], *, fragment: bool) -> Iterator[tuple[int, int, bytes]]:
    """(part, operations, records) of a block's entries: bare ones, the same records as `pack_entry` makes of each."""
    known = types.get(block.hash_type)
    if known is None or block.values.ndim != 2 or block.values.shape[1] != known.size_bytes:
        raise ListError("a signal of the list has a type that cannot be compared, or a value of the wrong length")
    prefix = entry_key(Signal(block.hash_type, b""))
    values = block.values.tobytes()
    blake2b, size = hashlib.blake2b, known.size_bytes
    digests = [blake2b(prefix + values[at : at + size], digest_size=8).digest() for at in range(0, len(values), size)]
    records = np.empty(len(digests), _bare_records(size))
    records["key_hash"] = np.frombuffer(b"".join(digests), ">i8")
    records["flags"] = _ADD | _BARE | (_FRAGMENT if fragment else 0)
    records["labels"], records["type"], records["size"] = 0, known.number, size
    records["value"] = block.values
    records = records[np.argsort(records["key_hash"], kind="stable")]
    edges = np.searchsorted(records["key_hash"], [part_range(part, part)[0] for part in range(PARTS)])
    for part, (first, last) in enumerate(zip(edges, [*edges[1:], len(records)], strict=True)):
        if first < last:
            yield part, int(last - first), records[first:last].tobytes()


def _bare_records(size: int) -> np.dtype[np.void]:
    """How bare records of values of one length lie one behind the other."""
    return np.dtype(
        [("key_hash", "<i8"), ("flags", "u1"), ("labels", "<u4"), ("type", "u1"), ("size", "u1"), ("value", "u1", size)]
    )


def bare_records(body: bytes) -> NDArray[np.void] | None:
    """The records of a body that holds nothing but bare entries of one type and length, all adding; None for others.

    Each record says how long it is, so the first tells where the second begins, and so on.
    """
    head = _HEAD.size + _BARE_BODY.size
    if len(body) < head or not body[_HEAD.size - 1] & _BARE:
        return None
    dtype = _bare_records(body[head - 1])
    if len(body) % dtype.itemsize:
        return None
    records = np.frombuffer(body, dtype)
    first = records[0]
    alike = all((records[name] == first[name]).all() for name in ("flags", "type", "size"))
    return records if alike else None


def _pack_signal(signal: Signal, type_id: int) -> bytes:
    quality, frame, frame_ms = (-1 if n is None else n for n in (signal.quality, signal.frame, signal.frame_ms))
    return _SIGNAL.pack(type_id, quality, frame, frame_ms, len(signal.value)) + signal.value


def _checked_type(signal: Signal, types: Mapping[str, TypeId]) -> int:
    known = types.get(signal.hash_type)
    if known is None or len(signal.value) != known.size_bytes:
        raise ListError("a signal of the list has a type that cannot be compared, or a value of the wrong length")
    return known.number


def _check_classifications(marks: Collection[Classification]) -> None:
    if len(marks) > MAX_CLASSIFICATIONS or not all(map(is_classification, marks)):
        raise ListError("an entry of the list has too many, too long or unprintable classifications")


def _checked(name: bytes) -> bytes:
    if len(name) > MAX_KEY_BYTES:
        raise ListError("a key or ref of the list is longer than 65,535 bytes")
    return name


def unpack(body: bytes) -> Iterator[Operation]:
    """The operations of one packed page, in the order in which they were staged."""
    at = 0
    while at < len(body):
        hashed, flags = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        if flags & _BARE:
            labels, type_id, size = _BARE_BODY.unpack_from(body, at)
            at += _BARE_BODY.size + size
            signal = (type_id, body[at - size : at], *NOTHING_MORE)
            yield Operation(hashed, None, (signal,), labels=labels, fragment=bool(flags & _FRAGMENT))
            continue
        key, at = _unpack_name(body, at) if flags & _KEYED else (None, at)
        if not flags & _ADD:
            yield Operation(hashed, key)
            continue
        ref, at = _unpack_name(body, at) if flags & _REF else (None, at)
        labels, count = _COUNTS.unpack_from(body, at)
        signals, at = _unpack_signals(body, at + _COUNTS.size, count)
        text = None if ref is None else ref.decode("utf-8")
        yield Operation(hashed, key, signals, bool(flags & _FRAMES), text, labels, bool(flags & _FRAGMENT))


def _unpack_name(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _U16.unpack_from(body, at)
    end = at + _U16.size + size
    return body[end - size : end], end


def _unpack_signals(body: bytes, at: int, count: int) -> tuple[tuple[PackedSignal, ...], int]:
    signals: list[PackedSignal] = []
    for _ in range(count):
        type_id, quality, frame, frame_ms, size = _SIGNAL.unpack_from(body, at)
        at += _SIGNAL.size + size
        numbers = (None if number < 0 else number for number in (quality, frame, frame_ms))
        signals.append((type_id, body[at - size : at], *numbers))
    return tuple(signals), at
