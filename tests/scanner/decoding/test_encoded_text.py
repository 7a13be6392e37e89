"""A picture written into a text is looked at, in whatever way programs that show it write it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import quopri
import random
import urllib.parse
import zipfile
from collections.abc import Callable
from functools import cache

import pytest

from scanner.decoding import Limits
from scanner.decoding.encoded_text import encoded_files, reads_as_text
from scanner.decoding.reading import MediaFile
from scanner.types import WHOLE, MediaKind, Reason, digests_only
from tests.scanner.decoding.containers.made import zipped
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.scanner.decoding.test_video import clip


@cache
def jpeg() -> bytes:
    return encoded(photograph(), "JPEG")


@cache
def wanted() -> bytes:
    return look(jpeg()).values()[0]


def code(content: bytes) -> bytes:
    return base64.b64encode(content)


def lines(content: bytes, width: int = 74, between: bytes = b"\r\n") -> bytes:
    return between.join(content[at : at + width] for at in range(0, len(content), width))


def uuencoded(content: bytes, behind: bytes = b"") -> bytes:
    rows = (binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45))
    return b"begin 644 a.jpg\n" + b"".join(row.rstrip(b"\n") + behind + b"\n" for row in rows) + b"`\nend\n"


def page(content: bytes) -> bytes:
    return b"<html><img src='data:image/jpeg;base64," + code(content) + b"'></html>"


TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "a page": page,
    "a page in another alphabet": lambda content: "<title>Größe</title>".encode("latin-1") + page(content),
    "a page in UTF-16": lambda content: page(content).decode().encode("utf-16"),
    "a page in UTF-16 without a mark": lambda content: page(content).decode().encode("utf-16-be"),
    "an address in percent escapes": lambda content: (
        b'<img src="data:image/jpeg;base64,' + urllib.parse.quote_from_bytes(code(content), safe="").encode() + b'">'
    ),
    "an escaped comma": lambda content: b"url(data:image/jpeg;base64%2C" + code(content) + b")",
    "bytes in percent escapes": lambda content: (
        b'<img src="data:image/jpeg,' + urllib.parse.quote_from_bytes(content, safe="").encode() + b'">'
    ),
    "JSON": lambda content: json.dumps({"photo": code(content).decode()}).encode(),
    "JSON with escaped slashes": lambda content: (
        json.dumps({"photo": code(content).decode()}).replace("/", "\\/").encode()
    ),
    "JSON with escaped lines": lambda content: json.dumps({"photo": lines(code(content)).decode()}).encode(),
    "JSON in four digits": lambda content: (
        b'{"photo":"' + code(content).replace(b"/", b"\\u002F").replace(b"+", b"\\u002b") + b'"}'
    ),
    "a URL-safe token": lambda content: b"token=" + base64.urlsafe_b64encode(content).rstrip(b"="),
    "XML with escaped lines": lambda content: b"<data>" + lines(code(content), between=b"&#xA;\n") + b"</data>",
    "a property list": lambda content: b"<plist><data>\n\t" + lines(code(content), 60, b"\n\t") + b"\n</data></plist>",
    "a folded card": lambda content: (
        b"BEGIN:VCARD\r\nPHOTO;ENCODING=b;TYPE=JPEG:" + lines(code(content), 74, b"\r\n ") + b"\r\nEND:VCARD\r\n"
    ),
    "a letter": lambda content: (
        b"From: a@b\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(code(content))
    ),
    "a letter in quoted-printable": lambda content: (
        b"From: a@b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + binascii.b2a_qp(content, istext=False).replace(b"\n", b"\r\n") + b"\r\n--boundary--"
    ),
    "a saved page in quoted-printable": lambda content: (
        b"From: a@b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quopri.encodestring(page(content))
    ),
    "RTF": lambda content: b"{\\rtf1{\\pict\\jpegblip\\picw240 " + lines(content.hex().encode(), 128, b"\n") + b"}}",
    "a dump of a database": lambda content: b"INSERT INTO t VALUES (1, 0x" + content.hex().upper().encode() + b");",
    "uuencode": uuencoded,
    "uuencode with sums": lambda content: uuencoded(content, b"A"),
    "base64 that says begin": lambda content: (
        b"begin-base64 644 a\n" + base64.encodebytes(content) + b"====\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_picture_in_a_text_is_seen(name: str) -> None:
    """By itself and as a member of an archive, pixel for pixel as it was written."""
    text = TEXTS[name](jpeg())
    for content in (text, zipped(b"minutes", text)):
        seen = look(content)

        assert (WHOLE, [wanted()]) == (seen.looked, seen.values())


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("write", ["JSON", "RTF"])
def test_other_pictures_without_announcement(form: str, write: str) -> None:
    """Each strong signature is known in each code."""
    seen = look(TEXTS[write](encoded(photograph(), form)))

    assert WHOLE == seen.looked
    assert distance(wanted(), seen.values()[0]) <= 31


def test_a_film_in_a_text_is_seen() -> None:
    """Without announcement too, in base64 and in digits."""
    film = clip(12)
    for text in (TEXTS["JSON"](film), TEXTS["RTF"](film)):
        seen = look(text)

        assert (MediaKind.VIDEO, WHOLE) == (seen.kind, seen.looked)


@pytest.mark.parametrize("name", ["JSON with escaped slashes", "RTF", "uuencode", "an address in percent escapes",
                                  "a letter in quoted-printable", "bytes in percent escapes"])  # fmt: skip
def test_no_byte_is_lost_where_pieces_meet(name: str) -> None:
    """Long codes are decoded piece by piece, whatever lies where one ends."""
    content = jpeg()[:20] + random.Random(3).randbytes(1_100_000)
    text = TEXTS[name](content)
    written = next(encoded_files(_InMemory(text)))

    assert content == written.file.at(0, len(content) + 10)[: len(content)]


class _InMemory(MediaFile):
    """A file that is bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(-1, len(content))
        self._content = content

    def at(self, offset: int, count: int) -> bytes:
        return self._content[offset : offset + count]


