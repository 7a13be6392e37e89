"""Videos, and stills only FFmpeg reads, through PyAV: an open file in, luma planes out.

Rules
- The luma plane is hashed as it is: no colour conversion where the format has such a plane.
- Query sampling takes keyframes, chosen by packet flag (VP9's decoder ignores skip_frame); where the next one is
  further than the gap, the group is decoded as far as a frame is due, without the frames that no other needs. A clip
  as long as the gap, anywhere in a film, is so met by a frame. A film of less than four gaps has a finer one.
- A container may lie about its keyframes: where those it names show nothing in a row, all frames are decoded.
- Dense takes every frame, the tail included, and what the file's edit list shows; sampled, also what it hides.
- A frame's number is its decode index when dense; when sampled, its packet's ordinal in its stream.
- Sampled, a group from keyframe to keyframe is decoded as if it were alone. So a look can go on at any of them and
  shows what one look over everything would have shown. It gets there by the packets' order in the file; a seek is
  believed only when it comes to the very packet at which the look before stopped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scanner.decoding.budget import Budget
from scanner.decoding.demuxing import duration_ms, expected, is_still, opened
from scanner.decoding.groups import (
    Group,
    Seekable,
    Track,
    due_times,
    gap_of,
    is_no_keyframe,
    landing_of,
    stamp_of,
)
from scanner.decoding.luma import exif_of, luma
from scanner.decoding.picture import Picture
from scanner.decoding.reading import MediaFile
from scanner.types import Resume

_BYTES_PER_PIXEL = 6  # measured: 8192x4320 keyframes peak at 200 MB
# Bad packets in a row after which a stream is given up: a decoder that lost its place finds a keyframe before that.
MOST_BAD_PACKETS = 2000
# Compressed bytes and packets held back while waiting for the next keyframe.
MOST_HELD_BYTES = 32 * 1024 * 1024
MOST_HELD_PACKETS = 20_000
# Frames shown of a gap where every frame is a keyframe: at 20, four a second.
SHOWN_A_GAP = 20
# Looks that end in the same group before it is passed over: the last of them has had four times the budget.
FRUITLESS_LOOKS = 2
# A stream without a packet for this many of the others' holds back no mark.
MOST_PACKETS_BETWEEN = 4096
MOST_PACKETS_TO_LANDING = 1000


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames are shown: all when dense, else keyframes and one frame every `gap_ms`, from `start` on."""

    dense: bool
    gap_ms: int
    start: Resume | None = None


@dataclass(slots=True)
class VideoResult:
    """What one pass over a container saw. `gaps` says that something was passed over as too costly."""

    streams: int = 0
    only_sound: bool = False
    frames: int = 0
    damaged: bool = False
    gaps: bool = False


class _NotLanded(Exception):
    """A seek did not come to the packet it was for."""


