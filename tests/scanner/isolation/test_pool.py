"""Workers in hostile hands cost one file at most, and the pool is whole again at once."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scanner.errors import IsolationError
from scanner.fingerprint import Limits, Options
from scanner.isolation import records
from scanner.isolation.handle import Worker
from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool, _Task
from scanner.types import WHOLE, Extent, Fingerprint, MediaKind, Reason, Stopped, never, partial
from tests.scanner.isolation.hostile import GOOD, MANY

HOSTILE = "tests.scanner.isolation.hostile:answer"
# By the clock there is more than any machine stands still for: what is late here is late by its own work.
LIMITS = Limits(image_s=1.0, video_s=1.0, wall_factor=100.0, signals=100)
HURRIED = Limits(image_s=0.3, video_s=0.5)
WAIT_S = 60.0
MOST_TRIES = 10
CRASHES = "STOP UNHANG SEGFAULT ABORT EXIT FORK ALLOCATE SHORT LONG HUGE EMPTY TYPE HASHTYPE QUALITY VALUE"


class Ask:
    """Puts contents to a pool."""

    def __init__(self, pool: WorkerPool, folder: Path) -> None:
        self.pool = pool
        self.folder = folder

    def __call__(self, content: bytes) -> Fingerprint:
        path = self.folder / f"content-{time.monotonic_ns()}"
        path.write_bytes(content)
        fd = os.open(path, os.O_RDONLY)
        try:
            return self.pool.fingerprint(fd)
        finally:
            os.close(fd)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with WorkerPool(2, LIMITS, answer=HOSTILE) as pool:
        yield Ask(pool, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with WorkerPool(1, HURRIED, answer=HOSTILE) as pool:
        yield Ask(pool, tmp_path_factory.mktemp("hurried"))


def picture(side: int = 80) -> bytes:
    encoded = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).save(encoded, "PNG")
    return encoded.getvalue()


def film(folder: Path, side: int) -> bytes:
    """A short film."""
    path = folder / f"film-{side}.avi"
    written = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (side, side))
    for number in range(8):
        written.write(np.full((side, side, 3), 20 * number, np.uint8))
    written.release()
    return path.read_bytes()


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def family(pid: int) -> list[int]:
    below = children(pid)
    return below + [each for child in below for each in family(child)]


def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_worker_and_process_agree(tmp_path: Path) -> None:
    """A worker gives exactly what the same code gives in this process."""
    with WorkerPool(1) as pool:
        contents = (picture(), picture(300)[:-900], b"plain text", b"", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100)
        for content in contents:
            path = tmp_path / "content"
            path.write_bytes(content)
            fd = os.open(path, os.O_RDONLY)

            assert InProcess().fingerprint(fd) == pool.fingerprint(fd)
            os.close(fd)


class Held:
    """A content in memory, in two pieces."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size_bytes = content, len(content)
        self.written = 0

    def write_to(self, fd: int) -> None:
        self.written += 1
        os.ftruncate(fd, self.size_bytes)
        half = self.size_bytes // 2
        os.pwrite(fd, self.content[half:], half)
        os.pwrite(fd, self.content[:half], 0)


def test_what_lies_in_memory_is_seen_as_a_file_of_it_is(tmp_path: Path) -> None:
    """One worker has them in the same file one after the other, short after long: nothing of one is seen in another."""
    sides = (300, 20, 800, 21, 300)
    contents = [
        *map(picture, sides),
        b"",
        picture(40)[:-30],
        b"plain text",
        *(film(tmp_path, side) for side in (320, 64)),
    ]
    with WorkerPool(1) as pool:
        for content in (*contents, *reversed(contents)):
            seen = pool.fingerprint(Held(content))

            assert Ask(pool, tmp_path)(content) == seen
            assert InProcess().fingerprint(Held(content)) == seen


def test_a_worker_finds_nothing_of_other_contents_behind_its_own(hostile: Ask) -> None:
    """However long they were."""
    for length in (100_000, 10, 5000):
        seen = hostile.pool.fingerprint(Held(b"BEYOND " + bytes(length)))
        assert ([0], WHOLE) == ([one.quality for one in seen.signals], seen.looked)


def test_what_lies_in_memory_is_laid_out_again_for_the_worker_that_replays_it(hostile: Ask) -> None:
    """It gets what the one before it had, whatever that one did to it; and the next content is its own."""
    content = Held(b"SEGFAULT")
    assert Reason.CRASH is hostile.pool.fingerprint(content).looked.reason
    assert content.written == 2

    assert WHOLE == hostile.pool.fingerprint(Held(picture())).looked


