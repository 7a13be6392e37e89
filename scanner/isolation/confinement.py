"""What a worker gives up before it meets a stranger's file, in this order: files, memory, privileges, paths, calls.

`confine()` runs once in each worker, after codecs are warm and before the first content.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from functools import cache

from scanner.isolation import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
MOST_FILES = 16  # standard streams, the channel's two, the content, and what a library may duplicate

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What this kernel can do: Landlock's version (0: none) and whether system calls can be filtered."""

    landlock: int
    seccomp: bool

    @property
    def complete(self) -> bool:
        """Whether both halves are there: each alone leaves probes open that the other closes."""
        return self.landlock > 0 and self.seccomp

    def __str__(self) -> str:
        parts = [f"landlock {self.landlock}"] if self.landlock else []
        return " + ".join([*parts, "seccomp"] if self.seccomp else parts) or "none"


@cache
def available() -> Sandbox:
    """What the running kernel offers."""
    return Sandbox(landlock.abi(), seccomp.supported())


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def no_core_dumps() -> None:
    """Leave no memory image behind: it would hold media."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def prepare() -> None:
    """Make ready in the zygote what `confine` needs, so that no worker has to."""
    if available().seccomp:
        seccomp.prepared()


def confine(memory_bytes: int, *keep_fds: int) -> None:
    """Keep the standard streams and `keep_fds`, bound memory, and enter what the kernel offers of the sandbox."""
    _close_all_but(*sorted(keep_fds))
    no_core_dumps()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    offered = available()
    if offered.landlock:
        landlock.restrict()
    if offered.seccomp:
        seccomp.load()


def _close_all_but(*kept: int) -> None:
    last = 2
    for fd in kept:
        assert last < fd < MOST_FILES
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, 65536)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
