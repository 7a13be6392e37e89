"""The compiled operator, where there is one. A missing extension is a fact, not an error: NumPy then serves, slower.

Every kernel gives the same bits as the NumPy reference; a kernel is named by argument, never by the environment.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

try:
    import scanner.hashing._native as _loaded
except ImportError:  # no compiler when the package was installed
    native: Any = None
else:
    native = _loaded


class Pass(Protocol):
    """One picture on its way through the operator."""

    def feed(self, pixels: Any, luma: tuple[int, ...], /) -> None:
        """Take the next rows."""
        ...

    def grids(self) -> list[bytes]:
        """Each reading's grid as 64 x 64 int32, in whole numbers of 2**-15."""
        ...

    def hashes(self, limited: bool, /) -> list[tuple[bytes, int]]:
        """Value and quality of each reading."""
        ...


@cache
def available() -> tuple[str, ...]:
    """The compiled kernels this machine can run, fastest first; empty where the extension was not built."""
    return tuple(native.kernels()) if native is not None else ()


def kernel_name() -> str:
    """Which code makes fingerprints, for `status`."""
    return available()[0] if available() else "numpy reference (C kernel not built)"
