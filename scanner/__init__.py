"""What we hold and what we say: scan, match, record, report. `Scanner` is the way in.

    from scanner import Scanner

    with Scanner() as scanner:
        outcome = scanner.check(upload_bytes, ref=b"upload-17")

The name is resolved when asked for (PEP 562), so that a worker process does not load databases it must never touch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.api import Scanner, ScanSummary

__all__ = ["ScanSummary", "Scanner"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from scanner import api

        return getattr(api, name)
    raise AttributeError(f"module 'scanner' has no attribute {name!r}")
