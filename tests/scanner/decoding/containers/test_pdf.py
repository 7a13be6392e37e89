"""Pictures in PDF documents are found wherever they may stand, whatever the tables of the document say."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from scanner.decoding.containers.pdf_filters import from_85, from_hex, from_lzw, from_runs, inflated
from scanner.decoding.containers.pdf_syntax import Broken, Name, Reader, Ref
from scanner.hashing import pdq
from scanner.types import WHOLE, MediaKind, Reason, digests_only, partial
from tests.scanner.decoding.containers.made import film, noise, pdf, picture, pixels, zipped
from tests.scanner.decoding.looks import Look, distance, look

JPEG = b"/Type/XObject/Subtype/Image/Width 128/Height 96/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode"
RAW = b"/Type/XObject/Subtype/Image/Width 128/Height 96/BitsPerComponent 8"
FLATE = RAW + b"/Filter/FlateDecode"
RGB = pixels(1)
GREY = np.asarray(Image.fromarray(RGB).convert("L"))


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def drawn(seen: Look) -> np.ndarray:
    """The one picture shown."""
    assert 1 == len(seen.pixels)
    return seen.pixels[0]


def test_jpeg_streams_are_the_files_that_were_put_in() -> None:
    """A JPEG stands in a document as it is: same pixels, same digests."""
    seen = look(pdf((JPEG, picture(1)), (JPEG, picture(2))))

    assert (WHOLE, MediaKind.OTHER) == (seen.looked, seen.kind)
    assert {1: sha256(picture(1)), 2: sha256(picture(2))} == seen.digests
    assert [*look(picture(1)).values(), *look(picture(2)).values()] == seen.values()


def test_what_writers_make() -> None:
    """Documents written by Pillow in each of its modes are read; their pictures are what went in."""
    for mode in ("RGB", "L", "CMYK", "P", "1", "LA", "RGBA"):
        stream = io.BytesIO()
        image = Image.fromarray(pixels(1, (256, 320))).convert(mode)
        image.save(stream, "PDF")
        seen = look(stream.getvalue())

        assert WHOLE == seen.looked, mode
        value = pdq(np.asarray(image.convert("RGB")))[0].value
        assert min(distance(value, each) for each in seen.values()) <= 31, mode


@pytest.mark.parametrize(
    ("space", "array"),
    [
        (b"/DeviceRGB", RGB),
        (b"/DeviceGray", GREY),
        (b"[/CalRGB <</Gamma [1 1 1]>>]", RGB),
        (b"[/ICCBased 2 0 R]", RGB),
        (b"3 0 R", RGB),
        (b"5 0 R", GREY),
    ],
)
def test_samples(space: bytes, array: np.ndarray) -> None:
    """Plain samples in their colour spaces are the pixels themselves, named, referred to or packed."""
    packed = b"5 0 /DeviceGray"
    others = b"2 0 obj <</N 3/Length 0>> stream\nendstream endobj 3 0 obj [/ICCBased 2 0 R] endobj "
    objects = (b"/Type/ObjStm/N 1/First 4/Filter/FlateDecode", zlib.compress(packed))
    dictionary = FLATE + b"/ColorSpace " + space
    seen = look(pdf((dictionary, zlib.compress(array.tobytes())), objects, others=others))

    assert WHOLE == seen.looked
    assert np.array_equal(array, drawn(seen))


def test_samples_cut_short() -> None:
    """What is there of a picture is shown, and it is not whole."""
    seen = look(pdf((FLATE + b"/ColorSpace/DeviceGray", zlib.compress(GREY.tobytes())[:-2000])))

    assert partial(Reason.TRUNCATED) == seen.looked
    assert np.array_equal(GREY[:20], drawn(seen)[:20])


def test_cmyk_samples() -> None:
    """Ink turns to light."""
    cmyk = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    seen = look(pdf((FLATE + b"/ColorSpace/DeviceCMYK", zlib.compress(cmyk.tobytes()))))

    assert np.abs(drawn(seen).astype(int) - RGB).max() <= 1


def test_palettes_and_few_bits() -> None:
    """Indexed samples take their colours from a string or a stream; one bit is black and white, or the reverse."""
    image = Image.fromarray(RGB).quantize(16)
    palette = bytes(image.getpalette() or b"")[:48]
    indices = np.asarray(image)
    nibbles = (indices[:, ::2] << 4 | indices[:, 1::2]).tobytes()
    expected = np.frombuffer(palette, np.uint8).reshape(-1, 3)[indices]
    four = (
        b"/Subtype/Image/Width 128/Height 96/BitsPerComponent 4/Filter/FlateDecode/ColorSpace [/Indexed /DeviceRGB 15 "
    )
    by_string = look(pdf((four + b"<%b>]" % palette.hex().encode(), zlib.compress(nibbles))))
    by_stream = look(pdf((four + b"11 0 R]", zlib.compress(nibbles)), (b"", palette)))

    assert np.array_equal(expected, drawn(by_string))
    assert np.array_equal(expected, drawn(by_stream))

    bits = GREY > 128
    one = b"/Subtype/Image/Width 128/Height 96/BitsPerComponent 1/ColorSpace/DeviceGray"
    assert np.array_equal(bits * 255, drawn(look(pdf((one, np.packbits(bits, axis=1).tobytes())))))
    reverse = look(pdf((one + b"/Decode [1 0]", np.packbits(bits, axis=1).tobytes())))
    assert np.array_equal(255 - bits * 255, drawn(reverse))


@pytest.mark.parametrize("colours", [1, 3])
def test_predictors(colours: int) -> None:
    """Rows with the predictors of PNG and of TIFF come out as they went in."""
    array = RGB if colours == 3 else GREY
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    png = stream.getvalue()
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack_from(">L", png, at)
        data += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    space = b"/ColorSpace/DeviceRGB" if colours == 3 else b"/ColorSpace/DeviceGray"
    given = b"/DecodeParms<</Predictor %d/Colors %d/Columns 128>>"
    by_png = look(pdf((FLATE + space + given % (15, colours), data)))
    differences = np.diff(array.reshape(96, 128, colours), axis=1, prepend=np.uint8(0)).astype(np.uint8)
    by_tiff = look(pdf((FLATE + space + given % (2, colours), zlib.compress(differences.tobytes()))))

    assert np.array_equal(array, drawn(by_png))
    assert np.array_equal(array, drawn(by_tiff))


def test_filters_one_upon_the_other() -> None:
    """A JPEG under further filters is unpacked to what it was."""
    name = JPEG.replace(b"/Filter/DCTDecode", b"/Filter [/ASCIIHexDecode /Flate#44ecode /DCTDecode]")
    seen = look(pdf((name, zlib.compress(picture(1)).hex().encode() + b">")))

    assert {1: sha256(picture(1))} == seen.digests


def test_images_inside_page_contents() -> None:
    """Inline images are found in packed contents; tiny ones are glyphs and left out."""
    inline = b"q 128 0 0 96 0 0 cm\nBI /W 128 /H 96 /CS /G /BPC 8 ID " + GREY.tobytes() + b"\nEI Q\n"
    jpeg = b"BI /W 128 /H 96 /CS /RGB /BPC 8 /F /DCT ID " + picture(2) + b"\nEI\n"
    glyph = b"BI /W 8 /H 8 /IM true /BPC 1 ID 12345678\nEI\n"
    seen = look(pdf((b"/Filter/FlateDecode", zlib.compress(inline + glyph + jpeg))))

    assert WHOLE == seen.looked
    assert [1, 2] == [each.member for each in seen.pictures]
    assert np.array_equal(GREY, seen.pixels[0])
    assert {2: sha256(picture(2))} == seen.digests


def test_attached_files() -> None:
    """A film attached is a part; an archive attached is one container too deep."""
    attached = b"/Type/EmbeddedFile/Filter/FlateDecode"
    seen = look(pdf((attached, zlib.compress(film())), (attached, zlib.compress(zipped(picture(1))))))

    assert partial(Reason.NESTED) == seen.looked
    assert MediaKind.VIDEO is seen.members[1]
    assert (sha256(film()), sha256(zipped(picture(1)))) == (seen.digests[1], seen.digests[2])


def test_tables_are_not_believed() -> None:
    """Wrong lengths, a missing table, a fake object in a string and objects of older revisions hide nothing."""
    content = pdf((JPEG, picture(1)), (JPEG + b"/Note (11 0 obj endobj >> stream)", picture(2)))
    for wrong in (b"/Length 5>>", b"/Length 99999999>>", b"/Length 8 0 R>>", b">>"):
        broken = content.replace(b"/Length %d>>" % len(picture(1)), wrong)
        assert {sha256(picture(1)), sha256(picture(2))} == set(look(broken).digests.values())
    cut = look(content[: content.index(b"trailer")])
    assert partial(Reason.TRUNCATED) == cut.looked
    assert 2 == len(cut.digests)


def test_documents_without_pictures_are_clear() -> None:
    """Text alone is nothing to look at."""
    assert WHOLE == look(pdf((b"/Filter/FlateDecode", zlib.compress(b"BT (Hello) Tj ET")))).looked


def test_encrypted_documents_are_not_clear() -> None:
    """What an encrypted document holds cannot be looked at, unless it stands there unencrypted."""
    assert digests_only(Reason.ENCRYPTED) == look(pdf((JPEG, noise(500)), encrypted=True)).looked
    seen = look(pdf((JPEG, picture(1)), encrypted=True))
    assert (partial(Reason.ENCRYPTED), {2: sha256(picture(1))}) == (seen.looked, seen.digests)


def test_codes_without_a_decoder_are_not_clear() -> None:
    """JBIG2 is said to be undecodable."""
    name = JPEG.replace(b"DCTDecode", b"JBIG2Decode")

    assert digests_only(Reason.UNDECODABLE) == look(pdf((name, noise(100)))).looked


def test_a_picture_that_is_a_document_too() -> None:
    """A JPEG that readers open as a PDF is looked at as both."""
    head, tail = picture(1)[:2], picture(1)[2:]
    document = pdf((JPEG, picture(2)))
    comment = b"\xff\xfe" + struct.pack(">H", len(document) + 2) + document
    seen = look(head + comment + tail)

    assert MediaKind.IMAGE is seen.kind
    assert {1: sha256(picture(2))} == seen.digests
    assert look(picture(1)).values()[0] in seen.values()


def test_values() -> None:
    """Objects are read as the standard writes them, and nonsense is refused."""
    text = b"<</A#42 [1 -2.5 true null 12 0 R] %x\n/C (a\\(b\\051\\n(c)) /D <4A4>>>"
    expected = {b"AB": [1.0, -2.5, True, None, Ref(12)], b"C": b"a(b)\n(c)", b"D": b"J@"}

    assert expected == Reader(text).value()
    assert isinstance(Reader(b"/N").value(), Name)
    for broken in (b"<<", b"[" * 100, b"<</A>>", b"(", b"<4", b"}", b"<<1 2>>", b"1.2.3"):
        with pytest.raises(Broken):
            Reader(broken).value()


def test_filters() -> None:
    """Each filter gives what was packed, stops at nonsense, and never gives more than was asked for."""
    text = b"-----A---B"

    packed = bytes.fromhex("800B6050220C0C8501")  # ISO 32000-1, 7.4.4.2, example
    assert bytes([45, 45, 45, 45, 45, 65, 45, 45, 45, 66]) == from_lzw(packed, 99, lambda: None)
    assert b"hello" == from_85(b"BOu!rDZ~>", 99, lambda: None)
    assert b"\0\0\0\0" == from_85(b"z~>", 99, lambda: None)
    assert b"J@" == from_hex(b"4 A4>", 99, lambda: None)
    assert b"abcxxx" == from_runs(bytes([2]) + b"abc" + bytes([254]) + b"x" + bytes([128]), 99, lambda: None)
    assert text * 5 == inflated(zlib.compress(text * 5) + b"tail", 99, lambda: None)
    assert 1000 == len(inflated(zlib.compress(bytes(10**6)), 1000, lambda: None))
    assert b"" == inflated(noise(50), 99, lambda: None)
