"""Pictures and films written into a text: in base64, hexadecimal, uuencode, percent or quoted-printable escapes.

Browsers, mail and office programs show them, so that a page, a letter, a card of an address book, an RTF document or a
JSON answer is no hiding place. Reads bytes only, decodes no picture. One level: a text within a text is not searched.

Rules
- Code is looked for where something announces it (`data:` addresses, headers of letters), and wherever it begins as a
  picture or film of a strong signature would begin.
- The escapes that other formats put into base64 are part of it: `\\/` of JSON, `%2F` of addresses, folded lines.
- A text in UTF-16, by its mark or by its zeros, is read as if each of its characters were one byte.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from scanner.decoding.reading import MediaFile, Virtual
from scanner.decoding.signatures import begins
from scanner.decoding.sniffing import HEAD_BYTES

# What stands before the word in an address (RFC 2397) and in a header (RFC 2045, 6), and how near.
_ADDRESS, _ADDRESS_BYTES = b"data:", 200
_HEADER, _HEADER_BYTES = b"content-transfer-encoding:", 40
_WORD = b"base64"
# A header ends with an empty line, and lines may end in any way.
_BODY = re.compile(rb"(?:\r?\n[^\r\n]+)*\r?\n\r?\n")
_LEAST_CODE_BYTES = 60  # nothing shorter holds a picture
_MOST_CODE_BYTES = 128 * 1024 * 1024  # mail carries some 35 MB, and what is decoded is in memory
_SLICE_BYTES = 1024 * 1024
_WINDOW_BYTES = 4 * 1024 * 1024
_LONGEST_ESCAPE, _LONGEST_LINE = 7, 80  # may lie across two slices
_GLANCED_BYTES = 2000  # of code, to see what it may be
_AROUND_BYTES = 16 * 1024  # of what goes on beyond a window: the headers of a letter's part

# Base64 (RFC 4648) with the escapes of JSON, addresses, XML and quoted-printable lines. It ends at its padding.
_BASE64 = re.compile(
    rb"(?:[A-Za-z0-9+/_\s-]++|\\[/nrt]|\\u002[BbFf]|%2[BbFf]|%0[AaDd]|%20|&#(?:4[37]|1[03]|x2[BbFf]|x[AaDd]);"
    rb"|=\r?\n(?=[A-Za-z0-9+/]))++"
)
_ESCAPED = re.compile(rb"\\u00(2[BbFf])|%(2[BbFf])|&#x(2[BbFf]);|&#(4[37]);|\\[nrt]|%0[AaDd]|%20|&#x?\w\w?;")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# The first characters of JPEG (a slash, which may be escaped, before and behind), PNG, GIF, RIFF, the box of a file
# type behind four more bytes, and Matroska; with how many characters stand before.
_SLASH = rb"(?:\\?/|_|%2[Ff]|\\u002[Ff]|&#(?:47|x2[Ff]);)"
_JPEG = re.compile(_SLASH + rb"9j" + _SLASH + rb"(?=\s*+(?:[2-7wx]|" + _SLASH + rb"g))")  # and its first segment
_BEGINNINGS = ((b"iVBORw0KGgo", 0), (b"R0lGOD", 0), (b"UklGR", 0), (b"GZ0eXB", 5), (b"GkXfo", 0))
# The same in lower case hexadecimal: RTF (\pict), dumps of databases, post in bare digits.
_HEX = re.compile(rb"[0-9A-Fa-f\s]++")
_HEX_BEGINNINGS = (
    (b"ffd8ff", 0), (b"89504e470d0a1a0a", 0), (b"47494638", 0), (b"52494646", 0),
    *((b"66747970" + brand, 8) for brand in (b"69736f", b"6d7034", b"6176", b"6865", b"7174")),
)  # fmt: skip
# Quoted-printable (RFC 2045, 6.7) and percent escapes (RFC 3986, 2.1) of the bytes that begin JPEG and PNG.
_ESCAPES = (b"=ff=d8=ff", b"=89png", b"%ff%d8%ff", b"%89png")
_PRINTABLE = re.compile(rb"(?:(?!\n--)[^\0])++")
_PERCENT = re.compile(rb"[^\s\"'<>()]++")
_UU = re.compile(rb"(?:^|\n)begin [0-7]{3,4} [^\r\n]+\r?\n")
_UU_LINES = re.compile(rb"(?:[!-`][ -`]*+\r?\n)++")
_CONTROLS = re.compile(rb"[\0-\x07\x0e-\x1a\x1c-\x1f\x7f]")


class Written(NamedTuple):
    """A file written into a text: where, what it reads as, and whether more than its own first bytes says so."""

    offset: int
    file: EncodedFile
    announced: bool


class _Code(NamedTuple):
    """How a stretch of a text is to be read: what belongs to it, and what it stands for."""

    pattern: re.Pattern[bytes]
    decode: Callable[[bytes, bool], tuple[bytes, bytes]]
    """A piece of code, and whether it is the last, as bytes, and what of it is to be put before the next piece."""


def reads_as_text(head: bytes) -> bool:
    """Whether a content may be a text in whatever encoding: no characters that texts have none of."""
    return bool(head) and (_width(head) == 2 or _CONTROLS.search(head) is None)


def encoded_files(file: MediaFile, tick: Callable[[], None] = lambda: None) -> Iterator[Written]:
    """Each piece of code in a text that may be a picture or film. `tick` is called now and then, and may raise."""
    head = file.at(0, HEAD_BYTES)
    text: MediaFile = _Narrow(file, head) if _width(head) == 2 else file
    behind = 0
    for offset in range(0, text.size_bytes, _WINDOW_BYTES):
        tick()
        window = text.at(offset, _WINDOW_BYTES + _AROUND_BYTES)
        if not window:
            return
        for place in heapq.merge(*_places(window)):
            begin = offset + place.begin
            if place.at >= _WINDOW_BYTES or not (place.announced or (begin >= behind and _may_be(text, begin, place))):
                tick()
                continue
            found = _stretch(text, begin, place.code, tick)
            if found is not None:
                behind = begin + found
                yield Written(offset + place.at, EncodedFile(text, begin, found, place.code), place.announced)


class _Place(NamedTuple):
    """Where something tells of code, where the code begins, whether it is announced, and how it is to be read."""

    at: int
    begin: int
    announced: bool
    name: str

    @property
    def code(self) -> _Code:
        return _CODES[self.name]


def _may_be(text: MediaFile, begin: int, place: _Place) -> bool:
    """Whether what lies there decodes to the first bytes of something known: looked at before its end is looked for."""
    match = place.code.pattern.match(text.at(begin, _GLANCED_BYTES))
    return match is not None and begins(place.code.decode(match[0], True)[0])


def _places(window: bytes) -> Iterator[Iterator[_Place]]:
    """The places in a window, by what tells of them, each in order."""
    small = window.lower()
    yield _announced(small)
    yield _jpegs(window)
    for beginning, before in _BEGINNINGS:
        yield _beginning(window, beginning, before, "base64")
    for beginning, before in _HEX_BEGINNINGS:
        yield _beginning(small, beginning, before, "hex")
    for beginning in _ESCAPES:
        yield _beginning(small, beginning, 0, "printable" if beginning.startswith(b"=") else "percent")
    if b"begin " in window:
        yield (_Place(match.start(), match.end(), True, "uu") for match in _UU.finditer(window))


def _announced(small: bytes) -> Iterator[_Place]:
    for at in _all(small, _WORD):
        begin = _behind_announcement(small, at)
        if begin is not None:
            yield _Place(at, begin, True, "base64")


def _jpegs(window: bytes) -> Iterator[_Place]:
    for at in _all(window, b"9j"):
        found = _JPEG.search(window, max(0, at - _LONGEST_ESCAPE), at + 32)
        if found is not None:
            yield _Place(found.start(), found.start(), False, "base64")


def _beginning(window: bytes, beginning: bytes, before: int, name: str) -> Iterator[_Place]:
    for at in _all(window, beginning):
        if at >= before:
            yield _Place(at - before, at - before, False, name)


def _all(window: bytes, needle: bytes) -> Iterator[int]:
    at = window.find(needle)
    while at >= 0:
        yield at
        at = window.find(needle, at + 1)


def _behind_announcement(small: bytes, at: int) -> int | None:
    """Where the base64 begins that the word at `at` announces, if it announces any."""
    begin = at + len(_WORD)
    if small[begin : begin + 1] == b"," and small.rfind(_ADDRESS, max(0, at - _ADDRESS_BYTES), at) >= 0:
        return begin + 1
    if small[begin : begin + 3] == b"%2c" and small.rfind(_ADDRESS, max(0, at - _ADDRESS_BYTES), at) >= 0:
        return begin + 3
    if small.rfind(_HEADER, max(0, at - _HEADER_BYTES), at) >= 0:
        body = _BODY.match(small, begin)
        return None if body is None else body.end()
    return None


def _stretch(text: MediaFile, begin: int, code: _Code, tick: Callable[[], None]) -> int | None:
    """How many bytes of code lie at `begin`; None for too few."""
    end = begin
    while end - begin < _MOST_CODE_BYTES:
        tick()
        most = _SLICE_BYTES if end > begin else HEAD_BYTES  # most announcements are of nothing
        piece = text.at(end, most)
        match = code.pattern.match(piece)
        if match is None:
            break
        end += match.end()
        if match.end() < len(piece) - _LONGEST_LINE or len(piece) < most:
            break
    return end - begin if end - begin >= _LEAST_CODE_BYTES else None


class EncodedFile(Virtual):
    """A piece of code in a text, decoded when it is first read: of many pieces one at a time is in memory."""

    def __init__(self, text: MediaFile, start: int, code_bytes: int, code: _Code) -> None:
        super().__init__(text, code_bytes)
        self._start = start
        self._code_bytes = code_bytes
        self._code = code
        self._content: bytearray | None = None

    def head(self) -> bytes:
        """The first bytes, without decoding the rest."""
        code = self._outer.at(self._start, min(self._code_bytes, 4 * HEAD_BYTES))
        return self._code.decode(code, True)[0][:HEAD_BYTES]

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file; its size is known from now on."""
        self._decoded()
        return super().seek(offset, whence)

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`, without moving the offset."""
        self._decoded()
        return super().at(offset, count)

    def _bytes_at(self, offset: int, count: int) -> bytes:
        return bytes(self._decoded()[offset : offset + count])

    def _decoded(self) -> bytearray:
        if self._content is None:
            self._content = bytearray()
            rest, end = b"", self._start + self._code_bytes
            for at in range(self._start, end, _SLICE_BYTES):
                code = rest + self._outer.at(at, min(_SLICE_BYTES, end - at))
                piece, rest = self._code.decode(code, at + _SLICE_BYTES >= end)
                self._content += piece
            self.size_bytes = len(self._content)
        return self._content


class _Narrow(Virtual):
    """A text of two bytes a character as one of one byte: what is more than that in a character is lost."""

    def __init__(self, outer: MediaFile, head: bytes) -> None:
        super().__init__(outer, outer.size_bytes // 2)
        self._low = 1 if head[:2] == b"\xfe\xff" or (head[:2] != b"\xff\xfe" and not head[0]) else 0

    def _bytes_at(self, offset: int, count: int) -> bytes:
        return self._outer.at(2 * offset, 2 * count)[self._low :: 2]


def _width(head: bytes) -> int:
    """Bytes of a character: two by the mark of UTF-16, or where every other byte is zero and nothing else is."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return 2
    even, odd = head[::2], head[1::2]
    wide = len(head) >= _LEAST_CODE_BYTES and any(even) != any(odd)
    return 2 if wide and not _CONTROLS.search(even if any(even) else odd) else 1


# -- codes -------------------------------------------------------------------------------------------------------------


def _unescaped(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2] or match[3]
    return bytes.fromhex(digits.decode()) if digits else bytes([int(match[4])]) if match[4] else b""


def _from_base64(code: bytes, last: bool) -> tuple[bytes, bytes]:
    cut = len(code)
    if not last:  # an escape may go on in the next piece
        cut = next((at for at in range(max(0, cut - _LONGEST_ESCAPE), cut) if code[at] in b"\\%&="), cut)
    plain = code[:cut]
    if b"\\" in plain or b"%" in plain or b"&" in plain:
        plain = _ESCAPED.sub(_unescaped, plain)
    plain = _NOT_BASE64.sub(b"", plain.translate(_URL_SAFE))
    left = len(plain) % 4
    if last:
        return base64.b64decode(plain[:-1] if left == 1 else plain + b"=" * (-left % 4)), b""
    return base64.b64decode(plain[: len(plain) - left]), plain[len(plain) - left :] + code[cut:]


def _from_hex(code: bytes, last: bool) -> tuple[bytes, bytes]:
    digits = b"".join(code.split())
    left = len(digits) % 2
    return binascii.unhexlify(digits[: len(digits) - left]), b"" if last else digits[len(digits) - left :]


def _from_printable(code: bytes, last: bool) -> tuple[bytes, bytes]:
    cut = len(code) if last else code.rfind(b"\n") + 1
    return binascii.a2b_qp(code[:cut]), code[cut:]


def _from_percent(code: bytes, last: bool) -> tuple[bytes, bytes]:
    at = -1 if last else code.find(b"%", max(0, len(code) - 2))
    cut = len(code) if at < 0 else at
    return unquote_to_bytes(code[:cut]), code[cut:]


def _from_uu(code: bytes, last: bool) -> tuple[bytes, bytes]:
    cut = len(code) if last else code.rfind(b"\n") + 1
    pieces = []
    for line in code[:cut].splitlines():
        wanted = (((line[0] - 32) & 63) + 2) // 3 * 4  # some writers put a sum of the line behind it
        try:
            pieces.append(binascii.a2b_uu(line[: 1 + wanted]))
        except binascii.Error:
            break
    return b"".join(pieces), code[cut:]


_CODES = {
    "base64": _Code(_BASE64, _from_base64),
    "hex": _Code(_HEX, _from_hex),
    "printable": _Code(_PRINTABLE, _from_printable),
    "percent": _Code(_PERCENT, _from_percent),
    "uu": _Code(_UU_LINES, _from_uu),
}
