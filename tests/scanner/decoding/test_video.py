"""Videos: every frame when dense, keyframes and no long gap when not, and nothing lost or invented."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import statistics
import struct
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from numpy.typing import NDArray
from PIL import Image

from scanner.decoding import Budget, DecodeOptions, Limits, MediaFile, Picture
from scanner.decoding.luma import luma
from scanner.decoding.video import Sampling, VideoPass
from scanner.fingerprint import turned
from scanner.hashing import pdq
from scanner.isolation.in_process import InProcess
from scanner.types import WHOLE, Extent, MediaKind, Reason, digests_only, partial
from tests.scanner.decoding.looks import Look, distance, look, look_at_path
from tests.shared_material import media, shared, vectors

DENSE = DecodeOptions(dense=True)


def frames_of(count: int, size: tuple[int, int] = (160, 120)) -> Iterator[NDArray[np.uint8]]:
    """A panning scene, each frame unlike the last."""
    scene = np.random.default_rng(5).integers(0, 256, (30, 60 + count, 3), dtype=np.uint8)
    for n in range(count):
        yield np.asarray(Image.fromarray(scene[:, n : n + 40]).resize(size, Image.Resampling.BICUBIC))


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Where root is, be nobody for a moment.

    SVT-AV1 gives a process of root real-time priority over the whole machine, for good and its children too: every
    other process then waits for this one's tests.
    """
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def clip(
    count: int = 50,
    *,
    form: str = "mp4",
    codec: str = "libx264",
    gop: int = 10,
    rate: int = 25,
    pix_fmt: str = "yuv420p",
    audio_first: bool = False,
    keys: Collection[int] = (),
    path: Path | None = None,
    frames: Iterable[NDArray[np.uint8]] | None = None,
    stamps: Sequence[int] = (),
    **options: str,
) -> bytes:
    """An encoded clip of `frames`, else of `count` of a panning scene, with keyframes at `keys` too.

    Encoded once a process where it is told by its parameters: dozens of tests look at the same ones.
    """
    told = (count, form, codec, gop, rate, pix_fmt, audio_first, tuple(keys), tuple(stamps), *options.items())
    if path is None and frames is None:
        if told not in _CLIPS:
            _CLIPS[told] = _encoded(
                count, form, codec, gop, rate, pix_fmt, audio_first, keys, None, None, stamps, options
            )
        return _CLIPS[told]
    return _encoded(count, form, codec, gop, rate, pix_fmt, audio_first, keys, path, frames, stamps, options)


_CLIPS: dict[tuple[object, ...], bytes] = {}


