"""What a PDF holds: its image streams, the images within its page contents, and attached files.

Rules
- JPEG and JPEG 2000 streams are handed on as they are: their digests are those of the file that was put in.
- Samples and fax codes are drawn; JBIG2 has no decoder here. Images under `LEAST_INLINE_PIXELS` within page contents
  are glyphs. Pages are not rendered: what only lines, text or several images together show is not seen.
- An encrypted document that the empty password opens is opened; any other says so, and what stands in it unencrypted
  all the same is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.decoding.budget import Budget
from scanner.decoding.containers.files import MemberFile, Unpacked, Whole, Window
from scanner.decoding.containers.limits import MIB, ContainerLimits
from scanner.decoding.containers.members import Closed, Drawn, Held, Member
from scanner.decoding.containers.pdf_encryption import Lock, unlocked
from scanner.decoding.containers.pdf_filters import FILTERS, FULL_NAMES, from_lzw
from scanner.decoding.containers.pdf_images import Fax, Pixels, Samples, fax_pixels, pixels_of, rgb_palette
from scanner.decoding.containers.pdf_objects import Found, Objects, names_of
from scanner.decoding.containers.pdf_syntax import Broken, Name, Reader, Ref, Value
from scanner.decoding.containers.streams import inflating
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import HEAD_BYTES, Form, sniff
from scanner.types import Reason

LEAST_INLINE_PIXELS = 32 * 32
MOST_CONTENT_BYTES = 32 * MIB  # of page contents, and of filters other than deflate
_TAIL_BYTES = 64 * 1024
_WHOLE_FILES = frozenset({b"DCTDecode", b"JPXDecode"})
_NO_CONTENTS = frozenset({b"ObjStm", b"XRef", b"Metadata", b"CMap"})
_FONTS = frozenset({b"Type1C", b"CIDFontType0C", b"OpenType"})
# Formats whose signature is no chance in a stream that does not say it is a file.
_CERTAIN = frozenset(
    (
        *("jpeg", "png", "gif", "webp", "tiff", "heif", "avif", "jpeg2000", "jxl"),
        *("mp4", "matroska", "avi", "flv", "swf", "zip", "pdf", "rar", "7z", "gzip"),
    )
)
_INLINE = re.compile(rb"(?:^|(?<=[\0\t\n\f\r \]>)]))BI(?=[\0\t\n\f\r /])")
_INLINE_END = re.compile(rb"[\0\t\n\f\r ]EI(?=[\0\t\n\f\r /Q]|$)")
_INLINE_KEYS = {
    b"W": b"Width", b"H": b"Height", b"BPC": b"BitsPerComponent", b"CS": b"ColorSpace", b"F": b"Filter",
    b"DP": b"DecodeParms", b"D": b"Decode", b"IM": b"ImageMask",
}  # fmt: skip
_MOST_INLINE_KEYS = 50
_COMPONENTS = {
    b"DeviceGray": 1, b"CalGray": 1, b"G": 1, b"DeviceRGB": 3, b"CalRGB": 3, b"RGB": 3, b"Lab": 3,
    b"DeviceCMYK": 4, b"CMYK": 4,
}  # fmt: skip


def pdf_members(file: MediaFile, budget: Budget, limits: ContainerLimits) -> Iterator[Held]:
    """Every picture and attached file of the document."""
    yield from _Pdf(file, budget, limits).members()


class _Pdf:
    """One document."""

    def __init__(self, file: MediaFile, budget: Budget, limits: ContainerLimits) -> None:
        self._file = file
        self._budget = budget
        self._limits = limits
        self._lock: Lock | None = None
        self._objects = Objects(file, budget.check, lambda found, most: self._bytes(found, most))

    def members(self) -> Iterator[Held]:
        """The streams that are pictures or files, in the order of the file, and the pictures inside contents."""
        closed = self._unlock()
        if closed:
            yield Closed(Reason.ENCRYPTED)
        for found in self._objects.streams():
            if closed and not self._is_plain(found):
                continue
            if self._is_image(found.dictionary):
                yield self._image(found.dictionary, self._packed(found))
            else:
                yield from self._others(found)
        tail = self._file.at(max(0, self._file.size_bytes - _TAIL_BYTES), _TAIL_BYTES)
        if not self._objects.trailers and b"startxref" not in tail:
            yield Closed(Reason.TRUNCATED)

    def _unlock(self) -> bool:
        """Whether the document is encrypted and stays so."""
        trailer = next((each for each in reversed(self._objects.trailers) if b"Encrypt" in each), None)
        if trailer is None:
            return False
        given = self._objects.resolve(trailer[b"Encrypt"])
        identities = self._objects.resolve(trailer.get(b"ID"))
        first = self._objects.resolve(identities[0]) if isinstance(identities, list) and identities else b""
        if isinstance(given, dict) and isinstance(first, bytes):
            self._lock = unlocked(given, first, self._objects.resolve)
        if self._lock is not None:
            self._objects.open_string = self._lock.opened
        return self._lock is None

    def _packed(self, found: Found) -> MemberFile:
        """A stream as its filters take it."""
        window = Window(self._file, found.start, found.end - found.start)
        if self._lock is None or found.dictionary.get(b"Type") == b"XRef" or self._is_plain(found):
            return window
        content = window.at(0, MOST_CONTENT_BYTES)
        cut = Reason.LIMIT if window.size_bytes > MOST_CONTENT_BYTES else None
        return Whole(self._lock.opened(content, found.number), cut)

    def _is_plain(self, found: Found) -> bool:
        """Whether a stream of an encrypted document is a picture file as it stands."""
        return sniff(self._file.at(found.start, min(HEAD_BYTES, found.end - found.start))).name in _CERTAIN

    @staticmethod
    def _is_image(dictionary: dict[bytes, Value]) -> bool:
        return dictionary.get(b"Subtype") == b"Image" or (b"Width" in dictionary and b"Height" in dictionary)

    # -- streams -----------------------------------------------------------------------------------------------------

    def _filters(self, dictionary: dict[bytes, Value]) -> list[bytes]:
        value = self._objects.resolve(dictionary.get(b"Filter"))
        values = [self._objects.resolve(each) for each in value] if isinstance(value, list) else value
        return [FULL_NAMES.get(name, name) for name in names_of(values) if name != b"Crypt"]

    def _parameters(self, dictionary: dict[bytes, Value], at: int) -> dict[bytes, Value]:
        """Those of the filter at that place."""
        value = self._objects.resolve(dictionary.get(b"DecodeParms"))
        if isinstance(value, list):
            value = self._objects.resolve(value[at]) if at < len(value) else None
        return value if isinstance(value, dict) else {}

    def _number(self, value: Value, default: int = 0) -> int:
        value = self._objects.resolve(value)
        return int(value) if isinstance(value, int | float) and abs(value) < 2**40 else default

    def _bytes(self, found: Found, most: int) -> bytes:
        return self._unfiltered(found.dictionary, self._filters(found.dictionary), self._packed(found), most)

    def _unfiltered(self, dictionary: dict[bytes, Value], filters: list[bytes], packed: MemberFile, most: int) -> bytes:
        """At most so many bytes behind the filters. Raises ValueError for one that is not known."""
        content = packed.at(0, min(packed.size_bytes, MOST_CONTENT_BYTES if filters else most))
        for at, name in enumerate(filters):
            bound = most if at == len(filters) - 1 else MOST_CONTENT_BYTES
            if name == b"LZWDecode":
                early = self._number(self._parameters(dictionary, at).get(b"EarlyChange"), 1) != 0
                content = from_lzw(content, bound, self._budget.check, early=early)
            elif name in FILTERS:
                content = FILTERS[name](content, bound, self._budget.check)
            else:
                raise ValueError("unknown filter")
        return content

    def _others(self, found: Found) -> Iterator[Held]:
        """Attached files, and images inside page contents."""
        kind, dictionary = found.dictionary.get(b"Type"), found.dictionary
        if kind in _NO_CONTENTS or dictionary.get(b"Subtype") in _FONTS or b"Length1" in dictionary:
            return
        filters = self._filters(dictionary)
        packed = self._packed(found)
        try:
            sniffed = sniff(self._unfiltered(dictionary, filters, packed, HEAD_BYTES))
        except ValueError:
            if kind == b"EmbeddedFile":
                yield Closed(Reason.UNOPENED)
            return
        if sniffed.name in _CERTAIN or (kind == b"EmbeddedFile" and sniffed.form is not Form.NOT_MEDIA):
            yield Member(lambda: self._file_of(dictionary, filters, packed))
        elif kind != b"EmbeddedFile":
            content = self._unfiltered(dictionary, filters, packed, MOST_CONTENT_BYTES)
            yield from self._inline(content)
            if len(content) == MOST_CONTENT_BYTES:
                yield Closed(Reason.LIMIT)

    def _file_of(self, dictionary: dict[bytes, Value], filters: list[bytes], packed: MemberFile) -> MemberFile:
        if not filters:
            return packed
        if filters == [b"FlateDecode"]:
            size = packed.size_bytes
            return Unpacked(lambda: inflating(packed, 0, size), size, self._limits, self._budget.check)
        content = self._unfiltered(dictionary, filters, packed, MOST_CONTENT_BYTES)
        return Whole(content, Reason.LIMIT if len(content) == MOST_CONTENT_BYTES else None)

    def _inline(self, content: bytes) -> Iterator[Held]:
        """The images between BI and EI (ISO 32000-1, 8.9.7)."""
        at = 0
        while begins := _INLINE.search(content, at):
            self._budget.check()
            at = begins.end()
            reader = Reader(content, at)
            try:
                dictionary = _inline_dictionary(reader)
            except Broken:
                continue
            start = reader.at + 1
            plain = 0 if b"Filter" in dictionary else self._plain_bytes(dictionary)
            ends = _INLINE_END.search(content, start + plain)
            at = len(content) if ends is None else ends.end()
            if self._number(dictionary.get(b"Width")) * self._number(dictionary.get(b"Height")) >= LEAST_INLINE_PIXELS:
                yield self._image(dictionary, Whole(content[start : len(content) if ends is None else ends.start()]))

    def _plain_bytes(self, dictionary: dict[bytes, Value]) -> int:
        try:
            return self._samples(dictionary, [], 0).size_bytes
        except ValueError:
            return 0

    # -- images ------------------------------------------------------------------------------------------------------

    def _image(self, dictionary: dict[bytes, Value], packed: MemberFile) -> Held:
        filters = self._filters(dictionary)
        if filters and filters[-1] in _WHOLE_FILES:
            return Member(lambda: self._file_of(dictionary, filters[:-1], packed))
        if filters and filters[-1] == b"CCITTFaxDecode":
            return Drawn(lambda: self._fax(dictionary, filters, packed))
        return Drawn(lambda: self._pixels(dictionary, filters, packed))

    def _fax(self, dictionary: dict[bytes, Value], filters: list[bytes], packed: MemberFile) -> tuple[Pixels, bool]:
        given = self._parameters(dictionary, len(filters) - 1)
        rows = self._number(dictionary.get(b"Height")) or self._number(given.get(b"Rows"))
        inverted = self._is_inverted(dictionary)
        black_is_1 = self._objects.resolve(given.get(b"BlackIs1")) is True
        fax = Fax(
            self._number(given.get(b"K")), self._number(given.get(b"Columns"), 1728), rows, black_is_1 != inverted
        )
        self._budget.charge(fax.columns * fax.rows * 3)
        return fax_pixels(fax, self._unfiltered(dictionary, filters[:-1], packed, MOST_CONTENT_BYTES)), True

    def _pixels(self, dictionary: dict[bytes, Value], filters: list[bytes], packed: MemberFile) -> tuple[Pixels, bool]:
        predictor = 1
        if filters and filters[-1] in (b"FlateDecode", b"LZWDecode"):
            predictor = self._number(self._parameters(dictionary, len(filters) - 1).get(b"Predictor"), 1)
        samples = self._samples(dictionary, filters, predictor)
        self._budget.charge(samples.decode_bytes)
        content = self._unfiltered(dictionary, filters, packed, samples.size_bytes)
        return pixels_of(samples, content), len(content) >= samples.size_bytes

    def _samples(self, dictionary: dict[bytes, Value], filters: list[bytes], predictor: int) -> Samples:
        """How the samples are to be read. Raises ValueError."""
        mask = self._objects.resolve(dictionary.get(b"ImageMask")) is True
        bits = 1 if mask else self._number(dictionary.get(b"BitsPerComponent"), 8)
        space = None if mask else self._objects.resolve(dictionary.get(b"ColorSpace"))
        components, ink, palette = (1, False, None) if mask else self._colours(space)
        if not components:  # not to be known: as the predictor has it
            given = self._parameters(dictionary, len(filters) - 1) if filters else {}
            components = self._number(given.get(b"Colors"), 1)
        return Samples(
            self._number(dictionary.get(b"Width")),
            self._number(dictionary.get(b"Height")),
            bits,
            components,
            ink,
            palette,
            self._is_inverted(dictionary) and palette is None,
            predictor,
        )

    def _is_inverted(self, dictionary: dict[bytes, Value]) -> bool:
        ranges = self._objects.resolve(dictionary.get(b"Decode"))
        return isinstance(ranges, list) and len(ranges) > 1 and self._number(ranges[0]) > self._number(ranges[1])

    def _colours(self, space: Value) -> tuple[int, bool, bytes | None]:
        """Components, whether they are ink, and the palette of a colour space; 0 components where it is not known."""
        if isinstance(space, Name):
            return _COMPONENTS.get(bytes(space), 0), False, None
        parts = [self._objects.resolve(each) if not isinstance(each, Ref) or at != 1 else each
                 for at, each in enumerate(space)] if isinstance(space, list) else []  # fmt: skip
        family = parts[0] if parts and isinstance(parts[0], Name) else b""
        if family == b"ICCBased" and len(parts) > 1:
            profile = self._objects.resolve(parts[1])
            given = self._number(profile.get(b"N")) if isinstance(profile, dict) else 0
            return (given if given in (1, 3, 4) else 0), False, None
        if family == b"Separation":
            return 1, True, None
        if family == b"DeviceN" and len(parts) > 1:
            inks = self._objects.resolve(parts[1])
            return (len(inks) if isinstance(inks, list) else 0), True, None
        if family in (b"Indexed", b"I") and len(parts) > 3:
            base, _, _ = self._colours(self._objects.resolve(parts[1]))
            return 1, False, rgb_palette(self._table(parts[3], space), base or 3)
        return _COMPONENTS.get(bytes(family), 0), False, None

    def _table(self, given: Value, space: Value) -> bytes:
        """The bytes of a palette: a string, or a stream that is referred to."""
        if isinstance(given, bytes) and not isinstance(given, Name):
            return given
        place = space[3] if isinstance(space, list) else None
        found = self._objects.stream_of(place.number) if isinstance(place, Ref) else None
        return b"" if found is None else self._bytes(found, 1024)


def _inline_dictionary(reader: Reader) -> dict[bytes, Value]:
    """What stands between BI and ID, with full names. Raises Broken."""
    dictionary: dict[bytes, Value] = {}
    for _ in range(_MOST_INLINE_KEYS):
        before = reader.at
        if reader.word() == b"ID":
            return dictionary
        reader.at = before
        key = reader.value()
        if not isinstance(key, Name):
            raise Broken
        dictionary[_INLINE_KEYS.get(bytes(key), bytes(key))] = reader.value()
    raise Broken
