"""Containers made to cost: bounded memory and time, never whole, and the worker goes on. Through the real sandbox."""

from __future__ import annotations

import bz2
import io
import os
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scanner.decoding.containers.streams import zstd
from scanner.fingerprint import Limits
from scanner.isolation.pool import WorkerPool
from scanner.types import WHOLE, Extent, Fingerprint, Reason
from tests.scanner.decoding.containers.made import TEXT, pdf, picture, tarred, zipped
from tests.scanner.isolation.test_bombs import MOST_PEAK_MIB, peak_of_workers

MIB = 1024 * 1024
IMAGE = b"/Subtype/Image/Width 128/Height 96/BitsPerComponent 8/Filter/FlateDecode"
JPEG_HEAD = b"\xff\xd8\xff\xe0"


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, Limits(image_s=2.0, video_s=2.0, wall_factor=60.0), files_per_worker=1) as running:
        yield running


def packed(packer: Any, head: bytes = JPEG_HEAD, mebibytes: int = 300) -> bytes:
    """A head and zeros, packed without ever holding them."""
    zeros = bytes(MIB)
    return b"".join([packer.compress(head), *(packer.compress(zeros) for _ in range(mebibytes)), packer.flush()])


def zip_of(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive, archive.open("a", "w") as member:
        member.write(JPEG_HEAD)
        for _ in range(300):
            member.write(bytes(MIB))
    return stream.getvalue()


def overlapped() -> bytes:
    """Five hundred entries, each holding all that follow: what one kernel of zeros unpacks to comes as often."""
    kernel = packed(zlib.compressobj(9, zlib.DEFLATED, -15), mebibytes=20)
    header = struct.Struct("<4s5H3L2H")
    body, places = b"", []
    for _ in range(500):
        places.append(len(body))
        body += header.pack(b"PK\3\4", 20, 0, 8, 0, 0, 0, 0, 0, 0, 0)
    body += kernel
    directory = b""
    for place in places:
        inside = len(body) - place - header.size
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, inside, 0xFFFFFFF, 0, 0, 0, 0, 0, 0, place
        )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 500, 500, len(directory), len(body), 0)
    return body + directory + end


def long_header() -> bytes:
    """A tar whose extended header claims eight gigabytes."""
    entry = tarfile.TarInfo("a")
    entry.type, entry.size = tarfile.XHDTYPE, 8 * 1024 * MIB - 1
    return entry.tobuf(tarfile.USTAR_FORMAT) + bytes(5000)


def packed_objects() -> bytes:
    stream = packed(zlib.compressobj(9), b"77 0 ")
    images = [(IMAGE + b"/ColorSpace 77 0 R", zlib.compress(bytes(12_288)))] * 5
    return pdf(*images, *[(b"/Type/ObjStm/First 5/N 1/Filter/FlateDecode", stream)] * 20)


BOMBS: dict[str, Callable[[], bytes]] = {
    "zip deflate": lambda: zip_of(zipfile.ZIP_DEFLATED),
    "zip bzip2": lambda: zip_of(zipfile.ZIP_BZIP2),
    "zip overlapping": overlapped,
    "bzip2": lambda: packed(bz2.BZ2Compressor()),
    "zstd": lambda: packed(zstd.ZstdCompressor()),
    "gzip": lambda: packed(zlib.compressobj(9, zlib.DEFLATED, 31)),
    "tar header": long_header,
    "pdf image": lambda: pdf((IMAGE.replace(b"128", b"99999").replace(b"96", b"99999"), packed(zlib.compressobj(9)))),
    "pdf contents": lambda: pdf((b"/Filter/FlateDecode", packed(zlib.compressobj(9), b"BT "))),
    "pdf objects": packed_objects,
}


def look(pool: WorkerPool, content: bytes) -> tuple[Fingerprint, int]:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        with peak_of_workers(pool) as peak:
            return pool.fingerprint(fd), peak[0]
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_bounded(pool: WorkerPool, name: str) -> None:
    """Never more than 256 MiB, never a crash, and never whole where something was not looked at."""
    found, peak_mib = look(pool, BOMBS[name]())

    assert peak_mib <= MOST_PEAK_MIB
    if name == "pdf objects":  # the space they name is nowhere: samples are taken as grey
        assert found.looked == WHOLE or found.looked.reason in (Reason.OVER_BUDGET, Reason.TIMEOUT)
    else:
        assert found.looked.extent is not Extent.WHOLE
        assert found.looked.reason not in (None, Reason.CRASH)
    assert WHOLE == look(pool, zipped(picture(1)))[0].looked


def test_large_members_are_read_within_bounds(pool: WorkerPool) -> None:
    """A member beyond what is kept in memory is unpacked as it is read, forth and back."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as member:
        member.write(b"BM" + struct.pack("<LLLLLLHHLLLLLL", 0, 0, 54, 40, 4000, 4000, 1, 24, 0, 0, 0, 0, 0, 0))
        for row in range(4000):
            member.write(bytes([row * 255 // 4000]) * 12_000)
    found, peak_mib = look(pool, stream.getvalue())

    assert ["md5", "pdq", "sha1", "sha256"] == sorted(each.hash_type for each in found.signals)
    assert WHOLE == found.looked
    assert peak_mib <= MOST_PEAK_MIB


def test_ten_thousand_files_of_text_cost_next_to_nothing(pool: WorkerPool) -> None:
    """A large archive without media is looked at whole within the time of one small film."""
    found, _ = look(pool, zipped(*(b"%d " % number + TEXT for number in range(10_000))))

    assert (WHOLE, ()) == (found.looked, found.signals)


@pytest.mark.parametrize("seed", range(4))
def test_damage_never_ends_a_worker(pool: WorkerPool, seed: int) -> None:
    """Archives and documents with bytes changed, lost and doubled at random end in an outcome."""
    draw = random.Random(seed)
    whole = [
        zipped(picture(1), TEXT, picture(2)),
        tarred(picture(1), TEXT, packed="gz"),
        tarred(picture(1), picture(2)),
        pdf((IMAGE + b"/ColorSpace[/Indexed/RGB 1<0011>]", zlib.compress(bytes(12_288))), (b"", TEXT)),
    ]
    for _ in range(10):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 20)):
            at = draw.randrange(len(content))
            content[at : at + draw.choice((0, 1, 1, 4))] = draw.randbytes(draw.choice((0, 1, 1, 4)))
        found, _ = look(pool, bytes(content))

        assert Reason.CRASH is not found.looked.reason
