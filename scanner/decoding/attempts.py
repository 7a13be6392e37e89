"""One content, decoded by the best library for it, then by second opinions until one of them gives a picture.

Rules
- Strict Pillow, tolerant Pillow, OpenCV, FFmpeg for stills; FFmpeg, then the others, for video.
- What only a tolerant reading gives is partial(truncated). What nothing reads is undecodable, or, without any known
  signature, not media.
- What we, or the way we call a library, broke is a fault and owed, whatever other decoders then show.
- Running out of budget keeps what was shown and says so, and where to go on.
- A look that goes on where another stopped asks the decoder that was at it, and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial as partial_call

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.containers import containers_in, look_inside
from scanner.decoding.deep_stills import deep_pixels, is_misread, quicker_pixels
from scanner.decoding.embedded import enclosed, own, refined
from scanner.decoding.encryption import is_encrypted
from scanner.decoding.faults import is_ours
from scanner.decoding.jpeg import is_progressive, where_scans_are_too_many
from scanner.decoding.newer_codecs import newer_pixels
from scanner.decoding.parts import Parts
from scanner.decoding.picture import ContentSink, Picture, Sink
from scanner.decoding.reading import MediaFile
from scanner.decoding.second_opinions import Opinion, codec_pixels, opencv_pixels
from scanner.decoding.sniffing import HEAD_BYTES, Form, Sniffed, sniff
from scanner.decoding.stills import PillowPass, register_codecs
from scanner.decoding.video import Sampling, VideoPass
from scanner.types import WHOLE, Looked, MediaKind, Reason, Resume, digests_only, partial

register_codecs()

# Formats Pillow has no reader for: another library's reading is the first, not a second opinion.
_NOT_PILLOWS = frozenset({"jxl", "jxr", "exr", "hdr", "dpx", "ilbm", "unknown"})
# Formats that hold no film, and no picture that decoders show: covers lie in their tags (embedded.py).
_ONLY_SOUND = frozenset({"ape", "tta", "wavpack", "musepack", "dsf"})


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How videos are sampled: every frame, or keyframes and at least one frame every `gap_ms`.

    `exact` forbids decoding at a fraction of the size: a picture that only fits its budget so is then over budget.
    `full` asks for every pixel in colour where that fits.
    """

    dense: bool = False
    gap_ms: int = 5000
    exact: bool = False
    full: bool = False


def decode(
    file: MediaFile, options: DecodeOptions, budget: Budget, sink: ContentSink, start: Resume | None = None
) -> Looked:
    """Show every picture of the content from `start` on to `sink`; how far the look went. Never raises for bad content.

    The kind is told to `sink` before any picture. MemoryError counts as over budget. WHOLE says that, with what was
    before `start`, everything was looked at.
    """
    try:
        head = file.at(0, HEAD_BYTES)
        sniffed = sniff(head)
        containers = containers_in(file, head, sniffed)
    except OSError:
        sink.media(MediaKind.OTHER, None)
        return digests_only(Reason.IO)

    def look_at(one: MediaFile, what: Sniffed, within: Budget, to: Sink, since: Resume | None) -> Looked:
        return _decode_media(one, what, options, within, to, since)

    if containers:
        return look_inside(containers, file, sniffed, look_at, budget, sink, start)
    return look_at(file, sniffed, budget, sink, start)


def _decode_media(
    file: MediaFile, sniffed: Sniffed, options: DecodeOptions, budget: Budget, sink: Sink, start: Resume | None
) -> Looked:
    """`decode` for what is no container, or apart from being one."""
    sniffed = refined(file, sniffed)

    def look_at(one: MediaFile, what: Sniffed, to: Sink, since: Resume | None) -> Looked:
        return _Look(own(one, what), what, options, budget, to, since).run()

    return Parts(look_at, budget, sink, start).run(file, sniffed, lambda: enclosed(file, sniffed, budget.check))


