"""The packets of a video's streams on their way to the decoder: groups from keyframe to keyframe, and seeks to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from scanner.types import Landing

# A frame comes out of a decoder at most this many packets behind its own.
MOST_LAG_PACKETS = 512
# Demuxers whose seeks go by an index of time stamps. The others go through the packets again, which costs little.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


@dataclass(slots=True)
class Group:
    """Packets of one stream from a keyframe up to the next. `ordinal` is that of its first packet in the stream."""

    at: int
    ordinal: int
    first: Packet[VideoStream]
    held: list[Packet[VideoStream]]
    held_bytes: int
    running: bool = False
    next_ms: int | None = None
    frames: int = 0
    ordinals: dict[int, int] = field(default_factory=dict)

    def number(self, packet: Packet[VideoStream], ordinal: int) -> None:
        """Remember which packet a frame will be of; frames lag their packets by far less than is remembered."""
        if packet.pts is not None:
            self.ordinals[packet.pts] = ordinal
            if self.running and len(self.ordinals) > 2 * MOST_LAG_PACKETS:
                self.ordinals = dict(list(self.ordinals.items())[-MOST_LAG_PACKETS:])


@dataclass(slots=True)
class Track:
    """One video stream on its way through the decoder."""

    stream: VideoStream
    part: str | None
    start_pts: int = 0
    packets: int = 0
    frames: int = 0
    bad_in_row: int = 0
    last_at: int = 0
    group: Group | None = None


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
