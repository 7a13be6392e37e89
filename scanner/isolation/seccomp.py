"""The system calls a confined worker may make: a classic BPF program, built here and loaded by ctypes.

Rules
- What is not listed kills the process (SIGSYS), so that a surprise is seen and counted, not worked around.
- What libraries probe for in good faith (files, identity, affinity) fails with EPERM instead.
- No path is ever looked up, stat included: contents come as descriptors, their size with them, and are read by pread.
- No memory becomes executable, no process is made, and signals reach no other process.

Source: seccomp(2), the kernel's `Documentation/userspace-api/seccomp_filter.rst`, linux/filter.h, and each
architecture's `unistd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from functools import cache
from typing import NamedTuple

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_PR_GET_SECCOMP = 21
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


class Arch(NamedTuple):
    """An architecture's audit number and its system call numbers."""

    audit: int
    numbers: dict[str, int]


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (pair.partition("=") for pair in text.split())}


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ARCHES = {
    "x86_64": Arch(
        0xC000003E,
        _numbers(
            "write=1 open=2 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12 "
            "rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 ioctl=16 pread64=17 writev=20 access=21 "
            "sched_yield=24 mremap=25 madvise=28 dup=32 nanosleep=35 getpid=39 socket=41 sendto=44 recvfrom=45 "
            "sendmsg=46 recvmsg=47 clone=56 exit=60 uname=63 fcntl=72 getcwd=79 readlink=89 gettimeofday=96 "
            "getrusage=98 sysinfo=99 times=100 getuid=102 getgid=104 geteuid=107 getegid=108 getppid=110 "
            "sigaltstack=131 prctl=157 gettid=186 futex=202 sched_setaffinity=203 sched_getaffinity=204 "
            "getdents64=217 restart_syscall=219 clock_gettime=228 clock_getres=229 clock_nanosleep=230 "
            "exit_group=231 tgkill=234 mbind=237 set_mempolicy=238 get_mempolicy=239 openat=257 newfstatat=262 "
            "readlinkat=267 faccessat=269 ppoll=271 set_robust_list=273 preadv=295 prlimit64=302 getrandom=318 "
            "statx=332 rseq=334 clone3=435 openat2=437 faccessat2=439 read=0 readv=19 getcpu=309 membarrier=324 "
            "preadv2=327"
        ),
    ),
    "aarch64": Arch(
        0xC00000B7,
        _numbers(
            "getcwd=17 dup=23 fcntl=25 ioctl=29 faccessat=48 openat=56 close=57 getdents64=61 lseek=62 read=63 "
            "write=64 readv=65 writev=66 pread64=67 preadv=69 ppoll=73 readlinkat=78 newfstatat=79 fstat=80 "
            "exit=93 exit_group=94 futex=98 set_robust_list=99 nanosleep=101 clock_gettime=113 clock_getres=114 "
            "clock_nanosleep=115 sched_setaffinity=122 sched_getaffinity=123 sched_yield=124 restart_syscall=128 "
            "tgkill=131 sigaltstack=132 rt_sigaction=134 rt_sigprocmask=135 rt_sigreturn=139 times=153 uname=160 "
            "getrusage=165 prctl=167 getcpu=168 gettimeofday=169 getpid=172 getppid=173 getuid=174 geteuid=175 "
            "getgid=176 getegid=177 gettid=178 sysinfo=179 socket=198 sendto=206 recvfrom=207 sendmsg=211 "
            "recvmsg=212 brk=214 munmap=215 mremap=216 clone=220 mmap=222 mprotect=226 madvise=233 mbind=235 "
            "get_mempolicy=236 set_mempolicy=237 prlimit64=261 getrandom=278 membarrier=283 preadv2=286 statx=291 "
            "rseq=293 clone3=435 openat2=437 faccessat2=439"
        ),
    ),
}

_ALLOWED = _names(
    "pread64 preadv preadv2 recvmsg recvfrom sendmsg sendto write writev close dup poll ppoll "
    "munmap mremap brk madvise futex membarrier rseq set_robust_list restart_syscall "
    "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack exit exit_group "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday times getrusage "
    "getpid gettid getppid getcpu getrandom sched_yield sched_getaffinity uname sysinfo"
)
_SOFTLY_DENIED = _names(
    "read readv lseek open openat openat2 stat lstat fstat newfstatat statx access faccessat faccessat2 readlink "
    "readlinkat getdents64 getcwd socket sched_setaffinity getuid geteuid getgid getegid mbind set_mempolicy "
    "get_mempolicy"
)
_PROT_EXEC = 4
_CLONE_THREAD = 0x10000
_IOCTLS = (0x5401, 0x5451)  # TCGETS (is it a terminal?), FIOCLEX
_FCNTLS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _argument(index: int, high: bool = False) -> bytes:
    """Load one half of an argument (both architectures are little-endian)."""
    return _statement(_LOAD, _ARGUMENTS + 8 * index + (4 if high else 0))


