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
from av.video.stream import VideoStream

from scanner.decoding.budget import Budget, OverBudget
from scanner.decoding.demuxing import duration_ms, expected, is_still, lacks_keyframes, opened
from scanner.decoding.frames import BYTES_PER_PIXEL, Frames, VideoResult
from scanner.decoding.groups import Group, Seekable, Track, gap_of, landing_of, stamp_of
from scanner.decoding.picture import Picture
from scanner.decoding.reading import MediaFile
from scanner.decoding.spreading import Spread
from scanner.types import Resume

# Of the time of a look that somebody waits for, what goes to its beginning whatever its length; and how few keyframes
# found by time, in a film that long, say that they cannot be found so.
SEQUENTIAL_SHARE = 0.25
LEAST_SPREAD = 2
# JPEGs one behind the other have no times but those that a demuxer makes up: so many are pictures, more are a film.
MOST_IN_A_ROW = 200
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


class _NotLanded(Exception):
    """A seek did not come to the packet it was for."""


class _NothingSpread(Exception):
    """No keyframe was found by time: the film can only be gone through."""


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
        self._spreads = not sampling.dense
        self._has_no_clock = False
        self._told: set[tuple[str | None, int | None, int | None]] = set()
        self.result = VideoResult(damaged=self._start.damaged, gaps=self._start.gaps)

    def run(self, file: MediaFile) -> None:
        """Decode every video stream of `file`. Raises PyAV's errors from opening, and OverBudget."""
        try:
            self._run(file, seek=self._start.landing is not None)
        except _NotLanded:
            self.result = VideoResult(damaged=self._start.damaged, gaps=self._start.gaps)
            self._run(file, seek=False)
        except _NothingSpread:
            self._spreads = False
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
            self._has_no_clock = container.format.name == "mjpeg"
            self._begin(lasts_ms, len(tracks) == 1 and is_still(container))
            self._gap_ms = gap_of(self._gap_ms, lasts_ms)
            gap_ms = None if self._dense else self._gap_ms
            self._frames = Frames(self._budget, self._show_once, self.result, gap_ms=gap_ms)
            lands = Seekable(container, tracks)
            packets = self._packets(container, [track.stream for track in tracks.values()])
            if seek:
                packets = self._land(lands, packets)
            for packet in packets:
                self._budget.check()
                track = tracks[packet.stream_index]
                self._take(tracks, track, packet, lands)
                if self._is_behind(track, lasts_ms):
                    self._spread(Spread(container, tracks, self._budget), track, lasts_ms or 0)
            for track in tracks.values():
                self._finish(track)
            for track in tracks.values():
                self.result.damaged |= lacks_keyframes(container, track.stream, track.keys)

    def _tracks(self, container: InputContainer) -> dict[int, Track]:
        tracks: dict[int, Track] = {}
        for stream in container.streams.video:
            context = cast("VideoCodecContext | None", stream.codec_context)  # the stubs forget unknown codecs
            if context is None:
                self.result.damaged = True
                continue
            self._budget.charge(context.width * context.height * BYTES_PER_PIXEL)
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
            except MemoryError:  # av's own is one too: owed, as another look may have the room
                raise
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

    # -- what somebody waits for ---------------------------------------------------------------------------------------

    def _is_behind(self, track: Track, lasts_ms: int | None) -> bool:
        """Whether the time of a look that somebody waits for goes faster than the film."""
        spent = self._budget.spent_share() if self._spreads else 0.0
        return spent > SEQUENTIAL_SHARE and lasts_ms is not None and (track.key_ms or 0) < spent * lasts_ms

    def _show_once(self, picture: Picture) -> None:
        """Show a frame, unless this look has shown it on another way through the film."""
        frame = picture.part, picture.frame, picture.frame_ms
        if frame not in self._told:
            self._show(picture)
        if self._budget.spent_share():
            self._told.add(frame)

    def _spread(self, spread: Spread, track: Track, lasts_ms: int) -> None:
        """Show keyframes from all over what is left, as long as there is time. Raises OverBudget: the rest is owed."""
        before, shown = track.group, self.result.frames
        if before is not None and not before.running:
            self._frames.close_group(track)
        for other, group in spread.groups(track.key_ms or 0, lasts_ms, self._gap_ms):
            other.group = group
            with self._budget.looking:
                self._frames.decode(other, group.first)
                self._frames.drain(other)
            other.group = None
        if self.result.frames - shown < LEAST_SPREAD:
            raise _NothingSpread
        raise OverBudget

    # -- taking packets ----------------------------------------------------------------------------------------------

    def _take(self, tracks: dict[int, Track], track: Track, packet: Packet[VideoStream], lands: Seekable) -> None:
        """Pass over a packet seen by an earlier look, or take it into its group, or decode it."""
        at, self._at = self._at, self._at + 1
        track.packets += 1
        track.last_at = at
        stamp = stamp_of(packet)
        if packet.is_keyframe and stamp is not None:
            track.keys.append(stamp)
        if at < self._start.at:
            return
        self.result.damaged |= packet.is_corrupt
        if self._dense:
            self._frames.decode(track, packet)
        elif self._begins(track, packet):
            self._frames.close_group(track)
            if track.distrusts and track.group is not None:  # the group that ended here did not end after all
                self._frames.go_on(track, track.group, packet)
                return
            self._begin_group(track, packet, at)
            self._mark_group(tracks, track, packet, lands)
        elif track.group is not None:
            self._frames.go_on(track, track.group, packet)
        else:  # of a group that an earlier look took, or that is passed over
            self.result.gaps |= self._start.loose

    def _begins(self, track: Track, packet: Packet[VideoStream]) -> bool:
        """Whether a group begins here: at a keyframe, unless one was just before it, as where every frame is one."""
        if track.packets == 1:
            return True
        if not packet.is_keyframe or track.distrusts:
            return False
        if self._has_no_clock and track.packets <= MOST_IN_A_ROW:
            return True
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
            self._frames.close_group(track)  # a cover: nothing follows it

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

    def _finish(self, track: Track) -> None:
        """Decode what is held and drain the decoder, so that no frame is lost at the tail."""
        if self._dense:
            self._frames.decode(track, None)
        self._frames.close_group(track)
        self._frames.close_group(track)  # one that did not end after all
        if track.packets < expected(track.stream) or track.lost:
            self.result.damaged = True
