"""What else lies in a content: films and pictures behind, before or inside the one that its first bytes announce.

Phones save motion photos as a JPEG with an MP4 behind it, or as a HEIC with an `mpvd` box; cameras put second pictures,
gain maps and depth maps behind the first; players find a film behind any bytes. All of them are looked at as parts.

Rules
- Reads bytes only, decodes nothing. Found is what carries a signature borne out by the bytes around it.
- A still is searched behind its own end (everywhere, where its format tells none), a film behind its end, sound for
  covers, texts for what is written into them, and what is not media at all in its first `HIDDEN_BYTES` behind leading
  zeros: FFmpeg's own probing, and so that of players, looks no further. In containers that are opened only raw streams
  are looked for, for the rest are members; behind a ZIP all.
- A search goes on to the end of the file, or of the budget: then the content is owed, never clear.
- The order is fixed, so that a part's number is the same at every look.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from scanner.decoding import extents
from scanner.decoding.camera_raw import is_raw
from scanner.decoding.containers.zip_directory import end_of_central_directory
from scanner.decoding.encoded_text import encoded_files, reads_as_text
from scanner.decoding.heif_items import Alone, heif_items
from scanner.decoding.icons import icons
from scanner.decoding.photoshop import lacks_composite
from scanner.decoding.previews import BareThumbnail, Block, blocks_beside
from scanner.decoding.reading import MediaFile
from scanner.decoding.signatures import LONGEST, begins, candidates, transport_streams
from scanner.decoding.sniffing import HEAD_BYTES, Form, Sniffed, sniff

# As many as fit the position of a look (parts.py): streams of JPEGs, and pages with hundreds of pictures.
MOST_PARTS = 1000
MOST_PLACES = 100_000
HIDDEN_BYTES = 1024 * 1024
_SMALLEST_HEADER = 16
# Containers whose members are looked at (containers/).
OPENED = frozenset({"zip", "tar", "gzip", "bzip2", "xz", "zstd", "pdf"})
_ICONS = frozenset({"ico", "cur", "icns", "ani"})
_CONFUSED = frozenset({"heif", "jpeg2000"})
_RAW = frozenset({"h26x-annexb", "mpeg-video", "m4v"})
_STREAMS = _RAW | {"mpegts", "mpeg-ps"}
_FILMS_THAT_END = frozenset({"mp4", "avi", "matroska"})
_LOOKED_AT_IN_TEXTS = (Form.STILL, Form.VIDEO, Form.AUDIO)
_FILM_BOXES = frozenset({b"mpvd", b"free", b"skip", b"uuid", b"sefd", b"wide"})


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A part of a content: where it lies, the file it is, and what its own first bytes say it is.

    Where they say it with less than certainty, and not `surely`, it may be nothing. `aside` is a thumbnail. `announced`
    says that something around it tells of it, so that it is there even in what is not media itself.
    """

    offset: int
    file: MediaFile
    sniffed: Sniffed
    surely: bool = True
    aside: bool = False
    announced: bool = False


def own(file: MediaFile, sniffed: Sniffed) -> MediaFile:
    """The first picture of an icon file; other content without what lies behind it, where that confuses decoders."""
    if sniffed.name in _ICONS:
        return next(icons(file, sniffed.name), file)
    if sniffed.name == "heif" and (items := heif_items(file)).pictures:
        file = Alone(file, items, items.primary)
    end = extents.end_of(file, sniffed.name) if sniffed.name in _CONFUSED else None
    return file if end is None or end >= file.size_bytes else file.first(end)


def refined(file: MediaFile, sniffed: Sniffed) -> Sniffed:
    """What a content is by more than its first bytes: a sequence of HEIC that has no still is a film."""
    if sniffed.name == "heif":
        kinds = {kind for kind, _, _ in extents.boxes(file)}
        if b"moov" in kinds and b"meta" not in kinds:
            return Sniffed(Form.VIDEO, "mp4")
    return sniffed


