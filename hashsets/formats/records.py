"""Entries of records that hold several digests of one thing, each under a name of its own.

Rules
- The key is the first value in the order in which a format gives them, so that it does not change with a list's order.
- A value that cannot be used is counted; the record's other values are used all the same: nothing listed is missed.
"""

from __future__ import annotations

from collections.abc import Iterable

from hashsets import hashtypes
from hashsets.formats.base import Reading, Reject
from hashsets.formats.plain import checked_signal
from hashsets.limits import MAX_CLASSIFICATIONS, is_ref
from hashsets.types import Classification, Entry, Signal, entry_key

Cell = tuple[str, str]  # the name of a hash type, and the text that stands there


def entry_of_cells(
    cells: Iterable[Cell],
    number: int,
    reading: Reading,
    *,
    whole: bool = True,
    ref: str | None = None,
    marks: tuple[Classification, ...] = (),
) -> Entry | None:
    """The entry of one record, or None where it has no usable value; counts what it could not use.

    Empty cells are absent values. `number` is the record's line or place; `whole` as for `checked_signal`.
    """
    filled = [(name, text) for name, text in cells if text]
    if not filled:
        reading.reject(Reject.NO_VALUE, number)
        return None
    signals: dict[tuple[str, bytes], Signal] = {}
    for name, text in filled:
        hash_type = hashtypes.find(name)
        if hash_type is None:
            reading.reject(Reject.UNKNOWN_TYPE, number)
            continue
        signal = checked_signal(hash_type, text, number, reading, whole=whole)
        if signal is not None:
            signals.setdefault((signal.hash_type, signal.value), signal)
    if not signals:
        return None
    reading.valid += 1
    first = next(iter(signals.values()))
    kept_ref = ref if ref is not None and is_ref(ref) else None
    return Entry(entry_key(first), tuple(signals.values()), ref=kept_ref, classifications=marks[:MAX_CLASSIFICATIONS])
