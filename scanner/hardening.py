"""What the whole process gives up at its start: it holds the bytes of strangers' files while it digests them.

Called by the command, never by the library: an application that embeds us decides for itself. Worker processes give up
far more (`scanner.isolation.confinement`).
"""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Make what is created readable to us alone, and leave no memory image behind, whatever kills us.

    A process that is not dumpable can also not be read or traced by others of the same user.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
