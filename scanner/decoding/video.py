"""Videos, and stills only FFmpeg reads, through PyAV: an open file in, luma planes out.

Rules
- A file object without a name, never a path; protocols: none; demuxers: the list below. Either of the last two alone
  keeps a concat or playlist text from opening other files or the network; `image2` stays out because of its patterns.
- The luma plane is hashed as it is: no colour conversion where the format has such a plane.
- Query sampling takes keyframes, chosen by packet flag (VP9's decoder ignores skip_frame); where keyframes are further
  apart than the gap, the group is decoded and one frame a gap is taken. Dense takes every frame, the tail included.
- A frame's number is its decode index when dense; when sampled, its packet's ordinal in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from scanner.decoding.budget import Budget
from scanner.decoding.picture import Picture
from scanner.decoding.reading import MediaFile

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


@dataclass(slots=True)
class VideoResult:
    """What one pass over a container saw."""

    streams: int = 0
    only_sound: bool = False
    frames: int = 0
    damaged: bool = False


@dataclass(slots=True)
class _Track:
    """One video stream on its way through the decoder."""

    stream: VideoStream
    part: str | None
    exif: int = 1
    packets: int = 0
    frames: int = 0
    bad_in_row: int = 0
    start_pts: int = 0
    held: list[Packet[VideoStream]] = field(default_factory=list)
    held_bytes: int = 0
    group_pts: int | None = None
    running: bool = False
    next_ms: int | None = None
    ordinals: dict[int, int] = field(default_factory=dict)


class VideoPass:
    """One way through a container. `result` is right also when the pass ends in an exception."""

    def __init__(
        self,
        budget: Budget,
        begin: Callable[[int | None, bool], None],
        show: Callable[[Picture], None],
        *,
        dense: bool,
        gap_ms: int,
    ) -> None:
        self._budget = budget
        self._begin = begin
        self._show = show
        self._dense = dense
        self._gap_ms = gap_ms
        self.result = VideoResult()

    def run(self, file: MediaFile) -> None:
        """Decode every video stream of `file`. Raises PyAV's errors from opening, and OverBudget."""
        file.seek(0)
        with av.open(file, mode="r", options=dict(_OPTIONS), metadata_errors="replace") as container:
            tracks = self._tracks(container)
            self.result.streams = len(tracks)
            others = [each.type for each in container.streams if each.type != "video"]
            self.result.only_sound = bool(others) and not tracks and set(others) <= {"audio", "subtitle"}
            if not tracks:
                return
            self._begin(_duration_ms(container), len(tracks) == 1 and _is_still(container))
            for packet in self._packets(container, [track.stream for track in tracks.values()]):
                self._budget.check()
                self._take(tracks[packet.stream_index], packet)
            for track in tracks.values():
                self._finish(track)

    def _tracks(self, container: InputContainer) -> dict[int, _Track]:
        tracks: dict[int, _Track] = {}
        for stream in container.streams.video:
            context = cast("VideoCodecContext | None", stream.codec_context)  # the stubs forget unknown codecs
            if context is None:
                self.result.damaged = True
                continue
            self._budget.charge(context.width * context.height * _BYTES_PER_PIXEL)
            context.thread_count = 1
            part = None if not tracks else str(len(tracks))
            tracks[stream.index] = _Track(stream, part, start_pts=stream.start_time or 0)
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

    def _take(self, track: _Track, packet: Packet[VideoStream]) -> None:
        """Decode the packet, hold it until its group is known to be long enough, or pass over it."""
        track.packets += 1
        if packet.is_corrupt:
            self.result.damaged = True
        if self._dense:
            self._decode(track, packet)
            return
        if packet.pts is not None:
            track.ordinals[packet.pts] = track.packets - 1
        if packet.is_keyframe or track.packets == 1:
            self._close_group(track)
            track.held, track.held_bytes, track.running = [packet], packet.size, False
            track.group_pts = packet.pts
        elif track.running:
            self._decode(track, packet)
        else:
            self._hold(track, packet)

    def _hold(self, track: _Track, packet: Packet[VideoStream]) -> None:
        """Keep a packet between keyframes; once the group outlasts the gap, decode it all."""
        track.held.append(packet)
        track.held_bytes += packet.size
        if self._is_long(track, packet) or track.held_bytes > MOST_HELD_BYTES:
            track.running = True
            held, track.held = track.held, []
            for each in held:
                self._decode(track, each)

    def _is_long(self, track: _Track, packet: Packet[VideoStream]) -> bool:
        """Whether the group that began at the last keyframe lasts longer than the gap."""
        if packet.pts is None or track.group_pts is None or packet.time_base is None:
            return len(track.held) > self._gap_ms * float(track.stream.average_rate or 25) / 1000
        return (packet.pts - track.group_pts) * packet.time_base * 1000 > self._gap_ms

    def _close_group(self, track: _Track) -> None:
        """A keyframe arrived: of a short group only its own keyframe is decoded."""
        if track.held:
            self._decode(track, track.held[0])
            track.held = []
        track.ordinals = dict(list(track.ordinals.items())[-512:])  # frames lag their packets by less than that

    def _finish(self, track: _Track) -> None:
        """Decode what is held and drain the decoder, so that no frame is lost at the tail."""
        if not self._dense:
            self._close_group(track)
        self._decode(track, None)
        expected = track.stream.frames
        if expected and track.packets < expected:
            self.result.damaged = True

    def _decode(self, track: _Track, packet: Packet[VideoStream] | None) -> None:
        try:
            frames = track.stream.codec_context.decode(packet)
        except av.error.MemoryError as error:
            raise MemoryError from error
        except (av.error.FFmpegError, ValueError):
            self.result.damaged = True
            track.bad_in_row += 1
            if track.bad_in_row > MOST_BAD_PACKETS:
                raise
            return
        track.bad_in_row = 0
        for frame in frames:
            self._frame(track, frame)

    def _frame(self, track: _Track, frame: VideoFrame) -> None:
        number = track.frames
        track.frames += 1
        self.result.damaged |= frame.is_corrupt
        ms = self._milliseconds(track, frame, number)
        if not self._dense:
            if track.running and not frame.key_frame and track.next_ms is not None and ms < track.next_ms:
                return
            track.next_ms = ms + self._gap_ms
            number = track.ordinals.get(frame.pts, number) if frame.pts is not None else number
        self._budget.charge(frame.width * frame.height * _BYTES_PER_PIXEL)
        pixels, limited = luma(frame)
        exif = _EXIF_OF_ROTATION.get(frame.rotation % 360, 1)
        self._show(Picture(pixels, limited, exif, part=track.part, frame=number, frame_ms=ms))
        self.result.frames += 1

    @staticmethod
    def _milliseconds(track: _Track, frame: VideoFrame, number: int) -> int:
        """Milliseconds from the stream's start by time stamp, else by the frame rate."""
        # The stream's time base: frames drained at the end carry none of their own.
        if frame.pts is not None and track.stream.time_base:
            return max(0, int((frame.pts - track.start_pts) * track.stream.time_base * 1000))
        return int(number * 1000 / (track.stream.average_rate or 25))


