"""What a JPEG's own decoder does not say: that it comes in thousands of scans, or that its pixels ended too soon.

Rules
- Counting scans reads the file once and decodes nothing; only progressive files are asked, where a scan is a pass over
  every coefficient.
- libjpeg fills what is missing from a scan with one flat colour and only warns, which Pillow does not hear. So a
  picture that ends in one flat colour is decoded once more, at an eighth, by a library that does hear.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from scanner.decoding.reading import MediaFile

# No encoder writes more than some twenty; the standard allows for more than a thousand, each of them a full pass.
MOST_SCANS = 200
_START_OF_SCAN = b"\xff\xda"
_MOST_SEGMENTS = 1000
_BLOCK_BYTES = 1024 * 1024
# Larger files are not read into memory to be asked a second time.
MOST_ASKED_BYTES = 64 * 1024 * 1024
_WARNING_OF_MISSING_PIXELS = "premature end"


def is_progressive(file: MediaFile) -> bool:
    """Whether the frame header is of a progressive mode (ITU T.81, table B.1); True too where none can be found."""
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        header = file.at(offset, 4)
        if len(header) < 4 or header[0] != 0xFF:
            return True
        if 0xC0 <= header[1] <= 0xCF and header[1] not in (0xC4, 0xC8, 0xCC):
            return header[1] & 3 == 2
        offset += 2 + int.from_bytes(header[2:], "big")
    return True


def where_scans_are_too_many(file: MediaFile) -> int | None:
    """The offset of the first scan beyond `MOST_SCANS`; None where there are not so many."""
    seen, offset = 0, 0
    while block := file.at(offset, _BLOCK_BYTES + 1):  # one byte over, for a marker that lies across two blocks
        count = block.count(_START_OF_SCAN)
        if seen + count > MOST_SCANS:
            at = -1
            for _ in range(MOST_SCANS + 1 - seen):
                at = block.index(_START_OF_SCAN, at + 1)
            return offset + at
        seen += count
        offset += _BLOCK_BYTES
    return None


def ends_flat(last_rows: NDArray[np.uint8]) -> bool:
    """Whether the last rows of a picture are of one colour, as they are where their data are missing."""
    return bool((last_rows == last_rows[:1, :1]).all())


def is_cut_short(file: MediaFile) -> bool:
    """Whether the entropy-coded data end before the picture does. Decodes once more, at an eighth and in grey."""
    encoded = file.at(0, min(file.size_bytes, MOST_ASKED_BYTES))
    try:
        simplejpeg.decode_jpeg(encoded, "GRAY", fastdct=True, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return _WARNING_OF_MISSING_PIXELS in str(error).lower()
    return False