def test_what_cannot_be_laid_out_is_an_error_and_costs_no_worker(hostile: Ask) -> None:
    """No room: nothing is known of the content, and the next is looked at."""

    class Unwritable(Held):
        def write_to(self, fd: int) -> None:
            raise OSError(errno.ENOSPC, "no room")

    before = family(os.getpid())
    for _ in range(3):
        with pytest.raises(OSError, match="no room"):
            hostile.pool.fingerprint(Unwritable(b"x"))

    assert set(before) <= set(family(os.getpid()))
    assert WHOLE == hostile.pool.fingerprint(Held(picture())).looked


def test_no_worker_has_the_file_of_another_and_none_is_left(tmp_path: Path) -> None:
    """Else one that was taken over could read, or change, what another is given."""
    before, files = scratch_files(), []
    with WorkerPool(1, files_per_worker=2) as pool:
        for _ in range(5):
            pool.fingerprint(Held(picture()))
            files.append(scratch_files() - before)
    assert [1, 0, 1, 0, 1] == [len(each) for each in files]
    assert before == scratch_files()


def test_a_tidied_pool_holds_nothing_of_what_it_was_given() -> None:
    """Idle workers do not; those at work are left alone; all are there afterwards."""
    with WorkerPool(2) as pool:
        with ThreadPoolExecutor(2) as callers:
            list(callers.map(pool.fingerprint, [Held(picture(side)) for side in (100, 200, 300, 400)]))
        workers = [worker for worker in pool._places.queue if worker is not None]
        assert any(os.fstat(worker.scratch).st_size for worker in workers if worker.scratch >= 0)
        order = list(pool._places.queue)
        pool.tidy()

        assert order == list(pool._places.queue)
        assert [0] == list({os.fstat(worker.scratch).st_size for worker in workers if worker.scratch >= 0})
        assert WHOLE == pool.fingerprint(Held(picture())).looked


def scratch_files() -> set[int]:
    """The inodes of all that this process has open; numbers of memory files are not used twice."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if "scratch" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(os.stat(f"/proc/self/fd/{name}").st_ino)
    return found


@pytest.mark.parametrize("deed", CRASHES.split())
def test_a_crash_keeps_what_was_told(hostile: Ask, deed: str) -> None:
    """A worker that dies or lies leaves partial(crash) with what it told; the next file is looked at whole."""
    found = hostile(deed.encode())

    assert (Extent.PARTIAL, Reason.CRASH) == (found.looked.extent, found.looked.reason)
    assert 1 <= len(found.signals) <= 2
    assert WHOLE == hostile(picture()).looked


@pytest.mark.parametrize("deed", ["SPIN", "SLEEP"])
def test_a_worker_that_does_not_come_back_is_killed(hurried: Ask, deed: str) -> None:
    """Time up, by CPU or by the wall clock: killed, its signal kept, and the next file is looked at whole. How soon
    after the budget is measured in test_budgets."""
    found = []
    while not found or not (found[-1].signals or len(found) == MOST_TRIES):  # it may stand still before its deed
        found.append(hurried(deed.encode()))
    after = [hurried(picture())]
    while after[-1].looked != WHOLE and len(after) < MOST_TRIES:
        after.append(hurried(picture()))

    assert {Reason.TIMEOUT} == {each.looked.reason for each in found}
    assert (Extent.PARTIAL, 1) == (found[-1].looked.extent, len(found[-1].signals))
    assert WHOLE == after[-1].looked
    assert {Reason.TIMEOUT} >= {each.looked.reason for each in after[:-1]}


@pytest.mark.parametrize("ended", [True, False])
def test_what_was_told_before_time_was_up_counts(ended: bool) -> None:
    """A machine that stood still past the end of a content's time loses nothing that its worker had said."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    heard, rung = os.pipe2(os.O_NONBLOCK)
    with ours, theirs, io.FileIO(heard) as bell, io.FileIO(rung, "w"), open(os.devnull, "rb") as file:
        theirs.send(GOOD)
        if ended:
            theirs.send(records.pack_end(MediaKind.IMAGE, WHOLE))
        task = _Task(Worker(os.getpid(), ours, bell), file.fileno(), Limits(image_s=-1.0), None)
        looked = task.run(never)

    assert (WHOLE if ended else partial(Reason.TIMEOUT), 1) == (looked, len(task.signals))


@pytest.mark.parametrize("deed", ["RING", "SILENCE"])
def test_a_bell_is_not_believed(hostile: Ask, deed: str) -> None:
    """One that rings for nothing, again and again, ends nothing; what was told without ringing is found anyway."""
    with WorkerPool(1, LIMITS, answer=HOSTILE) as pool:  # its own: the silent worker takes no other file
        found = Ask(pool, hostile.folder)(deed.encode())

    assert (WHOLE, 1) == (found.looked, len(found.signals))


