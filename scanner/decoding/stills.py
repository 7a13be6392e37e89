"""Stills and animations through Pillow: one open image, its frames or pages handed on one by one.

Rules
- Pillow opens only the formats listed here: never EPS (runs Ghostscript), FPX, WMF or stubs for outside programs.
- The size in the header is charged to the budget before anything is decoded; a JPEG too large is decoded scaled.
- Animations and pages have no cap: they stream until they end or the budget does. A look that goes on behind frames
  decodes them again, because later ones are drawn on them, but does not show them.
- No picture shows what the memory held before: the same damaged file always hashes alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import IO, cast

from PIL import ExifTags, GifImagePlugin, Image, ImageFile, JpegImagePlugin

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.heif_luma import DamagedPicture, heif_luma
from scanner.decoding.jpeg import MOST_ASKED_BYTES, bare_header, is_damaged, quick_pixels
from scanner.decoding.picture import Picture, Rows
from scanner.decoding.pixels import clipped, rows_of
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import Sniffed
from scanner.decoding.webp_header import canvas
from scanner.types import MediaKind, Resume

# Formats with a signature, which Pillow may try on anything.
FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "ICO", "CUR", "ICNS", "PSD", "DDS", "JPEG2000", "QOI",
    "PPM", "SGI", "PCX", "DCX", "MSP", "BLP", "FTEX", "FLI", "IM", "SUN", "XBM", "XPM", "GBR", "PIXAR", "FITS",
    "XVTHUMB", "MCIDAS",
)  # fmt: skip
# Formats so loosely marked that they are tried only on bytes without any signature.
LOOSE_FORMATS = ("TGA", "DIB", "SPIDER", "PCD", "IMT")
_ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "FLI"})
_PAGED = frozenset({"TIFF", "DCX", "HEIF"})
# Bytes held per pixel while decoding, by format and whether it moves: Pillow's own picture (up to 4), the library's
# buffers, and for animations the canvas they are drawn on; measured as peak RSS.
_DECODE_BYTES_PER_PIXEL = {
    ("WEBP", False): 13,
    ("WEBP", True): 13,
    ("AVIF", False): 12,
    ("AVIF", True): 12,
    ("HEIF", False): 12,
    ("JPEG2000", False): 16,
    ("GIF", False): 2,
    ("GIF", True): 13,
    ("PNG", True): 13,
    ("TIFF", False): 6,
}
_USUAL_BYTES_PER_PIXEL = 5
# Formats whose decoder, where it does not complain, has written every pixel.
_FILLS_EVERY_PIXEL = frozenset({"JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "JPEG2000", "QOI"})
# Formats whose reader takes a picture that is there already for its own.
_BRINGS_ITS_OWN = frozenset({"ICNS"})
_PROGRESSIVE_BYTES_PER_PIXEL = 10  # full-size coefficients of every component, whatever the scale of the decode

_tolerance_lock = threading.Lock()


def register_codecs() -> None:
    """Make every listed format known to Pillow; done once per process, before any content is opened."""
    Image.preinit()
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # the budget decides
    Image.register_open("GIF", _ClearedGif, _is_gif)
    try:
        import pillow_heif
    except ImportError:
        return  # HEIC then ends as undecodable, never as clear
    pillow_heif.register_heif_opener(thumbnails=False)


class _Cleared(ImageFile.ImageFile):
    """Starts on pixels of zero wherever Pillow would start on whatever the memory held."""

    def load_prepare(self) -> None:
        """Make room for the picture."""
        if getattr(self, "_im", None) is None:
            self.im = Image.core.fill(self.mode, self.size, 0)  # type: ignore[attr-defined]  # not in the stubs
        super().load_prepare()


class _ClearedGif(GifImagePlugin.GifImageFile, _Cleared):
    """GIF makes new room for each frame by itself, and comes to `_Cleared` last, when it has.

    `repeats` says that the frame loaded last left the canvas as it was, which is looked for where it drew on little.
    """

    repeats = False
    _restored = False

    def _seek(self, frame: int, update_image: bool = True) -> None:
        self._restored = getattr(self, "dispose", None) is not None
        super()._seek(frame, update_image)

    def load_end(self) -> None:
        """Draw the frame on the canvas: as Pillow does it, but no more of it is turned into colours than was drawn.

        Frames of one pixel on a canvas of sixteen million cost a quarter of what they did.
        """
        self.repeats = False
        canvas, box, clear = self._prev_im, self.dispose_extent, self._frame_transparency
        if not canvas or box is None or self.size != canvas.size:
            super().load_end()
            return
        drawn = self._crop(self.im, box)
        if clear is None:
            drawn = drawn.convert("RGB")
        elif self.mode == "L":
            drawn = drawn.convert_transparent("LA", clear)
        else:
            drawn.putpalettealpha(clear, 0)
            drawn = drawn.convert("RGBA")
        self.im, self._mode = canvas, canvas.mode
        small = (box[2] - box[0]) * (box[3] - box[1]) * 8 <= self.width * self.height
        before = canvas.crop(box) if small and not self._restored else None
        self.im.paste(drawn, box, *(() if clear is None else (drawn,)))
        self.repeats = before is not None and not before.chop_difference(canvas.crop(box)).getbbox(False)


def _is_gif(prefix: bytes) -> bool:
    return prefix.startswith((b"GIF87a", b"GIF89a"))


@contextmanager
def _tolerating(truncation: bool) -> Iterator[None]:
    """Pillow's switch for truncated files is global: held for one decode, so that threads cannot mix it up."""
    with _tolerance_lock:
        ImageFile.LOAD_TRUNCATED_IMAGES = truncation
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


