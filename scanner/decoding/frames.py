"""From packets to the frames that are shown: one by one when dense, group by group when sampled.

Every group is decoded as if it were alone, so that it shows the same wherever a look began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scanner.decoding.budget import Budget
from scanner.decoding.groups import Group, Track, due_times, is_halting, is_no_keyframe, stamp_of
from scanner.decoding.luma import exif_of, luma
from scanner.decoding.picture import Picture

BYTES_PER_PIXEL = 6  # measured: 8192x4320 keyframes peak at 200 MB
# Bad packets in a row after which a stream is given up: a decoder that lost its place finds a keyframe before that.
MOST_BAD_PACKETS = 2000
# Compressed bytes and packets held back while waiting for the next keyframe.
MOST_HELD_BYTES = 32 * 1024 * 1024
MOST_HELD_PACKETS = 20_000


@dataclass(slots=True)
class VideoResult:
    """What one pass over a container saw. `gaps` says that something was passed over as too costly."""

    streams: int = 0
    only_sound: bool = False
    frames: int = 0
    damaged: bool = False
    gaps: bool = False


class Frames:
    """Decodes the packets of one pass and shows the frames that are due. `result` is the pass's own."""

    def __init__(
        self, budget: Budget, show: Callable[[Picture], None], result: VideoResult, *, gap_ms: int | None
    ) -> None:
        """`gap_ms` None: dense, every frame is due."""
        self._budget = budget
        self._show = show
        self.result = result
        self._dense = gap_ms is None
        self._gap_ms = gap_ms or 0

    def go_on(self, track: Track, group: Group, packet: Packet[VideoStream]) -> None:
        """Keep a packet between keyframes; once there are too many, decode the group as it comes."""
        group.number(packet, track.packets - 1)
        if group.running:
            with self._budget.looking:
                self.decode(track, packet)
            return
        group.held.append(packet)
        group.held_bytes += packet.size
        if group.held_bytes > MOST_HELD_BYTES or len(group.held) > MOST_HELD_PACKETS:
            self._skip_unneeded(track, group)
            held, group.held, group.running = group.held, [], True
            with self._budget.looking:
                for each in held:
                    self.decode(track, each)

    def close_group(self, track: Track) -> None:
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
            self.drain(track)
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
                self.decode(track, packet)
                if group.frames and not group.due:
                    return
            self.drain(track)
        for what in () if group.frames else (group.held[0], None, *group.held):
            if what is None:
                self.drain(track)
            else:
                self.decode(track, what)
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
                self.decode(track, packet)
        sound, self.result.damaged = not self.result.damaged, before
        if sound and whole.frames > came:
            track.distrusts = True
            track.lost -= len(groups) - 1
            return
        self.drain(track)
        track.group = None

    def _skip_unneeded(self, track: Track, group: Group) -> None:
        """Spare the decoder frames that no other frame needs, where those that come out can be told apart."""
        if group.timed and not is_halting(track.times(group), self._gap_ms):
            track.stream.codec_context.skip_frame = "NONREF"

    def drain(self, track: Track) -> None:
        self.decode(track, None)
        track.stream.codec_context.flush_buffers()

    def decode(self, track: Track, packet: Packet[VideoStream] | None) -> None:
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
        self._budget.charge(frame.width * frame.height * BYTES_PER_PIXEL)
        pixels, limited = luma(frame)
        ms = track.milliseconds(stamp_of(frame), number)
        self._show(Picture(pixels, limited, exif_of(frame), part=track.part, frame=number, frame_ms=ms))
        self.result.frames += 1
