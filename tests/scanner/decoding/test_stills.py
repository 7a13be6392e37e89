"""Stills and animations: every mode, orientation, page and frame, whole or damaged."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from scanner.decoding import DecodeOptions, Limits, MediaFile
from scanner.decoding.jpeg import MOST_SCANS, where_scans_are_too_many
from scanner.decoding.pixels import rows_of
from scanner.types import WHOLE, Looked, MediaKind, Reason, digests_only, partial
from tests.scanner.decoding.looks import distance, look, look_at, look_at_path
from tests.shared_material import media

MODES = sorted(path.name for path in media("images", "modes").iterdir() if path.suffix != ".md")


def photograph(width: int = 240, height: int = 180, seed: int = 3) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", MODES)
def test_every_mode_is_the_same_picture(name: str) -> None:
    """The published picture in each mode and format is within 2 bits of its original, and looked at whole."""
    original = look_at_path(media("images", "bridge-mods", "aaa-orig.jpg"))
    other = look_at_path(media("images", "modes", name))

    assert WHOLE == other.looked
    assert distance(original.values()[0], other.values()[0]) <= 2


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_conversions(mode: str) -> None:
    """Pillow's modes come out as the grey or RGB picture they show."""
    image = photograph()
    if mode == "La":
        image = image.convert("LA").convert("La")
    elif mode == "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    else:
        image = image.convert(mode)
    rows = np.asarray(rows_of(image))
    expected = photograph().convert("L" if rows.ndim == 2 else "RGB")

    # Dithered modes are the picture on average only.
    found, wanted = (
        np.asarray(each.resize((24, 18), Image.Resampling.BOX)).astype(int)
        for each in (Image.fromarray(rows), expected)
    )
    assert np.abs(found - wanted).mean() < 12


def test_lab_becomes_rgb() -> None:
    """LAB is turned into RGB by its definition, not read as RGB."""
    lab = ImageCms.profileToProfile(
        photograph(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None

    difference = np.abs(np.asarray(rows_of(lab)).astype(int) - np.asarray(photograph()).astype(int))
    assert difference.mean() < 6


def test_alpha_is_dropped() -> None:
    """Colours under full transparency are hashed as stored."""
    image = photograph().convert("RGBA")
    image.putalpha(0)

    assert look(encoded(photograph(), "PNG")).values() == look(encoded(image, "PNG")).values()


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (lambda grey: (grey.astype(np.uint16) << 8) + 77, "I;16"),
        (lambda grey: grey.astype(np.int32) * 256 + 99, "I"),
        (lambda grey: grey.astype(np.int32), "I"),
        (lambda grey: grey.astype(np.float32), "F"),
        (lambda grey: (grey.astype(np.float32) + 0.5) / 256, "F"),
    ],
)
def test_deep_grey_is_scaled(values, mode: str) -> None:  # type: ignore[no-untyped-def]
    """16-bit, 32-bit and float grey are scaled to the picture they show instead of clipped to white."""
    grey = np.asarray(photograph().convert("L"))
    image = Image.fromarray(values(grey))

    assert mode == image.mode
    assert np.abs(np.asarray(rows_of(image)).astype(int) - grey).max() <= 1


