"""Pictures and films written into a text in base64: `data:` addresses in pages and drawings, attachments of letters.

Browsers and mail programs show them, so a page, an SVG or a letter is no hiding place. Reads bytes only, decodes no
picture. One level: a text within a text is not searched.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from scanner.decoding.extents import MOST_BYTES
from scanner.decoding.reading import MediaFile, Virtual
from scanner.decoding.sniffing import HEAD_BYTES

# What stands before the word in an address (RFC 2397) and in a header (RFC 2045, 6), and how near.
_ADDRESS, _ADDRESS_BYTES = b"data:", 200
_HEADER, _HEADER_BYTES = b"content-transfer-encoding:", 40
_WORD = b"base64"
# A header ends with an empty line, and lines may end in any way.
_BODY = re.compile(rb"(?:\r?\n[^\r\n]+)*\r?\n\r?\n")
_CODE = re.compile(rb"[A-Za-z0-9+/=\s_-]+")
_LEAST_CODE_BYTES = 60  # nothing shorter holds a picture
_MOST_CODE_BYTES = 32 * 1024 * 1024
_WINDOW_BYTES = 4 * 1024 * 1024
_AROUND_BYTES = 16 * 1024  # of an announcement that goes on beyond a window: the headers of a letter's part
_NOT_CODE = re.compile(rb"[^A-Za-z0-9+/]")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def encoded_files(file: MediaFile) -> Iterator[tuple[int, _Encoded]]:
    """Each piece of base64 in a text that announces it, decoded, with where it is announced."""
    behind = 0
    for offset in range(0, min(file.size_bytes, MOST_BYTES), _WINDOW_BYTES):
        window = file.at(offset, _WINDOW_BYTES + _AROUND_BYTES)
        if not window:
            return
        small = window.lower() if _WORD[1:] in window or _WORD[1:].upper() in window else b""
        at = small.find(_WORD)
        while 0 <= at < _WINDOW_BYTES:
            code = _code_behind(file, offset, small, at) if offset + at >= behind else None
            if code is not None:
                begin, size = code
                yield offset + at, _Encoded(file, begin, size)
                behind = begin + size
            at = small.find(_WORD, at + 1)


class _Encoded(Virtual):
    """A piece of base64 in another file, decoded when it is first read: of many pieces one at a time is in memory."""

    def __init__(self, outer: MediaFile, start: int, code_bytes: int) -> None:
        self._start = start
        self._code_bytes = code_bytes
        plain = _plain(outer.at(start, code_bytes))
        super().__init__(outer, len(plain) * 3 // 4)
        self._content = b""

    def _bytes_at(self, offset: int, count: int) -> bytes:
        if not self._content:
            plain = _plain(self._outer.at(self._start, self._code_bytes))
            self._content = base64.b64decode(plain + b"=" * (-len(plain) % 4))
        return self._content[offset : offset + count]

    def head(self) -> bytes:
        """The first bytes, without decoding the rest."""
        return base64.b64decode(_plain(self._outer.at(self._start, min(self._code_bytes, 2 * HEAD_BYTES)))[:HEAD_BYTES])


def _code_behind(file: MediaFile, offset: int, small: bytes, at: int) -> tuple[int, int] | None:
    """Where the base64 lies, and how long it is, that the word at `at` announces.

    `small` is a window of the text in lower case, which begins at `offset`.
    """
    begin = at + len(_WORD)
    if small[begin : begin + 1] == b"," and small.rfind(_ADDRESS, max(0, at - _ADDRESS_BYTES), at) >= 0:
        begin += 1
    elif small.rfind(_HEADER, max(0, at - _HEADER_BYTES), at) >= 0:
        body = _BODY.match(small, begin)
        if body is None:
            return None
        begin = body.end()
    else:
        return None
    if _CODE.fullmatch(file.at(offset + begin, _LEAST_CODE_BYTES).ljust(_LEAST_CODE_BYTES)) is None:
        return None
    code = _CODE.match(file.at(offset + begin, _MOST_CODE_BYTES))
    return None if code is None else (offset + begin, len(code[0]))


def _plain(code: bytes) -> bytes:
    """A piece of base64 without line breaks and padding."""
    plain = _NOT_CODE.sub(b"", code.translate(_URL_SAFE, b"\r\n\t "))
    return plain[:-1] if len(plain) % 4 == 1 else plain