# Degrees counter-clockwise by which a player turns the frame -> the EXIF orientation of the stored pixels.
_EXIF_OF_ROTATION = {90: 8, 180: 3, 270: 6}


def luma(frame: VideoFrame) -> tuple[NDArray[np.uint8], bool]:
    """The pixels to hash, and whether they are limited-range luma: the Y plane, or RGB where there is none."""
    name = frame.format.name
    full = name.startswith("yuvj") or frame.color_range == 2
    if name.startswith(("yuv", "nv")) and frame.format.is_planar:
        depth = frame.format.components[0].bits
        if depth == 8:
            return _plane(frame, np.uint8), not full
        if not frame.format.is_big_endian:
            deep: NDArray[Any] = _plane(frame, np.uint16)
            return (deep >> (depth - 8)).astype(np.uint8), not full
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), False


def _plane(frame: VideoFrame, sample: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """Plane 0 without its padding."""
    plane = frame.planes[0]
    samples: NDArray[Any] = np.frombuffer(memoryview(plane), dtype=sample)
    return samples.reshape(-1, plane.line_size // np.dtype(sample).itemsize)[: frame.height, : frame.width]


def _duration_ms(container: InputContainer) -> int | None:
    """The declared duration, bounded: a header may claim anything."""
    if container.duration is None or container.duration <= 0:
        return None
    return min(container.duration // 1000, 2**40)


def _is_still(container: InputContainer) -> bool:
    """Whether the demuxer reads single pictures."""
    name = container.format.name
    return name.endswith("_pipe") or name in ("webp", "ico", "alias_pix", "brender_pix", "fits", "iff")