class VideoPass:
    """One way through a container. `result` is right also when the pass ends in an exception."""

    def __init__(
        self,
        budget: Budget,
        begin: Callable[[int | None, bool], None],
        show: Callable[[Picture], None],
        mark: Callable[[Resume], None],
        sampling: Sampling,
    ) -> None:
        self._budget = budget
        self._begin = begin
        self._show = show
        self._mark = mark
        self._dense = sampling.dense
        self._gap_ms = sampling.gap_ms
        self._start = sampling.start or Resume(0)
        self._passes_over = self._start.fruitless >= FRUITLESS_LOOKS
        self._at = 0  # packets seen
        self.result = VideoResult(damaged=self._start.damaged, gaps=self._start.gaps)

    def run(self, file: MediaFile) -> None:
        """Decode every video stream of `file`. Raises PyAV's errors from opening, and OverBudget."""
        try:
            self._run(file, seek=self._start.landing is not None)
        except _NotLanded:
            self.result = VideoResult(damaged=self._start.damaged, gaps=self._start.gaps)
            self._run(file, seek=False)

    def _run(self, file: MediaFile, *, seek: bool) -> None:
        self._at = 0
        if not self._dense:
            self._budget.steps()
        with opened(file, edited=self._dense) as container:
            tracks = self._tracks(container)
            self.result.streams = len(tracks)
            others = [each.type for each in container.streams if each.type != "video"]
            self.result.only_sound = bool(others) and not tracks and set(others) <= {"audio", "subtitle"}
            if not tracks:
                return
            lasts_ms = duration_ms(container)
            self._begin(lasts_ms, len(tracks) == 1 and is_still(container))
            if not self._dense:
                self._gap_ms = gap_of(self._gap_ms, lasts_ms)
            lands = Seekable(container, tracks)
            packets = self._packets(container, [track.stream for track in tracks.values()])
            if seek:
                packets = self._land(lands, packets)
            for packet in packets:
                self._budget.check()
                self._take(tracks, tracks[packet.stream_index], packet, lands)
            for track in tracks.values():
                self._finish(track)

    def _tracks(self, container: InputContainer) -> dict[int, Track]:
        tracks: dict[int, Track] = {}
        for stream in container.streams.video:
            context = cast("VideoCodecContext | None", stream.codec_context)  # the stubs forget unknown codecs
            if context is None:
                self.result.damaged = True
                continue
            self._budget.charge(context.width * context.height * _BYTES_PER_PIXEL)
            context.thread_count = 1
            part = None if not tracks else str(len(tracks))
            tracks[stream.index] = Track(stream, part, start_pts=stream.start_time or 0)
        return tracks

    def _packets(self, container: InputContainer, streams: list[VideoStream]) -> Iterator[Packet[VideoStream]]:
        """The packets of `streams`; a damaged container ends early and says so."""
        demuxed = container.demux(streams)
        while True:
            try:
                packet = next(demuxed)
            except StopIteration:
                return
            except (av.error.FFmpegError, ValueError, OSError):
                self.result.damaged = True
                return
            if packet.size:
                yield cast("Packet[VideoStream]", packet)

    def _land(self, lands: Seekable, packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """Seek to where the look goes on, and the packets from there. Raises _NotLanded with nothing taken."""
        landing = self._start.landing
        assert landing is not None
        if not lands.seek(landing.pts):
            raise _NotLanded
        for _, packet in zip(range(MOST_PACKETS_TO_LANDING), packets, strict=False):
            self._budget.check()
            if landing_of(packet) == landing:
                self._at = lands.track.packets = self._start.at
                return itertools.chain([packet], packets)
        raise _NotLanded

    # -- taking packets ----------------------------------------------------------------------------------------------

    def _take(self, tracks: dict[int, Track], track: Track, packet: Packet[VideoStream], lands: Seekable) -> None:
        """Pass over a packet seen by an earlier look, or take it into its group, or decode it."""
        at, self._at = self._at, self._at + 1
        track.packets += 1
        track.last_at = at
        if at < self._start.at:
            return
        self.result.damaged |= packet.is_corrupt
        if self._dense:
            self._decode(track, packet)
        elif self._begins(track, packet):
            self._close_group(track)
            if track.distrusts and track.group is not None:  # the group that ended here did not end after all
                self._go_on(track, track.group, packet)
                return
            self._begin_group(track, packet, at)
            self._mark_group(tracks, track, packet, lands)
        elif track.group is not None:
            self._go_on(track, track.group, packet)
        else:  # of a group that an earlier look took, or that is passed over
            self.result.gaps |= self._start.loose

    def _begins(self, track: Track, packet: Packet[VideoStream]) -> bool:
        """Whether a group begins here: at a keyframe, unless one was just before it, as where every frame is one."""
        if track.packets == 1:
            return True
        if not packet.is_keyframe or track.distrusts:
            return False
        ms = track.milliseconds(stamp_of(packet), track.packets - 1)
        return track.group is None or track.key_ms is None or not 0 <= ms - track.key_ms < self._gap_ms // SHOWN_A_GAP

    def _begin_group(self, track: Track, packet: Packet[VideoStream], at: int) -> None:
        ordinal = track.packets - 1
        track.key_ms = track.milliseconds(stamp_of(packet), ordinal)
        if self._passes_over and at == self._start.at:
            self.result.gaps = True
            return
        track.group = Group(at, ordinal, packet, [packet], packet.size)
        track.group.number(packet, ordinal)
        if Disposition.attached_pic in track.stream.disposition:
            self._close_group(track)  # a cover: nothing follows it

    def _mark_group(self, tracks: dict[int, Track], track: Track, packet: Packet[VideoStream], lands: Seekable) -> None:
        """Say where to go on, should the look end in the group that now begins."""
        begun = [each for each in tracks.values() if each.group is not None]
        going = [each for each in begun if self._at - each.last_at <= MOST_PACKETS_BETWEEN]
        at = min((each.group.at for each in going if each.group is not None), default=self._at)
        if at and not self.result.frames and self._start == Resume(0):
            return  # nothing shown yet: other decoders are to be asked, from the start
        if at > self._start.at:
            self._budget.stepped()
        self._mark(
            Resume(
                at,
                track.milliseconds(packet.pts, track.packets - 1),
                self._budget.catch_up_ms(),
                damaged=self.result.damaged or any(each.lost for each in tracks.values()),
                gaps=self.result.gaps,
                packets=True,
                loose=self._start.loose or len(going) < len(begun),
                landing=landing_of(packet) if lands.believed and at == self._at - 1 else None,
            )
        )

    def _go_on(self, track: Track, group: Group, packet: Packet[VideoStream]) -> None:
        """Keep a packet between keyframes; once there are too many, decode the group as it comes."""
        group.number(packet, track.packets - 1)
        with self._budget.looking:
            if group.running:
                self._decode(track, packet)
                return
            group.held.append(packet)
            group.held_bytes += packet.size
            if group.held_bytes > MOST_HELD_BYTES or len(group.held) > MOST_HELD_PACKETS:
                self._skip_unneeded(track, group)
                held, group.held, group.running = group.held, [], True
                for each in held:
                    self._decode(track, each)

    def _close_group(self, track: Track) -> None:
        """The group is complete: show what is due of it, and leave nothing of it in the decoder.

        Every group is decoded as if it were alone, so that it shows the same wherever a look began.
        """
        group = track.group
        if group is None:
            return
        before = self.result.damaged
        with self._budget.looking:
            if not group.running:
                self._show_group(track, group)
            self._drain(track)
            if group.spare is not None:  # what was due last did not come out: the last frame that did
                self._take_frame(track, *group.spare)
            track.stream.codec_context.skip_frame = "DEFAULT"
            track.group = None
            if not group.frames:
                self.result.damaged = before  # `lost` tells, until it is known whether it was a group at all
            if track.doubt(group):
                self._try_without_marks(track)

    def _show_group(self, track: Track, group: Group) -> None:
        """The keyframe, and frames behind it where the next keyframe is far.

        Where a keyframe shows nothing by itself, what follows is decoded until something does.
        """
        group.due = due_times(track.times(group), self._gap_ms)
        if group.due:
            self._skip_unneeded(track, group)
            for packet in group.held:
                self._decode(track, packet)
                if group.frames and not group.due:
                    return
            self._drain(track)
        for what in () if group.frames else (group.held[0], None, *group.held):
            if what is None:
                self._drain(track)
            else:
                self._decode(track, what)
            if group.frames:
                return

    def _try_without_marks(self, track: Track) -> None:
        """Several groups in a row showed nothing: go through them as one, as if their keyframes were none.

        If frames come out of them then, without an error, the container's marks are wrong: they count no longer.
        """
        groups, track.doubted = track.doubted, []
        good = groups[0]
        whole = Group(good.at, good.ordinal, good.first, [], 0, running=True, frames=good.frames)
        whole.shown(track.milliseconds(stamp_of(good.first), good.ordinal), self._gap_ms)
        for group in groups:
            whole.ordinals.update(group.ordinals)
        track.group = whole
        before = self.result.damaged
        self.result.damaged = False
        came = whole.frames
        for group in groups:
            came = whole.frames
            for packet in group.held:
                self._decode(track, packet)
        sound, self.result.damaged = not self.result.damaged, before
        if sound and whole.frames > came:
            track.distrusts = True
            track.lost -= len(groups) - 1
            return
        self._drain(track)
        track.group = None

    def _skip_unneeded(self, track: Track, group: Group) -> None:
        """Spare the decoder frames that no other frame needs, where those that come out can be told apart."""
        if group.timed:
            track.stream.codec_context.skip_frame = "NONREF"

    def _drain(self, track: Track) -> None:
        self._decode(track, None)
        track.stream.codec_context.flush_buffers()

    def _finish(self, track: Track) -> None:
        """Decode what is held and drain the decoder, so that no frame is lost at the tail."""
        if self._dense:
            self._decode(track, None)
        self._close_group(track)
        self._close_group(track)  # one that did not end after all
        if track.packets < expected(track.stream) or track.lost:
            self.result.damaged = True

    # -- taking frames -----------------------------------------------------------------------------------------------

    def _decode(self, track: Track, packet: Packet[VideoStream] | None) -> None:
        self._budget.check()
        try:
            frames = track.stream.codec_context.decode(packet)
        except av.error.MemoryError as error:
            raise MemoryError from error
        except (av.error.FFmpegError, ValueError):
            if packet is None:
                return
            self.result.damaged = True
            track.bad_in_row += 1
            if track.bad_in_row > MOST_BAD_PACKETS:
                raise
            return
        track.bad_in_row = 0
        for frame in frames:
            if self._dense:
                self._take_frame(track, frame, track.frames)
                track.frames += 1
            elif track.group is not None:
                self._sample(track, track.group, frame)

    def _sample(self, track: Track, group: Group, frame: VideoFrame) -> None:
        """Show the frame if it is due."""
        if frame.pts is not None and group.first.pts is not None and frame.pts < group.first.pts:
            return  # leads in display what it follows in the file: it needs the group before, and lies in its time
        if not group.frames and group.first.is_keyframe and track.doubted and is_no_keyframe(frame):
            return  # made up by the decoder from nothing
        number = group.ordinal + group.frames
        if frame.pts is not None:
            number = group.ordinals.get(frame.pts, number)
        group.frames += 1
        ms = track.milliseconds(stamp_of(frame), number)
        if group.is_due(frame, ms):
            group.shown(ms, self._gap_ms)
            self._take_frame(track, frame, number)
        else:
            group.spare = (frame, number) if group.due else None

    def _take_frame(self, track: Track, frame: VideoFrame, number: int) -> None:
        self.result.damaged |= frame.is_corrupt
        self._budget.charge(frame.width * frame.height * _BYTES_PER_PIXEL)
        pixels, limited = luma(frame)
        ms = track.milliseconds(stamp_of(frame), number)
        self._show(Picture(pixels, limited, exif_of(frame), part=track.part, frame=number, frame_ms=ms))
        self.result.frames += 1
