"""No file, no network, no signal beyond this process: a Landlock ruleset without a single rule.

Source: the kernel's `Documentation/userspace-api/landlock.rst` and linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_VERSION_FLAG = 1
# File-system rights by ABI version: each version's number of rights, all of them handled and none given.
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_RIGHTS = 0b11  # bind and connect TCP, ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, ABI 6

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def restrict() -> None:
    """Give up every access Landlock governs, for good. Needs no_new_privs. Raises OSError."""
    version = abi()
    fs = (1 << _FS_RIGHTS[min(version, 5)]) - 1 if version else 0
    attribute = struct.pack("=QQQ", fs, _NET_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.c_char_p(attribute), ctypes.c_size_t(size), 0)
    try:
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc.syscall(number, *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
