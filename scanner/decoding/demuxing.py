"""Containers through FFmpeg's demuxers, from an open file: no path, no protocol, and no demuxer that reads other files.

Rules
- A file object without a name, never a path; protocols: none; demuxers: the list below. Either of the last two alone
  keeps a concat or playlist text from opening other files or the network; `image2` stays out because of its patterns.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

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
OPTIONS = {
    "protocol_whitelist": "none",
    "format_whitelist": f"{VIDEO_FORMATS},{STILL_FORMATS},{AUDIO_FORMATS}",
    "max_streams": "64",
    "enable_drefs": "0",
}


NEAR_MS = 100  # how far a container's index may be off


def opened(file: MediaFile, *, edited: bool) -> InputContainer:
    """The container in `file`; `edited` leaves out what its edit list hides. Raises PyAV's errors."""
    file.seek(0)
    options = dict(OPTIONS) if edited else OPTIONS | {"ignore_editlist": "1"}
    return av.open(file, mode="r", options=options, metadata_errors="replace")


def packet_of(encoded: bytes | memoryview) -> av.Packet[Any]:
    """What a decoder is handed without a container; behind it lie the zeros that FFmpeg's decoders may read.

    `av.Packet(bytes)` points at the bytes themselves: of a damaged picture its decoder then shows, at times accepts,
    whatever happens to lie behind them (avcodec.h, AV_INPUT_BUFFER_PADDING_SIZE).
    """
    packet: av.Packet[Any] = av.Packet(len(encoded))
    if encoded:
        packet.update(bytes(encoded))
    return packet


def expected(stream: VideoStream) -> int:
    """How many packets the index promises: edits of the file may leave some out of it."""
    entries = getattr(stream, "index_entries", None)  # older PyAV has none
    return min(stream.frames, len(entries)) if entries else stream.frames


def lacks_keyframes(container: InputContainer, stream: VideoStream, met: list[int]) -> bool:
    """Whether the index names a keyframe behind the first one met that did not come: damage swallowed it.

    Asked at the end: Matroska reads its index at the first seek. Only there the index is by time stamp and no packet
    counts on it: of MP4 `expected` counts, transport streams say that packets lack.
    """
    if not met or not stream.time_base or container.format.name != "matroska,webm":
        return False
    with contextlib.suppress(av.error.FFmpegError, ValueError, OSError, OverflowError):
        container.seek(min(met), stream=stream)
    entries = getattr(stream, "index_entries", None) or ()
    near = int(NEAR_MS / 1000 / stream.time_base)
    met = [*sorted(met), 2**63]
    named = [each.timestamp for each in entries if each.is_keyframe and each.timestamp > met[0]]
    return any(met[bisect_left(met, each - near)] > each + near for each in named)


def duration_ms(container: InputContainer) -> int | None:
    """The declared duration, bounded: a header may claim anything."""
    if container.duration is None or container.duration <= 0:
        return None
    return min(container.duration // 1000, 2**40)


def is_still(container: InputContainer) -> bool:
    """Whether the demuxer reads single pictures."""
    name = container.format.name
    return name.endswith("_pipe") or name in ("webp", "ico", "alias_pix", "brender_pix", "fits", "iff")
