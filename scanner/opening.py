"""Opening files safely: by key, below a root's descriptor, component by component, never by a path string.

Owns what a file is to us (`FileStat`), how a root and a file are opened, and how we tell that a file did not change
while it was read; and the files in memory that stand in for contents which lie in none.

Rules
- Every component is opened relative to its folder's descriptor with O_NOFOLLOW: no link is followed, nothing leaves
  the root.
- O_NONBLOCK and O_NOCTTY: opening a FIFO or a terminal neither hangs nor has an effect; only regular files are given.
- No failure is an exception and none carries a name: each is a closed value that maps on a `Reason`.
- The root itself may be a link: the operator named it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from scanner.types import Reason, Source

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER_FLAGS: Final = _FLAGS | os.O_DIRECTORY
_ROOT_FLAGS: Final = _FOLDER_FLAGS & ~os.O_NOFOLLOW

# The racy-clean rule: a file whose ctime is not this much older than the look could change again within one tick of the
# file system's clock and show the same times. Two seconds is FAT's tick, the coarsest (git: "racy git").
RACY_NS: Final = 2_000_000_000


@contextlib.contextmanager
def memory_file() -> Iterator[int]:
    """A file without a name, gone afterwards. Raises OSError."""
    fd = os.memfd_create("content", os.MFD_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def as_file(source: Source) -> Iterator[int]:
    """A descriptor of what is looked at; a file in memory, gone afterwards, where it has none. Raises OSError."""
    if isinstance(source, int):
        yield source
        return
    with memory_file() as fd:
        source.write_to(fd)
        yield fd


class Trouble(StrEnum):
    """Why a file could not be opened or read."""

    PERMISSION = "permission"
    IO = "io"
    VANISHED = "vanished"
    NOT_A_FILE = "not_a_file"
    NAME = "name"

    @property
    def reason(self) -> Reason:
        """The same as a reason of an outcome: what vanished or was replaced has changed while we looked."""
        return _REASONS[self]


_REASONS: Final = {
    Trouble.PERMISSION: Reason.PERMISSION,
    Trouble.IO: Reason.IO,
    Trouble.VANISHED: Reason.CHANGED,
    Trouble.NOT_A_FILE: Reason.CHANGED,
    Trouble.NAME: Reason.IO,
}


class RootTrouble(StrEnum):
    """Why a root could not be opened."""

    MISSING = "missing"
    NOT_A_FOLDER = "not_a_folder"
    PERMISSION = "permission"
    IO = "io"


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells one state of a file from another. All five equal and settled: not changed since."""

    dev: int
    ino: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """The device and inode of a root, read from its open descriptor: another file system mounted there is another."""

    dev: int
    ino: int


@dataclass(frozen=True, slots=True)
class Root:
    """An open root. Whoever opened it closes it."""

    fd: int
    identity: RootIdentity

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class RootUnavailable:
    """A root that could not be opened, and why."""

    trouble: RootTrouble


@dataclass(frozen=True, slots=True)
class Opened:
    """A regular file open for reading. Whoever opened it closes `fd`. `stat` was read from that descriptor."""

    fd: int
    stat: FileStat

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Unopenable:
    """A file that could not be opened, and why."""

    trouble: Trouble


def open_root(path: str | bytes | os.PathLike[str]) -> Root | RootUnavailable:
    """Open a root by its path and read its identity."""
    try:
        fd = os.open(path, _ROOT_FLAGS)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        return RootUnavailable(_root_trouble(exc))
    try:
        found = os.fstat(fd)
    except OSError as exc:
        os.close(fd)
        return RootUnavailable(_root_trouble(exc))
    return Root(fd, RootIdentity(found.st_dev, found.st_ino))


def open_file(root_fd: int, key: bytes) -> Opened | Unopenable:
    """Open the regular file that `key` names below the root, following no link."""
    with FileOpener(root_fd) as opener:
        return opener.open(key)


