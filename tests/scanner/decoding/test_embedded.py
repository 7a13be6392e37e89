"""What lies behind, before or inside the picture that a file announces is looked at like a file of its own."""

from __future__ import annotations

import base64
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image

from scanner.decoding import Limits
from scanner.decoding.embedded import MOST_PARTS
from scanner.decoding.parts import AT_PER_PART, NUMBERS_PER_PART
from scanner.isolation.in_process import InProcess
from scanner.types import WHOLE, Extent, MediaKind, Reason, digests_only, partial
from tests.scanner.decoding.looks import Look, distance, look, look_at
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.scanner.decoding.test_video import DENSE, clip, frames_of

NEAR = 31
PROGRAM = b"\x7fELF" + bytes(range(200)) * 3
TEXT = b"Good Grief, Great Good Things. " * 60


@cache
def film(form: str, codec: str = "libx264") -> bytes:
    return clip(30, form=form, codec=codec)


def first_frame() -> Image.Image:
    return Image.fromarray(next(frames_of(30)))


def shows(seen: Look, picture: Image.Image) -> bool:
    """Whether the picture is among what was shown."""
    wanted = look(encoded(picture, "PNG")).values()[0]
    return any(distance(wanted, value) <= NEAR for value in seen.values())


FILMS = [
    ("mp4", "libx264"), ("mpegts", "libx264"), ("mpeg", "mpeg2video"), ("h264", "libx264"), ("hevc", "libx265"),
    ("mpeg2video", "mpeg2video"), ("m4v", "mpeg4"), ("matroska", "libx264"), ("avi", "mpeg4"), ("flv", "libx264"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "codec"), FILMS, ids=[form for form, _ in FILMS])
@pytest.mark.parametrize("before", [PROGRAM, TEXT], ids=["program", "text"])
def test_a_film_behind_something_else_is_a_film(before: bytes, form: str, codec: str) -> None:
    """What players find behind the first bytes of a program or a text is found here."""
    seen = look(before + film(form, codec))

    assert MediaKind.VIDEO is seen.kind
    assert shows(seen, first_frame())


@pytest.mark.parametrize(("form", "codec"), FILMS, ids=[form for form, _ in FILMS])
def test_a_film_behind_a_still_is_a_part_of_it(form: str, codec: str) -> None:
    """A motion photo is an image whose film is looked at, frame by frame, under a part number of its own."""
    seen = look(encoded(photograph(), "JPEG") + b"MotionPhoto_Data" + film(form, codec))

    assert (MediaKind.IMAGE, WHOLE) == (seen.kind, seen.looked)
    assert seen.duration_ms is not None  # so that it gets the time of a film
    assert (None, None) == (seen.pictures[0].part, seen.pictures[0].frame)
    assert {str(NUMBERS_PER_PART)} == {each.part for each in seen.pictures[1:]}
    assert shows(seen, photograph())
    assert shows(seen, first_frame())


@pytest.mark.parametrize(
    "first", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "HEIF", "AVIF", "JPEG2000", "ICO", "PPM", "TIFF"]
)
@pytest.mark.parametrize("second", ["JPEG", "PNG", "GIF", "WEBP", "HEIF", "AVIF", "JPEG2000"])
def test_a_picture_behind_a_picture_is_a_part_of_it(first: str, second: str) -> None:
    """Whatever two pictures are joined in one file, both are looked at."""
    seen = look(encoded(photograph(), first) + encoded(photograph(seed=4), second))

    assert WHOLE == seen.looked
    assert shows(seen, photograph(seed=4))
    assert first == "ICO" or shows(seen, photograph())  # an icon is square


@pytest.mark.parametrize("second", ["BMP", "TIFF", "PCX", "PPM", "TGA"])
def test_a_short_signature_is_enough_where_a_picture_ends(second: str) -> None:
    """Formats with weak signatures are found right behind the end of another, padding or not."""
    for padding in (b"", bytes(300)):
        seen = look(encoded(photograph(), "PNG") + padding + encoded(photograph(seed=4), second))

        assert shows(seen, photograph(seed=4)) or (padding and second == "TGA")


def test_what_cannot_be_looked_at_inside_is_said() -> None:
    """A film that nothing decodes leaves the still behind which it lies short of whole."""
    seen = look(encoded(photograph(), "JPEG") + b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(200))

    assert partial(Reason.EMBEDDED) == seen.looked
    assert 1 == len(seen.pictures)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "HEIF"])
