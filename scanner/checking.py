"""Whatever a program holds a content in, as a regular file that can be read by its descriptor.

Rules
- A path is opened without following links in its last part, and only a regular file is read.
- What is no regular file is copied once, to memory and beyond a bound to a file without a name; nothing stays behind.
- A file object is looked at whole, wherever it stands, and left standing there: one just written or read stands at its
  end, and what is behind that would be nothing, and clear. Only what cannot be wound back is read from where it stands.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import IO, Final, TypeAlias

from scanner.errors import UsageError
from scanner.opening import memory_file

Checkable: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]

_MEMORY_BYTES: Final = 64 * 2**20
_PIECE_BYTES: Final = 2**20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextlib.contextmanager
def readable(content: Checkable) -> Iterator[int]:
    """A descriptor of a regular file with that content. Raises UsageError, OSError."""
    if isinstance(content, (bytes, bytearray, memoryview)):
        with memory_file() as fd:
            _write(fd, memoryview(content).cast("B"))
            yield fd
    elif isinstance(content, (str, os.PathLike)):
        fd = os.open(content, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UsageError("There is no regular file at that path.")
            yield fd
        finally:
            os.close(fd)
    elif hasattr(content, "read"):
        yield from _of_file(content)
    else:
        raise UsageError("What is checked is bytes, an open binary file, or the path of one.")


def _of_file(file: IO[bytes]) -> Iterator[int]:
    fd = _plain(file)
    if fd is not None:
        yield fd
        return
    with tempfile.TemporaryFile() if _is_large(file) else _memory_file() as copy:
        with _wound_back(file):
            _copy(file, copy)
        copy.flush()
        yield copy.fileno()


def _copy(file: IO[bytes], copy: IO[bytes]) -> None:
    while piece := file.read(_PIECE_BYTES):
        if not isinstance(piece, bytes):
            raise UsageError("Open the file in binary mode: its bytes are what is compared.")
        copy.write(piece)


@contextlib.contextmanager
def _wound_back(file: IO[bytes]) -> Iterator[None]:
    """It stands at its beginning meanwhile, if it can be moved."""
    try:
        at = file.tell()
        file.seek(0)
    except (OSError, AttributeError, ValueError):  # io.UnsupportedOperation is both of the outer ones
        yield
        return
    try:
        yield
    finally:
        file.seek(at)


def _plain(file: IO[bytes]) -> int | None:
    """The descriptor of a file that lies on disk as it is: opened unbuffered, or for reading alone."""
    try:
        fd = file.fileno()
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
    except (OSError, AttributeError, ValueError):
        return None
    if not is_regular or file.writable() or not _is_raw_or_buffered(file):
        return None
    return fd


def _is_raw_or_buffered(file: IO[bytes]) -> bool:
    """Whether what it reads is what its descriptor holds: a decompressor has a descriptor too, of something else."""
    import io

    return isinstance(file, (io.FileIO, io.BufferedReader)) and isinstance(getattr(file, "raw", file), io.FileIO)


def _is_large(file: IO[bytes]) -> bool:
    try:
        at = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(at)
    except (OSError, AttributeError, ValueError):
        return True
    return end > _MEMORY_BYTES


def _memory_file() -> IO[bytes]:
    return os.fdopen(os.memfd_create("content", os.MFD_CLOEXEC), "w+b")


def _write(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]
