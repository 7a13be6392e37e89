"""A list in a local file, or any open binary stream."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from hashsets.errors import SourceError
from hashsets.formats import Options, Reading, Removal, read_list
from hashsets.sources.base import PAGE_ENTRIES, Page
from hashsets.types import Block, Delta, Entry


class FileSource:
    """The whole of one list. `complete` says whether it is the full list or an addition to what is listed."""

    fragments = True

    def __init__(
        self,
        file: Path | BinaryIO,
        *,
        complete: bool,
        type_name: str | None = None,
        options: Options | None = None,
    ) -> None:
        self.reading = Reading()
        self._file = file
        self._complete = complete
        self._options = replace(options or Options(type_name), blocks=True)

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source. A file has no checkpoint: it is always read whole."""
        stream = open_list_file(self._file) if isinstance(self._file, Path) else self._file
        try:
            yield from paged(read_list(stream, self._options, self.reading), complete=self._complete)
        except OSError as error:
            raise SourceError("the list could not be read to its end: check the disk, then try again") from error
        finally:
            if isinstance(self._file, Path):
                stream.close()


def paged(updates: Iterable[Entry | Removal | Block], *, complete: bool) -> Iterator[Delta]:
    """Entries and removals in pages."""
    page = Page()
    for update in updates:
        page.take(update)
        if page.taken >= PAGE_ENTRIES:
            yield page.delta(complete=complete)
            page = Page()
    if page.taken:
        yield page.delta(complete=complete)


def open_list_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO or device, which could hang for ever, is refused. Raises SourceError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceError("there is no such list file") from None
    except OSError as error:
        raise SourceError("the list file cannot be opened: check its mode and owner") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceError("the list is not a regular file")
    return os.fdopen(descriptor, "rb")