class _Look:
    """The attempts on one picture or film, and what they add up to."""

    def __init__(
        self,
        file: MediaFile,
        sniffed: Sniffed,
        options: DecodeOptions,
        budget: Budget,
        sink: Sink,
        start: Resume | None,
    ) -> None:
        self._file = file
        self._start = start
        self._goes_on = start is not None and start.at > 0
        self._sniffed = sniffed
        self._options = options
        self._budget = budget
        self._sink = sink
        self._shown = 0
        self._exif = 1
        self._kind: MediaKind | None = None
        self._film = False
        self._at_fault = False

    def run(self) -> Looked:
        """What the decoders show; where our own code failed on the way, that is owed whatever else was seen."""
        looked = self._run()
        if not self._at_fault:
            return looked
        return partial(Reason.FAULT) if self._shown else digests_only(Reason.FAULT)

    def _run(self) -> Looked:
        """Try the decoders in turn; the first that gives a picture decides."""
        form = self._sniffed.form
        if form in (Form.NOT_MEDIA, Form.CONTAINER) or self._sniffed.name in _ONLY_SOUND:
            self._say(MediaKind.OTHER)
            return WHOLE
        self._say({Form.STILL: MediaKind.IMAGE, Form.VIDEO: MediaKind.VIDEO}.get(form, MediaKind.OTHER))
        over = False
        for attempt in self._attempts():
            try:
                looked = attempt()
            except (OverBudget, MemoryError):
                if over and self._shown:
                    self._start_anew()
                over = True
                looked = None
            if looked is None and over and (self._shown or self._goes_on):
                return partial(Reason.OVER_BUDGET)
            if looked is None and over and (self._sniffed.name == "jpeg" or self._budget.is_spent):
                break  # what Pillow scales no other decoder reads for less; and none reads anything in no time
            if looked is not None and over and self._shown:
                self._start_anew()
                looked = partial(Reason.OVER_BUDGET)
            if looked is not None:
                return self._unless_io(looked)
        return self._unless_io(self._nothing(over))

    def _start_anew(self) -> None:
        """A second opinion in place of one that had no time says nothing final, and is not to be gone on with."""
        self._sink.mark(self._start or Resume(0))

    def _attempts(self) -> tuple[Callable[[], Looked | None], ...]:
        """The decoders to try, in turn."""
        if self._start is not None and self._goes_on:
            return (self._video,) if self._start.packets else (self._still,)
        if self._sniffed.form in (Form.VIDEO, Form.AUDIO):
            return self._video, self._still
        return self._still, self._video

    def _nothing(self, over: bool) -> Looked:
        """No decoder gave a picture."""
        if over:
            return digests_only(Reason.OVER_BUDGET)
        if self._sniffed.form is Form.UNKNOWN and not self._film and not self._file.io_failed:
            self._say(MediaKind.OTHER)
            return WHOLE
        return digests_only(Reason.UNDECODABLE)

    def _unless_io(self, looked: Looked) -> Looked:
        """A decoder takes a storage error for bad bytes; the file remembers better."""
        if not self._file.io_failed:
            return looked
        return partial(Reason.IO) if self._shown else digests_only(Reason.IO)

    def _say(self, kind: MediaKind, duration_ms: int | None = None) -> None:
        if kind is MediaKind.ANIMATION or kind is MediaKind.VIDEO:
            self._budget.moving(duration_ms)
        if kind is not self._kind or duration_ms is not None:
            self._sink.media(kind, duration_ms)
        self._kind = kind

    def _show(self, picture: Picture) -> None:
        self._sink.picture(picture)
        self._shown += 1

    def _still(self) -> Looked | None:
        """Pillow strictly, Pillow tolerantly, OpenCV; None where all refuse."""
        scans_end = where_scans_are_too_many(self._file) if self._is_progressive_jpeg() else None
        if scans_end is not None:
            return self._first_scans(self._file.first(scans_end))
        if not self._goes_on and self._attempt(partial_call(self._ask, quicker_pixels)) and self._shown:
            return WHOLE
        before = self._start.at if self._start is not None else 0
        known_damaged = self._start is not None and self._start.damaged
        readings = (True,) if known_damaged else (False, True)
        for tolerant in () if is_misread(self._file, self._sniffed.name) else readings:
            one = self._pillow_pass()
            run = partial_call(one.run, self._file, self._show, tolerant=tolerant, skip=before)
            went_through = self._attempt(run)
            before += one.pages
            self._exif = one.exif
            if went_through and self._shown:
                return partial(Reason.TRUNCATED) if tolerant or one.short else WHOLE
        if self._shown or self._goes_on:
            return partial(Reason.TRUNCATED)
        return None if self._sniffed.form is Form.VIDEO else self._second_opinion()

    def _pillow_pass(self) -> PillowPass:
        options = self._options
        return PillowPass(
            self._budget,
            self._say,
            self._sniffed,
            self._sink.mark,
            exact=options.exact,
            dense=options.dense,
            full=options.full,
        )

    def _is_progressive_jpeg(self) -> bool:
        return self._sniffed.name == "jpeg" and is_progressive(self._file)

    def _first_scans(self, file: MediaFile) -> Looked:
        """A JPEG of thousands of scans is shown by its first ones: coarser, and never whole."""
        self._attempt(partial_call(self._pillow_pass().run, file, self._show, tolerant=True, skip=0))
        return partial(Reason.OVER_BUDGET) if self._shown else digests_only(Reason.OVER_BUDGET)

    def _second_opinion(self) -> Looked | None:
        """The codecs that have one library only, then OpenCV, then FFmpeg's bare codec, on the bytes of one still."""
        for opinion in (newer_pixels, deep_pixels, opencv_pixels, codec_pixels):
            went_through = self._attempt(partial_call(self._ask, opinion))
            if self._shown:
                whole = went_through and (self._sniffed.name in _NOT_PILLOWS or opinion is deep_pixels)
                return WHOLE if whole else partial(Reason.TRUNCATED)
        return None

    def _ask(self, opinion: Opinion) -> None:
        for number, pixels in enumerate(opinion(self._file, self._sniffed.name, self._budget)):
            self._say(MediaKind.IMAGE)
            self._show(Picture(pixels, exif=self._exif, part=str(number) if number else None))

    def _video(self) -> Looked | None:
        """FFmpeg; None where it refuses or finds no frame."""
        one = self._video_pass(self._options.dense)
        if not (one.result.frames or self._goes_on or self._options.dense) and one.result.streams:
            one = self._video_pass(dense=True)
        if self._sniffed.name == "mp4" and is_encrypted(self._file):
            return partial(Reason.ENCRYPTED) if self._shown else digests_only(Reason.ENCRYPTED)
        result = one.result
        self._film = bool(result.streams)
        if result.gaps:
            return partial(Reason.OVER_BUDGET)
        if result.frames or self._goes_on:
            whole = not result.damaged and (self._sniffed.form is not Form.STILL or self._sniffed.name in _NOT_PILLOWS)
            return WHOLE if whole else partial(Reason.TRUNCATED)
        if result.only_sound and not result.damaged:
            self._say(MediaKind.OTHER)
            return WHOLE
        return None

    def _video_pass(self, dense: bool) -> VideoPass:
        sampling = Sampling(dense, self._options.gap_ms, None if dense else self._start)
        one = VideoPass(self._budget, self._begin_video, self._show, self._sink.mark, sampling)
        if not self._attempt(lambda: one.run(self._file)):
            one.result.damaged = True
        return one

    def _begin_video(self, duration_ms: int | None, still: bool) -> None:
        if still or self._sniffed.form is Form.STILL:
            self._say(MediaKind.IMAGE)
        else:
            self._say(MediaKind.VIDEO, duration_ms)

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Whether `action` went through. Decoders raise anything at all for bad content: the border is here."""
        try:
            action()
        except (OverBudget, MemoryError):
            raise
        except Exception as error:
            self._at_fault |= is_ours(error)
            return False
        return True
