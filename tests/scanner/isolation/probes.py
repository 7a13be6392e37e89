"""What a decoder taken over by its file would try next. Loaded by name in a worker; each probe returns when it worked.

A probe that is refused raises OSError or MemoryError; one that is forbidden ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Callable

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options
from scanner.isolation import records
from scanner.isolation.channel import Channel
from scanner.types import WHOLE, MediaKind, Resume

WORKED, REFUSED = 100, 0
_libc = ctypes.CDLL(None, use_errno=True)
_CALLS = {
    "bpf": 321, "io_uring": 425, "keyctl": 250, "ptrace": 101, "vm_readv": 310, "tgkill": 234, "unshare": 272,
    "execve": 59, "fchmod": 91, "ftruncate": 77, "unlink": 87, "statx": 332, "newfstatat": 262,
}  # fmt: skip


def call(name: str, *arguments: object) -> int:
    """A system call of x86-64 by name. Raises OSError."""
    answer = int(_libc.syscall(_CALLS[name], *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)
    return answer


def answer(channel: Channel, file: MediaFile, options: Options, limits: Limits, resume: Resume | None) -> None:
    """Do the probe that the content names, and tell by the quality of a signal whether it worked."""
    name = file.at(0, 64).decode()
    try:
        PROBES[name]()
        outcome = WORKED
    except (OSError, MemoryError):
        outcome = REFUSED
    channel.send(records.pack_signal(Signal("pdq", bytes(32), quality=outcome)))
    channel.send(records.pack_end(MediaKind.IMAGE, WHOLE))


def _open(path: str, flags: int = os.O_RDONLY) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags, 0o600))


def _connect() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outside:
        outside.settimeout(1)
        try:
            outside.connect(("127.0.0.1", 9))
        except ConnectionRefusedError:
            return  # the network answered: it was reached


def _send() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.sendto(b"x", ("127.0.0.1", 9))


def _abstract() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(b"\0hashward-probe-%d" % os.getpid())


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _stat(path: str) -> Callable[[], object]:
    return lambda: os.stat(path)


def _stat_empty_path() -> None:
    """stat of an absolute path although AT_EMPTY_PATH says to look at the descriptor."""
    call("newfstatat", 0, b"/etc/passwd", ctypes.create_string_buffer(256), 0x1000)


def _bpf() -> None:
    try:
        call("bpf", 0, None, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise  # EINVAL is what a free process gets


def _mmap_exec() -> None:
    _libc.mmap.restype = ctypes.c_void_p
    if _libc.mmap(None, 4096, 7, 0x22, -1, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


def _more_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


PROBES: dict[str, Callable[[], object]] = {
    "open": _open("/etc/passwd"),
    "open_write": _open("/tmp/hashward-probe", os.O_WRONLY | os.O_CREAT),
    "open_mem": _open("/proc/self/mem", os.O_RDWR),
    "open_environ": _open("/proc/self/environ"),
    "open_directory": lambda: os.listdir("/"),
    "unlink": lambda: call("unlink", b"/tmp/hashward-probe"),
    "fchmod": lambda: call("fchmod", 2, 0o666),
    "ftruncate": lambda: call("ftruncate", 0, 0),
    "connect": _connect,
    "udp": _send,
    "abstract": _abstract,
    "exec": lambda: call("execve", b"/bin/true", (ctypes.c_char_p * 2)(b"true", None), None),
    "fork": _fork,
    "unshare": lambda: call("unshare", 0x10000000),
    "memfd": lambda: os.memfd_create("probe"),
    "keyctl": lambda: call("keyctl", 0, -3, 1),
    "kill_parent": lambda: os.kill(os.getppid(), 0),
    "tgkill_parent": lambda: call("tgkill", os.getppid(), os.getppid(), 0),
    "ptrace_parent": lambda: call("ptrace", 0x4206, os.getppid(), 0, 0),
    "vm_readv_parent": lambda: call("vm_readv", os.getppid(), None, 0, None, 0, 0),
    "bpf": _bpf,
    "io_uring": lambda: call("io_uring", 1, ctypes.create_string_buffer(120)),
    "allocate": lambda: bytearray(2 << 30),
    "stat": _stat("/etc/passwd"),
    "stat_empty_path": _stat_empty_path,
    "statx": lambda: call("statx", -100, b"/etc/passwd", 0, 0xFFF, ctypes.create_string_buffer(256)),
    "executable_memory": _mmap_exec,
    "raise_limits": _more_files,
    "seek_shared_offset": lambda: os.lseek(0, 0, os.SEEK_SET),
    "own_signals_to_parent": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()),
}