def test_harmless_bytes_behind_a_picture_change_nothing(form: str) -> None:
    """Makers' notes, padding and noise leave a picture whole."""
    content = encoded(photograph(), form)
    noise = np.random.default_rng(8).bytes(200_000)
    for behind in (b"", b"some maker's note", bytes(5000), noise):
        seen = look(content + behind)

        assert (WHOLE, 1) == (seen.looked, len(seen.pictures))


def test_a_multi_picture_file_shows_each_picture_once() -> None:
    """The pictures of an MPO are parts, not shown again because they also lie behind each other."""
    pictures = [photograph(seed=seed) for seed in range(3)]
    seen = look(encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:]))

    assert (WHOLE, 3) == (seen.looked, len(seen.pictures))
    assert all(shows(seen, each) for each in pictures)


def test_a_film_in_a_box_of_a_heic_is_a_part_of_it() -> None:
    """Phones that save HEIC put the film of a motion photo in an `mpvd` box."""
    content = film("mp4")
    seen = look(encoded(photograph(), "HEIF") + struct.pack(">I", 8 + len(content)) + b"mpvd" + content)

    assert (MediaKind.IMAGE, WHOLE) == (seen.kind, seen.looked)
    assert shows(seen, first_frame())


def test_a_film_hidden_in_a_film_is_a_part_of_it() -> None:
    """Boxes that players skip, and files behind the first, are looked into."""
    hidden = encoded(photograph(), "PNG")
    boxed = film("mp4") + struct.pack(">I", 8 + len(hidden)) + b"free" + hidden
    other = clip(20, form="mp4", codec="mpeg4")

    assert shows(look(boxed), photograph())
    assert str(NUMBERS_PER_PART) in {each.part for each in look(film("mp4") + other).pictures}


@pytest.mark.parametrize(
    "content",
    [
        TEXT * 100,
        b"t" * 20 + b"G" * 100_000,
        b"GATTACA" * 20_000,
        np.random.default_rng(2).bytes(2_000_000),
        PROGRAM * 100,
    ],
    ids=["text", "syncs", "genome", "noise", "program"],
)
def test_what_only_looks_like_a_film_is_clear(content: bytes) -> None:
    """Chance signatures cost an attempt and end as what they are: not media."""
    seen = look(content)

    assert (MediaKind.OTHER, WHOLE, []) == (seen.kind, seen.looked, seen.pictures)


def test_a_false_signature_before_the_film_does_not_hide_it() -> None:
    """Each place is tried, in order."""
    false = b"....\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100) + b"RIFF\0\0\0\0AVI " + bytes(100)
    seen = look(TEXT + false + film("mp4"))

    assert MediaKind.VIDEO is seen.kind
    assert shows(seen, first_frame())


def test_parts_beyond_the_most_are_not_passed_over_in_silence() -> None:
    """A file of more pictures than are looked at is not whole."""
    one = encoded(photograph(32, 24), "JPEG")

    assert (WHOLE, MOST_PARTS + 1) == ((seen := look(one * (MOST_PARTS + 1))).looked, len(seen.pictures))
    assert partial(Reason.EMBEDDED) == look(one * (MOST_PARTS + 2)).looked


def test_a_look_stopped_in_a_part_tells_where() -> None:
    """The position lies in the part, so that the next look need not begin with the still."""
    limits = Limits(image_s=5, video_s=0.01, video_most_s=0.01, wall_factor=1000)
    seen = look(encoded(photograph(), "JPEG") + clip(200), DENSE, limits)

    assert Extent.PARTIAL is seen.looked.extent  # type: ignore[union-attr]
    assert seen.marks[-1].at >= AT_PER_PART


