"""What people upload, kind by kind: every picture and film of it is looked at whole, or it is said why not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import cv2
import imagecodecs
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray
from PIL import Image

from scanner.decoding import Limits
from scanner.types import WHOLE, Extent, MediaKind, Reason, partial
from tests.scanner.decoding.containers.made import zipped
from tests.scanner.decoding.looks import distance, look
from tests.scanner.decoding.test_stills import encoded, photograph
from tests.scanner.decoding.test_video import DENSE, clip, frames_of, nobody

NEAR = 31
SIZE = (256, 192)


@cache
def picture() -> Image.Image:
    return photograph(*SIZE)


@cache
def wanted() -> bytes:
    return look(encoded(picture(), "PNG")).values()[0]


def rgb() -> NDArray[np.uint8]:
    return np.asarray(picture())


def grey() -> NDArray[np.uint8]:
    return np.asarray(picture().convert("L"))


def deep(pixels: NDArray[np.uint8], times: int = 257) -> NDArray[np.uint16]:
    return pixels.astype(np.uint16) * times


def by_ffmpeg(codec: str, pix_fmt: str) -> bytes:
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
    context.width, context.height = SIZE
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
    frame = av.VideoFrame.from_image(picture()).reformat(format=pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def by_opencv(ending: str, pixels: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(ending, pixels[:, :, ::-1])[1])


def tiff(pixels: NDArray[Any], **options: object) -> bytes:
    return bytes(imagecodecs.tiff_encode(pixels, **options))


def j2k(pixels: NDArray[Any], form: str = "jp2", **options: object) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat=form, **options))


def xpm() -> bytes:
    image = picture().quantize(64)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[:64]
    lines = [f"{SIZE[0]} {SIZE[1]} 64 1"]
    lines += [f"{sign} c #{colour.tobytes().hex()}" for sign, colour in zip(signs, colours, strict=True)]
    lines += ["".join(signs[value] for value in row) for row in np.asarray(image)]
    return ("/* XPM */\nstatic char *x[] = {\n" + ",\n".join(f'"{line}"' for line in lines) + "\n};\n").encode()


def photoshop(
    depth: int = 8, *, packed: bool = False, large: bool = False, mode: int = 3, merged: bool = True
) -> bytes:
    """A file of one composite, without layers; the resource says whether it is a true one."""
    planes = list(np.moveaxis(rgb(), 2, 0)) + [np.full(SIZE[::-1], 255, np.uint8)] * (mode == 4)
    resource = b"8BIM" + struct.pack(">HHI", 1057, 0, 6) + b"\0\0\0\1" + bytes([merged]) + b"\0"
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1 + large, len(planes), SIZE[1], SIZE[0], depth, mode)
    head += struct.pack(">II", 0, len(resource)) + resource + bytes(8 if large else 4)
    if packed:
        rows = [imagecodecs.packbits_encode(row.tobytes()) for plane in planes for row in plane]
        counts = b"".join(struct.pack(">I" if large else ">H", len(row)) for row in rows)
        return head + b"\0\1" + counts + b"".join(rows)
    if depth == 32:
        return head + b"\0\0" + b"".join((plane / 255).astype(">f4").tobytes() for plane in planes)
    return head + b"\0\0" + b"".join(deep(plane).astype(">u2").tobytes() if depth == 16 else plane.tobytes()
                                    for plane in planes)  # fmt: skip


def cursor(animated: bool) -> bytes:
    one = bytearray(encoded(picture().resize((128, 128)), "ICO", bitmap_format="bmp", sizes=[(128, 128)]))
    one[2] = 2
    if not animated:
        return bytes(one)
    icon = b"icon" + struct.pack("<I", len(one)) + bytes(one)
    header = b"anih" + struct.pack("<I9I", 36, 36, 1, 1, 0, 0, 0, 0, 10, 1)
    body = b"ACON" + header + b"LIST" + struct.pack("<I", 4 + 2 * len(icon)) + b"fram" + icon + icon
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fits() -> bytes:
    cards = [b"SIMPLE  =                    T", b"BITPIX  =                    8", b"NAXIS   =                    2",
             b"NAXIS1  =%21d" % SIZE[0], b"NAXIS2  =%21d" % SIZE[1], b"END"]  # fmt: skip
    head = b"".join(card.ljust(80) for card in cards).ljust(2880)
    pixels = grey()[::-1].tobytes()
    return head + pixels + bytes(-len(pixels) % 2880)


def plain_pnm(kind: bytes, pixels: NDArray[np.uint8]) -> bytes:
    return kind + b"\n%d %d\n255\n" % SIZE + b" ".join(b"%d" % value for value in pixels.reshape(-1).tolist())


STILLS: dict[str, Callable[[], bytes]] = {
    "jpeg of 12 bits": lambda: imagecodecs.jpeg8_encode(deep(rgb(), 16), bitspersample=12),
    "jpeg of rgb": lambda: encoded(picture(), "JPEG", keep_rgb=True),
    "lossless jpeg": lambda: by_ffmpeg("ljpeg", "bgr24"),
    "jpeg-ls": lambda: imagecodecs.jpegls_encode(rgb()),
    "grey jpeg-ls": lambda: imagecodecs.jpegls_encode(grey()),
    "deep jpeg-ls": lambda: imagecodecs.jpegls_encode(deep(grey())),
    "bare jpeg-ls": lambda: by_ffmpeg("jpegls", "bgr24"),
    "jpeg 2000 of 16 bits": lambda: j2k(deep(rgb())),
    "jpeg 2000 of 12 bits": lambda: j2k(deep(grey(), 16), "j2k", bitspersample=12),
    "jpeg 2000 with alpha": lambda: j2k(np.asarray(picture().convert("RGBA"))),
    "jpx": lambda: j2k(rgb()).replace(b"ftypjp2 ", b"ftypjpx "),
    "high throughput jpeg 2000": lambda: imagecodecs.htj2k_encode(rgb()),
    "webp with alpha and profile": lambda: encoded(picture().convert("RGBA"), "WEBP", icc_profile=bytes(300)),
    "avif of 10 bits": lambda: imagecodecs.avif_encode(deep(rgb(), 4), bitspersample=10, speed=10),
    "avif of 12 bits": lambda: imagecodecs.avif_encode(deep(rgb(), 16), bitspersample=12, speed=10),
    "avif 4:4:4": lambda: encoded(picture(), "AVIF", subsampling="4:4:4"),
    "grey avif": lambda: encoded(picture().convert("L"), "AVIF"),
    "heic of a new brand": lambda: encoded(picture(), "HEIF").replace(b"ftypheic", b"ftypmif3", 1),
    **{f"tiff {kind}": lambda kind=kind: encoded(picture(), "TIFF", compression=kind)  # type: ignore[misc]
       for kind in ("packbits", "tiff_adobe_deflate", "tiff_deflate", "zstd", "lzma", "jpeg")},
    "fax tiff": lambda: encoded(picture().convert("1"), "TIFF", compression="group4"),
    "big tiff": lambda: encoded(picture(), "TIFF", big_tiff=True),
    "tiled tiff": lambda: tiff(rgb(), tile=(64, 64), compression="lzw", predictor=True),
    "tiff in planes": lambda: tiff(np.moveaxis(rgb(), 2, 0).copy(), photometric="rgb", planarconfig="separate"),
    "tiff of 16 bits": lambda: tiff(deep(rgb())),
    "tiff of 32 bits": lambda: tiff(grey().astype(np.uint32) << 24),
    "tiff of 16 bits in inks": lambda: tiff(deep(255 - np.dstack([rgb(), np.full_like(grey(), 255)])),
                                            photometric="separated"),
    "tiff of floats": lambda: tiff(grey().astype(np.float32) / 255),
    "tiff of half floats": lambda: tiff(grey().astype(np.float16) / 255),
    "tiff of doubles": lambda: tiff(grey().astype(np.float64) / 255),
    "tiff of coloured floats": lambda: tiff(rgb().astype(np.float32) / 255, photometric="rgb"),
    "tiff ycbcr": lambda: encoded(picture().convert("YCbCr"), "TIFF"),
    "tiff lab": lambda: encoded(picture().convert("LAB"), "TIFF"),
    "png of 16 bits": lambda: imagecodecs.png_encode(deep(rgb())),
    "bmp of 16 bits": lambda: by_ffmpeg("bmp", "rgb565le"),
    "bmp of 15 bits": lambda: by_ffmpeg("bmp", "rgb555le"),
    "bmp of 32 bits": lambda: by_ffmpeg("bmp", "bgra"),
    "bmp of 16 colours": lambda: encoded(picture().quantize(16), "BMP"),
    "bmp of one bit": lambda: encoded(picture().convert("1"), "BMP"),
    "pcx of 256 colours": lambda: encoded(picture().quantize(256), "PCX"),
    "pcx of one bit": lambda: encoded(picture().convert("1"), "PCX"),
    "tga of 16 bits": lambda: by_ffmpeg("targa", "rgb555le"),
    "tga of 256 colours": lambda: encoded(picture().quantize(256), "TGA"),
    "grey tga": lambda: encoded(picture().convert("L"), "TGA"),
    "sgi of 16 bits": lambda: by_ffmpeg("sgi", "rgb48be"),
    "pbm": lambda: encoded(picture().convert("1"), "PPM"),
    "plain ppm": lambda: plain_pnm(b"P3", rgb()),
    "plain pgm": lambda: plain_pnm(b"P2", grey()),
    "ppm of 16 bits": lambda: by_ffmpeg("ppm", "rgb48be"),
    "pam": lambda: by_ffmpeg("pam", "rgb24"),
    "pam with alpha": lambda: by_ffmpeg("pam", "rgba"),
    "pfm": lambda: by_ffmpeg("pfm", "gbrpf32le"),
    "grey pfm": lambda: by_ffmpeg("pfm", "grayf32le"),
    "xbm": lambda: encoded(picture().convert("1"), "XBM"),
    "xpm": xpm,
    "xwd": lambda: by_ffmpeg("xwd", "bgra"),
    "sun raster": lambda: by_ffmpeg("sunrast", "bgr24"),
    "dpx": lambda: by_ffmpeg("dpx", "gbrp10be"),
    "exr": lambda: by_ffmpeg("exr", "gbrpf32le"),
    "hdr": lambda: by_opencv(".hdr", rgb().astype(np.float32) / 255),
    "fits": fits,
    "dds bc1": lambda: encoded(picture(), "DDS", pixel_format="DXT1"),
    "dds bc3": lambda: encoded(picture().convert("RGBA"), "DDS", pixel_format="DXT5"),
    "qoi": lambda: imagecodecs.qoi_encode(rgb()),
    "msp": lambda: encoded(picture().convert("1"), "MSP"),
    "blp": lambda: encoded(picture().quantize(256), "BLP"),
    "spider": lambda: encoded(picture().convert("F"), "SPIDER"),
    "psd": photoshop,
    "psd in runs": lambda: photoshop(packed=True),
    "psd of 16 bits": lambda: photoshop(16),
    "psd of 32 bits": lambda: photoshop(32),
    "psd in inks": lambda: photoshop(mode=4),
    "psb": lambda: photoshop(large=True),
    "psb in runs": lambda: photoshop(packed=True, large=True),
    "deep psb in inks": lambda: photoshop(16, large=True, mode=4),
    "cursor": lambda: cursor(animated=False),
    "animated cursor": lambda: cursor(animated=True),
    "deep jpeg xr": lambda: imagecodecs.jpegxr_encode(deep(rgb())),
    "jpeg xl of floats": lambda: imagecodecs.jpegxl_encode(rgb().astype(np.float32) / 255),
}  # fmt: skip


@pytest.mark.parametrize("name", STILLS)
def test_every_still_is_looked_at_whole(name: str) -> None:
    """By itself and in an archive, near its original."""
    content = bytes(STILLS[name]())
    for one in (content, zipped(content)):
        seen = look(one)

        assert WHOLE == seen.looked
        assert min(distance(wanted(), value) for value in seen.values()) <= NEAR
    assert MediaKind.IMAGE is look(content).kind


# Formats that no decoder here reads: theirs is a reason.
CLOSED: dict[str, bytes] = {
    "dicom": bytes(128) + b"DICM" + bytes(900),
    "bpg": b"BPG\xfb" + bytes(200),
    "flif": b"FLIF41" + bytes(200),
    "jpeg xs": b"\xff\x10\xff\x50" + bytes(200),
    "xcf": b"gimp xcf v011\0" + bytes(200),
    "djvu": b"AT&TFORM\0\0\1\0DJVU" + bytes(200),
    "ntfs": b"\xeb\x52\x90NTFS    " + bytes(499) + b"\x55\xaa" + bytes(4000),
    "fat": (b"\xeb\x58\x90" + bytes(79) + b"FAT32   ").ljust(510, b"\0") + b"\x55\xaa" + bytes(4000),
    "ext4": bytes(1024 + 56) + b"\x53\xef\1\0\1\0" + bytes(3000),
    "partitions": bytes(446) + b"\x80\1\1\0\x83\xfe\xff\xff\0\x08\0\0\0\0\1\0" + bytes(48) + b"\x55\xaa" + bytes(3000),
    "apple disk image": bytes(np.random.default_rng(1).bytes(3000)) + b"koly" + bytes(508),
    "shockwave": b"FWS\6" + struct.pack("<I", 300) + bytes(292),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_what_cannot_be_read_is_not_clear(name: str) -> None:
    """A reason is counted for each."""
    looked = look(CLOSED[name]).looked

    assert looked is not None
    assert (Extent.DIGESTS_ONLY, False) == (looked.extent, looked.reason is None)


def test_a_photoshop_file_without_a_composite_is_not_whole() -> None:
    """What stands in place of it is white, and the layers are not looked at."""
    assert WHOLE == look(photoshop()).looked
    assert partial(Reason.EMBEDDED) == look(photoshop(merged=False)).looked


def test_every_page_of_a_deep_tiff() -> None:
    """Also where Pillow has no mode for it."""
    pages = np.stack([np.asarray(photograph(*SIZE, seed=seed).convert("L")) for seed in range(3)])
    seen = look(tiff(pages.astype(np.float64) / 255))

    assert (WHOLE, 3) == (seen.looked, len(seen.pictures))


def test_a_damaged_file_of_a_deep_kind_is_not_whole() -> None:
    """Whether its decoder complains or says nothing."""
    for name in ("lossless jpeg", "tiff of doubles", "qoi", "psd of 16 bits", "psb in runs", "pam"):
        content = bytes(STILLS[name]())

        assert WHOLE != look(content[: len(content) * 2 // 3]).looked, name


def test_the_size_is_charged_before_a_deep_kind_is_decoded() -> None:
    """A header that promises a gigapixel is over budget."""
    small = Limits(decode_bytes=256 * 1024)
    for name in ("jpeg-ls", "qoi", "tiff of doubles", "psb", "pam"):
        looked = look(bytes(STILLS[name]()), limits=small).looked

        assert looked is not None
        assert Reason.OVER_BUDGET is looked.reason, name


def test_a_large_qoi_costs_little() -> None:
    """Twelve megapixels are no matter of minutes."""
    large = imagecodecs.qoi_encode(np.zeros((3000, 4000, 3), np.uint8) + np.arange(4000, dtype=np.uint8)[None, :, None])

    assert WHOLE == look(large, limits=Limits(image_s=5.0, wall_factor=100, decode_bytes=1 << 30)).looked


# Containers and codecs: (form, encoder, pixel format).
FILMS = """
mp4 libx264 yuv420p10le|mp4 libx264 yuv444p|mp4 libx265 yuv420p|mp4 libx265 yuv420p10le|mp4 libsvtav1 yuv420p
mp4 libvpx-vp9 yuv420p|mp4 mpeg4 yuv420p|mp4 mjpeg yuvj420p|mov prores_ks yuv422p10le|mov cfhd yuv422p10le
mov qtrle rgb24|mov svq1 yuv410p|mov png rgb24|mov rawvideo uyvy422|mov v210 yuv422p10le|3gp mpeg4 yuv420p
3g2 libx264 yuv420p|f4v libx264 yuv420p|ismv libx264 yuv420p|ipod mpeg4 yuv420p|matroska ffv1 yuv420p
matroska libvpx yuv420p|matroska mpeg2video yuv420p|matroska rawvideo yuv420p|webm libvpx yuv420p
webm libvpx-vp9 yuv420p|webm libsvtav1 yuv420p|avi mjpeg yuvj420p|avi libx264 yuv420p|avi rawvideo bgr24
avi msmpeg4 yuv420p|avi msmpeg4v2 yuv420p|avi huffyuv yuv422p|avi utvideo yuv420p|avi wmv2 yuv420p
avi magicyuv gbrp|avi zmbv bgr0|avi msvideo1 rgb555le|flv flv yuv420p|flv libx264 yuv420p|flv flashsv bgr24
asf wmv1 yuv420p|asf wmv2 yuv420p|asf msmpeg4 yuv420p|wtv mpeg2video yuv420p|rm rv20 yuv420p
mpeg mpeg1video yuv420p|vob mpeg2video yuv420p|svcd mpeg2video yuv420p|mpegts libx265 yuv420p
mpegts mpeg2video yuv420p|mxf mpeg2video yuv422p|mxf libx264 yuv420p|ogg libvpx yuv420p|nut ffv1 yuv420p
ivf libvpx yuv420p|ivf libsvtav1 yuv420p|obu libsvtav1 yuv420p|h264 libx264 yuv420p|hevc libx265 yuv420p
mpeg1video mpeg1video yuv420p|m4v mpeg4 yuv420p|mjpeg mjpeg yuvj420p|yuv4mpegpipe wrapped_avframe yuv420p
apng apng rgb24|gif gif rgb8|webp libwebp_anim yuv420p|avif libsvtav1 yuv420p
"""


def films() -> Iterator[tuple[str, str, str]]:
    for line in FILMS.split("\n"):
        for film in filter(None, line.split("|")):
            form, codec, pix_fmt = film.split()
            yield form, codec, pix_fmt


@pytest.mark.parametrize(("form", "codec", "pix_fmt"), list(films()), ids=[" ".join(each) for each in films()])
def test_every_film_is_looked_at_whole(form: str, codec: str, pix_fmt: str) -> None:
    """Dense, each of its frames is shown; sampled, the first is near its original."""
    frames = list(frames_of(12, (176, 144)))
    with nobody():
        content = clip(12, form=form, codec=codec, pix_fmt=pix_fmt, frames=frames)
    original = look(encoded(Image.fromarray(frames[0]), "PNG")).values()[0]
    sampled, dense = look(content), look(content, DENSE)

    assert WHOLE == sampled.looked == dense.looked
    assert 12 == len(dense.pictures)
    assert min(distance(original, value) for value in sampled.values()) <= NEAR


@pytest.mark.parametrize("size", [1, 2, 17, 100, 511])
def test_tiny_files_are_no_storage_errors(size: int) -> None:
    """However little there is of one, it can be read."""
    for byte in (0, 1, 0xF0, 0xFF):
        looked = look(bytes([byte]) * size).looked

        assert looked is not None
        assert looked.reason in (None, Reason.UNDECODABLE)
