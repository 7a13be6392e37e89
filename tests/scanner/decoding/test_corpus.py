"""Damaged and hostile files: what any decoder shows, we see; what nobody can see is never clear."""

from __future__ import annotations

import csv
import io
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import cv2
import pillow_heif
import pytest
from PIL import Image, ImageFile

from scanner.fingerprint import Limits
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool
from scanner.types import Extent, Fingerprint, MediaKind, Reason
from tests.shared_material import corpus

LEAST_RECALL = 0.98
# The wall clock is the machine's business: beside other tests it runs twenty times as fast as the processor's.
PATIENT = Limits(wall_factor=200.0)
# Kinds that MANIFEST.tsv knows by a strong signature: with nothing decoded they must not be clear.
MEDIA_KINDS = {
    "png", "jpeg", "tiff", "webp", "gif", "mp4", "bmp", "avif", "heif", "flv", "jxl", "apng", "jpeg2000", "psd", "dds",
    "matroska", "avi",
}  # fmt: skip


def manifest() -> list[dict[str, str]]:
    with corpus("MANIFEST.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def by_pillow(path: str) -> bool:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        image.load()
    return True


def by_opencv(path: str) -> bool:
    return cv2.imread(path) is not None or bool(cv2.VideoCapture(path).read()[0])


def by_pyav(path: str) -> bool:
    with av.open(path) as container:
        return any(True for _ in container.decode(video=0))


def by_heif(path: str) -> bool:
    return pillow_heif.open_heif(path).data is not None


NAIVE: tuple[Callable[[str], bool], ...] = (by_pillow, by_opencv, by_pyav, by_heif)


def shown_by_any(path: Path) -> bool:
    """Whether some library, given the path and all freedom, decodes a picture. Each file in a child of its own."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for decoder in NAIVE:
            try:
                if decoder(os.fspath(path)):
                    os._exit(0)
            except BaseException:
                continue
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def looked_at(rows: list[dict[str, str]]) -> list[Fingerprint]:
    """The fingerprints of the rows' files, through two confined workers."""

    def one(row: dict[str, str]) -> Fingerprint:
        with corpus(*row["path"].split("/")).open("rb", buffering=0) as file:
            return pool.fingerprint(file.fileno())

    with WorkerPool(2, PATIENT) as pool, ThreadPoolExecutor(2) as callers:
        found = list(callers.map(one, rows))
        assert 0 == pool.forbidden_calls
    return found


def test_every_file_has_one_outcome() -> None:
    """All files end, none crashes or is killed by the sandbox, and no media without a picture is clear."""
    rows = manifest()
    found = looked_at(rows)
    crashes = [row["path"] for row, each in zip(rows, found, strict=True)
               if each.looked.reason in (Reason.CRASH, Reason.TIMEOUT, Reason.IO)]  # fmt: skip
    falsely_clear = [
        row["path"] for row, each in zip(rows, found, strict=True)
        if row["kind"] in MEDIA_KINDS and not each.signals
        and each.looked.extent is Extent.WHOLE and each.media is not MediaKind.OTHER
    ]  # fmt: skip

    assert [] == crashes
    assert [] == falsely_clear
    assert all(each.signals for each in found if each.looked.extent is Extent.PARTIAL)
    assert not any(each.signals for each in found if each.looked.extent is Extent.DIGESTS_ONLY)
    with_values = sum(any(s.hash_type == "pdq" for s in each.signals) for each in found)
    assert with_values >= 1_095  # 98 % of the 1,118 that any decoder shows, measured by the test below


@pytest.mark.prove
def test_recall_of_damaged_files() -> None:
    """At least 98 % of the files that any of four libraries can show give a PDQ."""
    rows = manifest()
    shown = [row for row in rows if shown_by_any(corpus(*row["path"].split("/")))]
    found = looked_at(shown)
    missed = [row["path"] for row, each in zip(shown, found, strict=True) if not each.signals]

    assert len(shown) > 1_000
    assert len(missed) <= (1 - LEAST_RECALL) * len(shown), missed


def timeless(one: Fingerprint) -> Fingerprint:
    """The fingerprint without what the machine's speed has a part in."""
    return one if one.resume is None else replace(one, resume=replace(one.resume, catch_up_ms=0))


@pytest.mark.filterwarnings("ignore")  # decoders warn about what is odd in a file; a worker ignores that
def test_sandboxed_and_free_agree() -> None:
    """The sandbox changes no answer: every tenth file of the corpus gives the same in a worker and in this process."""
    rows = manifest()[::10]
    free = InProcess(limits=PATIENT)
    for row, confined in zip(rows, looked_at(rows), strict=True):
        with corpus(*row["path"].split("/")).open("rb", buffering=0) as file:
            assert timeless(free.fingerprint(file.fileno())) == timeless(confined), row["path"]


def test_truncations_of_one_file_never_pass_for_whole() -> None:
    """A JPEG cut anywhere inside its pixels is never looked at whole."""
    stream = io.BytesIO()
    Image.effect_noise((200, 150), 80).save(stream, "JPEG")
    content = stream.getvalue()
    with WorkerPool(1) as pool:
        for cut in range(700, len(content) - 200, len(content) // 23):
            fd = os.memfd_create("cut")
            os.write(fd, content[:cut])
            looked = pool.fingerprint(fd).looked
            os.close(fd)
            assert looked.extent is not Extent.WHOLE