def test_more_than_a_socket_holds_is_told(hostile: Ask) -> None:
    """A worker that has no room left for what it tells has its parent read, and goes on: nothing is lost."""
    with WorkerPool(1, Limits(signals=10_000), answer=HOSTILE) as pool:
        found = Ask(pool, hostile.folder)(b"MUCH")

    assert (WHOLE, 1 + MANY) == (found.looked, len(found.signals))


@pytest.mark.parametrize("deed", ["FLOOD", "CROWD"])
def test_a_flood_of_signals_is_stopped(hostile: Ask, deed: str) -> None:
    """More signals than the limit end the content as over budget; none beyond the limit is kept."""
    found = hostile(deed.encode())

    assert (Extent.PARTIAL, Reason.OVER_BUDGET) == (found.looked.extent, found.looked.reason)
    assert LIMITS.signals == len(found.signals)


def test_an_absurd_duration_buys_no_time(hostile: Ask) -> None:
    """A duration no video has is a bad record."""
    assert Reason.CRASH is hostile(b"DURATION").looked.reason


def test_hostile_files_among_many_harm_only_themselves(hostile: Ask) -> None:
    """With two callers and every tenth file hostile, every other file gets its fingerprint."""
    contents = [b"ABORT" if n % 10 == 0 else picture(40 + n) for n in range(60)]
    with ThreadPoolExecutor(2) as callers:
        found = list(callers.map(hostile, contents))

    assert [n % 10 == 0 for n in range(60)] == [each.looked.reason is Reason.CRASH for each in found]


def test_a_look_that_nobody_waits_for_ends(hostile: Ask) -> None:
    """A worker that spins is killed once its caller says stop, long before its time is up; the pool goes on."""
    fd = os.memfd_create("content")
    os.write(fd, b"SPIN")
    with WorkerPool(1, Limits(image_s=600), answer=HOSTILE) as pool:
        with ThreadPoolExecutor(1) as caller:
            stopping = threading.Event()
            spinning = caller.submit(pool.fingerprint, fd, None, stopping.is_set)
            until(lambda: family(pool._zygote._process.pid))
            assert not spinning.done()
            stopping.set()
            with pytest.raises(Stopped):
                spinning.result(WAIT_S)

        assert WHOLE == Ask(pool, hostile.folder)(picture()).looked
    os.close(fd)


def test_a_killed_worker_and_a_killed_zygote_are_replaced(hostile: Ask) -> None:
    """Processes killed from outside while idle are replaced, and the next file is looked at whole. How soon after is
    measured in test_hostile_share."""
    hostile(picture())
    zygote = hostile.pool._zygote._process.pid
    os.kill(children(zygote)[0], signal.SIGKILL)
    assert WHOLE == hostile(picture()).looked
    os.kill(zygote, signal.SIGKILL)

    assert WHOLE == hostile(picture()).looked


def test_workers_are_recycled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker meets more files than its share."""
    with WorkerPool(1, files_per_worker=3) as pool:
        ask = Ask(pool, tmp_path)
        seen = set()
        for _ in range(9):
            ask(picture())
            seen.update(family(os.getpid()))

        assert len(seen) >= 4


def test_close_leaves_nobody(tmp_path: Path) -> None:
    """After close no process is left, even one that spins; a later call says that the pool is closed."""
    before = set(family(os.getpid()))
    pool = WorkerPool(2, Limits(image_s=60), answer=HOSTILE)
    ask = Ask(pool, tmp_path)
    with ThreadPoolExecutor(1) as caller:
        spinning = caller.submit(ask, b"SPIN")
        until(lambda: len(set(family(os.getpid())) - before) >= 2)
        pool.close()
        with pytest.raises(IsolationError):
            spinning.result(WAIT_S)
    until(lambda: not set(family(os.getpid())) - before)

    with pytest.raises(IsolationError):
        ask(picture())


def test_a_killed_parent_leaves_nobody() -> None:
    """When the parent is killed outright, zygote and workers, busy ones too, end by themselves."""
    program = (
        "import os, sys, threading, time\n"
        "from scanner.isolation.pool import WorkerPool\n"
        "from scanner.fingerprint import Limits\n"
        f"pool = WorkerPool(2, Limits(image_s=600), answer={HOSTILE!r})\n"
        "fd = os.memfd_create('content')\n"
        "os.write(fd, b'SPIN')\n"
        "threading.Thread(target=pool.fingerprint, args=(fd,), daemon=True).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert "ready\n" == parent.stdout.readline()
    until(lambda: len(family(parent.pid)) >= 2)
    below = family(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def test_options_reach_the_worker(tmp_path: Path) -> None:
    """What is asked for is computed in the worker, with recipes that say so."""
    with WorkerPool(1, options=Options(hash_types=("phash", "whash"))) as pool:
        found = Ask(pool, tmp_path)(picture())

    assert MediaKind.IMAGE is found.media
    assert ["image/pdq/1", "image/phash/1", "image/whash/1"] == [each.recipe for each in found.signals]
