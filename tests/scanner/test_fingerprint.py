"""A fingerprint is what decoding shows, hashed as it comes, each value with what made it."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from hashsets.types import EDITS, Signal
from scanner.decoding import decode  # noqa: F401  (the border these tests stand on)
from scanner.fingerprint import Limits, MediaFile, Options, Orientations, fingerprint_file, recipe, wanted
from scanner.hashing import pdq
from scanner.isolation.in_process import InProcess
from scanner.types import WHOLE, Fingerprint, Looked, MediaKind, Resume
from tests.scanner.decoding.test_video import clip, frames_of
from tests.shared_material import media


def fingerprint(content: bytes, options: Options | None = None) -> Fingerprint:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return InProcess(options).fingerprint(fd)
    finally:
        os.close(fd)


def turned_photograph(exif_orientation: int) -> bytes:
    image = Image.fromarray(next(frames_of(1, (300, 200))))
    exif = Image.Exif()
    exif[0x0112] = exif_orientation
    stream = io.BytesIO()
    image.save(stream, "PNG", exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_exif_reading_is_of_really_turned_pixels(turn: int) -> None:
    """Beside the stored pixels, the oriented ones are hashed exactly as a viewer shows them; upright ones once only."""
    content = turned_photograph(turn)
    found = fingerprint(content)
    with Image.open(io.BytesIO(content)) as image:
        stored, shown = np.asarray(image), np.asarray(ImageOps.exif_transpose(image))

    expected = [("stored", pdq(stored)[0].value)]
    if turn != 1:
        expected.append(("exif", pdq(shown)[0].value))
    assert expected == [(each.orientation, each.value) for each in found.signals]


def test_published_exif_pair() -> None:
    """The phone picture stored on its side has its published stored value."""
    fd = os.open(media("images", "exif-rotation", "exif-rotn-6.jpg"), os.O_RDONLY)
    found = InProcess().fingerprint(fd)
    os.close(fd)

    assert "e9782aad54ae0b6365315ac278592d6ad4b5434a5bcd7471f7abcb594b481a94" == found.signals[0].value.hex()
    assert ["stored", "exif"] == [each.orientation for each in found.signals]


def test_orientations_asked_for() -> None:
    """Stored alone, or all eight, each under its own name and recipe."""
    content = turned_photograph(6)
    stored = fingerprint(content, Options(orientations=Orientations.STORED))
    eight = fingerprint(content, Options(orientations=Orientations.ALL8))

    assert ["stored"] == [each.orientation for each in stored.signals]
    assert ["stored", "exif", *"2345678"] == [each.orientation for each in eight.signals]
    assert "image/pdq/1" == eight.signals[0].recipe
    assert "image/pdq/6/1" == {each.orientation: each.recipe for each in eight.signals}["6"]
    assert {each.orientation: each.value for each in eight.signals}["6"] == eight.signals[1].value


def test_other_types_follow_the_turn() -> None:
    """Optional types are made of the same readings as PDQ, without a quality."""
    found = fingerprint(turned_photograph(3), Options(hash_types=("phash", "dhash")))

    readings = ["pdq stored", "pdq exif", "phash stored", "dhash stored", "phash exif", "dhash exif"]
    assert [tuple(each.split()) for each in readings] == [(each.hash_type, each.orientation) for each in found.signals]
    assert [100, 100, None, None, None, None] == [each.quality for each in found.signals]


def test_recipes_say_how_a_video_was_sampled() -> None:
    """A dense list and a keyframe query are made by different recipes."""
    content = clip(20)

    assert {"video/pdq/1"} == {each.recipe for each in fingerprint(content).signals}
    assert {"video/pdq/dense/1"} == {each.recipe for each in fingerprint(content, Options(dense=True)).signals}
    assert "animation/phash/exif/1" == recipe(MediaKind.ANIMATION, "phash", "exif")


def test_repeated_frames_are_kept_only_when_dense() -> None:
    """A still scene gives one signal; a dense list has every frame of it."""
    still = [Image.fromarray(next(frames_of(1)))] * 8 + [Image.fromarray(list(frames_of(5))[4])] * 2
    stream = io.BytesIO()
    marks = [frame.copy() for frame in still]
    for n, frame in enumerate(marks):
        frame.putpixel((0, 0), (n, n, n))  # encoders merge frames that are wholly equal
    marks[0].save(stream, "PNG", save_all=True, append_images=marks[1:])

    assert 2 <= len(fingerprint(stream.getvalue(), Options(repeat_bits=2)).signals) <= 3
    assert list(range(10)) == [each.frame for each in fingerprint(stream.getvalue(), Options(dense=True)).signals]


def test_an_unknown_hash_type_is_refused() -> None:
    """What cannot be computed here is refused when asked for, not left out silently."""
    with pytest.raises(ValueError, match="photodna"):
        Options(hash_types=("photodna",))


def test_signals_come_as_they_are_made() -> None:
    """Each signal is told before the next picture is decoded."""
    told: list[str] = []

    class Listener:
        def media(self, kind: MediaKind, duration_ms: int | None) -> None:
            told.append(kind.value)

        def signal(self, signal: Signal) -> None:
            told.append(signal.hash_type)
            if len(told) > 6:
                raise MemoryError  # as when a worker runs out in the middle

        def mark(self, resume: Resume) -> None:
            told.append("mark")

    fd = os.memfd_create("content")
    os.write(fd, clip(50, gop=5))
    looked: Looked = fingerprint_file(MediaFile(fd), Options(), Limits(), Listener())
    os.close(fd)

    assert looked != WHOLE
    assert ["video", "video", "mark", "pdq", "mark", "pdq"] == told[:6]


def test_edits_are_undone_where_asked_for() -> None:
    """Bars are found and left out, margins put back, each under its name; the content's own value comes first."""
    picture = Image.fromarray(next(frames_of(1, (400, 300))))
    framed = Image.new("RGB", (400, 420))
    framed.paste(picture, (0, 60))
    stream = io.BytesIO()
    framed.save(stream, "PNG")
    found = fingerprint(stream.getvalue(), Options(edits=("trimmed", "uncropped")))
    by_name = {each.orientation: each for each in found.signals}

    assert ["stored", "trimmed"] == [each.orientation for each in found.signals[:2]]
    assert {"stored", "trimmed", "uncropped"} == by_name.keys()
    assert pdq(np.asarray(picture))[0].value == by_name["trimmed"].value
    assert "image/pdq/trimmed/1" == by_name["trimmed"].recipe
    assert {"image/pdq/trimmed/1", "image/pdq/uncropped/1"} <= wanted(MediaKind.IMAGE, Options(edits=EDITS))


def test_a_film_s_frames_are_trimmed_and_not_uncropped() -> None:
    """What a frame reads like without bars is told with its number; margins are put back for stills alone."""
    found = fingerprint(clip(20), Options(edits=("trimmed", "uncropped")))

    assert "uncropped" not in {each.orientation for each in found.signals}
    assert all(each.frame is not None for each in found.signals)


def test_an_unknown_edit_is_refused() -> None:
    """What cannot be undone here is refused when asked for."""
    with pytest.raises(ValueError, match="edits"):
        Options(edits=("blurred",))
