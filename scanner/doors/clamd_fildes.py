"""A descriptor that a clamd client sent: whether it can be looked at, and the path that its file is found again by."""

from __future__ import annotations

import fcntl
import os
import stat

from scanner.doors import clamd_replies as replies
from scanner.doors.rules import MAX_REF_BYTES


def refusal(fd: int) -> bytes | None:
    """Why nothing can be read through it, as the reply says it; None where it can.

    clamd itself says OK to a descriptor that is open for writing only, of a listed file.
    """
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return replies.NOT_REGULAR
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    except OSError:
        return replies.NOT_READABLE
    if flags & os.O_PATH or flags & os.O_ACCMODE not in (os.O_RDONLY, os.O_RDWR):
        return replies.NOT_READABLE
    return None


def ref_of(fd: int) -> bytes | None:
    """The path of the file while it has one: what the platform knows it by. May wait for another file system."""
    try:
        path = os.readlink(b"/proc/self/fd/%d" % fd)
        named = os.stat(path, follow_symlinks=False)
        meant = os.fstat(fd)
    except (OSError, ValueError):
        return None
    same = (named.st_dev, named.st_ino) == (meant.st_dev, meant.st_ino)
    return path if same and path.startswith(b"/") and len(path) <= MAX_REF_BYTES else None
