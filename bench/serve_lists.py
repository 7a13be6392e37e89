"""The lists of a large operator, imported by hashward itself: what `bench serve --pdq --digests` is asked over.

Rules
- PDQ values in one set, md5, sha1 and sha256 in equal parts in another; random, so that nothing asked is listed.
- A home that is named is kept: filled once, and asked again as it stands.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.imports import write_list

PDQ = {"pdq": 32}
DIGESTS = {"md5": 16, "sha1": 20, "sha256": 32}


def fill(home: Path, pdq: int, digests: int) -> None:
    """Import as many values of each kind into a home, which is left alone where it is there already."""
    if home.exists():
        return
    part = home.with_name(home.name + ".partial")
    for name, types, rows in (("pdq", PDQ, pdq), ("digests", DIGESTS, digests)):
        if rows:
            path = home.with_name(f"{home.name}-{name}.txt")
            write_list(path, rows, types)
            _take(part, name, path)
            path.unlink()
    if part.exists():
        part.rename(home)


def take_contents(home: Path, name: str, bodies: Sequence[bytes]) -> None:
    """Make a set list exactly these contents, by SHA-256."""
    path = home.with_name(f"{home.name}-{name}.txt")
    path.write_text("".join(f"sha256 {hashlib.sha256(each).hexdigest()}\n" for each in bodies))
    _take(home, name, path)
    path.unlink()


def _take(home: Path, name: str, path: Path) -> None:
    """Import a list, the whole of its set, which is in force at once."""
    command = [sys.executable, "-m", "scanner", "--home", str(home), "hashset", "import", name, str(path)]
    subprocess.run([*command, "--complete", "--allow-shrink", "--approve"], check=True, capture_output=True)
