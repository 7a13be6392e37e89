"""vPDQ's text: one kept frame of one video a line, `frame,quality,hex,seconds`. All are one entry of shape `frames`.

A value met again adds nothing to a bag of frames; its best quality is kept. The key is drawn from all the values,
so that the same video's list is the same entry. Source: vpdq's `vpdqio`; its README shows three columns.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.formats.base import Options, Reading, Reject
from hashsets.formats.checksums import refuse_unended
from hashsets.formats.plain import checked_signal
from hashsets.formats.text import head_lines, lines
from hashsets.types import Entry, Shape, Signal

_LINE = re.compile(r"([0-9]{1,9}),([0-9]{1,3}),([0-9A-Fa-f]*)(?:,([0-9]{1,9}(?:\.[0-9]{1,9})?))?")
_FRAME = re.compile(r"[0-9]{1,9},[0-9]{1,3},[0-9A-Fa-f]{64}(,|$)")

# Distinct frames of one film gathered in memory: ten hours of 25 a second, no two alike, are 900,000.
MAX_FRAMES = 1_000_000


class VPDQ:
    """See the module."""

    name = "vpdq"
    fragments = False

    def fits(self, head: bytes) -> bool:
        """Whether one of the first lines is a frame."""
        return any(_FRAME.match(line) for line in head_lines(head)[:20])

    def read(self, stream: BinaryIO, options: Options, reading: Reading) -> Iterator[Entry]:
        """See Format."""
        frames: dict[bytes, Signal] = {}
        for number, line in lines(stream):
            refuse_unended(line, number)
            if not line.strip() or line.startswith("#"):
                continue
            signal = _frame(line, number, reading)
            if signal is None:
                continue
            reading.valid += 1
            known = frames.get(signal.value)
            if known is None or (known.quality or 0) < (signal.quality or 0):
                frames[signal.value] = signal
            if len(frames) > MAX_FRAMES:
                raise ListError(f"the list has more than {MAX_FRAMES} distinct frames: no one video has")
        floor = hashtypes.get("pdq").default_quality_floor
        if frames and all((signal.quality or 0) < floor for signal in frames.values()):
            raise ListError(f"no frame of the list has a quality of {floor}: it could never match")
        if frames:
            key = b"vpdq\x00" + hashlib.sha256(b"".join(sorted(frames))).digest()
            yield Entry(key, tuple(frames.values()), Shape.FRAMES)


def _frame(line: str, number: int, reading: Reading) -> Signal | None:
    found = _LINE.fullmatch(line.strip())
    if found is None or int(found[2]) > 100:
        reading.reject(Reject.NOT_A_VALUE, number)
        return None
    signal = checked_signal(hashtypes.get("pdq"), found[3], number, reading)
    if signal is None:
        return None
    milliseconds = None if found[4] is None else round(1000 * float(found[4]))
    return Signal("pdq", signal.value, quality=int(found[2]), frame=int(found[1]), frame_ms=milliseconds)
