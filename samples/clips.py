"""Generated clips: a camera panning over scenes, encoded here and never by a command line.

Rules
- One encoder thread, bit-exact flags, colours converted by table, and x264 without its assembly: with it, one input
  gave up to 14 different files in 30 runs, by what lay in memory before; without it, the same file in 80 runs.
- Panning is slow (a pixel a frame), so that a frame listed every half second is near every frame between.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samples.scenes import Size, scene

FRAMES_PER_SECOND = 12
SHOT_FRAMES = 24  # two seconds a shot
PAN_PIXELS = 1

_LIMITED_LUMA = [16 + (219 * value + 127) // 255 for value in range(256)]
_LIMITED_COLOUR = [16 + (224 * value + 127) // 255 for value in range(256)]


def panning(seeds: Iterable[int], size: Size = (320, 240)) -> Iterator[Image.Image]:
    """Frames of one shot after another, each a slow pan over its scene."""
    width, height = size
    for seed in seeds:
        wide = scene(seed, (width + SHOT_FRAMES * PAN_PIXELS, height))
        for step in range(SHOT_FRAMES):
            left = step * PAN_PIXELS
            yield wide.crop((left, 0, left + width, height))


def mp4(frames: Iterable[Image.Image], size: Size, crf: int) -> bytes:
    """H.264 in MP4, a keyframe a second, at a constant rate factor (higher is coarser)."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        stream.options = {
            "crf": str(crf),
            "preset": "veryfast",
            "g": str(FRAMES_PER_SECOND),
            "flags": "+bitexact",
            "x264-params": "asm=0",
        }
        for picture in frames:
            fitted = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
            container.mux(stream.encode(_yuv(fitted)))
        container.mux(stream.encode())
    return target.getvalue()


def _yuv(picture: Image.Image) -> av.VideoFrame:
    """The picture as planes of limited range (ITU-R BT.601: luma 16..235, colour 16..240), colour at half size."""
    luma, blue, red = picture.convert("YCbCr").split()
    half = (picture.width // 2, picture.height // 2)
    planes = [luma.point(_LIMITED_LUMA)]
    planes += [plane.resize(half, Image.Resampling.BOX).point(_LIMITED_COLOUR) for plane in (blue, red)]
    packed = np.frombuffer(b"".join(plane.tobytes() for plane in planes), dtype=np.uint8)
    return av.VideoFrame.from_ndarray(packed.reshape(picture.height * 3 // 2, picture.width), format="yuv420p")


def rgb_frames(video: bytes, every: int) -> list[NDArray[np.uint8]]:
    """Every `every`-th decoded frame as (height, width, 3)."""
    with av.open(io.BytesIO(video), "r", format="mp4") as container:
        kept = islice(container.decode(video=0), 0, None, every)
        return [np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in kept]


def gif(frames: Iterable[Image.Image]) -> bytes:
    """An animated GIF of 64 colours a frame, five frames a second."""
    first, *others = [frame.quantize(64, dither=Image.Dither.NONE) for frame in frames]
    target = io.BytesIO()
    first.save(target, "GIF", save_all=True, append_images=others, duration=200, loop=0)
    return target.getvalue()
