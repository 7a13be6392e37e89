"""The signals of files as lists that `hashward hashset import` and others read: vPDQ text, CSV, JSON Lines.

Rules
- One entry a file. Its ref is random, as the store draws one: neither path, name nor value is in it.
- A film's frames are one entry: of shape `item` any frame of it is a match, so that a clip inside a longer film is
  found; of shape `frames` it takes the set's share of them (DESIGN.md, "The join, exactly").
- A frame within `apart_bits` of the one kept before is left out: a query within `radius - apart_bits` of it meets the
  one kept. None keeps every frame.
- CSV has no column for quality, so it leaves out frames under the floor, which can match nothing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hashsets import hashtypes
from hashsets.types import Shape, Signal
from scanner.errors import UsageError
from scanner.hashing import FrameFilter
from scanner.signals import FileSignals

CSV_HEADER = "type,value,ref,shape"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How a list is written. `ref` draws the ref of the next entry."""

    ref: Callable[[], str]
    shape: Shape = Shape.ITEM
    apart_bits: int | None = None


class ListWriter:
    """Writes the entries of files in one format, as lines; a class for each format."""

    name = ""
    apart_bits: int | None = None  # unless the operator says otherwise

    def __init__(self, options: ListOptions) -> None:
        self.options = options
        self.entries = 0

    def lines(self, found: FileSignals) -> Iterator[str]:
        """The lines of one file; none where nothing of it can be listed."""
        raise NotImplementedError


class VPDQLines(ListWriter):
    """`frame,quality,hex,seconds`: the stored frames of the first stream of one video, as the vpdq package writes."""

    name = "vpdq"

    def lines(self, found: FileSignals) -> Iterator[str]:
        """Raises UsageError at a second video: the format cannot tell one from another."""
        frames = [s for s in _signals(found) if s.frame is not None and s.orientation == "stored" and s.part is None]
        kept = list(_apart(frames, self.options.apart_bits))
        if kept and self.entries:
            raise UsageError("A vPDQ list holds one video: name one file, or take csv or json.")
        self.entries += bool(kept)
        for signal in kept:
            yield f"{signal.frame},{signal.quality},{signal.value.hex()},{(signal.frame_ms or 0) / 1000:.3f}"


class CSVLines(ListWriter):
    """`type,value,ref,shape`, a row a value."""

    name = "csv"
    apart_bits = 8

    def lines(self, found: FileSignals) -> Iterator[str]:
        """See ListWriter."""
        signals = [signal for signal in _listed(found, self.options.apart_bits) if _is_good(signal)]
        if not signals:
            return
        if not self.entries:
            yield CSV_HEADER
        self.entries += 1
        ref = self.options.ref()
        for signal in signals:
            row = io.StringIO()
            csv.writer(row, lineterminator="").writerow(
                (signal.hash_type, signal.value.hex(), ref, _shape(signals, self.options).value)
            )
            yield row.getvalue()


class JSONLines(ListWriter):
    """One object an entry: its ref, its shape and its signals, frames with their numbers, times and qualities."""

    name = "json"
    apart_bits = 8

    def lines(self, found: FileSignals) -> Iterator[str]:
        """See ListWriter."""
        signals = _listed(found, self.options.apart_bits)
        if not signals:
            return
        self.entries += 1
        written = [{key: value for key, value in _fields(signal).items() if value is not None} for signal in signals]
        entry = {"ref": self.options.ref(), "shape": _shape(signals, self.options).value, "signals": written}
        yield json.dumps(entry)


WRITERS: dict[str, type[ListWriter]] = {each.name: each for each in (VPDQLines, CSVLines, JSONLines)}


def _fields(signal: Signal) -> dict[str, object]:
    return {
        "type": signal.hash_type,
        "value": signal.value.hex(),
        "quality": signal.quality,
        "frame": signal.frame,
        "ms": signal.frame_ms,
    }


def _signals(found: FileSignals) -> tuple[Signal, ...]:
    return () if found.fingerprint is None else found.fingerprint.signals


def _listed(found: FileSignals, apart_bits: int | None) -> list[Signal]:
    """The digest that names the bytes and what tells them again when they are changed; nothing of what is no media."""
    seen = _signals(found)
    if found.digests is None or not seen:
        return []
    frames = [signal for signal in seen if signal.frame is not None]
    others = [signal for signal in seen if signal.frame is None]
    return [Signal("sha256", found.digests.sha256), *others, *_apart(frames, apart_bits)]


def _apart(frames: list[Signal], apart_bits: int | None) -> Iterator[Signal]:
    """The frames of each reading and type without those close to the one kept before; the others in their order.

    A frame that can match does not make way for one that cannot.
    """
    near = FrameFilter(apart_bits)
    for signal in frames:
        track = f"{signal.hash_type} {signal.orientation} {signal.part} {_is_good(signal)}"
        if near.keep(signal.value, track):
            yield signal


def _is_good(signal: Signal) -> bool:
    """Whether the signal can match at its type's usual floor."""
    return signal.quality is None or signal.quality >= hashtypes.get(signal.hash_type).default_quality_floor


def _shape(signals: list[Signal], options: ListOptions) -> Shape:
    """A picture is an item, whatever is asked for films."""
    return options.shape if any(signal.frame is not None for signal in signals) else Shape.ITEM
