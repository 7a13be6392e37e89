"""Films to fingerprint: pans over generated scenes with grain, encoded once and kept between runs; and their copies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from bench.pictures import picture

REVISION = 2  # rises when the same arguments would give other frames
RATE = 30
SHOT_FRAMES = 60
PAN_PIXELS = 2
# Levels either way, new in every frame: with 9 a 1080p film at a constant rate factor of 23 has six megabits a second,
# as films of hand-held cameras have. Without noise nothing but keyframes would cost a decoder anything.
NOISE, NOISE_SHIFTS = 9, 64

Frame = NDArray[np.uint8]
Size = tuple[int, int]


def frames(seed: int, size: Size, count: int) -> Iterator[Frame]:
    """One shot after another, each a pan over a scene of its own, under a camera's noise."""
    width, height = size
    rng = np.random.default_rng(seed)
    noise = rng.integers(-NOISE, NOISE + 1, (height + NOISE_SHIFTS, width + NOISE_SHIFTS, 1), dtype=np.int16)
    for shot in range(-(-count // SHOT_FRAMES)):
        wide = np.asarray(picture(1000 * seed + shot, (width + SHOT_FRAMES * PAN_PIXELS, height), 0), np.int16)
        for step in range(min(SHOT_FRAMES, count - shot * SHOT_FRAMES)):
            down, right = rng.integers(0, NOISE_SHIFTS, 2)
            seen = wide[:, step * PAN_PIXELS : step * PAN_PIXELS + width]
            seen = seen + noise[down : down + height, right : right + width]
            yield np.clip(seen, 0, 255).astype(np.uint8)


def encode(
    path: Path, shown: Iterable[Frame], *, size: Size, gop: int, codec: str = "libx264", rate: int = RATE, crf: int = 23
) -> None:
    """Write the frames as a film, scaled to `size`; keyframes exactly `gop` apart."""
    options = {"preset": "veryfast", "crf": str(crf), "x264-params": "scenecut=0:bframes=3"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        stream.time_base = Fraction(1, rate)
        for number, pixels in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def chain(path: Path, parts: Iterable[Path]) -> None:
    """Write the packets of films made alike one behind the other, as one film."""
    with av.open(str(path), "w", format="mp4") as container:
        stream: VideoStream | None = None
        offset = 0
        for part in parts:
            with av.open(str(part)) as source:
                found = source.streams.video[0]
                stream = stream or container.add_stream_from_template(found)
                ticks = int((found.duration or 0) * (found.time_base or 1) / Fraction(1, 90_000))
                for packet in source.demux(found):
                    if packet.size and packet.pts is not None and packet.dts is not None and found.time_base:
                        scale = found.time_base / Fraction(1, 90_000)
                        packet.pts, packet.dts = int(packet.pts * scale) + offset, int(packet.dts * scale) + offset
                        packet.time_base, packet.stream = Fraction(1, 90_000), stream
                        container.mux(packet)
                offset += ticks


def kept(seed: int, size: Size, seconds: int, gop: int, codec: str) -> Path:
    """The film as a file, from an earlier run where there is one."""
    folder = Path(tempfile.gettempdir()) / f"hashward-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"film-{seed}-{size[0]}x{size[1]}-{seconds}-{gop}-{codec}-{REVISION}.mp4"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}.partial")
        encode(partial, frames(seed, size, seconds * RATE), size=size, gop=gop, codec=codec)
        partial.replace(path)
    return path
