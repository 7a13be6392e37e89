"""What the parameter sets of an HEVC picture say about how to read it (ITU-T H.265, 7.3.2.3; ISO 14496-15, 8.3.3).

Decodes no picture. Whatever cannot be read so is taken for what asks for more care.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_LENGTHS_AT, _ARRAYS_AT = 21, 22  # of the configuration record: the width of lengths, the number of its arrays
_PPS = 34
_PARAMETERS = (32, 33, _PPS)
_MOST_ZEROS = 32  # before the longest number that a parameter set may hold (9.2)
MOST_UNITS = 10_000  # slices of a picture are at most 600 (H.265, table A.8)


class _Bits:
    """Bits from the first on. Raises IndexError behind the last, and of a number longer than any."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int) -> int:
        """The next `count` bits as a number."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._content[self._at >> 3] >> (7 - self._at % 8) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """The next ue(v), or se(v) where its value does not matter (9.2)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise IndexError
        return (1 << zeros) - 1 + self.read(zeros)


def rows_stand_apart(configuration: bytes) -> bool:
    """Whether each row of blocks can be read without the end of the one above (`entropy_coding_sync_enabled_flag`)."""
    try:
        return any(_syncs(_Bits(each[2:].replace(b"\0\0\3", b"\0\0"))) for each in _parameters(configuration, _PPS))
    except (IndexError, struct.error):
        return True


def brings_its_own(configuration: bytes, coded: bytes) -> bool:
    """Whether a coded picture has parameter sets in it, which then count instead of the configuration's.

    Also where it is of so many units that nobody wrote it so.
    """
    width, at = 1 + (configuration[_LENGTHS_AT] & 3), 0
    for _ in range(MOST_UNITS):
        if at + width >= len(coded):
            return False
        if coded[at + width] >> 1 & 63 in _PARAMETERS:
            return True
        at += width + int.from_bytes(coded[at : at + width], "big")
    return True


def _parameters(configuration: bytes, wanted: int) -> Iterator[bytes]:
    at = _ARRAYS_AT + 1
    for _ in range(configuration[_ARRAYS_AT]):
        kind, count = struct.unpack_from(">BH", configuration, at)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, at)
            if kind & 63 == wanted:
                yield configuration[at + 2 : at + 2 + length]
            at += 2 + length


def _syncs(pps: _Bits) -> bool:
    pps.golomb(), pps.golomb()  # its own number, that of its sequence's parameters
    pps.read(7)  # dependent slices, output flag, extra bits, signs hidden, cabac_init_present
    pps.golomb(), pps.golomb(), pps.golomb()  # references by default, the first quantiser
    pps.read(2)  # constrained prediction, transform_skip
    if pps.read(1):  # cu_qp_delta_enabled
        pps.golomb()
    pps.golomb(), pps.golomb()  # offsets of chroma
    pps.read(5)  # offsets in slices, weights (2), transquant_bypass, tiles
    return bool(pps.read(1))
