"""What a source is: somewhere a set's deltas come from, page by page, from a checkpoint on.

Rules
- A source knows no store. It is asked with the checkpoint of the last refresh that ended well, opaque to all others.
- The pages of one call are one delta; the last page carries the new checkpoint. Foreign errors leave as SourceError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from hashsets.formats import Reading
from hashsets.types import Delta

# Entries of a page: some 20 MB of objects, and a staging transaction of a tenth of a second.
PAGE_ENTRIES = 20_000


class Source(Protocol):
    """Where a set's deltas come from."""

    fragments: bool
    """Whether entries under one key come in pieces to be united; otherwise a later entry replaces an earlier one."""
    reading: Reading
    """What the pages taken so far could not use."""

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """The pages of the change since `checkpoint` (None: everything). Raises SourceError, ListError."""
        ...
