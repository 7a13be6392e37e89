"""A folder of lists: together they are one list. A file that is no list refuses them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hashsets.errors import ListError, SourceError
from hashsets.formats import Options, Reading
from hashsets.sources.file import FileSource
from hashsets.types import Delta


class FolderSource:
    """Every file of a folder in the order of their names, but for hidden ones; folders within are not looked into."""

    fragments = True

    def __init__(self, folder: Path, *, complete: bool, options: Options) -> None:
        self.reading = Reading()
        self._folder = folder
        self._complete = complete
        self._options = options

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source. A folder has no checkpoint: it is always read whole."""
        try:
            files = sorted(each for each in self._folder.iterdir() if not each.name.startswith(".") and each.is_file())
        except OSError as error:
            raise SourceError("the folder of lists cannot be read: check its mode and owner") from error
        if not files:
            raise SourceError("the folder of lists has no file")
        for number, file in enumerate(files, 1):
            source = FileSource(file, complete=self._complete, options=self._options)
            try:
                yield from source.pages(None)
            except ListError as error:
                raise ListError(f"list {number} of {len(files)}, in the order of their names: {error}") from None
            self.reading.add(source.reading)
