"""What a content is shows in its bytes."""

from __future__ import annotations

import csv
import io
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scanner.decoding import Form, sniff
from scanner.decoding.sniffing import HEAD_BYTES
from tests.shared_material import corpus

PICTURE = Image.radial_gradient("L").resize((40, 40))


def encoded(form: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    PICTURE.convert(mode).save(stream, form)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("JPEG", "jpeg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp"), ("TIFF", "tiff"), ("BMP", "bmp"),
        ("AVIF", "avif"), ("HEIF", "heif"), ("ICO", "ico"), ("JPEG2000", "jpeg2000"), ("PPM", "pnm"), ("PCX", "pcx"),
        ("SGI", "sgi"), ("TGA", "tga"), ("DDS", "dds"), ("QOI", "qoi"), ("ICNS", "icns"),
    ],
)  # fmt: skip
def test_stills_are_known_by_their_bytes(form: str, name: str) -> None:
    """Every format a Pillow writes is a still of that name."""
    assert (Form.STILL, name) == sniff(encoded(form)[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty"),
        (b"Dear all,\n\nminutes of the meeting.\n", "text"),
        ("Grüße aus Köln\n".encode(), "text"),
        ("Grüße".encode("utf-16"), "text"),
        (b"P1 incident: the queue is full", "text"),
        (b"BMW sales figures for the year", "text"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://127.0.0.1/a.ts\n", "text"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "text"),
        (b"FWS is short for the forest and wildlife service", "text"),
        (b"<?php echo 1; // " + b"x" * HEAD_BYTES, "text"),
        (b"<!-- a page --><html><svg></svg></html>", "text"),
        (b"<!-- " + b"never closed", "text"),
        (b" " * HEAD_BYTES, "text"),
        (b"\x7fELF" + bytes(20), "elf"),
        (b"MZ\x90\0" + bytes(60), "program"),
    ],
)
def test_what_is_plainly_not_media(content: bytes, name: str) -> None:
    """Text and programs are not media, whatever their first letters look like."""
    assert (Form.NOT_MEDIA, name) == sniff(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"PK\x03\x04" + bytes(30), "zip"),
        (b"%PDF-1.7\n%\xe2\xe3", "pdf"),
        (b"\x1f\x8b\x08" + bytes(10), "gzip"),
        (b"BZh91AY&SY" + bytes(10), "bzip2"),
        (b"Rar!\x1a\x07\x01\0", "rar"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(30), "ole"),
        (b"MSCF\0\0\0\0" + bytes(30), "cab"),
        (b"  -lh5-" + bytes(30), "lha"),
        (b"070701" + b"0" * 104 + b"name\0", "cpio"),
    ],
)
def test_what_may_hold_media(content: bytes, name: str) -> None:
    """Archives, compressed files and documents are containers, whether or not they can be opened here."""
    assert (Form.CONTAINER, name) == sniff(content)


def test_old_tar_archives_have_no_signature() -> None:
    """A header of before ustar is known by its checksum."""
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)

    assert (Form.CONTAINER, "tar") == sniff(bytes(header))
    assert Form.CONTAINER is not sniff(bytes(header[:300]) + b"x" + bytes(header[301:])).form


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<?xml version='1.0'?>\n<!-- logo -->\n<svg xmlns='http://www.w3.org/2000/svg'></svg>", "svg"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>".encode("utf-16"), "svg"),
        (b"<?xml-stylesheet href='a>b'?><s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "svg"),
        (b"<!DOCTYPE svg PUBLIC 'a' 'b' [\n<!ENTITY ns 'http://www.w3.org/2000/svg'>\n]>\n<svg xmlns='&ns;'/>", "svg"),
        (b"<!-- " + b"x" * HEAD_BYTES, "svg"),
        (b"\xd7\xcd\xc6\x9a" + bytes(20), "wmf"),
        (b"\1\0\0\0" + bytes(36) + b" EMF", "emf"),
        (b"AT&TFORM\0\0\1\0DJVU", "djvu"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
        (b"RIFF\0\0\1\0ACONLIST", "ani"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "eps"),
        (b"\xc5\xd0\xd3\xc6" + bytes(20), "eps"),
        (b"\xff\xd8garbage", "jpeg"),
        (b"\x00PNG\r\n\x1a\n" + bytes(20), "png"),
        (b"P5\n3 3\n255\n" + bytes(9), "pnm"),
        (b"BM\xff\xff\xff\xff" + bytes([0x80] * 40), "bmp"),
    ],
)
def test_what_must_not_pass_for_something_else(content: bytes, name: str) -> None:
    """Pictures nothing here renders, and damaged signatures, are still pictures, so never clear."""
    assert (Form.STILL, name) == sniff(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "mp4"),
        (b"\0\0\0\x08moov", "mp4"),
        (b"\x1a\x45\xdf\xa3\x93", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"FLV\x01\x05", "flv"),
        (b"OggS\0\x02", "ogg"),
        (b"\0\0\0\x01\x67\x42", "h26x-annexb"),
        (b"\0\0\x01\xba\x44", "mpeg-ps"),
        ((b"G" + bytes(187)) * 4, "mpegts"),
        (b"YUV4MPEG2 W4 H4 F25:1\n", "y4m"),
        (b"FWS\x06\x18\x9a\0\0x\0", "swf"),
        (b"\0\0\0\0\1\xbc\0\0\1\x14", "gxf"),
        (b"\0\nSMJPEG\0\0", "smjpeg"),
    ],
)
def test_videos_are_known_by_their_bytes(content: bytes, name: str) -> None:
    """Containers and raw streams are videos."""
    assert (Form.VIDEO, name) == sniff(content)


@given(st.binary(max_size=HEAD_BYTES))
def test_any_bytes_are_something(content: bytes) -> None:
    """Sniffing never raises; bytes that are not UTF text and carry no signature are unknown, not "not media"."""
    assert isinstance(sniff(content).form, Form)


@pytest.mark.parametrize("repeated", [b"<?", b"<!--", b"<!DOCTYPE svg [", b"<?a?>", b"<!---->", b"<svg"])
def test_hostile_markup_costs_no_time(repeated: bytes) -> None:
    """Whatever opens again and again is sniffed as fast as anything."""
    began = time.process_time()

    assert sniff((repeated * HEAD_BYTES)[:HEAD_BYTES]).form in (Form.STILL, Form.NOT_MEDIA)
    assert time.process_time() - began < 2.0


def test_corpus_media_is_never_not_media() -> None:
    """No file of the corpus with a media signature is taken for a document."""
    media = {"png", "jpeg", "tiff", "webp", "gif", "mp4", "bmp", "avif", "heif", "h26x-annexb", "flv", "jxl", "apng"}
    with corpus("MANIFEST.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] in media]
    wrong = []
    for row in rows:
        with corpus(*row["path"].split("/")).open("rb") as content:
            form = sniff(content.read(HEAD_BYTES)).form
        if form not in (Form.STILL, Form.VIDEO):
            wrong.append((row["path"], row["kind"], form))

    assert [] == wrong
