"""Whether all of a content came, as far as its own bytes and length tell: some clients send a part and print OK for it.

Rules (facts: upload doors, 2)
- Reads bytes and numbers, decodes nothing, and follows no more than a bounded number of them.
- Says cut where a format's own end is missing or lies beyond the last byte. A format without an end, and whatever is
  not in the table, is not cut: what decoders find out is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from scanner.decoding import Form, sniff

HEAD_BYTES: Final = 4096
# A stream of this length that begins with nothing known is a middle piece: of Nextcloud's chunks, say.
LARGE_BYTES: Final = 2**20
_BLOCK_BYTES: Final = 2**20
_MOST_STEPS: Final = 10_000
_PNG_END: Final = b"IEND\xaeB`\x82"
# Boxes that hold what an ISO base media file shows; without any of them its index has not come (ISO 14496-12).
_INDEX_BOXES: Final = frozenset((b"moov", b"moof", b"meta"))


class Content(Protocol):
    """Received bytes, by offset."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        ...

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        ...


class _Window:
    """A content read a page at a time: a step to the next number is mostly within the one read last."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._page, self._start = b"", 0
        self.size_bytes = content.size_bytes

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on."""
        if count > HEAD_BYTES:
            return self._content.at(offset, count)
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._page):
            self._page, self._start, begin = self._content.at(offset, HEAD_BYTES), offset, 0
        return self._page[begin : begin + count]


def is_cut(received: Content, *, begins: bool = False) -> bool:
    """Whether the content visibly ends early, or is large and begins with nothing known.

    `begins`: it is known to begin where it should, so what begins with nothing known is a file of another kind.
    """
    content = _Window(received)
    found = sniff(content.at(0, HEAD_BYTES))
    if found.form is Form.UNKNOWN:
        return content.size_bytes >= LARGE_BYTES and not begins
    return _ENDS_EARLY.get(found.name, _never)(content)


def form_of(content: Content) -> Form:
    """What the content seems to be, by how it begins."""
    return sniff(content.at(0, HEAD_BYTES)).form


def is_media(head: bytes) -> bool:
    """Whether what begins so is a picture or a film, whatever it is called."""
    return sniff(head[:HEAD_BYTES]).form in (Form.STILL, Form.VIDEO)


def _never(_content: Content) -> bool:
    return False


def _find(content: Content, needle: bytes, start: int) -> int | None:
    while start < content.size_bytes:
        block = content.at(start, _BLOCK_BYTES + len(needle) - 1)
        at = block.find(needle)
        if at >= 0:
            return start + at
        if not block:
            return None
        start += _BLOCK_BYTES
    return None


def _jpeg(content: Content) -> bool:
    """No end of image behind the first scan (T.81, B.1.1.3): the end of a thumbnail lies before it."""
    offset = 2
    for _ in range(_MOST_STEPS):
        header = content.at(offset, 4)
        if len(header) < 4:
            return header[:2] != b"\xff\xd9"
        if header[0] != 0xFF:
            break  # what this is, a decoder may know
        if header[1] == 0xD9:
            return False
        if header[1] == 0xFF:
            offset += 1
            continue
        if header[1] == 0xDA:
            break
        offset += 2 + int.from_bytes(header[2:], "big")
    # The end is nearly always the end: the whole is searched only where it is not.
    tail = max(offset, content.size_bytes - HEAD_BYTES)
    return _find(content, b"\xff\xd9", tail) is None and _find(content, b"\xff\xd9", offset) is None


def _png(content: Content) -> bool:
    tail = max(8, content.size_bytes - HEAD_BYTES)
    return _find(content, _PNG_END, tail) is None and _find(content, _PNG_END, 8) is None


def _gif(content: Content) -> bool:
    """No trailer where the blocks end (GIF89a, 17 to 27)."""
    flags = content.at(10, 1)
    if not flags:
        return True
    offset = 13 + _colours(flags[0])
    for _ in range(_MOST_STEPS):
        kind = content.at(offset, 1)
        if kind == b";":
            return False
        if kind == b"!":
            following = _behind_blocks(content, offset + 2)
        elif kind == b",":
            packed = content.at(offset + 9, 1)
            following = _behind_blocks(content, offset + 11 + _colours(packed[0])) if packed else None
        else:
            return not kind  # nothing more came; anything else is rubbish that viewers pass over
        if following is None:
            return True
        offset = following
    return False


def _colours(packed: int) -> int:
    return 3 << (1 + (packed & 7)) if packed & 0x80 else 0


def _behind_blocks(content: Content, offset: int) -> int | None:
    """The offset behind a row of data blocks; None where they run past the end."""
    window, start = b"", offset
    while True:
        if not start <= offset < start + len(window):
            window, start = content.at(offset, _BLOCK_BYTES), offset
            if not window:
                return None
        length = window[offset - start]
        offset += 1 + length
        if not length:
            return offset


def _riff(content: Content) -> bool:
    return 8 + int.from_bytes(content.at(4, 4), "little") > content.size_bytes


def _boxes(content: Content) -> bool:
    """A box that ends past the last byte, or none that says what there is."""
    offset, indexed = 0, False
    for _ in range(_MOST_STEPS):
        header = content.at(offset, 16)
        if not header:
            return not indexed
        if len(header) < 8:
            return True
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end
            length = content.size_bytes - offset
        if length < 8:
            return False  # no box: trailing rubbish
        indexed |= header[4:8] in _INDEX_BOXES
        offset += length
        if offset > content.size_bytes:
            return True
    return False


def _matroska(content: Content) -> bool:
    """A segment that tells its size and ends past the last byte (RFC 8794, 6; RFC 9559)."""
    offset = 4 + sum(_vint(content, 4))
    if content.at(offset, 4) != b"\x18\x53\x80\x67":
        return offset >= content.size_bytes
    width, size = _vint(content, offset + 4)
    unknown = size == (1 << 7 * width) - 1
    return not unknown and offset + 4 + width + size > content.size_bytes


def _vint(content: Content, offset: int) -> tuple[int, int]:
    """(bytes, value) of a variable-size integer; (1, 0) where there is none."""
    first = content.at(offset, 1)
    if not first or not first[0]:
        return 1, 0
    width = 9 - first[0].bit_length()
    return width, int.from_bytes(content.at(offset, width), "big") & ((1 << 7 * width) - 1)


_ENDS_EARLY: Final[dict[str, Callable[[Content], bool]]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _riff,
    "avi": _riff,
    "ani": _riff,
    "mp4": _boxes,
    "heif": _boxes,
    "avif": _boxes,
    "matroska": _matroska,
}
