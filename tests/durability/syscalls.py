"""Counting, stopping and failing what a process asks of the file system, SQLite's own calls included.

A child puts a seccomp filter on itself that hands every call of a kind we watch to its supervisor
(seccomp_unotify(2)); the supervisor lets it pass, answers with an error in its stead, or kills the child before the
call is done. No library is replaced, so nothing escapes: what C code does is seen as what Python does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_SET_MODE_FILTER, _NEW_LISTENER, _NO_NEW_PRIVS = 1, 8, 38
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND (linux/seccomp.h)
_CONTINUE = 1
_SECCOMP = {"x86_64": 317, "aarch64": 277}

# Kind of operation, and which argument says where: a descriptor, or a path (relative to the descriptor before it).
_WATCHED: dict[str, dict[str, tuple[str, int, bool]]] = {
    "x86_64": {
        "257": ("open", 1, True), "2": ("open", 0, True),
        "74": ("sync", 0, False), "75": ("sync", 0, False),
        "264": ("rename", 1, True), "316": ("rename", 1, True), "82": ("rename", 0, True),
        "263": ("unlink", 1, True), "87": ("unlink", 0, True),
        "77": ("truncate", 0, False),
        "1": ("write", 0, False), "18": ("write", 0, False), "20": ("write", 0, False),
        "0": ("read", 0, False), "17": ("read", 0, False),
        "258": ("mkdir", 1, True), "83": ("mkdir", 0, True),
    },
    "aarch64": {
        "56": ("open", 1, True), "82": ("sync", 0, False), "83": ("sync", 0, False),
        "38": ("rename", 1, True), "276": ("rename", 1, True), "35": ("unlink", 1, True),
        "46": ("truncate", 0, False), "64": ("write", 0, False), "68": ("write", 0, False), "66": ("write", 0, False),
        "63": ("read", 0, False), "67": ("read", 0, False), "34": ("mkdir", 1, True),
    },
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Plan:
    """What happens to the operations of a kind ("any" for all) numbered first..last: `fault` is "kill" or an errno."""

    kind: str = "any"
    first: int = 0
    last: int = 0
    fault: str = "none"

    def hits(self, number: int) -> bool:
        """Whether the operation of that number is one of them."""
        return self.fault != "none" and self.first <= number <= self.last


def supported() -> bool:
    """Whether this kernel hands calls to a supervisor (Linux 5.5), tried in a child."""
    if platform.machine() not in _WATCHED:
        return False
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError):
            hand_over(theirs, ("open",))
            os._exit(0)
        os._exit(1)
    with ours, theirs:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _statement(code: int, value: int, if_true: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, 0, value)


def hand_over(channel: socket.socket, kinds: tuple[str, ...]) -> None:
    """In the child: from now on, calls of these kinds wait for whoever holds the other end of `channel`."""
    numbers = [int(nr) for nr, (kind, *_) in _WATCHED[platform.machine()].items() if kind in kinds]
    jumps = [_statement(0x15, number, len(numbers) - at) for at, number in enumerate(numbers)]
    program = b"".join([_statement(0x20, 0), *jumps, _statement(6, _ALLOW), _statement(6, _NOTIFY)])
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    number = _SECCOMP[platform.machine()]
    listener = _libc.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.c_char_p(header))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(channel, [b"x"], [listener])


class Supervisor:
    """Watches one child until it ends. Only what lies below one of the folders is counted."""

    def __init__(self, child: int, channel: socket.socket, below: Sequence[str], plan: Plan) -> None:
        self._child = child
        self._below = tuple(map(os.fsencode, below))
        self._plan = plan
        self.counted: Counter[str] = Counter()
        _, fds, _, _ = socket.recv_fds(channel, 1, 1)
        self._listener = fds[0]

    def watch(self) -> None:
        """Decide on every call until nobody is left to make one."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        try:
            while True:
                (_, event), *_ = poll.poll()
                if event & select.POLLHUP or not self._decide():
                    return
        finally:
            os.close(self._listener)

    def _decide(self) -> bool:
        call = bytearray(80)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, call)
        except OSError as gone:  # the caller died meanwhile
            return gone.errno in (errno.ENOENT, errno.EINTR)
        cookie, pid, _, number, *_ = struct.unpack_from("=QIIiI", call)
        arguments = struct.unpack_from("=6Q", call, 32)
        error = 0
        kind, at, is_path = _WATCHED[platform.machine()][str(number)]
        if self._is_ours(pid, arguments, at, is_path):
            self.counted["any"] += 1
            self.counted[kind] += 1
            if self._plan.kind in ("any", kind) and self._plan.hits(self.counted[self._plan.kind]):
                if self._plan.fault == "kill":
                    os.kill(self._child, signal.SIGKILL)
                    return False
                error = -getattr(errno, self._plan.fault)
        answer = struct.pack("=QqiI", cookie, 0, error, 0 if error else _CONTINUE)
        with contextlib.suppress(OSError):  # the caller died meanwhile
            fcntl.ioctl(self._listener, _SEND, bytearray(answer))
        return True

    def _is_ours(self, pid: int, arguments: tuple[int, ...], at: int, is_path: bool) -> bool:
        try:
            if is_path:
                with open(f"/proc/{pid}/mem", "rb", 0) as memory:
                    path = _string(memory.fileno(), arguments[at])
                if path.startswith(b"/"):
                    return path.startswith(self._below)
                at -= 1
            descriptor = ctypes.c_int32(arguments[at] & 0xFFFFFFFF).value
            return os.readlink(b"/proc/%d/fd/%d" % (pid, descriptor)).startswith(self._below)
        except OSError:
            return False


def _string(memory: int, address: int) -> bytes:
    read = b""
    while b"\0" not in read and len(read) < 4096:
        # Up to the page's end: what lies behind it may not be mapped.
        piece = os.pread(memory, 4096 - (address + len(read)) % 4096, address + len(read))
        if not piece:
            break
        read += piece
    return read.partition(b"\0")[0]