def file_stat(found: os.stat_result) -> FileStat:
    """The part of a stat result that matters here."""
    return FileStat(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def same_file(before: FileStat, after: FileStat) -> bool:
    """Whether nothing tells the two apart: device, inode, size, mtime and ctime (which utime cannot restore)."""
    return before == after


def is_settled(found: FileStat, looked_ns: int) -> bool:
    """Whether equal stats at a later walk will prove equal bytes: the last change was well before the look.

    `looked_ns` is the wall clock just before the file was read, nanoseconds since the epoch. A file that is not settled
    is recorded like any other, and read again at the next walk.
    """
    return found.ctime_ns < looked_ns - RACY_NS and found.mtime_ns < looked_ns - RACY_NS


def check_unchanged(root_fd: int, key: bytes, fd: int, before: FileStat) -> bool:
    """Whether the file read through `fd` is still what it was at `before`, and still what `key` names.

    Catches append, truncate, overwrite in place (with or without its times restored), rename over it, and unlink.
    """
    with FileOpener(root_fd) as opener:
        return opener.unchanged(key, fd, before)


class FileOpener:
    """Opens files below one root, keeping the last file's folder open: cheap for many keys of one folder in a row.

    Not for several threads at once. A folder stays open until a key of another folder comes, or `close()`.
    """

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._folder_key: bytes | None = None
        self._folder_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept folder; the root's descriptor is the caller's."""
        if self._folder_key is not None:
            os.close(self._folder_fd)
            self._folder_key, self._folder_fd = None, -1

    def open(self, key: bytes) -> Opened | Unopenable:
        """Open the regular file that `key` names, following no link."""
        if not is_key(key):
            return Unopenable(Trouble.NAME)
        folder_key, _, name = key.rpartition(b"/")
        try:
            fd = os.open(name, _FLAGS, dir_fd=self._folder(folder_key))
        except OSError as exc:
            return Unopenable(trouble_of(exc))
        try:
            found = os.fstat(fd)
        except OSError as exc:
            os.close(fd)
            return Unopenable(trouble_of(exc))
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            return Unopenable(Trouble.NOT_A_FILE)
        return Opened(fd, file_stat(found))

    def unchanged(self, key: bytes, fd: int, before: FileStat) -> bool:
        """`check_unchanged` through the kept folder."""
        folder_key, _, name = key.rpartition(b"/")
        try:
            if not same_file(before, file_stat(os.fstat(fd))):
                return False
            named = os.stat(name, dir_fd=self._folder(folder_key), follow_symlinks=False)
        except OSError:
            return False
        return same_file(before, file_stat(named))

    def _folder(self, folder_key: bytes) -> int:
        """The descriptor of the folder; the root's own for the empty key. Raises OSError."""
        if not folder_key:
            return self._root_fd
        if folder_key != self._folder_key:
            self.close()
            self._folder_fd = open_below(self._root_fd, folder_key.split(b"/"))
            self._folder_key = folder_key
        return self._folder_fd


def open_folder(folder_fd: int, name: bytes) -> int:
    """Open the folder `name` (or b"." for itself) relative to an open one, following no link. Raises OSError."""
    return os.open(name, _FOLDER_FLAGS, dir_fd=folder_fd)


def open_below(root_fd: int, components: Sequence[bytes]) -> int:
    """Open a folder below the root, one component after the other; with none, the root itself anew. Raises OSError."""
    fd = open_folder(root_fd, b".")
    for name in components:
        try:
            below = open_folder(fd, name)
        finally:
            os.close(fd)
        fd = below
    return fd


def is_key(key: bytes) -> bool:
    """Whether `key` could name something strictly below a root: no NUL, no empty, "." or ".." component."""
    return b"\x00" not in key and not any(part in (b"", b".", b"..") for part in key.split(b"/"))


def trouble_of(exc: OSError) -> Trouble:
    """The closed reason of a failed open or stat. ELOOP: a link; ENXIO: a socket, or a device without its driver."""
    return _TROUBLES.get(exc.errno or 0, Trouble.IO)


_TROUBLES: Final = {
    errno.EACCES: Trouble.PERMISSION,
    errno.EPERM: Trouble.PERMISSION,
    errno.ENOENT: Trouble.VANISHED,
    errno.ENOTDIR: Trouble.VANISHED,
    errno.ESTALE: Trouble.VANISHED,
    errno.ELOOP: Trouble.NOT_A_FILE,
    errno.ENXIO: Trouble.NOT_A_FILE,
    errno.ENODEV: Trouble.NOT_A_FILE,
    errno.EISDIR: Trouble.NOT_A_FILE,
    errno.ENAMETOOLONG: Trouble.NAME,
    errno.EINVAL: Trouble.NAME,
    errno.EILSEQ: Trouble.NAME,
}


def _root_trouble(exc: OSError | ValueError) -> RootTrouble:
    if not isinstance(exc, OSError):
        return RootTrouble.MISSING
    if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG):
        return RootTrouble.MISSING
    if exc.errno == errno.ENOTDIR:
        return RootTrouble.NOT_A_FOLDER
    return RootTrouble.PERMISSION if exc.errno in (errno.EACCES, errno.EPERM) else RootTrouble.IO
