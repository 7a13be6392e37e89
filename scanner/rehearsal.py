"""What a list would match, before it is listed: its entries go into a store of their own, which is joined and removed.

Nothing of the home's own databases is changed. What is counted is what the list's entries match under the set's rule,
whether the set matches it already or not.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hashsets.ciphers import Key
from hashsets.snapshots import current
from hashsets.sources import Source
from hashsets.store import Store
from hashsets.types import Delta, Role, Rule
from scanner.ledger import Ledger
from scanner.ledger.claims import of_contents
from scanner.ledger.contents import top_seq

_PREFIX = "rehearsal-"
_LEFT_S = 86_400.0  # no import takes a day: what is older was left by a kill
_NAME = "rehearsal"


@dataclass(frozen=True, slots=True)
class WouldMatch:
    """Contents that a list's entries match, of all that are held."""

    contents: int
    of: int


class Rehearsal:
    """A source that keeps a copy of what it gives. Made by `rehearsing`."""

    def __init__(self, source: Source, store: Store) -> None:
        self._source = source
        self._store = store
        self.fragments = source.fragments
        self.reading = source.reading

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        for page in self._source.pages(checkpoint):
            self._store.stage(_NAME, replace(page, removed=()), fragments=self.fragments)
            yield page

    def would_match(self, ledger: Ledger, day: str) -> WouldMatch:
        """Join what was given with every content. Raises StoreError."""
        self._store.activate(_NAME, complete=True, checkpoint=None, day=day)
        snapshot = current(self._store, uids=[self._store.hash_set(_NAME).uid], streamed=True)
        top, seq, matched, held = top_seq(ledger.db), 1, 0, 0
        while seq <= top:
            stretch = ledger.inventory.stretch(seq, top, snapshot.hash_types)
            hits = of_contents(snapshot.match(stretch.queries), snapshot.hash_sets)
            matched += len({hit.owner for hit in hits})
            held += stretch.contents
            seq = stretch.seq_hi + 1
        return WouldMatch(matched, held)


@contextlib.contextmanager
def rehearsing(source: Source, home: Path, role: Role, rule: Rule, key: Key | None = None) -> Iterator[Rehearsal]:
    """A source to import from in a dry run, and to ask afterwards. Its copy, under `key`, is removed at the end."""
    for left in home.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=home) as folder, Store.open(Path(folder), key=key) as store:
        store.create(_NAME, role=role, rule=rule)
        yield Rehearsal(source, store)
