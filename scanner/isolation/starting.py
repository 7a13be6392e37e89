"""Starting a process that inherits nothing: exec'd, with a clean environment and no descriptor but its socket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def start_clean(
    boot: str, fd: int, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Exec Python on the text `boot` in /; its arguments are this package's folder, `fd`, and `arguments`."""
    clean = {"PYTHONPATH": os.fspath(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-c", boot, os.fspath(PACKAGE), str(fd), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**clean, **(environment or {})},
        cwd="/",
        pass_fds=[fd],
        start_new_session=True,
    )
