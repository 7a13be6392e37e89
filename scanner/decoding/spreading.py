"""Keyframes from all over a film, for a look that has not the time for all of it.

Rules
- The end first, then the middle, the quarters, the eighths: wherever time runs out, what was shown lies evenly.
- By time stamp, to the keyframe before it, which is decoded alone. What the look goes on with is left as it was: all
  behind its last mark stays owed.
- A frame's number is its time times the frame rate: its packet's ordinal where the rate is constant.
"""

from __future__ import annotations

from collections.abc import Iterator

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from scanner.decoding.budget import Budget
from scanner.decoding.groups import Group, Track, stamp_of

# Packets read after a seek before a keyframe is given up.
MOST_PACKETS_TO_KEYFRAME = 1000


def spread_times(from_ms: int, to_ms: int, gap_ms: int) -> Iterator[int]:
    """Times from `from_ms` to `to_ms`, until none of the stretches between them is longer than the gap."""
    if to_ms <= from_ms:
        return
    yield to_ms
    stretch = float(to_ms - from_ms)
    while stretch > gap_ms:
        steps = round((to_ms - from_ms) / stretch)
        for step in range(steps):
            yield int(from_ms + (step + 0.5) * stretch)
        stretch /= 2


class Spread:
    """Seeks in one container, and the groups of single keyframes it finds, each once."""

    def __init__(self, container: InputContainer, tracks: dict[int, Track], budget: Budget) -> None:
        self._container = container
        self._tracks = [each for each in tracks.values() if Disposition.attached_pic not in each.stream.disposition]
        self._budget = budget
        self._seen: set[tuple[int, int | None]] = set()

    def groups(self, from_ms: int, to_ms: int, gap_ms: int) -> Iterator[tuple[Track, Group]]:
        """Keyframes of every stream in the order of the module's rule. Raises OverBudget when time is up."""
        for ms in spread_times(from_ms, to_ms, gap_ms):
            for track in self._tracks:
                self._budget.check()
                packet = self._keyframe(track, ms)
                if packet is None or (track.stream.index, packet.pts) in self._seen:
                    continue
                self._seen.add((track.stream.index, packet.pts))
                at_ms = track.milliseconds(stamp_of(packet), 0)
                number = round(at_ms * float(track.stream.average_rate or 25) / 1000)
                if at_ms >= from_ms:
                    yield track, Group(0, number, packet, [packet], packet.size)

    def _keyframe(self, track: Track, ms: int) -> Packet[VideoStream] | None:
        """The first keyframe to be had at the last one not behind `ms`; None where a seek leads nowhere."""
        base = track.stream.time_base
        if base is None:
            return None
        try:
            self._container.seek(track.start_pts + int(ms / 1000 / base), stream=track.stream)
            for _, packet in zip(range(MOST_PACKETS_TO_KEYFRAME), self._container.demux(track.stream), strict=False):
                self._budget.check()
                if packet.size and packet.is_keyframe:
                    return packet
        except (av.error.FFmpegError, ValueError, OSError, OverflowError):
            return None
        return None