def enclosed(file: MediaFile, sniffed: Sniffed, tick: Callable[[], None]) -> tuple[list[Enclosed], bool]:
    """The parts of a content sniffed as `sniffed`, at most `MOST_PARTS`, and whether these are all.

    `tick` is called for every place that is looked at, and may raise.
    """
    found: dict[int, Enclosed] = {}
    for place, part in enumerate(_parts(file, sniffed, tick)):
        tick()
        if place == MOST_PLACES:
            return list(found.values()), False
        if part is None:
            continue
        if part.offset not in found and len(found) == MOST_PARTS:
            return list(found.values()), False
        if part.offset not in found or part.surely:
            found[part.offset] = part
    lacking = (sniffed.name == "tiff" and is_raw(file)) or (sniffed.name == "psd" and lacks_composite(file))
    return list(found.values()), not lacking


def _parts(file: MediaFile, sniffed: Sniffed, tick: Callable[[], None]) -> Iterator[Enclosed | None]:
    match sniffed.form:
        case Form.STILL:
            yield from _in_still(file, sniffed, tick)
        case Form.VIDEO:
            if sniffed.name == "mp4":
                yield from _in_boxes(file, sniffed)
            yield from _behind(file, extents.end_of(file, sniffed.name) if sniffed.name in _FILMS_THAT_END else None)
        case Form.AUDIO:  # covers, in whatever tags
            yield from _carved(file, 1)
        case Form.CONTAINER if sniffed.name in OPENED:
            for part in _carved(file.first(HIDDEN_BYTES), 1, of=file):
                yield part if part is not None and part.sniffed.name in _STREAMS else None
            directory = end_of_central_directory(file) if sniffed.name == "zip" else None
            yield from _behind(file, None if directory is None else directory.end)
        case _:
            if reads_as_text(file.at(0, HEAD_BYTES)):
                yield from _in_text(file, tick)
            begin = extents.padding_end(file, 0)
            yield from _carved(file.first(begin + HIDDEN_BYTES), max(1, begin - LONGEST), of=file)


def _in_still(file: MediaFile, sniffed: Sniffed, tick: Callable[[], None]) -> Iterator[Enclosed | None]:
    if sniffed.name == "jpeg":
        yield from _listed_by_mpf(file)
    if sniffed.name in _ICONS:
        yield from _icons(file, sniffed)
    if sniffed.name in ("heif", "avif"):
        yield from _in_boxes(file, sniffed)
    if sniffed.name == "svg":
        yield from _in_text(file, tick)
    end = extents.end_of(file, sniffed.name)
    yield from _carved(file, _SMALLEST_HEADER) if end is None else _behind(file, end)
    if sniffed.name in ("heif", "avif"):
        yield from _items(file, sniffed)
    yield from _previews(file, sniffed.name, tick)


def _behind(file: MediaFile, end: int | None) -> Iterator[Enclosed | None]:
    if end is not None:
        yield from _at_the_end(file, end)
        yield from _carved(file, end)


def _in_text(file: MediaFile, tick: Callable[[], None]) -> Iterator[Enclosed | None]:
    """What is written into a text; an archive or document that a letter carries stays closed."""
    for written in encoded_files(file, tick):
        what = sniff(written.file.head())
        media = what.form in _LOOKED_AT_IN_TEXTS and what.name != "svg"
        if written.announced and what.form is Form.CONTAINER:
            media = True
        surely = written.announced and begins(written.file.head())
        part = Enclosed(written.offset, written.file, what, surely, announced=surely) if media else None
        yield part


