"""What a source is: somewhere a set's deltas come from, page by page, from a checkpoint on.

Rules
- A source knows no store. It is asked with the checkpoint of the last refresh that ended well, opaque to others.
- The pages of one call are one delta; the last page carries the new checkpoint. Foreign errors leave as SourceError.
- A call may end before all is told: `more` says so, and another goes on from the new checkpoint. So a first refresh of
  millions is in force, and safe from a kill, piece by piece.
- Times are UTC, from a clock that is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from hashsets.formats import Reading, Removal
from hashsets.types import Block, Delta, Entry

# Entries of a page: some 20 MB of objects, and a staging transaction of a tenth of a second.
PAGE_ENTRIES = 20_000
# Entries of a block count as so many fewer: they are no objects, and the store takes them the faster the more they are.
BLOCK_SHARE = 8


class Source(Protocol):
    """Where a set's deltas come from."""

    fragments: bool
    """Whether entries under one key come in pieces to be united; otherwise a later entry replaces an earlier one."""
    reading: Reading
    """What the pages taken so far could not use."""

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """The pages of the change since `checkpoint` (None: everything). Raises SourceError, ListError."""
        ...


def has_more(source: Source) -> bool:
    """Whether the last call of `pages` left something to be told at once; sources that tell all have no such word."""
    return bool(getattr(source, "more", False))


class Page:
    """One page being filled. The last word on a key stands, though a page's removals come before its additions."""

    def __init__(self) -> None:
        self.taken = 0
        self._blocks: list[Block] = []
        self._added: dict[bytes, list[Entry]] = {}
        self._removed: dict[bytes, None] = {}

    def take(self, update: Entry | Removal | Block) -> None:
        """Add what was said next. What gives blocks takes nothing back: their order says nothing."""
        self.taken += -(-len(update) // BLOCK_SHARE) if isinstance(update, Block) else 1
        if isinstance(update, Block):
            self._blocks.append(update)
        elif isinstance(update, Removal):
            self._added.pop(update.key, None)
            self._removed[update.key] = None
        else:
            self._added.setdefault(update.key, []).append(update)

    def delta(self, *, complete: bool = False, checkpoint: bytes | None = None) -> Delta:
        """The page as it stands."""
        added = tuple(entry for pieces in self._added.values() for entry in pieces)
        by_type: dict[str, list[Block]] = {}
        for block in self._blocks:
            by_type.setdefault(block.hash_type, []).append(block)
        blocks = (Block(name, np.concatenate([each.values for each in same])) for name, same in by_type.items())
        return Delta(added, tuple(self._removed), checkpoint, complete, tuple(blocks))