def test_float_oddities_are_black() -> None:
    """Not-a-number and infinities are values like any other."""
    values = np.full((10, 10), 100.0, dtype=np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf

    assert [0, 255, 0, 100] == np.asarray(rows_of(Image.fromarray(values)))[0, :4].tolist()


def test_16_bit_grey_has_both_readings() -> None:
    """The published 16-bit PNG is read by shifting, and as its published vector shows it: clipped to white."""
    seen = look_at_path(media("images", "formats", "I16.png"))
    with Image.open(media("images", "formats", "I16.png")) as image:
        values = np.asarray(image).astype(np.uint16)

    assert np.array_equal(values >> 8, seen.pixels[0])
    assert np.array_equal(np.minimum(values, 255), seen.pixels[1])
    assert seen.values()[1].hex() == "de2ef0e99ecdfc1d248a0eb055f023d1d61e79c3920cbb55d561c02accab1763"


@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_told_and_pixels_stay(turn: int) -> None:
    """The EXIF orientation comes beside the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = turn
    seen = look(encoded(photograph(), "JPEG", exif=exif))

    assert (turn, (180, 240, 3)) == (seen.pictures[0].exif, seen.pixels[0].shape)


def test_orientation_of_a_damaged_picture() -> None:
    """A picture only a second opinion can read keeps the orientation its header states."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(photograph(), "PNG", exif=exif)
    # The exif chunk comes before the pixels; their data made unreadable for Pillow's checksums.
    at = content.index(b"IDAT")
    seen = look(content[: at + 60] + b"\0" * 40 + content[at + 100 :])

    assert 6 == seen.pictures[0].exif
    assert partial(Reason.TRUNCATED) == seen.looked


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_pictures_are_partial(form: str, share: float) -> None:
    """A picture cut short gives what is there, and says that it is not all."""
    if form == "TIFF" and share < 0.9:
        pytest.skip("Pillow writes TIFF's directory last: nothing is left to read")
    content = encoded(photograph(), form)
    seen = look(content[: int(len(content) * share)])

    assert partial(Reason.TRUNCATED) == seen.looked
    assert 1 == len(seen.pictures)
    assert MediaKind.IMAGE is seen.kind


@pytest.mark.parametrize("cut", range(5, 100, 5))
def test_truncated_jpeg_every_five_percent(cut: int) -> None:
    """Twenty cuts of a JPEG, twenty pictures."""
    content = media("images", "bridge-mods", "shrink-a-little.jpg").read_bytes()
    seen = look(content[: len(content) * cut // 100])

    assert partial(Reason.TRUNCATED) == seen.looked
    assert 1 == len(seen.pictures)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_stream_every_frame(form: str) -> None:
    """Every frame comes, numbered and timed, and the content is an animation."""
    frames = [photograph(seed=seed) for seed in range(12)]
    seen = look(encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=80))

    assert (MediaKind.ANIMATION, WHOLE) == (seen.kind, seen.looked)
    assert list(range(12)) == [each.frame for each in seen.pictures]
    assert [80 * n for n in range(12)] == [each.frame_ms for each in seen.pictures]
    assert all(distance(look(encoded(frame, "PNG")).values()[0], value) <= 16
               for frame, value in zip(frames, seen.values(), strict=True))  # fmt: skip


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_a_truncated_animation_keeps_its_frames(form: str) -> None:
    """Frames before the cut are kept once each, and the look is partial."""
    frames = [photograph(seed=seed) for seed in range(10)]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=80)
    seen = look(content[: int(len(content) * 0.65)])

    assert (MediaKind.ANIMATION, partial(Reason.TRUNCATED)) == (seen.kind, seen.looked)
    assert list(range(len(seen.pictures))) == [each.frame for each in seen.pictures]
    assert 6 <= len(seen.pictures) <= 7


def test_pages_are_parts() -> None:
    """Each page of a TIFF is looked at, the first without a part number."""
    pages = [photograph(seed=seed) for seed in range(3)]
    seen = look(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))

    assert [None, "1", "2"] == [each.part for each in seen.pictures]
    assert [look(encoded(page, "PNG")).values()[0] for page in pages] == seen.values()


def test_a_still_in_an_animated_format_has_no_frame_number() -> None:
    """A GIF of one frame is an image."""
    seen = look(encoded(photograph(), "GIF"))

    assert (MediaKind.IMAGE, None) == (seen.kind, seen.pictures[0].frame)


def test_the_name_counts_for_nothing(tmp_path: Path) -> None:
    """A PNG called .mp4 is a PNG."""
    path = tmp_path / "holiday.mp4"
    path.write_bytes(encoded(photograph(), "PNG"))

    assert MediaKind.IMAGE is look_at_path(path).kind