def _encoded(
    count: int,
    form: str,
    codec: str,
    gop: int,
    rate: int,
    pix_fmt: str,
    audio_first: bool,
    keys: Collection[int],
    path: Path | None,
    frames: Iterable[NDArray[np.uint8]] | None,
    stamps: Sequence[int],
    options: dict[str, str],
) -> bytes:
    stream = io.BytesIO()
    # With a path the index goes in front of the samples, for which the muxer opens the file a second time.
    target, muxer = (str(path), {"movflags": "faststart"}) if path else (stream, {})
    with av.open(target, "w", format=form, options=muxer) as container:
        if audio_first:
            container.add_stream("aac" if form == "mp4" else "libopus", rate=48000)
        video = container.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt, video.gop_size = 160, 120, pix_fmt, gop
        video.time_base = Fraction(1, rate)
        if codec == "libsvtav1":
            with nobody():
                video.codec_context.open()
        for n, pixels in enumerate(frames_of(count) if frames is None else frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts = stamps[n] if stamps else n
            if n in keys:
                frame.pict_type = PictureType.I
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path.read_bytes() if path else stream.getvalue()


@pytest.mark.parametrize("path", sorted(vectors("vpdq").iterdir()), ids=lambda path: path.stem)
def test_every_frame_meets_the_published_values(path: Path) -> None:
    """Dense frames have the published numbers and times, and good ones are within 12 bits, half of them at most 2."""
    rows = [line.split(",") for line in path.read_text().split()]
    seen = look_at_path(media("videos", f"{path.stem}.mp4"), DENSE)
    good = [n for n, row in enumerate(rows) if int(row[1]) >= 50]
    bits = [distance(bytes.fromhex(rows[n][2]), value) for n, value in enumerate(seen.values()) if n in set(good)]

    assert (MediaKind.VIDEO, WHOLE) == (seen.kind, seen.looked)
    assert [int(row[0]) for row in rows] == [each.frame for each in seen.pictures]
    assert all(abs(float(row[3]) * 1000 - each.frame_ms) <= 1  # type: ignore[operator]
               for row, each in zip(rows, seen.pictures, strict=True))  # fmt: skip
    assert max(bits) <= 12
    assert statistics.median(bits) <= 2


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("mp4", "libx264"), ("matroska", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("mpegts", "libx264"),
        ("mov", "libx264"), ("flv", "libx264"), ("mp4", "libx265"), ("webm", "libsvtav1"), ("ogg", "libtheora"),
        ("h264", "libx264"), ("yuv4mpegpipe", "wrapped_avframe"), ("mpeg", "mpeg2video"), ("ivf", "libvpx"),
    ],
)  # fmt: skip
def test_containers_and_codecs(form: str, codec: str) -> None:
    """Every frame of a clip comes out, the tail included, in every container and codec this build can write."""
    try:
        content = clip(form=form, codec=codec)
    except (av.error.FFmpegError, ValueError, TypeError) as error:
        pytest.skip(f"this build of FFmpeg does not encode {codec}: {type(error).__name__}")
    dense, sampled = look(content, DENSE), look(content)

    assert MediaKind.VIDEO is dense.kind
    assert list(range(50)) == [each.frame for each in dense.pictures]
    assert [] == [n for n, frame in enumerate(frames_of(50)) if distance(pdq(frame)[0].value, dense.values()[n]) > 31]
    assert 1 <= len(sampled.pictures) <= 50
    assert set(sampled.values()) <= set(dense.values()) or codec != "libx264"


def test_keyframes_are_taken_when_they_are_close() -> None:
    """Sampled, a clip with a keyframe every ten frames gives those, numbered by their place in the file."""
    seen = look(clip(50, gop=10, sc_threshold="0"))

    assert [0, 10, 20, 30, 40] == [each.frame for each in seen.pictures]
    assert [0, 400, 800, 1200, 1600] == [each.frame_ms for each in seen.pictures]
    dense = look(clip(50, gop=10, sc_threshold="0"), DENSE)
    assert [dense.values()[n] for n in (0, 10, 20, 30, 40)] == seen.values()


@pytest.mark.parametrize("gap_ms", [1000, 3000])
def test_no_gap_is_longer_than_the_bound(gap_ms: int) -> None:
    """With keyframes far apart, frames between them are taken so that no stretch is left out."""
    seen = look(clip(300, gop=300, sc_threshold="0"), DecodeOptions(gap_ms=gap_ms))
    times = [each.frame_ms or 0 for each in seen.pictures]

    assert 0 == times[0]
    assert max(later - sooner for sooner, later in zip(times, [*times[1:], 12_000], strict=True)) <= gap_ms + 80
    assert len(times) <= 12_000 // gap_ms + 2


def test_a_long_group_between_short_ones() -> None:
    """A switch from short to long groups and back leaves no gap and repeats no frame."""
    keys = {*range(0, 50, 10), *range(350, 400, 10)}
    content = clip(400, gop=400, sc_threshold="0", keys=keys, **{"forced-idr": "1"})
    seen = look(content, DecodeOptions(gap_ms=2000))
    times = [each.frame_ms or 0 for each in seen.pictures]

    assert sorted(set(times)) == times
    assert keys <= {each.frame for each in seen.pictures}
    assert max(later - sooner for sooner, later in zip(times, [*times[1:], 16_000], strict=True)) <= 2080


