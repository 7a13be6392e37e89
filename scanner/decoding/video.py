"""Videos, and stills only FFmpeg reads, through PyAV: an open file in, luma planes out.

Rules
- A file object without a name, never a path; protocols: none; demuxers: the list below. Either of the last two alone
  keeps a concat or playlist text from opening other files or the network; `image2` stays out because of its patterns.
- The luma plane is hashed as it is: no colour conversion where the format has such a plane.
- Query sampling takes keyframes, chosen by packet flag (VP9's decoder ignores skip_frame); where keyframes are further
  apart than the gap, the group is decoded and one frame a gap is taken. Dense takes every frame, the tail included.
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

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scanner.decoding.budget import Budget
from scanner.decoding.groups import Group, Seekable, Track, landing_of
from scanner.decoding.luma import exif_of, luma
from scanner.decoding.picture import Picture
from scanner.decoding.reading import MediaFile
from scanner.types import Resume

VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,live_flv,kux,mpeg,mpegvideo,h264,hevc,h261,h263,m4v,vvc,obu,"
    "av1,ivf,ogg,asf,rm,mxf,nut,dv,flic,yuv4mpegpipe,mjpeg,vc1,gif,apng,avs2,cavsvideo,dirac,smk,bink,amv,ivr,nsv,wtv"
)
STILL_FORMATS = (
    "jpeg_pipe,png_pipe,tiff_pipe,webp_pipe,bmp_pipe,j2k_pipe,jpegls_pipe,jpegxl_pipe,jpegxl_anim,psd_pipe,pcx_pipe,"
    "dds_pipe,exr_pipe,hdr_pipe,dpx_pipe,sgi_pipe,sunrast_pipe,qoi_pipe,pam_pipe,pbm_pipe,pgm_pipe,pgmyuv_pipe,"
    "ppm_pipe,pfm_pipe,phm_pipe,pgx_pipe,gem_pipe,xbm_pipe,xpm_pipe,xwd_pipe,photocd_pipe,pictor_pipe,qdraw_pipe,"
    "cri_pipe,vbn_pipe,webp,ico,iff,alias_pix,brender_pix,fits"
)
AUDIO_FORMATS = "mp3,flac,wav,aiff,aac,ac3"
_OPTIONS = {
    "protocol_whitelist": "none",
    "format_whitelist": f"{VIDEO_FORMATS},{STILL_FORMATS},{AUDIO_FORMATS}",
    "max_streams": "64",
    "enable_drefs": "0",
}
_BYTES_PER_PIXEL = 6  # measured: 8192x4320 keyframes peak at 200 MB
# Bad packets in a row after which a stream is given up: a decoder that lost its place finds a keyframe before that.
MOST_BAD_PACKETS = 2000
# Compressed bytes held back while waiting for the next keyframe.
MOST_HELD_BYTES = 64 * 1024 * 1024
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
        file.seek(0)
        self._at = 0
        with av.open(file, mode="r", options=dict(_OPTIONS), metadata_errors="replace") as container:
            tracks = self._tracks(container)
            self.result.streams = len(tracks)
            others = [each.type for each in container.streams if each.type != "video"]
            self.result.only_sound = bool(others) and not tracks and set(others) <= {"audio", "subtitle"}
            if not tracks:
                return
            self._begin(_duration_ms(container), len(tracks) == 1 and _is_still(container))
            if not self._dense:
                self._budget.steps()
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
        elif packet.is_keyframe or track.packets == 1:
            self._close_group(track)
            self._begin_group(track, packet, at)
            self._mark_group(tracks, track, packet, lands)
        elif track.group is not None:
            with self._budget.looking:
                self._go_on(track, track.group, packet)
        else:  # of a group that an earlier look took, or that is passed over
            self.result.gaps |= self._start.loose

    def _begin_group(self, track: Track, packet: Packet[VideoStream], at: int) -> None:
        if self._passes_over and at == self._start.at:
            self.result.gaps = True
            return
        track.group = Group(at, track.packets - 1, packet, [packet], packet.size)
        track.group.number(packet, track.packets - 1)
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
                self._milliseconds(track, packet.pts, track.packets - 1),
                self._budget.catch_up_ms(),
                damaged=self.result.damaged,
                gaps=self.result.gaps,
                packets=True,
                loose=self._start.loose or len(going) < len(begun),
                landing=landing_of(packet) if lands.believed and at == self._at - 1 else None,
            )
        )

    def _go_on(self, track: Track, group: Group, packet: Packet[VideoStream]) -> None:
        """Decode a packet between keyframes, or keep it; once the group outlasts the gap, decode it all."""
        group.number(packet, track.packets - 1)
        if group.running:
            self._decode(track, packet)
            return
        group.held.append(packet)
        group.held_bytes += packet.size
        if self._is_long(track, group, packet) or group.held_bytes > MOST_HELD_BYTES:
            group.running = True
            held, group.held = group.held, []
            for each in held:
                self._decode(track, each)

    def _is_long(self, track: Track, group: Group, packet: Packet[VideoStream]) -> bool:
        """Whether the group lasts longer than the gap."""
        if packet.pts is None or group.first.pts is None or packet.time_base is None:
            return len(group.held) > self._gap_ms * float(track.stream.average_rate or 25) / 1000
        return (packet.pts - group.first.pts) * packet.time_base * 1000 > self._gap_ms

    def _close_group(self, track: Track) -> None:
        """The group is complete: show the keyframe of a short one, and leave nothing of it in the decoder.

        Every group is decoded as if it were alone, so that it shows the same wherever a look began. Where a keyframe
        shows nothing by itself, what follows is decoded until something does.
        """
        group = track.group
        if group is None:
            return
        with self._budget.looking:
            if group.running:
                self._decode(track, None)
            else:
                for packet in (group.held[0], None, *group.held):
                    if packet is None:
                        self._drain(track)
                    else:
                        self._decode(track, packet)
                    if group.frames:
                        break
            self._drain(track)
        track.group = None

    def _drain(self, track: Track) -> None:
        self._decode(track, None)
        track.stream.codec_context.flush_buffers()

    def _finish(self, track: Track) -> None:
        """Decode what is held and drain the decoder, so that no frame is lost at the tail."""
        if self._dense:
            self._decode(track, None)
        self._close_group(track)
        expected = track.stream.frames
        if expected and track.packets < expected:
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
        number = group.ordinal + group.frames
        if frame.pts is not None:
            number = group.ordinals.get(frame.pts, number)
        group.frames += 1
        if not group.running and group.frames > 1:
            return
        self.result.damaged |= frame.is_corrupt
        ms = self._milliseconds(track, frame.pts, number)
        if group.running and not frame.key_frame and group.next_ms is not None and ms < group.next_ms:
            return
        group.next_ms = ms + self._gap_ms
        self._take_frame(track, frame, number)

    def _take_frame(self, track: Track, frame: VideoFrame, number: int) -> None:
        self.result.damaged |= frame.is_corrupt
        self._budget.charge(frame.width * frame.height * _BYTES_PER_PIXEL)
        pixels, limited = luma(frame)
        ms = self._milliseconds(track, frame.pts, number)
        self._show(Picture(pixels, limited, exif_of(frame), part=track.part, frame=number, frame_ms=ms))
        self.result.frames += 1

    @staticmethod
    def _milliseconds(track: Track, pts: int | None, number: int) -> int:
        """Milliseconds from the stream's start by time stamp, else by the frame rate."""
        # The stream's time base: frames drained at the end carry none of their own.
        if pts is not None and track.stream.time_base:
            return max(0, int((pts - track.start_pts) * track.stream.time_base * 1000))
        return int(number * 1000 / (track.stream.average_rate or 25))


def _duration_ms(container: InputContainer) -> int | None:
    """The declared duration, bounded: a header may claim anything."""
    if container.duration is None or container.duration <= 0:
        return None
    return min(container.duration // 1000, 2**40)


def _is_still(container: InputContainer) -> bool:
    """Whether the demuxer reads single pictures."""
    name = container.format.name
    return name.endswith("_pipe") or name in ("webp", "ico", "alias_pix", "brender_pix", "fits", "iff")
