"""A listening Unix socket: born closed to all, opened to whom it is for after that.

One left by a process that is gone is replaced, also one it had not opened yet; one that somebody answers on is not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def listening(path: str, mode: int, group: int | None, backlog: int) -> socket.socket:
    """The socket at a path, not blocking. Raises OSError."""
    _make_way(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before, bound = os.umask(0o777), False
    try:
        made.bind(path)
        bound = True
        if group is not None:
            os.chown(path, -1, group)
        os.chmod(path, mode)
        made.listen(backlog)
    except OSError:
        made.close()
        if bound:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise
    finally:
        os.umask(before)
    made.setblocking(False)
    return made


def user_of(connection: socket.socket) -> int:
    """The user at the other end, as the kernel knows it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _make_way(path: str) -> None:
    """Take away a socket nobody answers on any more. Raises OSError where somebody may, or where it is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        return  # bind says that the address is in use
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            pass
        except PermissionError:
            if stat.S_IMODE(mode):
                raise
            # Born, and never opened: who made it was ended in between.
        else:
            return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
