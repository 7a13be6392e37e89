"""What every worker process gives up before it meets a stranger's file; the seam where the sandbox goes.

`confine()` is called once in each worker, after codecs are warm and before the first file. It holds the limits a
process can set on itself by prctl and setrlimit.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from scanner.fingerprint import Limits

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
MOST_FILES = 16  # standard streams, the socket, the content and what a decoder may duplicate

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def no_core_dumps() -> None:
    """Leave no memory image behind: it would hold media."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def confine(limits: Limits) -> None:
    """Bound memory, files and writing, and give up new privileges for good."""
    no_core_dumps()
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