@pytest.mark.parametrize("wrapped", [lambda content: content, lambda content: TEXT + content])
def test_a_broken_film_is_never_clear_where_it_shows(wrapped: Callable[[bytes], bytes]) -> None:
    """A film cut short, alone or hidden, is partial."""
    content = film("mpegts")

    assert partial(Reason.TRUNCATED) == look(wrapped(content[: len(content) * 2 // 3 - 61])).looked or WHOLE


def with_thumbnail(image: Image.Image, small: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "x"
    thumbnail = b"Exif\x00\x00" + exif.tobytes()[6:] + encoded(small, "JPEG", quality=60)
    return encoded(image, "JPEG", exif=thumbnail)


def test_a_thumbnail_is_shown_aside() -> None:
    """What file managers show for a picture is looked at, marked as a copy."""
    seen = look(with_thumbnail(photograph(), photograph(120, 90, seed=4)))

    assert WHOLE == seen.looked
    assert [(None, False), ("1000", True)] == [(each.part, each.aside) for each in seen.pictures]


def test_a_thumbnail_counts_where_it_shows_something_else() -> None:
    """One that was forgotten when its picture was replaced has a signal of its own; a true one has none."""
    signals = {}
    for seed in (3, 4):
        fd = os.memfd_create("picture")
        os.write(fd, with_thumbnail(photograph(), photograph(120, 90, seed)))
        signals[seed] = [each.part for each in InProcess().fingerprint(fd).signals]
        os.close(fd)

    assert {3: [None], 4: [None, "1000"]} == signals


def test_undecodable_with_nothing_inside_stays_undecodable() -> None:
    """No part, no picture: digests only."""
    assert digests_only(Reason.UNDECODABLE) == look(b"\xff\xd8\xff\xe0" + b"\x80" * 900).looked


def test_pictures_written_into_a_text_are_looked_at() -> None:
    """Addresses that hold a picture, in a page or a drawing, and the attachments of a letter."""
    code = base64.b64encode(encoded(photograph(), "JPEG"))
    lines = base64.encodebytes(encoded(photograph(), "PNG")).replace(b"\n", b"\r\n")
    letter = b"From: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Transfer-Encoding: BASE64\r\n"
    page = look(b"<html><img src='data:image/jpeg;base64," + code + b"'></html>")
    attached = look(letter + b"Content-Type: image/png\r\n\r\n" + lines + b"--x--\r\n")
    drawing = look(
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="data:image/jpeg;base64,' + code + b'"/></svg>'
    )

    assert (MediaKind.IMAGE, WHOLE) == (page.kind, page.looked) == (attached.kind, attached.looked)
    assert partial(Reason.UNDECODABLE) == drawing.looked  # the drawing itself nothing draws
    assert all(shows(each, photograph()) for each in (page, attached, drawing))


@pytest.mark.parametrize(
    "repeated", [b"data:image/png;base64,", b"data:;base64", b"content-transfer-encoding:base64\n\n"]
)
@pytest.mark.timeout(60)
def test_texts_that_announce_much_cost_little(repeated: bytes) -> None:
    """Announcements without pictures are passed over."""
    assert WHOLE == look(repeated * 20_000).looked


def sound(name: str, cover: bytes) -> bytes:
    """A stretch of sound with a cover in the tags of its format."""
    frames = (b"\xff\xfb\x90\x64" + bytes(413)) * 40
    if name == "id3":
        picture = b"\0image/jpeg\0\3\0" + cover
        tag = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
        return b"ID3\3\0\0" + bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0)) + tag + frames
    if name == "flac":
        info = (
            struct.pack(">HH", 4096, 4096) + bytes(6) + struct.pack(">Q", 44100 << 44 | 1 << 41 | 15 << 36) + bytes(16)
        )
        picture = struct.pack(">II", 3, 10) + b"image/jpeg" + bytes(20) + struct.pack(">I", len(cover)) + cover
        return b"fLaC\0\0\0\x22" + info + b"\x86" + struct.pack(">I", len(picture))[1:] + picture
    begin = {"ape": b"MAC \x96\x0f", "tta": b"TTA1\1\0", "wavpack": b"wvpk", "id3 and ape": frames}[name]
    item = struct.pack("<II", len(cover) + 6, 2) + b"Cover Art (Front)\0c.jpg\0" + cover
    return begin + bytes(1_500_000) + b"APETAGEX" + struct.pack("<IIII", 2000, len(item), 1, 1 << 29) + bytes(8) + item


@pytest.mark.parametrize("name", ["id3", "flac", "ape", "tta", "wavpack", "id3 and ape"])
def test_covers_of_sound_are_looked_at(name: str) -> None:
    """A picture attached to sound is hashed, wherever its format keeps it; sound without one is not media."""
    assert shows(look(sound(name, encoded(photograph(), "JPEG"))), photograph())
    assert [] == look(sound(name, b"")).pictures


@pytest.mark.parametrize(("form", "codec"), [FILMS[1], FILMS[2], FILMS[3]], ids=["mpegts", "mpeg", "h264"])
def test_a_stream_behind_an_archive_is_looked_at(form: str, codec: str) -> None:
    """The members of an archive are looked at, and so is what players find behind it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("minutes.txt", TEXT)

    for container in (archive.getvalue(), b"%PDF-1.4\n1 0 obj<<>>endobj\n%%EOF\n"):
        assert shows(look(container + film(form, codec)), first_frame())


def test_what_an_unopened_archive_keeps_unpacked_is_looked_at() -> None:
    """An archive that cannot be opened is never clear, but a picture that lies open in it is seen."""
    seen = look(b"Rar!\x1a\x07\x01\0" + bytes(range(50)) + encoded(photograph(), "JPEG"))

    assert partial(Reason.UNOPENED) == seen.looked
    assert shows(seen, photograph())


def test_frames_sent_one_by_one_are_looked_at() -> None:
    """A camera's stream of JPEGs, with headers between them as browsers show it, and without."""
    frames = [encoded(photograph(seed=seed), "JPEG") for seed in range(4)]
    headed = b"".join(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + frame + b"\r\n" for frame in frames)

    assert all(shows(look(headed), photograph(seed=seed)) for seed in range(4))
    assert all(shows(look(b"".join(frames)), photograph(seed=seed)) for seed in range(4))


def test_rows_of_a_picture_that_look_like_syncs_are_no_stream() -> None:
    """A pattern may repeat a byte at the distance of packets; nothing begins in what they would carry."""
    for number in range(30):
        pixels = bytes((number * 7 + at * at) % 256 for at in range(4096))
        assert WHOLE == look(b"P5 64 64 255\n" + pixels).looked
    for value in (0x47, 0x57):
        assert WHOLE == look(b"P5 512 512 255\n" + bytes([0x47, value]) * 131072).looked


def sparse(*pieces: bytes, zeros: int) -> Look:
    """A look at pieces with so many zeros between them, which lie nowhere."""
    fd = os.memfd_create("sparse")
    try:
        at = 0
        for piece in pieces:
            os.pwrite(fd, piece, at)
            at += len(piece) + zeros
        return look_at(fd)
    finally:
        os.close(fd)


def test_zeros_hide_nothing() -> None:
    """However many lie before a picture, behind another one or at the start of a file, it is looked at."""
    hidden = encoded(photograph(seed=4), "JPEG")
    behind = sparse(encoded(photograph(), "JPEG"), hidden, zeros=200_000_000)

    assert (WHOLE, 2) == (behind.looked, len(behind.pictures))
    assert shows(sparse(b"", hidden, zeros=200_000_000), photograph(seed=4))


def test_a_search_that_has_no_time_left_is_owed() -> None:
    """What was not searched is never clear, and the picture that was seen stays."""
    content = encoded(photograph(), "JPEG")
    seen = look(content + random.Random(1).randbytes(40_000_000), limits=Limits(image_s=0.05, wall_factor=1000))

    assert partial(Reason.OVER_BUDGET) == seen.looked
    assert 1 == len(seen.pictures)


@pytest.mark.parametrize(("form", "codec"), [("matroska", "libx264"), ("avi", "mpeg4"), ("mp4", "libx264")])
def test_a_picture_behind_a_film_is_a_part_of_it(form: str, codec: str) -> None:
    """Where a film's format tells its end, what lies behind is looked at."""
    seen = look(film(form, codec) + encoded(photograph(), "JPEG"))

    assert (MediaKind.VIDEO, WHOLE) == (seen.kind, seen.looked)
    assert shows(seen, photograph())


@pytest.mark.parametrize("kind", [b"rreq", b"zzzz"])
def test_a_box_between_type_and_picture_hides_nothing(kind: bytes) -> None:
    """JPX files carry boxes of their own in front of the picture, known or not."""
    content = encoded(photograph(), "JPEG2000")
    begin = 12 + int.from_bytes(content[12:16], "big")
    seen = look(content[:begin] + struct.pack(">I4s", 24, kind) + bytes(16) + content[begin:])

    assert shows(seen, photograph())
    assert kind == b"zzzz" or seen.looked == WHOLE