def _carved(searched: MediaFile, start: int, of: MediaFile | None = None) -> Iterator[Enclosed | None]:
    """What signatures tell of from `start` on, each with all that follows in the file `of` unless it tells its end.

    None is a place that was passed over. What lies in another is not told again: a raw stream once, for its decoders go
    through all of it. In what is not media (`of`) only streams hide streams: players find those behind anything, so a
    false picture must not cover one.
    """
    file = of or searched
    behind = behind_stream = start
    raw: set[str] = set()
    streams = transport_streams(searched, start)
    for offset in itertools.chain(candidates(searched, start), (file.size_bytes,)):
        if offset is None:
            yield None
            continue
        while streams and streams[0][0] <= offset:
            begin, behind_stream = streams.pop(0)
            yield Enclosed(begin, file.within(begin), Sniffed(Form.VIDEO, "mpegts"))
        view = file.within(offset)
        what = sniff(view.at(0, HEAD_BYTES))
        is_stream = what.name in _STREAMS
        hidden = behind_stream if is_stream and of is not None else max(behind, behind_stream)
        if what.form not in (Form.STILL, Form.VIDEO) or offset < hidden or what.name in raw:
            yield None
            continue
        if what.name == "jpeg" and not extents.stands_alone(view):
            yield None
            continue
        if what.name in _RAW:
            raw.add(what.name)
        end = extents.end_of(view, what.name)
        if end is not None and is_stream:
            behind_stream = offset + end
        elif end is not None:
            behind = offset + end
        yield Enclosed(offset, file.within(offset, end), what)


def _at_the_end(file: MediaFile, end: int) -> Iterator[Enclosed]:
    """What begins exactly where a picture ends, or behind padding: there a short signature is enough."""
    for offset in sorted({end, extents.padding_end(file, end)}):
        view = file.within(offset)
        what = sniff(view.at(0, HEAD_BYTES))
        if what.form is Form.STILL:
            yield Enclosed(offset, view, what, surely=False)


def _in_boxes(file: MediaFile, sniffed: Sniffed) -> Iterator[Enclosed | None]:
    """Films and pictures in boxes that players pass over, and the tracks of a HEIF or AVIF sequence."""
    for kind, offset, end in extents.boxes(file):
        if kind == b"moov" and sniffed.name == "heif":
            yield Enclosed(0, file, Sniffed(Form.VIDEO, "mp4"))
        if kind in _FILM_BOXES and end - offset > LONGEST:
            yield from _carved(file.first(end), offset + 8)


def _icons(file: MediaFile, sniffed: Sniffed) -> Iterator[Enclosed]:
    """The pictures of an icon file behind the first, which is its own."""
    for number, one in enumerate(itertools.islice(icons(file, sniffed.name), 1, MOST_PARTS + 2), 1):
        yield Enclosed(-number, one, sniffed)


def _previews(file: MediaFile, name: str, tick: Callable[[], None]) -> Iterator[Enclosed | None]:
    """Small copies that the file keeps of its picture, which file managers and other programs show for it."""
    for offset, block in blocks_beside(file, name):
        if isinstance(block, BareThumbnail):
            yield Enclosed(offset + 1, block, Sniffed(Form.STILL, "tiff"), surely=False, aside=True)
            continue
        texts = _in_text(block, tick) if reads_as_text(block.at(0, HEAD_BYTES)) else ()
        for part in itertools.chain(_carved(block, 0), texts):
            if part is None or part.sniffed.form is not Form.STILL:
                yield None
                continue
            place = block.place(part.offset) if isinstance(block, Block) else offset + part.offset
            yield replace(part, offset=place, surely=False, announced=False, aside=True)


def _items(file: MediaFile, sniffed: Sniffed) -> Iterator[Enclosed]:
    """The pictures of a HEIF or AVIF file beside its primary one: others, thumbnails, depth and gain maps."""
    items = heif_items(file)
    for number in items.pictures:
        aside = number in items.aside
        yield Enclosed(-number, Alone(file, items, number), sniffed, surely=not aside, aside=aside)


def _listed_by_mpf(file: MediaFile) -> Iterator[Enclosed]:
    """The pictures that a JPEG's Multi-Picture Format index lists (CIPA DC-007, 5.2), wherever they lie."""
    for offset, size_bytes in extents.multi_pictures(file):
        view = file.within(offset, size_bytes)
        if offset and view.at(0, 2) == b"\xff\xd8":
            yield Enclosed(offset, view, Sniffed(Form.STILL, "jpeg"))
