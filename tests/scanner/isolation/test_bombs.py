"""Small files that cost much end with one outcome, within budget, in bounded memory, and the pool goes on."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from scanner.fingerprint import Limits
from scanner.isolation.pool import WorkerPool
from scanner.ledger.contents import NEVER_LOOKED, folded
from scanner.types import WHOLE, Extent, Fingerprint, Reason, Resume
from tests.scanner.isolation import bombs

LIMITS = Limits(image_s=0.5, video_s=0.5, wall_factor=60.0)  # what is late here is late by its own work
MOST_PEAK_MIB = 256
BUSY_S = 60.0  # what a busy machine may add


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1, LIMITS, files_per_worker=1) as running:
        yield running


@contextmanager
def peak_of_workers(pool: WorkerPool) -> Iterator[list[int]]:
    """The greatest resident size, in MiB, that any worker of a pool reached."""
    peak = [0]
    over = threading.Event()
    zygote = pool._zygote._process.pid
    workers = Path(f"/proc/{zygote}/task/{zygote}/children")

    def watch() -> None:
        while not over.wait(0.01):
            for pid in workers.read_text().split():
                with suppress(OSError):  # it has ended
                    reached = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                    peak[0] = max(peak[0], int(reached[1]) // 1024 if reached else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def take(pool: WorkerPool, path: Path, resume: Resume | None = None) -> tuple[Fingerprint, float, int]:
    """The answer, the seconds it took, and the peak memory in MiB."""
    fd = os.open(path, os.O_RDONLY)
    start = time.monotonic()
    try:
        with peak_of_workers(pool) as peak:
            found = pool.fingerprint(fd, resume)
    finally:
        os.close(fd)
    return found, time.monotonic() - start, peak[0]


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bombs_are_bounded(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    """Never whole, never a crash, never more than the wall budget and 256 MiB; the next file is looked at whole."""
    path = tmp_path / "bomb"
    path.write_bytes(bombs.BOMBS[name]())
    found, took, peak_mib = take(pool, path)

    assert found.looked.extent is not Extent.WHOLE
    assert found.looked.reason in (Reason.OVER_BUDGET, Reason.TIMEOUT, Reason.TRUNCATED)
    assert took < LIMITS.image_s * LIMITS.wall_factor + BUSY_S
    assert peak_mib <= MOST_PEAK_MIB
    path.write_bytes(bombs.small_png())
    assert WHOLE == take(pool, path)[0].looked


@pytest.mark.parametrize("name", bombs.TABLES)
def test_absurd_tables_are_bounded(pool: WorkerPool, tmp_path: Path, name: str) -> None:
    """A film whose tables promise billions of samples has one outcome, in bounded memory; unseen it is not clear."""
    path = tmp_path / "film"
    path.write_bytes(bombs.mp4_with_tables(name))
    found, _, peak_mib = take(pool, path)

    assert found.looked.reason in (None, Reason.UNDECODABLE, Reason.TRUNCATED, Reason.OVER_BUDGET)
    assert found.signals or found.looked.extent is not Extent.WHOLE
    assert peak_mib <= MOST_PEAK_MIB
    path.write_bytes(bombs.small_png())
    assert WHOLE == take(pool, path)[0].looked


# A look at an animation draws all that came before again, so it needs ever more time; one at a film goes on where the
# last one ended, however small its part of the time.
ANIMATED = Limits(image_s=5.0, video_s=5.0, video_most_s=20.0)
LONG: dict[str, tuple[Limits, Callable[[], bytes]]] = {
    "gif": (ANIMATED, lambda: bombs.gif_many_frames(64, 100_000)),
    "apng": (ANIMATED, lambda: bombs.apng_many_frames(64, 100_000)),
    "mp4": (Limits(video_s=2.0, video_most_s=2.0), bombs.mp4_many_keyframes),
}


@pytest.mark.prove
@pytest.mark.parametrize("name", LONG)
def test_long_things_are_looked_at_piece_by_piece(tmp_path: Path, name: str) -> None:
    """A hundred thousand frames: one outcome a look, each within its budget and 256 MiB, and whole in the end."""
    limits, make = LONG[name]
    path = tmp_path / "long"
    path.write_bytes(make())
    seen, looks = NEVER_LOOKED, 0
    with WorkerPool(1, limits) as pool:
        while seen.looked.reason is not None and looks < 50:
            budget_s = limits.cpu_s(True, None, seen.resume)
            found, took, peak_mib = take(pool, path, seen.resume)
            seen, looks = folded(seen, found), looks + 1

            assert took < budget_s * limits.wall_factor + 1.0
            assert peak_mib <= MOST_PEAK_MIB
            assert found.looked.reason in (None, Reason.OVER_BUDGET, Reason.TIMEOUT)

    assert WHOLE == seen.looked
    assert looks > 1
    assert (200 if name == "mp4" else 1) <= len(seen.signals)


@pytest.mark.parametrize(
    ("head", "signals", "clear"),
    [
        (bombs.small_png(), True, None),  # what may lie behind the picture is searched for as far as the time goes
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", False, False),
        (b"\x80\x01" * 50, False, True),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", False, False),
    ],
)
def test_ten_gigabytes_of_nothing(
    pool: WorkerPool, tmp_path: Path, head: bytes, signals: bool, clear: bool | None
) -> None:
    """A sparse file costs no more than any content may; a picture in front of it is looked at, and the rest is owed."""
    path = tmp_path / "sparse"
    bombs.sparse(path, head)
    found, took, peak_mib = take(pool, path)
    path.unlink()

    assert signals == bool(found.signals)
    if clear is None:
        assert found.looked == WHOLE or found.looked.reason in (Reason.TIMEOUT, Reason.OVER_BUDGET)
    else:
        assert clear == (found.looked == WHOLE)
    assert took < LIMITS.image_s * LIMITS.wall_factor + BUSY_S
    assert peak_mib <= MOST_PEAK_MIB


def test_half_an_animation_is_kept_when_time_is_up(pool: WorkerPool, tmp_path: Path) -> None:
    """What a worker told before it was killed or stopped is part of the answer."""
    path = tmp_path / "bomb"
    path.write_bytes(bombs.gif_many_frames())
    found, _, _ = take(pool, path)

    assert Extent.PARTIAL is found.looked.extent
    assert found.signals
