"""Files of others on file systems that may never answer (network, FUSE): asked in threads that can be given up.

Rules
- Nothing of such a file is done in the loop or in a thread that anybody else waits for: neither read nor stat, nor
  close, which waits for a FUSE server too.
- A thread that does not come back in time is given up. So many of them, and nothing more is asked until some are back.
- One file system gets a quarter of the threads at most: where it hangs, those of others are still asked.
- What somebody opened in a thread that was given up is closed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Final, TypeVar

T = TypeVar("T")

MOST_THREADS: Final = 64
NAMING_THREADS: Final = 16  # apart from those: for paths of files that lie here, which may lead elsewhere by now
ANSWER_S: Final = 30.0  # a network file system that is only busy comes back sooner
WALK_S: Final = 300.0  # for the next file of a folder, which may be one of a million
# By their names in /proc/self/mountinfo: on a disk of this machine, or in its memory.
_LOCAL: Final = frozenset(
    b"bcachefs btrfs devtmpfs erofs exfat ext2 ext3 ext4 f2fs hfsplus iso9660 jfs msdos nilfs2 ntfs3 overlay ramfs"
    b" reiserfs rootfs squashfs tmpfs ubifs udf vfat xfs zfs".split()
)


class Unanswered(OSError):
    """A file system has not answered in time, or too many calls wait for one that does not."""


def is_local(fd: int) -> bool:
    """Whether a file lies on a file system of this machine, asked of the kernel alone.

    False where that cannot be told: in a mount of another namespace, or in none.
    """
    mount = mount_of(fd)
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            for line in mounts:
                if line.startswith(mount + b" "):
                    return line.rpartition(b" - ")[2].split()[0] in _LOCAL
    except (OSError, IndexError):
        pass
    return False


def mount_of(fd: int) -> bytes:
    """The kernel's number of the mount an open file lies in; nothing where it cannot be told."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as about:
            return next((line.split()[1] for line in about if line.startswith(b"mnt_id:")), b"")
    except (OSError, IndexError):
        return b""


def folder_of(folders: Iterable[bytes], path: bytes) -> bytes:
    """The first of these that a path seems to lie below, asked of no file system; nothing where it is none."""
    return next((each for each in folders if path.startswith(each.rstrip(b"/") + b"/") or path == each), b"")


def let_go(fd: int) -> None:
    """Close a descriptor, waiting for nobody."""
    if is_local(fd):
        _closed(fd)
    else:
        threading.Thread(target=_closed, args=(fd,), name="outside", daemon=True).start()


def _closed(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


class Outside:
    """See the module. Used in one loop."""

    def __init__(self, most: int = MOST_THREADS, local: Callable[[int], bool] = is_local) -> None:
        self._free = asyncio.Semaphore(most)
        self._most_of_one = max(1, most // 4)
        self._at_work: dict[bytes, int] = {}
        self._came_back = asyncio.Event()
        self.is_local = local

    async def call(
        self,
        work: Callable[[], T],
        within_s: float = ANSWER_S,
        undo: Callable[[T], object] | None = None,
        of: int | bytes = b"",
    ) -> T:
        """What `work` gives, in a thread of its own. Raises Unanswered; `undo` gets what then still came of it.

        `of` tells which file system is asked: by a file that is open there, or by the configured folder it lies below.
        """
        loop = asyncio.get_running_loop()
        mount = of if isinstance(of, bytes) else mount_of(of)
        try:
            async with asyncio.timeout(within_s):
                await self._turn_of(mount)
        except TimeoutError:
            raise Unanswered from None
        told: asyncio.Future[T] = loop.create_future()
        back = partial(self._back, told, undo, mount)
        threading.Thread(target=_run, args=(loop, work, back), name="outside", daemon=True).start()
        try:
            return await asyncio.wait_for(told, within_s)
        except TimeoutError:
            raise Unanswered from None

    async def _turn_of(self, mount: bytes) -> None:
        """Wait until a thread may ask this file system, and take that for one."""
        while mount and self._at_work.get(mount, 0) >= self._most_of_one:
            self._came_back.clear()
            await self._came_back.wait()
        self._at_work[mount] = self._at_work.get(mount, 0) + 1
        try:
            await self._free.acquire()
        except BaseException:
            self._leave(mount)
            raise

    def _leave(self, mount: bytes) -> None:
        self._at_work[mount] -= 1
        if not self._at_work[mount]:
            del self._at_work[mount]
        self._came_back.set()

    def _back(
        self, told: asyncio.Future[T], undo: Callable[[T], object] | None, mount: bytes, brought: Future[T]
    ) -> None:
        """A thread has come back. Nobody waits for it where it was given up."""
        self._free.release()
        self._leave(mount)
        error = brought.exception()
        if not told.done():
            if error is not None:
                told.set_exception(error)
            else:
                told.set_result(brought.result())
        elif error is None and undo is not None:
            threading.Thread(target=undo, args=(brought.result(),), name="outside", daemon=True).start()


def _run(loop: asyncio.AbstractEventLoop, work: Callable[[], T], back: Callable[[Future[T]], None]) -> None:
    brought: Future[T] = Future()
    try:
        brought.set_result(work())
    except Exception as error:
        brought.set_exception(error)
    with contextlib.suppress(RuntimeError):  # the loop is gone: so is whoever asked
        loop.call_soon_threadsafe(back, brought)