def test_many_pictures_of_a_page_are_all_seen() -> None:
    """More than a camera writes: each is a part of its own."""
    small = [encoded(photograph(64, 64, seed=seed), "PNG") for seed in range(80)]
    seen = look(b"<html>" + b"".join(page(each) for each in small))

    assert (WHOLE, 80) == (seen.looked, len(seen.pictures))


def test_far_into_a_long_text() -> None:
    """However long a text is, all of it is searched."""
    seen = look(b"A line of a journal, nothing else.\n" * 2_100_000 + page(jpeg()))

    assert (WHOLE, [wanted()]) == (seen.looked, seen.values())


def test_an_attachment_that_nothing_shows_is_not_clear() -> None:
    """What a letter announces and no decoder reads could not be looked at; an archive in it stays closed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jpg", jpeg())

    assert digests_only(Reason.EMBEDDED) == look(page(jpeg()[:200])).looked
    assert digests_only(Reason.NESTED) == look(TEXTS["a letter"](stream.getvalue())).looked


def test_texts_without_pictures_are_no_media() -> None:
    """Digests, keys, tokens and prose; what is announced as small text too."""
    rng = random.Random(5)
    digests = b"\n".join(rng.randbytes(32).hex().encode() for _ in range(20_000))
    keys = b"-----BEGIN KEY-----\n" + base64.encodebytes(rng.randbytes(200_000)) + b"-----END KEY-----\n"
    drawing = b"data:image/svg+xml;base64," + code(b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 9)
    words = page(b"only words, no picture")
    for content in (digests, keys, b"Good day. " * 500, b"begin 644 x\nnothing\n", words, drawing):
        seen = look(content)

        assert (MediaKind.OTHER, WHOLE, []) == (seen.kind, seen.looked, seen.pictures)


def test_what_reads_as_text() -> None:
    """Any alphabet does, random bytes and programs do not."""
    assert all(reads_as_text(text) for text in (b"abc", "Größe".encode("latin-1"), "日本".encode("shift-jis")))
    assert reads_as_text("abc".encode("utf-16-le") * 30)
    assert not any(reads_as_text(content) for content in (b"", b"\x7fELF\1\2\3", bytes(100), bytes(range(256))))


@pytest.mark.parametrize(
    "repeated", [b"/9j/", b"/9j/ ", b"ffd8ff", b"iVBORw0KGgo", b"begin 644 a\n", b"=FF=D8=FF", b"AAAAGGZ0eXB"]
)
@pytest.mark.timeout(120)
def test_texts_full_of_beginnings_cost_little(repeated: bytes) -> None:
    """A place is looked at before the end of its code is looked for: none costs the length of the text."""
    seen = look(repeated * (300_000 // len(repeated)), limits=Limits(image_s=100, wall_factor=100))

    assert (MediaKind.OTHER, WHOLE) == (seen.kind, seen.looked)
