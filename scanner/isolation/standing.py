"""What protection is in force, for `status` and readiness."""

from __future__ import annotations

from scanner.isolation import image
from scanner.isolation.confinement import available


def sandbox_level() -> str:
    """In words: what a worker process on this kernel gives up before it meets a stranger's file."""
    offered = available()
    forks = "" if image.available() else "; forks copy memory, as nothing was compiled"
    if offered.complete:
        return f"separate processes with memory, time and file limits; {offered}{forks}"
    return f"separate processes with memory, time and file limits; incomplete sandbox: {offered}{forks}"
