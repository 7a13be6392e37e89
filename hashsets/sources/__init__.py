"""Where deltas come from."""

from hashsets.sources.base import Source, has_more
from hashsets.sources.file import FileSource

__all__ = ["FileSource", "Source", "has_more"]
