"""Where in some bytes a picture or film may begin: signatures that are long, or borne out by what follows them.

Chance must not make them: what they cost is one attempt at decoding each. In a mebibyte of random bytes none is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from scanner.decoding.extents import any_set, blocks
from scanner.decoding.reading import MediaFile

LONGEST = 800  # bytes from where one begins to the last byte that bears it out
_NEAR = 64
# Packets in a row that make a transport stream; one that holds a picture has more.
_SYNCS = 8
_STRIDES = (188, 192, 204)
_SEARCHED_FOR_SYNCS = 1024 * 1024
_MOST_STREAMS = 4
_MOST_RUNS = 1000
_PACKETS_AT_ONCE = 4096
_PACKET_BYTES = 188


def _jpeg(head: bytes) -> bool:
    """A segment with a length a header can have, of a kind that files begin with (T.81, table B.1)."""
    return int.from_bytes(head[4:6], "big") > 2


_FIRST_SEGMENTS = (0xDB, 0xC0, 0xC1, 0xC2, 0xC4, 0xDD, 0xFE)


def _gif(head: bytes) -> bool:
    """A picture or an extension behind the colours (GIF89a, 18)."""
    colours = 3 << (1 + (head[10] & 7)) if head[10] & 0x80 else 0
    return head[6:8] != b"\0\0" != head[8:10] and head[13 + colours] in (0x21, 0x2C)


def _box(head: bytes) -> bool:
    """A file type box whose brands are printable."""
    size = int.from_bytes(head[:4], "big")
    return 16 <= size <= 1024 and size % 4 == 0 and head[8:12].isascii() and head[8:12].decode().isprintable()


def _riff(head: bytes) -> bool:
    return head[8:12] in (b"WEBP", b"AVI ")


def _ebml(head: bytes) -> bool:
    return b"matroska" in head[:_NEAR] or b"webm" in head[:_NEAR]


def _program_stream(head: bytes) -> bool:
    """A pack header of MPEG-1 or 2 with its marker bits."""
    return (head[4] & 0xC4 == 0x44 and head[6] & 4 == 4) or (head[4] & 0xF1 == 0x21 and head[6] & 1 == 1)


def _mpeg_video(head: bytes) -> bool:
    """A sequence header: dimensions, an aspect and a frame rate that exist, the marker bit."""
    return head[4:7] != b"\0\0\0" and 0 < head[7] >> 4 < 15 and 0 < head[7] & 15 < 9 and bool(head[10] & 0x20)


def _h264(head: bytes) -> bool:
    """A sequence parameter set of a profile and level that exist, and another start code near it."""
    return head[4] in (66, 77, 88, 100, 110, 122, 244, 44) and head[6] in _H264_LEVELS and b"\0\0\1" in head[7:_NEAR]


_H264_LEVELS = frozenset((9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62))


def _hevc(head: bytes) -> bool:
    """A video parameter set, and another start code near it."""
    return head[3:5] == b"\x40\x01" and head[7:9] == b"\xff\xff" and b"\0\0\1" in head[9:_NEAR]


def _mpeg4(head: bytes) -> bool:
    """A visual object sequence, then a visual object."""
    return b"\0\0\1\xb5" in head[5:_NEAR] or b"\0\0\1\x20" in head[5:_NEAR]


def _flash(head: bytes) -> bool:
    return head[4] in (1, 4, 5) and head[5:9] == b"\0\0\0\x09"


def _any(head: bytes) -> bool:
    return True


# (signature, bytes before it, what bears it out). The first four bytes are looked for.
_SIGNATURES: tuple[tuple[bytes, int, Callable[[bytes], bool]], ...] = (
    *((b"\xff\xd8\xff" + bytes([marker]), 0, _jpeg) for marker in (*range(0xE0, 0xF0), *_FIRST_SEGMENTS)),
    (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", 0, _any),
    (b"GIF87a", 0, _gif),
    (b"GIF89a", 0, _gif),
    (b"RIFF", 0, _riff),
    (b"ftyp", 4, _box),
    (b"\x1a\x45\xdf\xa3", 0, _ebml),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c", 0, _any),
    (b"jP  \r\n\x87\n", 4, _any),
    (b"JXL \r\n\x87\n", 4, _any),
    (b"8BPS\0\1\0\0\0\0\0\0", 0, _any),
    (b"FLV\1", 0, _flash),
    (b"\0\0\1\xba", 0, _program_stream),
    (b"\0\0\1\xb3", 0, _mpeg_video),
    (b"\0\0\1\xb0", 0, _mpeg4),
    (b"\0\0\1\x67", 0, _h264),
    (b"\0\0\1\x27", 0, _h264),
    (b"\0\0\1\x47", 0, _h264),
    (b"\0\0\1\x40", 0, _hevc),
)
_BY_START: dict[bytes, list[tuple[bytes, int, Callable[[bytes], bool]]]] = {}
for _signature in _SIGNATURES:
    _BY_START.setdefault(_signature[0][:4], []).append(_signature)


def _pair(two: bytes) -> int:
    return int.from_bytes(two, "little")


# Which pairs of bytes begin and end the first four of a signature: of the two the rarer one is looked up for every pair
# in the block, for two zeros are everywhere. A table costs a third of as many searches.
_FIRST, _SECOND = (np.zeros(65536, dtype=np.bool_) for _ in range(2))
_KEYS = np.zeros(65536, dtype=np.uint8)
for _start in _BY_START:
    _FIRST[_pair(_start[:2])] = _SECOND[_pair(_start[2:])] = True
    _KEYS[_pair(_start[2:] if _start[:2] == b"\0\0" else _start[:2])] = 2 if _start[:2] == b"\0\0" else 1


def begins(head: bytes) -> bool:
    """Whether something known begins with these first bytes of a file."""
    padded = head.ljust(LONGEST, b"\0")
    near = (*_BY_START.get(head[:4], ()), *_BY_START.get(head[4:8], ()))
    return any(head.startswith(signature, before) and borne_out(padded) for signature, before, borne_out in near)


def candidates(file: MediaFile, start: int) -> Iterator[int | None]:
    """The offsets from `start` on at which something known begins, in order; None behind each block gone through."""
    for offset, block in blocks(file, start, LONGEST):
        most = len(block) if offset + len(block) >= file.size_bytes else len(block) - LONGEST
        yield from (offset + at for at in sorted(_in_block(block)) if at < most)
        yield None


def _in_block(block: bytes) -> set[int]:
    if (block.isascii() and b"\0" not in block) or not any_set(block):
        return set()  # text: of all these formats none does without zeros or high bytes; nor is one of zeros alone
    found = set()
    for at in _starts(block):
        for signature, before, borne_out in _BY_START.get(block[at : at + 4], ()):
            head = block[at - before : at - before + LONGEST] if at >= before else b""
            if len(head) >= 12 and head.startswith(signature, before) and borne_out(head.ljust(LONGEST, b"\0")):
                found.add(at - before)
    return found


def _starts(block: bytes) -> Iterator[int]:
    """Where the first four bytes of a signature may lie."""
    for odd in (0, 1):
        pairs = np.frombuffer(block, dtype="<u2", offset=odd, count=(len(block) - odd) // 2)
        keys = np.take(_KEYS, pairs)
        at = np.flatnonzero(keys)
        kinds = keys[at]
        firsts = at[(kinds == 1) & (at + 1 < len(pairs))]
        seconds = at[(kinds == 2) & (at > 0)]
        yield from (2 * int(each) + odd for each in firsts[_SECOND[pairs[firsts + 1]]])
        yield from (2 * int(each) - 2 + odd for each in seconds[pairs[seconds - 1] == 0])


def transport_streams(file: MediaFile, start: int) -> list[tuple[int, int]]:
    """Where runs of transport stream packets begin and end, near `start`, in order; at most `_MOST_STREAMS`."""
    searched = file.at(start, max(0, min(file.size_bytes - start, _SEARCHED_FOR_SYNCS)))
    if searched.isascii() and b"\0" not in searched:
        return []
    syncs = np.frombuffer(searched, dtype=np.uint8) == 0x47
    runs = sorted(run for stride in _STRIDES for run in _runs(syncs, stride))
    found: list[tuple[int, int]] = []
    empty: dict[tuple[int, int], int] = {}  # by stride and phase: up to where such packets were seen to carry nothing
    for offset, stride in runs:
        if len(found) == _MOST_STREAMS or (found and start + offset < found[-1][1]):
            continue
        phase = stride, offset % stride
        if offset < empty.get(phase, 0):
            continue
        packets = _packets(file, start + offset, stride)
        if not _carry(packets):
            empty[phase] = offset + stride * len(packets)
        else:
            found.append((start + offset, _stream_end(file, start + offset, stride)))
    return found


def _packets(file: MediaFile, start: int, stride: int) -> NDArray[np.uint8]:
    """The first packets in a row, (n, 188)."""
    content = file.at(start, stride * _PACKETS_AT_ONCE)
    count = -(-len(content) // stride)
    packets = np.frombuffer(content.ljust(count * stride, b"\0"), dtype=np.uint8).reshape(count, stride)
    others = np.flatnonzero(packets[:, 0] != 0x47)
    return packets[: others[0] if len(others) else count, :_PACKET_BYTES]


def _carry(packets: NDArray[np.uint8]) -> bool:
    """Whether a table or an elementary stream begins in one of the packets: rows of a picture can look like syncs.

    Tables come ten times a second, and without them a demuxer waits for a frame to begin (ISO 13818-1, 2.4).
    """
    field = np.where(packets[:, 3] & 0x20, packets[:, 4].astype(np.int64) + 1, 0)
    begins = (packets[:, 1] & 0x40 != 0) & (packets[:, 3] & 0x10 != 0) & (field <= _PACKET_BYTES - 8)
    rows = np.flatnonzero(begins)
    payload = packets[rows[:, None], (4 + field[rows])[:, None] + np.arange(4)]
    frames = (payload[:, :3] == (0, 0, 1)).all(axis=1)
    tables = ((packets[rows, 1] & 0x1F) == 0) & (packets[rows, 2] == 0) & (payload[:, :2] == 0).all(axis=1)
    return bool((frames | tables).any())


def _runs(syncs: NDArray[np.bool_], stride: int) -> list[tuple[int, int]]:
    """The places with `_SYNCS` sync bytes `stride` apart, each with the stride; too many are thinned out."""
    ends = len(syncs) - stride * (_SYNCS - 1)
    if ends <= 0:
        return []
    pairs = syncs[: len(syncs) - stride] & syncs[stride:]
    places = np.flatnonzero(pairs[:ends])
    for n in range(1, _SYNCS - 1):
        places = places[pairs[places + n * stride]]
    return [(int(place), stride) for place in places[:: max(1, len(places) // _MOST_RUNS)]]


def _stream_end(file: MediaFile, start: int, stride: int) -> int:
    """Behind the last packet in a row."""
    offset = start
    while offset < file.size_bytes:
        packets = np.frombuffer(file.at(offset, stride * _PACKETS_AT_ONCE), dtype=np.uint8)[::stride]
        if not len(packets):
            return offset
        wrong = np.flatnonzero(packets != 0x47)
        if len(wrong):
            return offset + int(wrong[0]) * stride
        offset += stride * _PACKETS_AT_ONCE
    return file.size_bytes