# Pixels, at which fraction of their size (1/n), and whether they are luma from 16 to 235.
_Read = tuple[Rows, int, bool]


class PillowPass:
    """One way through a content with Pillow: `pages` shown; `short` says that less came than the header promised."""

    def __init__(
        self,
        budget: Budget,
        kind: Callable[[MediaKind, int | None], None],
        sniffed: Sniffed,
        mark: Callable[[Resume], None],
        *,
        exact: bool,
        dense: bool,
        full: bool,
    ) -> None:
        self._exact = exact
        self._dense = dense
        self._full = exact or full
        self._budget = budget
        self._kind = kind
        self._mark = mark
        self._formats = FORMATS + (LOOSE_FORMATS if sniffed.name in ("unknown", "tga") else ())
        self._is_webp = sniffed.name == "webp"
        self._is_jpeg = sniffed.name == "jpeg"
        self.short = False
        self.pages = 0
        self.exif = 1
        self._tolerant = False
        self.moving = False

    def run(self, file: MediaFile, show: Callable[[Picture], None], *, tolerant: bool, skip: int) -> None:
        """Hand every picture after the first `skip` to `show`. Raises whatever Pillow raises, and OverBudget."""
        width, height = canvas(file.at(0, 64)) if self._is_webp else (0, 0)
        self._budget.charge(width * height * _DECODE_BYTES_PER_PIXEL["WEBP", False])
        self._tolerant = tolerant
        if not (skip or tolerant or self._full) and self._is_jpeg and self._showed_bare(file, show):
            return
        source = self._source(file)
        source.seek(0)
        with _tolerating(tolerant), Image.open(cast(IO[bytes], source), formats=self._formats) as image:
            if _tells_before_pixels(image):
                self.exif = _orientation(image)
            self.moving = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
            self._kind(MediaKind.ANIMATION if self.moving else MediaKind.IMAGE, None)
            many = self.moving or image.format in _PAGED
            if many:
                self._budget.steps()
            for index, place in enumerate(self._places(image, many)):
                if index > skip:
                    self._budget.stepped()
                    self._mark(Resume(index, place, self._budget.catch_up_ms(), damaged=tolerant))
                if index < skip and not self.moving:
                    continue  # a page stands by itself
                original = (image.height, image.width)
                read = self._quick(image, source, index) or self._quick_heif(image, file, index)
                pixels, scale, limited = read or self._loaded(image, file, index)
                if index == 0:
                    self.exif = _orientation(image)
                if index >= skip and not self._repeats(image):
                    with self._budget.looking:
                        picture = self._picture(pixels, self.exif if index == 0 else 1, original, scale, index, place)
                        picture = replace(picture, limited=True) if limited else picture
                        show(picture)
                        other = clipped(image)
                        if other is not None:
                            show(replace(picture, pixels=other))
                    self.pages += 1

    def _showed_bare(self, file: MediaFile, show: Callable[[Picture], None]) -> bool:
        """Whether it was an intact JPEG of which Pillow could tell nothing more: a third of a small one's time."""
        header = bare_header(file) if file.size_bytes <= MOST_ASKED_BYTES else None
        if header is None:
            return False
        encoded = file.at(0, file.size_bytes)
        quick = quick_pixels(encoded, header.size, progressive=header.progressive, budget=self._budget)
        if quick is None:
            return False
        self._kind(MediaKind.IMAGE, None)
        with self._budget.looking:
            show(self._picture(quick.pixels, 1, header.size, quick.scale, 0, 0))
        self.pages += 1
        return True

    def _repeats(self, image: Image.Image) -> bool:
        """Whether a frame shows nothing that the one before did not, so that it need not be hashed."""
        return not self._dense and isinstance(image, _ClearedGif) and image.repeats

    def _places(self, image: Image.Image, many: bool) -> Iterator[int]:
        """Seek to each frame or page; yields the milliseconds at which it starts."""
        yield 0
        declared = getattr(image, "n_frames", 1) if self.moving and image.format != "GIF" else None
        index, elapsed = 1, 0
        while many:
            elapsed += int(image.info.get("duration", 0) or 0)
            self._budget.check()
            try:
                image.seek(index)
            except EOFError:
                self.short |= declared is not None and index < declared
                return
            yield elapsed
            index += 1

    def _source(self, file: MediaFile) -> MediaFile | BytesIO:
        """What Pillow reads: a JPEG that may go the quick way from memory, read once for its header and its pixels."""
        quick = self._is_jpeg and not self._tolerant and not self._full and file.size_bytes <= MOST_ASKED_BYTES
        return BytesIO(file.at(0, file.size_bytes)) if quick else file

    def _quick(self, image: Image.Image, source: MediaFile | BytesIO, index: int) -> _Read | None:
        """An intact JPEG, straight to as much luma as its hash needs."""
        plain = isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB") and index == 0
        if not plain or isinstance(source, MediaFile):
            return None
        progressive = bool(image.info.get("progressive"))
        quick = quick_pixels(
            source.getvalue(), (image.height, image.width), progressive=progressive, budget=self._budget
        )
        return None if quick is None else (quick.pixels, quick.scale, False)

    def _quick_heif(self, image: Image.Image, file: MediaFile, index: int) -> _Read | None:
        """A plain HEIC, straight to its luma; where that complains, the long way, and what it shows is not whole."""
        if image.format != "HEIF" or index or self._full or getattr(image, "n_frames", 1) > 1:
            return None
        try:
            quick = heif_luma(file, (image.height, image.width), self._budget)
        except DamagedPicture:
            self.short = True
            return None
        return None if quick is None else (quick.pixels, 1, quick.limited)

    def _loaded(self, image: Image.Image, file: MediaFile, index: int) -> _Read:
        """The current picture as Pillow decodes it, and at which scale."""
        scale = self._load(image)
        if index == 0:
            self.short |= self._is_damaged(image, file)
        return rows_of(image), scale, False

    def _load(self, image: Image.Image) -> int:
        """Decode the current picture within budget; the scale it was decoded at."""
        pixels = image.width * image.height
        cost = pixels * _DECODE_BYTES_PER_PIXEL.get((image.format or "", self.moving), _USUAL_BYTES_PER_PIXEL)
        scale = 1
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            scale = self._scale_jpeg(image, pixels)
        else:
            self._budget.charge(cost)
        if image.format not in _BRINGS_ITS_OWN and (self._tolerant or image.format not in _FILLS_EVERY_PIXEL):
            _blacken(image)
        image.load()
        return scale

    def _is_damaged(self, image: Image.Image, file: MediaFile) -> bool:
        """Whether a JPEG's pixels are not all good, of which Pillow says nothing."""
        return not self._tolerant and isinstance(image, JpegImagePlugin.JpegImageFile) and is_damaged(file)

    def _scale_jpeg(self, image: JpegImagePlugin.JpegImageFile, pixels: int) -> int:
        """The least power of two by which the JPEG must shrink to fit the budget, set on the image."""
        standing = pixels * _PROGRESSIVE_BYTES_PER_PIXEL if image.info.get("progressive") else 0
        for scale in (1,) if self._exact else (1, 2, 4, 8):
            if self._budget.fits(standing + pixels * _USUAL_BYTES_PER_PIXEL // (scale * scale)):
                return scale if scale == 1 else _drafted(image, scale)
        raise OverBudget

    def _picture(
        self, pixels: Rows, exif: int, original: tuple[int, int], scale: int, index: int, elapsed: int
    ) -> Picture:
        return Picture(
            pixels,
            exif=exif,
            original=original if scale > 1 else None,
            scale=scale,
            part=None if self.moving or index == 0 else str(index),
            frame=index if self.moving else None,
            frame_ms=elapsed if self.moving else None,
        )


def _drafted(image: JpegImagePlugin.JpegImageFile, scale: int) -> int:
    """Ask the decoder for 1/`scale`; the scale it will use (1 for pictures narrower than that)."""
    image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    assert image.decoderconfig
    return int(image.decoderconfig[0])


def _blacken(image: Image.Image) -> None:
    """Start from black instead of from what the memory held: the same damaged file then always hashes alike."""
    if isinstance(image, ImageFile.ImageFile) and getattr(image, "_im", None) is None:
        image.im = Image.core.fill(image.mode, image.size, 0)  # type: ignore[attr-defined]  # not in the stubs


def _tells_before_pixels(image: Image.Image) -> bool:
    """Whether EXIF can be asked for without decoding: for a PNG, Pillow decodes to find a chunk behind the pixels.

    Asked too early, that decode would swallow the complaint about damaged pixels: a black picture would pass as whole.
    """
    return image.format != "PNG" or "exif" in image.info


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # metadata a stranger wrote; Pillow raises nearly anything here
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