def test_too_large_a_picture_is_over_budget() -> None:
    """A small file with an enormous header is refused before anything is decoded."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )

    assert digests_only(Reason.OVER_BUDGET) == look(content).looked


def test_a_large_jpeg_is_decoded_scaled() -> None:
    """A JPEG beyond the budget is decoded at a smaller fraction and still hashes as the whole picture."""
    content = encoded(photograph(1999, 1501), "JPEG", quality=95)
    whole = look(content, DecodeOptions(exact=True))
    for scale, budget in ((2, 1_000_000), (4, 500_000), (8, 150_000)):
        scaled = look(content, limits=Limits(decode_bytes=len(content) + budget))

        assert (scale, (1501, 1999)) == (scaled.pictures[0].scale, scaled.pictures[0].original)
        assert WHOLE == scaled.looked
        assert distance(whole.values()[0], scaled.values()[0]) <= 4


def test_exact_never_decodes_scaled() -> None:
    """Where only a fraction fits the budget, an exact look is over budget; and no other decoder is asked to do more."""
    content = encoded(photograph(1999, 1501), "JPEG", quality=95)
    exact = DecodeOptions(exact=True)

    assert digests_only(Reason.OVER_BUDGET) == look(content, exact, Limits(decode_bytes=8_000_000)).looked
    assert (WHOLE, 1) == (look(content, exact).looked, look(content, exact).pictures[0].scale)


@pytest.mark.parametrize("scans", [150, 400])
def test_a_jpeg_of_too_many_scans_is_shown_by_the_first(scans: int) -> None:
    """Hundreds of passes over the same pixels are cut off, said so, and the picture is still recognised."""
    content = encoded(photograph(640, 480), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    seen = look(content[:-2] + content[last:-2] * scans + b"\xff\xd9")

    assert (WHOLE if scans < MOST_SCANS else partial(Reason.OVER_BUDGET)) == seen.looked
    assert distance(look(content).values()[0], seen.values()[0]) <= 8


def test_scans_are_counted_across_blocks() -> None:
    """Wherever the marker of a scan lies, its scan is counted once, and the one too many found."""
    for offset in (0, 1, 2**20 - 2, 2**20 - 1, 2**20, 3 * 2**20 + 5):
        content = bytes(offset) + (b"\xff\xda" + bytes(9000)) * (MOST_SCANS + 3)
        fd = os.memfd_create("scans")
        os.write(fd, content)

        assert offset + MOST_SCANS * 9002 == where_scans_are_too_many(MediaFile(fd))
        assert where_scans_are_too_many(MediaFile(fd).first(offset + MOST_SCANS * 9002)) is None
        os.close(fd)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 4}])
def test_a_cut_jpeg_with_an_end_is_partial(share: float, options: dict[str, int]) -> None:
    """A JPEG cut short and closed in good order, as a repair tool leaves it, lacks pixels and is not whole."""
    content = encoded(photograph(), "JPEG", quality=90, **options)

    assert partial(Reason.TRUNCATED) == look(content[: int(len(content) * share)] + b"\xff\xd9").looked


def test_a_jpeg_that_ends_in_one_colour_is_whole() -> None:
    """A picture with a plain lower edge lacks nothing; nor does one with something behind its end."""
    image = photograph()
    image.paste((0, 0, 0), (0, 120, 240, 180))

    assert WHOLE == look(encoded(image, "JPEG")).looked
    assert WHOLE == look(encoded(image, "JPEG") + b"trailing" * 100).looked


def test_no_picture_of_the_shared_media_is_called_cut_short() -> None:
    """Not one false alarm over every ordinary JPEG there is."""
    paths = sorted(path for path in media("images").rglob("*") if path.suffix in (".jpg", ".jpeg"))

    assert len(paths) > 20
    assert [] == [path.name for path in paths if look_at_path(path).looked != WHOLE]


def test_damaged_animations_always_hash_alike() -> None:
    """What a truncated frame lacks is never what the memory held before."""
    frames = [photograph(seed=seed).quantize(8 + seed) for seed in range(6)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=80, optimize=False)
    for share in (0.4, 0.55, 0.7, 0.9):
        cut = content[: int(len(content) * share)]
        first = look(cut)
        litter = [np.full((180, 240, n % 3 + 1), 37 * n % 256, dtype=np.uint8) for n in range(200)]
        del litter

        assert partial(Reason.TRUNCATED) == first.looked
        for _ in range(5):
            assert first.values() == look(cut).values()


def test_an_animation_frame_without_data_is_not_memory() -> None:
    """Room that Pillow makes for a frame is made of zeros."""
    noise = [Image.effect_noise((200, 200), 90) for _ in range(20)]
    del noise
    with Image.open(io.BytesIO(encoded(photograph(), "GIF"))) as image:
        assert isinstance(image, ImageFile.ImageFile)
        image._im = None  # as Pillow leaves it for a later frame without a palette of its own
        image.load_prepare()

        assert (0, 0) == image.im.getextrema()


def test_a_targa_with_odd_fields_is_seen() -> None:
    """What FFmpeg shows as a TGA is never clear unseen, though its header has values the format does not allow."""
    header = bytes([0, 1, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0x20, 0xE8])
    seen = look(header + bytes.fromhex("005bc70141"))

    assert 1 == len(seen.pictures)
    assert partial(Reason.TRUNCATED) == seen.looked


def test_an_endless_animation_stops_at_its_budget() -> None:
    """When time is up the frames so far are kept and the look is partial(over_budget)."""
    frames = [photograph(600, 600, seed=seed) for seed in range(40)]
    content = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], compress_level=1)
    seen = look(content, limits=Limits(image_s=0.05, video_s=0.05, wall_factor=1000))

    assert partial(Reason.OVER_BUDGET) == seen.looked
    assert 0 < len(seen.pictures) < 40


@pytest.mark.parametrize(
    ("content", "kind", "looked"),
    [
        (b"", MediaKind.OTHER, WHOLE),
        (b"plain text", MediaKind.OTHER, WHOLE),
        (bytes(range(128, 256)) * 40, MediaKind.OTHER, WHOLE),
        (b"\xff\xd8\xff\xe0" + b"\x80" * 900, MediaKind.IMAGE, digests_only(Reason.UNDECODABLE)),
        (b"\x89PNG\r\n\x1a\n" + b"\x80" * 900, MediaKind.IMAGE, digests_only(Reason.UNDECODABLE)),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", MediaKind.IMAGE, digests_only(Reason.UNDECODABLE)),
        (b"\xff\x0a" + b"\x80" * 500, MediaKind.IMAGE, digests_only(Reason.UNDECODABLE)),
        (b"\0\0\0\x18ftypisom" + b"\x80" * 500, MediaKind.VIDEO, digests_only(Reason.UNDECODABLE)),
    ],
)
def test_not_media_and_undecodable_are_two_things(content: bytes, kind: MediaKind, looked: Looked) -> None:
    """Only what is plainly not media counts as looked at; media that nothing reads is undecodable."""
    seen = look(content)

    assert (kind, looked) == (seen.kind, seen.looked)


def test_heic_is_decoded() -> None:
    """What phones upload is read."""
    seen = look(encoded(photograph(), "HEIF", quality=90))

    assert (MediaKind.IMAGE, WHOLE) == (seen.kind, seen.looked)
    assert distance(look(encoded(photograph(), "PNG")).values()[0], seen.values()[0]) <= 8


def test_a_storage_error_is_io_and_not_bad_bytes(tmp_path: Path) -> None:
    """When the storage fails under a decoder, the reason is io, which is tried again."""
    path = tmp_path / "content"
    path.write_bytes(encoded(photograph(), "PNG"))
    seen = look_at_path(path)
    assert WHOLE == seen.looked
    with path.open("wb") as write_only:  # pread on it fails with EBADF
        assert digests_only(Reason.IO) == look_at(write_only.fileno()).looked
