"""Lists that are SQLite databases, opened in a process that gave up everything first.

`read_database` is what `hashsets.formats` is given to open such a list. The process is started for that one list,
enters the workers' sandbox (`confine`), and only then gets the list's descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator

from hashsets.errors import ListError
from hashsets.listed_rows import MOST_MESSAGE_BYTES, REFUSALS, Refusal
from scanner.isolation.confinement import available, confine, no_core_dumps
from scanner.isolation.starting import start_clean

# Imports neither package's front door, which would bring decoders and network clients along.
_BOOT = """
import sys, types
for name, path in (("scanner", sys.argv[1]), ("scanner.isolation", sys.argv[1] + "/isolation")):
    front = types.ModuleType(name)
    front.__path__ = [path]
    sys.modules[name] = front
from scanner.isolation.databases import main
main(int(sys.argv[2]))
"""
MEMORY_BYTES = 512 * 1024 * 1024
START_S = 60.0
SILENCE_S = 300.0  # the longest between two messages: fifty million steps of SQLite on a slow disk
_SIZE = struct.Struct("=Q")
_CONFINED = b"confined"
_PENDING_BYTE = 0x40000000
_FLOCK = struct.Struct("@hhqqi4x")


def read_database(fd: int) -> Iterator[bytes]:
    """What a confined process says of the database behind `fd`: see `hashsets.listed_rows`. Raises ListError."""
    if not available().complete:
        raise ListError(
            "a SQLite database is opened in a sandbox alone, and this kernel has not both Landlock and seccomp: export"
            " its table as CSV elsewhere"
        )
    _share(fd)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = start_clean(_BOOT, theirs.fileno())
        try:
            if _message(ours, START_S) != _CONFINED:
                raise ListError("the process that reads databases cannot be started: is the package apsw installed?")
            socket.send_fds(ours, [_SIZE.pack(os.fstat(fd).st_size)], [fd])
            while message := _message(ours, SILENCE_S):
                yield message
        finally:
            process.kill()
            process.wait()


def _share(fd: int) -> None:
    """Hold off writers, as SQLite's own readers do, until the descriptor is closed. Raises ListError where one is.

    A lock of the open file, not of the process: it neither joins nor drops what we hold by other descriptors.
    Source: SQLite's os.h (PENDING_BYTE and what follows it), fcntl(2).
    """
    try:
        for start, length in ((_PENDING_BYTE, 1), (_PENDING_BYTE + 2, 510)):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, length, 0))
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, _PENDING_BYTE, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise ListError("another program is writing to the database: let it finish, then import it") from None
        # else a file system without locks, on which nobody's would hold


def _message(channel: socket.socket, timeout_s: float) -> bytes:
    """The next message; b"" when the process has ended."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    if not poll.poll(timeout_s * 1000):
        raise ListError(REFUSALS[Refusal.DAMAGED])
    try:
        return channel.recv(MOST_MESSAGE_BYTES + 1)
    except OSError:
        return b""


def main(fd: int) -> None:
    """In the process: load what is needed, give up the rest, and read one list."""
    from hashsets.foreign import tell

    no_core_dumps()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=os.dup2(fd, 3) if fd != 3 else fd)
    confine(MEMORY_BYTES, channel.fileno())
    channel.send(_CONFINED)
    message, fds, _, _ = socket.recv_fds(channel, _SIZE.size, 1)
    if len(message) == _SIZE.size and len(fds) == 1:
        tell(fds[0], _SIZE.unpack(message)[0], channel)
    channel.close()
    os._exit(0)
