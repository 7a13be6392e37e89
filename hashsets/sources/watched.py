"""A local list, or a folder of them, that is read again only when it has changed: for a source that is asked often.

What it looked like when it was read is the checkpoint: device, inode, size and both times of every file, as a digest.
A file that changed within the last seconds is not remembered, as the clock of a file system may be too coarse to show
that it changes again; one that changed while it was read is not taken.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hashsets.errors import SourceError
from hashsets.sources.base import Source
from hashsets.types import Delta

SETTLED_NS = 2 * 10**9  # FAT keeps times to two seconds, the coarsest file system in use


class WatchedFile:
    """`source` is the list at `path`; `asked` says in which way it is read, `now_ns` the time."""

    def __init__(self, source: Source, path: Path, asked: str, *, complete: bool, now_ns: Callable[[], int]) -> None:
        self.fragments = source.fragments
        self.reading = source.reading
        self._source = source
        self._path = path
        self._asked = asked
        self._complete = complete
        self._now_ns = now_ns

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source. An unchanged list has no page."""
        mark, newest_ns = self._mark()
        if checkpoint == mark:
            return
        settled = newest_ns + SETTLED_NS < self._now_ns()
        yield from self._source.pages(None)
        if self._mark()[0] != mark:
            raise SourceError("the list changed while it was read: it is taken once it stays as it is")
        yield Delta(checkpoint=mark if settled else b"", complete=self._complete)

    def _mark(self) -> tuple[bytes, int]:
        """What the files look like, and when the newest of them changed."""
        try:
            files = sorted(each for each in self._path.iterdir()) if self._path.is_dir() else [self._path]
            seen = [os.stat(each) for each in files]
        except OSError as error:
            raise SourceError("the list cannot be looked at: check that it is there, its mode and owner") from error
        told = [(each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in seen]
        digest = hashlib.sha256(repr((self._asked, told)).encode()).digest()
        return digest, max((max(each.st_mtime_ns, each.st_ctime_ns) for each in seen), default=0)
