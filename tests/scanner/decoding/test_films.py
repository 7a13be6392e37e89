"""Films as they come: every container, pixel form and clock, with every frame there; and damage that is said."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import InputContainer

from scanner.decoding import demuxing, video
from scanner.fingerprint import Options
from scanner.hashing import pdq
from scanner.isolation.in_process import InProcess
from scanner.types import WHOLE, MediaKind, Reason, partial
from tests.scanner.decoding.looks import Look, distance, look
from tests.scanner.decoding.test_video import DENSE, clip, frames_of, nobody

COUNT = 50


def film(
    form: str,
    codec: str,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (160, 120),
    muxer: dict[str, str] | None = None,
    stamp: Callable[[int], int] = lambda n: n,
    **options: str,
) -> bytes:
    """Two seconds of a panning scene, a keyframe every ten frames; skips where this FFmpeg cannot encode it."""
    stream = io.BytesIO()
    try:
        with av.open(stream, "w", format=form, options=muxer or {}) as container:
            video: Any = container.add_stream(codec, rate=25, options=options)
            (video.width, video.height), video.pix_fmt, video.gop_size = size, pix_fmt, 10
            video.time_base = Fraction(1, 25)
            if codec == "libsvtav1":
                with nobody():
                    video.codec_context.open()
            for n, pixels in enumerate(frames_of(COUNT, size)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = stamp(n), Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    except (av.error.FFmpegError, ValueError, TypeError) as error:
        pytest.skip(f"this build of FFmpeg does not encode {codec} in {form}: {type(error).__name__}")
    return stream.getvalue()


def far(seen: Look, size: tuple[int, int] = (160, 120)) -> list[int]:
    """Frames that are not those that were encoded."""
    true = [pdq(pixels)[0].value for pixels in frames_of(COUNT, size)]
    return [n for n, value in enumerate(seen.values()) if distance(true[n], value) > 31]


@pytest.mark.parametrize(
    ("form", "codec", "more"),
    [
        ("3gp", "libx264", {}), ("3gp", "mpeg4", {}), ("asf", "wmv2", {}), ("asf", "msmpeg4", {}),
        ("avi", "mpeg4", {"bf": "2"}), ("mxf", "mpeg2video", {}), ("ogg", "libvpx", {}), ("flv", "flv", {}),
        ("matroska", "ffv1", {}), ("mpegts", "libx265", {}), ("hevc", "libx265", {}), ("mpeg", "mpeg1video", {}),
        ("matroska", "libsvtav1", {}), ("m4v", "mpeg4", {}), ("avi", "cinepak", {"pix_fmt": "rgb24"}),
        ("avi", "huffyuv", {"pix_fmt": "yuv422p"}), ("avi", "rawvideo", {"pix_fmt": "bgr24"}),
        ("mov", "prores_ks", {"pix_fmt": "yuv422p10le"}), ("mov", "prores_ks", {"pix_fmt": "yuva444p10le"}),
        ("mov", "qtrle", {"pix_fmt": "argb"}), ("mov", "png", {"pix_fmt": "rgba"}),
        ("webm", "libvpx-vp9", {"pix_fmt": "yuva420p"}), ("mp4", "libx264", {"pix_fmt": "yuv420p10le"}),
        ("mp4", "libx265", {"pix_fmt": "yuv420p12le"}),
        ("matroska", "libx264", {"pix_fmt": "yuv444p", "size": (161, 121)}),
        ("mpegts", "libx264", {"flags": "+ilme+ildct", "x264-params": "interlaced=1"}),
        ("mpegts", "mpeg2video", {"flags": "+ilme+ildct"}),
        ("mp4", "libx264", {"muxer": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}),
        ("matroska", "libx264", {"stamp": lambda n: n - 30}),
        ("mp4", "libx264", {"stamp": lambda n: n if n < 25 else 40 * n}),
    ],
)  # fmt: skip
def test_every_frame_of_every_kind(form: str, codec: str, more: dict[str, Any]) -> None:
    """All frames are there and are those that were encoded; sampled, some of them, and the film is whole."""
    content = film(form, codec, **more)
    dense, sampled = look(content, DENSE), look(content)

    assert (MediaKind.VIDEO, WHOLE, WHOLE) == (dense.kind, dense.looked, sampled.looked)
    assert list(range(COUNT)) == [each.frame for each in dense.pictures]
    assert len(far(dense, more.get("size", (160, 120)))) <= 1
    assert 5 <= len(sampled.pictures) <= COUNT
    assert 0 <= min(each.frame_ms or 0 for each in sampled.pictures) <= 40


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (16, 16), (4096, 2304)])
def test_tiny_and_huge_frames(size: tuple[int, int]) -> None:
    """No size is an error; what is too small to be hashed has a value that matches nothing."""
    frames = itertools.islice(frames_of(3, size), 3)
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        (video.width, video.height), video.pix_fmt = size, "yuv420p"
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = n
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    seen = look(stream.getvalue(), DENSE)

    assert (WHOLE, 3) == (seen.looked, len(seen.pictures))
    assert {(size[1], size[0])} == {pixels.shape[:2] for pixels in seen.pixels}


def test_a_size_that_changes_in_the_middle() -> None:
    """Frames before and behind the change are all there, each in its own size."""
    content = film("h264", "libx264") + film("h264", "libx264", size=(320, 240))
    seen = look(content, DENSE)

    assert (WHOLE, 2 * COUNT) == (seen.looked, len(seen.pictures))
    assert [(120, 160), (240, 320)] == [seen.pixels[0].shape, seen.pixels[-1].shape]


def test_what_an_edit_list_hides_is_looked_at() -> None:
    """Dense, a film is what its edit list shows, as the reference has it; sampled, nothing in the file is hidden."""
    content = bytearray(clip(100, gop=10, sc_threshold="0"))
    at = content.index(b"elst") + 12  # ISO 14496-12, 8.6.6: the first segment's duration, in milliseconds here
    content[at : at + 4] = (1000).to_bytes(4, "big")
    dense, sampled = look(bytes(content), DENSE), look(bytes(content))

    assert 20 <= len(dense.pictures) <= 30
    assert (WHOLE, WHOLE) == (dense.looked, sampled.looked)
    assert 10 == len(sampled.pictures)


@pytest.mark.parametrize("form", ["mpegts", "matroska", "mp4", "flv"])
def test_damage_in_the_middle(form: str) -> None:
    """The look goes on behind it, to the end, and says that not everything was seen.

    Of FLV only where all of it is decoded: it has no index that a film's own damage could be held against.
    """
    content = bytearray(clip(250, form=form, gop=25, sc_threshold="0"))
    at = len(content) // 2
    content[at : at + 6000] = bytes(6000)
    for options in (DENSE, None):
        seen = look(bytes(content), options)
        times = [each.frame_ms or 0 for each in seen.pictures]

        assert (form == "flv" and options is None) or partial(Reason.TRUNCATED) == seen.looked
        assert min(times) < 1000
        assert max(times) >= 9000


def test_an_index_that_is_gone_is_not_needed() -> None:
    """AVI without its index and Matroska without its cues are read from end to end."""
    avi = bytearray(clip(100, form="avi", codec="mpeg4"))
    at = avi.rindex(b"idx1")
    avi[at : at + 4] = b"JUNK"
    cues = clip(100, form="matroska").replace(b"\x1c\x53\xbb\x6b", b"\xec\x53\xbb\x6b")

    assert [100, 100] == [len(look(bytes(each), DENSE).pictures) for each in (avi, cues)]


@pytest.mark.parametrize("dense", [True, False])
def test_no_frame_waits_for_the_garbage_collector(tmp_path: Path, dense: bool) -> None:
    """It counts objects, not their megabytes: two films of 1080p would fill a worker before it came by."""
    (tmp_path / "film").write_bytes(film("mp4", "libx264", g="1"))
    fingerprinter = InProcess(Options(dense=dense, gap_ms=10))
    with (tmp_path / "film").open("rb") as file:
        fingerprinter.fingerprint(file.fileno())  # what is made once
        gc.collect()
        gc.disable()
        try:
            seen = fingerprinter.fingerprint(file.fileno())
            garbage = gc.collect()
        finally:
            gc.enable()

    assert WHOLE == seen.looked
    assert garbage < 2 * len(seen.signals)  # three a frame where its side data holds it; some of the container anyway


def test_a_film_for_which_there_is_no_memory_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Final reasons are for what a second look cannot mend; what was shown is kept."""
    content = film("mp4", "libx264")
    demux = InputContainer.demux

    def short(packets: Iterator[Any]) -> Iterator[Any]:
        yield from itertools.islice(packets, 25)
        raise av.error.MemoryError(12, "no memory")

    class Short:
        """A container that runs out of memory."""

        def __init__(self, container: InputContainer) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, streams: Any) -> Iterator[Any]:
            return short(demux(self._container, streams))

    @contextlib.contextmanager
    def opened(*given: Any, **named: Any) -> Iterator[Short]:
        with demuxing.opened(*given, **named) as container:
            yield Short(container)

    monkeypatch.setattr(video, "opened", opened)
    seen = look(content, DENSE)

    assert partial(Reason.OVER_BUDGET) == seen.looked
    assert seen.pictures
