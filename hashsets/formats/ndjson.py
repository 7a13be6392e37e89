"""hashward's own JSON Lines: one entry, or one withdrawal, a line.

    {"type": "md5", "value": "<hex>"}
    {"ref": "a", "shape": "frames", "signals": [{"type": "pdq", "value": "<hex>", "quality": 90, "frame": 3, "ms": 9}],
     "classifications": [{"scheme": "scale", "code": "A1"}]}
    {"ref": "a", "withdrawn": true}

What `hashward hash --json` prints is such a list too. Lines that share a ref are one entry. Other members say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from hashsets import hashtypes
from hashsets.formats.base import Options, Reading, Reject, Removal
from hashsets.formats.plain import checked_signal, refuse_cut
from hashsets.formats.text import encoding_of, lines
from hashsets.hashtypes import HashType
from hashsets.limits import MAX_CLASSIFICATIONS, is_classification, is_ref
from hashsets.types import Classification, Entry, Shape, Signal, entry_key, entry_key_of_ref

_MEMBERS = frozenset({"type", "value", "signals", "withdrawn"})


class _Bad(Exception):
    """A line is not understood."""

    def __init__(self, reason: Reject) -> None:
        super().__init__(reason.value)
        self.reason = reason


class NDJSON:
    """See the module."""

    name = "ndjson"
    fragments = True

    def fits(self, head: bytes) -> bool:
        """Whether the first line is an object with a member of ours, or such a line too long to be seen whole."""
        text = head.decode(encoding_of(head), errors="ignore").lstrip("\ufeff \t\r\n")
        first, ended, _ = text.partition("\n")
        if not first.startswith("{"):
            return False
        found = _object(first)
        return bool(_MEMBERS & found.keys()) if found is not None else not ended and '"signals"' in first

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry | Removal]:
        """See Format."""
        given = None if options.type_name is None else hashtypes.get(options.type_name)
        for number, line in lines(stream):
            if not line.strip():
                continue
            found = _object(line)
            if found is None:
                refuse_cut(line.endswith("\n"), number)
                reading.reject(Reject.NOT_AN_OBJECT, number)
                continue
            try:
                record = _record(found, given, number, reading)
            except _Bad as bad:
                reading.reject(bad.reason, number)
                continue
            if record is not None:
                reading.valid += 1
                yield record


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _record(found: dict[str, Any], given: HashType | None, number: int, reading: Reading) -> Entry | Removal | None:
    ref = found.get("ref")
    if ref is not None and not (isinstance(ref, str) and is_ref(ref)):
        raise _Bad(Reject.BAD_REF)
    written = found["signals"] if isinstance(found.get("signals"), list) else [found]
    if found.get("withdrawn") is True and ref is not None:
        return Removal(entry_key_of_ref(ref))
    signals = tuple(dict.fromkeys(signal for one in written if (signal := _signal(one, given, number, reading))))
    if not signals:
        if not written:
            raise _Bad(Reject.NO_VALUE)
        return None
    if found.get("withdrawn") is True:
        return Removal(entry_key(signals[0]))
    key = entry_key(signals[0]) if ref is None else entry_key_of_ref(ref)
    return Entry(key, signals, _shape(found), ref, _marks(found))


def _signal(one: object, given: HashType | None, number: int, reading: Reading) -> Signal | None:
    if not isinstance(one, dict):
        raise _Bad(Reject.NOT_A_VALUE)
    name, text = one.get("type"), one.get("value")
    hash_type = hashtypes.find(name) if isinstance(name, str) else given
    if hash_type is None:
        reading.reject(Reject.UNKNOWN_TYPE, number)
        return None
    signal = checked_signal(hash_type, text if isinstance(text, str) else "", number, reading)
    if signal is None:
        return None
    quality = one.get("quality")
    graded = type(quality) is int and 0 <= quality <= 100 and hash_type.has_quality
    frame, frame_ms = _count(one.get("frame")), _count(one.get("ms"))
    return Signal(signal.hash_type, signal.value, quality=quality if graded else None, frame=frame, frame_ms=frame_ms)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


def _shape(found: dict[str, Any]) -> Shape:
    shape = found.get("shape", Shape.ITEM.value)
    if shape not in tuple(Shape):
        raise _Bad(Reject.BAD_SHAPE)
    return Shape(shape)


def _marks(found: dict[str, Any]) -> tuple[Classification, ...]:
    written = found.get("classifications", [])
    if "scheme" in found or "code" in found:
        written = [found]
    marks: list[Classification] = []
    for one in written if isinstance(written, list) else [None]:
        scheme, code = (one.get("scheme"), one.get("code")) if isinstance(one, dict) else (None, None)
        if not (isinstance(scheme, str) and isinstance(code, str)):
            raise _Bad(Reject.BAD_CLASSIFICATION)
        mark = Classification(scheme, code)
        if not is_classification(mark):
            raise _Bad(Reject.BAD_CLASSIFICATION)
        marks.append(mark)
    return tuple(dict.fromkeys(marks))[:MAX_CLASSIFICATIONS]
