"""Where deltas come from."""

from hashsets.sources.base import Source
from hashsets.sources.file import FileSource

__all__ = ["FileSource", "Source"]