def _return(verdict: int) -> bytes:
    return _statement(_RETURN, verdict)


_DENY = _return(_ERRNO | errno.EPERM)


def _one_of(index: int, values: tuple[int, ...], otherwise: bytes) -> list[bytes]:
    """Allow when the low half of an argument is one of `values`."""
    tests = [_statement(_JUMP_EQ, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [_argument(index), *tests, otherwise, _return(_ALLOW)]


def _without_bits(index: int, bits: int) -> list[bytes]:
    """Allow when an argument has none of `bits`; else EPERM."""
    return [_argument(index), _statement(_JUMP_ANY, bits, 0, 1), _DENY, _return(_ALLOW)]


def _conditions(pid: int) -> dict[str, list[bytes]]:
    """What is allowed with certain arguments only."""
    own_limits_unchanged = [
        _argument(0), _statement(_JUMP_EQ, 0, 1, 0), _DENY,
        _argument(2), _statement(_JUMP_EQ, 0, 1, 0), _DENY,
        _argument(2, high=True), _statement(_JUMP_EQ, 0, 1, 0), _DENY,
        _return(_ALLOW),
    ]  # fmt: skip
    return {
        "mmap": _without_bits(2, _PROT_EXEC),
        "mprotect": _without_bits(2, _PROT_EXEC),
        "ioctl": _one_of(1, _IOCTLS, _DENY),
        "fcntl": _one_of(1, _FCNTLS, _DENY),
        "prctl": _one_of(0, (_PR_SET_NAME,), _DENY),
        "tgkill": _one_of(0, (pid,), _DENY),
        "clone": [_argument(0), _statement(_JUMP_ANY, _CLONE_THREAD, 1, 0), _return(_KILL), _return(_ALLOW)],
        "clone3": [_return(_ERRNO | errno.ENOSYS)],  # its arguments cannot be seen; libc falls back to clone
        "prlimit64": own_limits_unchanged,
    }


def program(arch: Arch, pid: int) -> bytes:
    """The filter for a process of that id: verdicts by number, everything else killed."""
    blocks = [(name, [_return(_ALLOW)]) for name in _ALLOWED]
    blocks += [(name, [_DENY]) for name in _SOFTLY_DENIED]
    blocks += list(_conditions(pid).items())
    statements = [
        _statement(_LOAD, _ARCH),
        _statement(_JUMP_EQ, arch.audit, 1, 0),
        _return(_KILL),
        _statement(_LOAD, _NR),
        _statement(_JUMP_GE, 0x40000000, 0, 1),  # the x32 calls, which would slip past the numbers below
        _return(_KILL),
    ]
    for name, verdict in blocks:
        if name in arch.numbers:
            statements += [_statement(_JUMP_EQ, arch.numbers[name], 0, len(verdict)), *verdict]
    return b"".join([*statements, _return(_KILL)])


def supported() -> bool:
    """Whether the kernel filters system calls and this architecture's numbers are known."""
    return platform.machine() in _ARCHES and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


@cache
def prepared() -> tuple[ctypes.Array[ctypes.c_char], int, bytes]:
    """The filter for no process yet, where in it the process's id belongs, and the header that points at it."""
    nobody = 0x7FFFFFF1  # greater than any process id
    encoded = program(_ARCHES[platform.machine()], nobody)
    buffer = ctypes.create_string_buffer(encoded, len(encoded))
    at = encoded.index(_statement(_JUMP_EQ, nobody, 1)) + 4
    return buffer, at, struct.pack("=HxxxxxxQ", len(encoded) // 8, ctypes.addressof(buffer))


def load() -> None:
    """Put the filter on this process and all it starts, for good. Raises OSError."""
    buffer, at, header = prepared()
    struct.pack_into("=I", buffer, at, os.getpid())
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header))


def _prctl(option: int, argument: int, pointer: object) -> None:
    if _libc.prctl(option, argument, pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
