"""What protection is in force, for `status` and readiness."""

from __future__ import annotations


def sandbox_level() -> str:
    """In words: what a worker process has given up before it meets a stranger's file."""
    return "separate processes with memory, time and file limits; no system-call filter"
