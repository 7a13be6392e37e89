"""Whether an ISO base media file says that its samples are encrypted (ISO 23001-7, sample entry `encv`)."""

from __future__ import annotations

from scanner.decoding.reading import MediaFile

MOST_BOXES = 1000
MOST_MOOV_BYTES = 16 * 1024 * 1024


def is_encrypted(file: MediaFile) -> bool:
    """True when a `moov` box holds an encrypted video sample entry. Reads box headers and that box only."""
    offset = 0
    for _ in range(MOST_BOXES):
        header = file.at(offset, 16)
        if len(header) < 8:
            return False
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if kind == b"moov":
            return b"encv" in file.at(offset, min(size or MOST_MOOV_BYTES, MOST_MOOV_BYTES))
        if size < 8:
            return False
        offset += size
    return False
