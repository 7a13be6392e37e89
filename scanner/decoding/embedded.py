"""What else a still's file holds: a film or a second picture behind the one that was shown.

Phones save motion photos as a JPEG with an MP4 behind it, or as a HEIC with an `mpvd` box; players show both. Until
such parts are looked at themselves, a content that holds one is not whole. Reads bytes only, decodes nothing.
"""

from __future__ import annotations

import re

from scanner.decoding.reading import MediaFile

MOST_BYTES = 64 * 1024 * 1024  # of a still that is searched; what lies behind is beyond any phone's pictures
_FTYP = re.compile(rb"\x00\x00\x00[\x08-\xff]ftyp[a-zA-Z0-9 ]{4}")
_SECOND_JPEG = re.compile(rb"\xff\xd9\xff\xd8\xff[\xdb\xe0-\xef]")
_MPVD = re.compile(rb"(?s)(.{4})mpvd(?=\x00\x00\x00[\x08-\xff]ftyp)")


def holds_more(file: MediaFile, name: str, pictures: int) -> bool:
    """Whether a film, or beside a single JPEG another one, lies in the file of a still of the sniffed format `name`."""
    if name not in ("jpeg", "heif", "avif"):
        return False
    content = file.at(0, min(file.size_bytes, MOST_BYTES))
    if name != "jpeg":
        return _MPVD.search(content) is not None
    if pictures == 1 and _SECOND_JPEG.search(content) is not None:
        return True
    return _FTYP.search(content, content.find(b"\xff\xd9") + 1) is not None
