"""The packets of a video's streams on their way to the decoder: groups from keyframe to keyframe, and seeks to them.

Owns which frames of a group are due. Times are milliseconds from the stream's start.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from scanner.types import Landing

# A frame comes out of a decoder at most this many packets behind its own.
MOST_LAG_PACKETS = 512
# Groups in a row that show nothing by themselves, before it is asked whether the container's marks of keyframes lie.
# Damage takes one keyframe, seldom two.
MOST_DOUBTED = 3
MOST_DOUBTED_BYTES = 16 * 1024 * 1024
# Frames between which none is due lie less than this share of the gap further apart than what is due: frames that no
# other needs are not decoded.
STEP_SHARE = 0.95
# A short clip's gap: the one frame of a fade is none by which it can be known.
LEAST_GAP_MS = 500
SHOWN_A_CLIP = 4
# Demuxers whose seeks go by an index of time stamps. The others go through the packets again, which costs little.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


@dataclass(slots=True)
class Group:
    """Packets of one stream from a keyframe up to the next. `ordinal` is that of its first packet in the stream.

    `due` are the times still to be shown once all of it is known, in order; while it is decoded as it comes (`running`)
    frames are due every step. `frames` counts what came out of the decoder, `spare` is the last that was not shown.
    """

    at: int
    ordinal: int
    first: Packet[VideoStream]
    held: list[Packet[VideoStream]]
    held_bytes: int
    running: bool = False
    due: list[int] = field(default_factory=list)
    next_ms: int | None = None
    frames: int = 0
    spare: tuple[VideoFrame, int] | None = None
    ordinals: dict[int, int] = field(default_factory=dict)

    def number(self, packet: Packet[VideoStream], ordinal: int) -> None:
        """Remember which packet a frame will be of; frames lag their packets by far less than is remembered."""
        if packet.pts is not None:
            self.ordinals[packet.pts] = ordinal
            if self.running and len(self.ordinals) > 2 * MOST_LAG_PACKETS:
                self.ordinals = dict(list(self.ordinals.items())[-MOST_LAG_PACKETS:])

    def is_due(self, frame: VideoFrame, ms: int) -> bool:
        """Whether the frame that just came out is to be shown; the first always is."""
        if self.frames == 1:
            return True
        if self.running:
            return frame.key_frame or self.next_ms is None or ms >= self.next_ms
        return bool(self.due) and ms >= self.due[0]

    def shown(self, ms: int, gap_ms: int) -> None:
        """The frame of this time is shown."""
        self.due = [each for each in self.due if each > ms]
        self.next_ms, self.spare = ms + int(gap_ms * STEP_SHARE), None

    @property
    def timed(self) -> bool:
        """Whether every frame can be told by its time stamp."""
        return len(self.ordinals) == len(self.held)


@dataclass(slots=True)
class Track:
    """One video stream on its way through the decoder.

    `doubted` is the last group that showed its keyframe and those behind it that showed nothing. `distrusts` says that
    what the container calls keyframes are none. `lost` counts groups of which no frame could be decoded. `keys` are the
    stamps of the keyframes met.
    """

    stream: VideoStream
    part: str | None
    start_pts: int = 0
    packets: int = 0
    frames: int = 0
    bad_in_row: int = 0
    last_at: int = 0
    group: Group | None = None
    key_ms: int | None = None
    doubted: list[Group] = field(default_factory=list)
    distrusts: bool = False
    lost: int = 0
    keys: list[int] = field(default_factory=list)
    tick_ms: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.tick_ms = Fraction(self.stream.time_base or 0) * 1000

    def doubt(self, group: Group) -> bool:
        """Remember a closed group; whether so many in a row showed nothing that the keyframes' marks are in doubt."""
        if group.frames:
            self.doubted = [group] if not group.running and group.held_bytes <= MOST_DOUBTED_BYTES else []
            return False
        self.lost += 1
        if self.doubted:
            self.doubted.append(group)
            if sum(each.held_bytes for each in self.doubted) > MOST_DOUBTED_BYTES:
                self.doubted = []
        return len(self.doubted) > MOST_DOUBTED

    def times(self, group: Group) -> list[int]:
        """When the frames of a group are shown that do not lead its keyframe, and when it ends."""
        times = [self.milliseconds(stamp_of(packet), group.ordinal + n) for n, packet in enumerate(group.held)]
        times = [times[0], *(ms for ms in times if ms > times[0])]
        return [*times, max(times) + int(1000 / (self.stream.average_rate or 25))]

    def milliseconds(self, stamp: int | None, number: int) -> int:
        """The time of a frame or packet by its stamp, else by its number and the frame rate."""
        # The stream's time base: frames drained at the end carry none of their own.
        if stamp is not None and self.tick_ms:
            return max(0, (stamp - self.start_pts) * self.tick_ms.numerator // self.tick_ms.denominator)
        return int(number * 1000 / (self.stream.average_rate or 25))


def stamp_of(timed: Packet[VideoStream] | VideoFrame) -> int | None:
    """When it is shown, else when it is decoded: AVI knows no more."""
    return timed.dts if timed.pts is None else timed.pts


def is_no_keyframe(frame: VideoFrame) -> bool:
    """Whether a frame that came first out of an empty decoder leans on another one."""
    return not frame.key_frame and frame.pict_type in (PictureType.P, PictureType.B)


def due_times(times: list[int], gap_ms: int) -> list[int]:
    """Which of a group's times, from its keyframe to its end, are to be shown so that no stretch outlasts the gap.

    As early as can be: a frame costs all those before it. Neither the keyframe nor the end is among them.
    """
    first, *others, ahead = sorted(times)
    due: list[int] = []
    while ahead - first > gap_ms:
        others = others[: bisect_left(others, ahead)]
        if not others:
            break
        ahead = others[min(bisect_left(others, ahead - int(gap_ms * STEP_SHARE)), len(others) - 1)]
        due.append(ahead)
    return due[::-1]


def is_halting(times: list[int], gap_ms: int) -> bool:
    """Whether a frame stays on the screen so long that it is not to be passed over for the one behind it."""
    ordered = sorted(times)
    return any(later - sooner > gap_ms * (1 - STEP_SHARE) for sooner, later in pairwise(ordered))


def gap_of(gap_ms: int, duration_ms: int | None) -> int:
    """The gap for a film of this length."""
    return gap_ms if duration_ms is None else min(gap_ms, max(LEAST_GAP_MS, duration_ms // SHOWN_A_CLIP))


class Seekable:
    """Whether a seek in this container can be believed, and the seek: one video stream, and an index by time stamp."""

    def __init__(self, container: InputContainer, tracks: dict[int, Track]) -> None:
        self._container = container
        self.track = next(iter(tracks.values()))
        self.believed = len(tracks) == 1 and container.format.name in _INDEXED

    def seek(self, pts: int) -> bool:
        """Go to the last keyframe not behind `pts`; whether the demuxer says that it did."""
        if not self.believed:
            return False
        try:
            self._container.seek(pts, stream=self.track.stream)
        except (av.error.FFmpegError, ValueError, OSError, OverflowError):
            return False
        return True


def landing_of(packet: Packet[VideoStream]) -> Landing | None:
    """What tells the packet from every other; None where it carries too little."""
    if packet.pts is None or packet.dts is None or packet.pos is None:
        return None
    return Landing(packet.pts, packet.dts, packet.pos, packet.size)