def test_video_that_is_not_the_first_stream() -> None:
    """With sound first, all frames of the video come, the tail included."""
    seen = look(clip(audio_first=True), DENSE)

    assert list(range(50)) == [each.frame for each in seen.pictures]


def test_every_video_stream_is_looked_at() -> None:
    """A second video stream is no hiding place: its frames carry a part number."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as container:
        tracks = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for track in tracks:
            track.width, track.height, track.pix_fmt = 160, 120, "yuv420p"
        for track, count in zip(tracks, (5, 8), strict=True):
            for pixels in frames_of(count):
                container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(track.encode(None))
    seen = look(stream.getvalue(), DENSE)

    assert {(None, n) for n in range(5)} | {("1", n) for n in range(8)} == {(p.part, p.frame) for p in seen.pictures}


def test_sound_alone_is_not_media() -> None:
    """A container with nothing but sound has nothing to look at."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        samples = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    seen = look(stream.getvalue())

    assert (MediaKind.OTHER, WHOLE, []) == (seen.kind, seen.looked, seen.pictures)


@pytest.mark.parametrize("form", ["matroska", "mpegts", "avi", "flv"])
def test_a_truncated_video_keeps_its_frames(form: str) -> None:
    """A video cut in the middle gives the frames before the cut."""
    content = clip(100, form=form, codec="mpeg4" if form == "avi" else "libx264")
    seen = look(content[: len(content) // 2], DENSE)

    assert MediaKind.VIDEO is seen.kind
    assert 30 <= len(seen.pictures) <= 60
    assert seen.looked is not None


def test_a_short_mp4_says_so(tmp_path: Path) -> None:
    """An MP4 whose index promises more than the file holds is partial, whether dense or sampled."""
    content = clip(100, path=tmp_path / "clip.mp4")
    for options in (DENSE, None):
        seen = look(content[: int(len(content) * 0.6)], options)

        assert partial(Reason.TRUNCATED) == seen.looked
        assert seen.pictures


def test_an_encrypted_video_says_so() -> None:
    """Encrypted samples are a final reason of their own."""
    found = [
        look_at_path(path).looked for path in sorted(shared("corpus").rglob("*.mp4"))
        if b"encv" in path.read_bytes()
    ]  # fmt: skip

    assert found
    assert digests_only(Reason.ENCRYPTED) in found


def test_over_budget_keeps_frames() -> None:
    """A video that costs more than its budget stops with what it gave."""
    seen = look(clip(300, gop=300), DENSE, Limits(video_s=0.01, video_most_s=0.01, wall_factor=1000))

    assert partial(Reason.OVER_BUDGET) == seen.looked
    assert 0 < len(seen.pictures) < 300


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le", "gray", "rgb24", "nv12", "bgra"])
def test_luma_of_pixel_formats(pix_fmt: str) -> None:
    """Planar, packed, deep, full and limited formats all give the picture they hold."""
    pixels = next(frames_of(1))
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
    taken, limited = luma(frame)
    value = pdq(np.ascontiguousarray(taken), limited=limited)[0].value

    assert distance(pdq(pixels)[0].value, value) <= 6
    assert (pix_fmt.startswith("yuv4") or pix_fmt == "nv12") == limited


# (a, b, c, d) of the display matrix in a track's header, and the EXIF orientation that says the same.
TURNS = [
    ((1, 0, 0, 1), 1), ((-1, 0, 0, 1), 2), ((-1, 0, 0, -1), 3), ((1, 0, 0, -1), 4),
    ((0, 1, 1, 0), 5), ((0, 1, -1, 0), 6), ((0, -1, -1, 0), 7), ((0, -1, 1, 0), 8),
]  # fmt: skip


def turned_clip(turn: tuple[int, int, int, int]) -> bytes:
    """A clip that a player is told to turn: the matrix of its track header (ISO 14496-12, 8.3.2) rewritten."""
    content = bytearray(clip(20, gop=10))
    a, b, c, d = (n << 16 for n in turn)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return bytes(content)


@pytest.mark.parametrize(("turn", "exif"), TURNS)
def test_a_turned_video_is_hashed_as_stored_and_as_shown(turn: tuple[int, int, int, int], exif: int) -> None:
    """The display matrix of a phone's video is an orientation; each frame has the signal of what a player shows."""
    content = turned_clip(turn)
    seen = look(content)
    fd = os.memfd_create("turned")
    os.write(fd, content)
    signals = InProcess().fingerprint(fd).signals
    os.close(fd)
    shown = [pdq(turned(pixels, exif), limited=True)[0].value for pixels in seen.pixels]

    assert [exif] * 2 == [each.exif for each in seen.pictures]
    assert look(clip(20, gop=10)).values() == [each.value for each in signals if each.orientation == "stored"]
    assert (shown if exif != 1 else []) == [each.value for each in signals if each.orientation == "exif"]


def test_a_turn_by_half_a_right_angle_is_none() -> None:
    """A matrix that is no turn by right angles leaves the pixels as stored."""

    assert [1, 1] == [each.exif for each in look(turned_clip((1, 1, -1, 1))).pictures]


def foreign(tmp_path: Path, text: bytes) -> Look:
    """Look at a text that names another file, which lies beside it."""
    (tmp_path / "other.mp4").write_bytes(clip(5))
    for n in range(3):
        Image.fromarray(next(frames_of(1))).save(tmp_path / f"img{n:03d}.png")
    path = tmp_path / "upload.mp4"
    path.write_bytes(text)
    return look_at_path(path)


@pytest.mark.parametrize(
    "text",
    [
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nother.mp4\n#EXT-X-ENDLIST\n",
        b"img%03d.png",
        b"file other.mp4\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
        b"<?xml version='1.0'?><MPD><Period><BaseURL>other.mp4</BaseURL></Period></MPD>",
        b"\x80ffconcat version 1.0\nfile other.mp4\n",
    ],
)
def test_texts_that_name_other_files_read_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    """Concat lists, playlists, session descriptions and patterns give no picture, whatever lies beside them."""
    monkeypatch.chdir(tmp_path)
    seen = foreign(tmp_path, text)

    assert ([], Extent.WHOLE, MediaKind.OTHER) == (seen.pictures, seen.looked and seen.looked.extent, seen.kind)


def test_a_playlist_fetches_nothing(tmp_path: Path) -> None:
    """A playlist with an address on this machine makes no request, as text or hidden behind a media signature."""
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.ts"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n".encode()
        for text in (playlist, b"\0\0\x01\xba" + playlist, b"ffconcat version 1.0\nfile '" + address.encode() + b"'\n"):
            assert [] == look(text).pictures
        server.shutdown()

    assert [] == asked


def shown_by_ffmpeg(text: bytes) -> int:
    """How many pictures FFmpeg shows of a text handed straight to it, past the sniffing."""
    shown: list[Picture] = []
    fd = os.memfd_create("text")
    os.write(fd, text)
    try:
        sampling = Sampling(dense=True, gap_ms=1000)
        one = VideoPass(Budget(Limits()), lambda *_: None, shown.append, lambda _: None, sampling)
        with contextlib.suppress(av.error.FFmpegError):
            one.run(MediaFile(fd))
    finally:
        os.close(fd)
    return len(shown)


def test_the_whitelists_alone_stop_a_concat_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed straight to FFmpeg, a concat list shows nothing; with the whitelists away it would show the other file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.mp4").write_bytes(clip(5))
    text = b"ffconcat version 1.0\nfile other.mp4\n"
    with av.open(io.BytesIO(text)) as container:
        free = sum(1 for _ in container.decode(video=0))

    assert (5, 0) == (free, shown_by_ffmpeg(text))
