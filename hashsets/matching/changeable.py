"""What an index that changes without being rebuilt is made of: immutable segments, marks on what was withdrawn, merges.

Owns layers, views and the rules by which layers follow from each other. Knows no file: `shelf.py` keeps layers on disk.

Rules
- Everything here is immutable: a change makes another view, and who holds the old one is answered as before.
- An id may have rows in several layers (an entry listed again). Hits come by query row, then id.
- A merge changes no answer. It is built beside the layers it replaces; what is withdrawn meanwhile stays withdrawn.
- Small merges happen within a change; large ones wait until somebody has the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError
from hashsets.hashtypes import HashType
from hashsets.matching import postings, segments
from hashsets.matching.hamming import PLANES_BELOW_ROWS, form_for
from hashsets.matching.reference import check_radius, check_room, check_values, no_hits
from hashsets.matching.segments import Segment
from hashsets.types import Hits

# Merging what is no more than four times as large writes a row about log4(rows) times and leaves few layers to search.
MERGE_RATIO = 4
MERGE_AT_ONCE_ROWS = 100_000  # a tenth of a second of building (bench/runs): a change may wait so long
MERGE_MOST_ROWS = 16_000_000  # a merge holds some 250 bytes a row of PDQ in memory: this much is 4 GB
REWRITE_SHARE = 0.25  # of a layer's rows withdrawn: then it is rewritten without them
_ALL_ROWS = 2**62


@dataclass(frozen=True, slots=True)
class Layer:
    """A segment and the rows of it that were withdrawn (one bit a row, None for none). The names are of its files."""

    segment: Segment
    withdrawn: NDArray[np.uint8] | None = None
    withdrawn_rows: int = 0
    name: str | None = None
    withdrawn_name: str | None = None

    @property
    def live_rows(self) -> int:
        """Rows still listed."""
        return len(self.segment) - self.withdrawn_rows

    def alive(self) -> NDArray[np.bool_] | None:
        """Which rows are still listed; None for all."""
        if self.withdrawn is None:
            return None
        alive: NDArray[np.bool_] = np.unpackbits(self.withdrawn, bitorder="little", count=len(self.segment)) == 0
        return alive

    def are_alive(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows are still listed."""
        if self.withdrawn is None:
            return np.ones(len(rows), np.bool_)
        alive: NDArray[np.bool_] = (self.withdrawn[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 == 0
        return alive

    def without(self, ids: NDArray[np.int64]) -> Layer:
        """This layer with the rows of those ids withdrawn; itself where there are none."""
        return self.without_rows(self.segment.rows_of(ids))

    def without_rows(self, rows: NDArray[np.int64]) -> Layer:
        """This layer with those rows withdrawn; itself where they were already."""
        if len(rows) == 0:
            return self
        alive = self.alive()
        alive = np.ones(len(self.segment), bool) if alive is None else alive
        alive[rows] = False
        gone = len(alive) - int(np.count_nonzero(alive))
        if gone == self.withdrawn_rows:
            return self
        return replace(self, withdrawn=np.packbits(~alive, bitorder="little"), withdrawn_rows=gone, withdrawn_name=None)

    def search(self, values: NDArray[np.uint8], radius: int, most_hits: int) -> Hits:
        """What the matcher says: for `rows`. Raises TooManyHits as Matcher does."""
        dead = self.withdrawn if self.segment.postings is None else None
        return self.segment.matcher.query(values, radius, withdrawn=dead, most_hits=most_hits)

    def rows(self, hits: Hits, most: int) -> Iterator[Hits]:
        """The listed rows that the matcher's hits stand for, at most so many at a time."""
        shared = self.segment.postings
        if shared is None:
            yield from postings.whole(hits, most)
            return
        for part in shared.expanded(hits, most):
            alive = self.are_alive(part.listed_rows)
            yield Hits(part.query_rows[alive], part.listed_rows[alive], part.distances[alive])


@dataclass(frozen=True, slots=True)
class View:
    """What is in force of one hash type at one moment: a Matcher whose listed rows are ids. It never changes."""

    hash_type: HashType
    layers: tuple[Layer, ...] = ()

    def __len__(self) -> int:
        return sum(layer.live_rows for layer in self.layers)

    def query(self, values: NDArray[np.uint8], radius: int, *, most_hits: int = 0) -> Hits:
        """See Matcher; `listed_rows` are ids, one hit for every row an id has within the radius."""
        check_values(self.hash_type, values)
        check_radius(self.hash_type, radius)
        parts = [
            Hits(part.query_rows, layer.segment.ids(part.listed_rows), part.distances)
            for layer in self.layers
            for part in layer.rows(layer.search(values, radius, most_hits), _ALL_ROWS)
        ]
        check_room(sum(len(part) for part in parts), most_hits)
        if not parts:
            return no_hits()
        query_rows = np.concatenate([part.query_rows for part in parts])
        ids = np.concatenate([part.listed_rows for part in parts])
        order = np.lexsort((ids, query_rows))
        return Hits(query_rows[order], ids[order], np.concatenate([part.distances for part in parts])[order])

    def streamed(self) -> View:
        """The same, with layers in the form that very many queries at once are soonest asked of."""
        return View(self.hash_type, tuple(_streamed(layer) for layer in self.layers))


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of the ids in `withdrawn` go, then `values` (n, bits // 8) come under `ids` that never fall, with marks."""

    values: NDArray[np.uint8]
    ids: NDArray[np.int64]
    marks: NDArray[np.uint8] | None = None
    withdrawn: NDArray[np.int64] | None = None


def view_of(hash_type: HashType, change: Change, *, streamed: bool = False) -> View:
    """A view of one layer in memory, of what a change brings."""
    form = form_for(len(change.values), streamed=streamed)
    segment = segments.build(hash_type, change.values, change.ids, change.marks, form=form)
    return View(hash_type, (Layer(segment),) if len(segment) else ())


def changed(view: View, change: Change, merge: Callable[[Sequence[Layer]], Layer]) -> View:
    """The view after a change. `merge` makes one layer of some. Raises MatchingError."""
    layers = list(view.layers)
    if change.withdrawn is not None:
        gone = change.withdrawn
        if type(gone) is not np.ndarray or gone.dtype != np.int64 or gone.ndim != 1:
            raise MatchingError("ids must be an array (n,) of int64")
        layers = [layer.without(gone) for layer in layers]
    layers += view_of(view.hash_type, change).layers
    layers = [layer for layer in layers if layer.live_rows]
    run = due(layers)
    if run is not None and sum(layer.live_rows for layer in layers[run]) <= MERGE_AT_ONCE_ROWS:
        layers[run] = [merge(layers[run])]
    return View(view.hash_type, tuple(layers))


def merged(layers: Sequence[Layer]) -> Layer:
    """One layer, in memory, of what several still list."""
    return Layer(segments.merged([layer.segment for layer in layers], [layer.alive() for layer in layers]))


def due(layers: Sequence[Layer]) -> slice | None:
    """The layers to merge next: the youngest, as far back as sizes are alike; else one that is mostly withdrawn."""
    if not layers:
        return None
    start, rows = len(layers) - 1, layers[-1].live_rows
    while start > 0 and _fits(layers[start - 1].live_rows, rows):
        start -= 1
        rows += layers[start].live_rows
    if start < len(layers) - 1:
        return slice(start, len(layers))
    for at, layer in enumerate(layers):
        if layer.withdrawn_rows > REWRITE_SHARE * len(layer.segment):
            return slice(at, at + 1)
    return None


def _fits(older_rows: int, rows: int) -> bool:
    return older_rows <= MERGE_RATIO * rows and older_rows + rows <= MERGE_MOST_ROWS


def swapped(layers: Sequence[Layer], sources: Sequence[Layer], made: Layer) -> tuple[Layer, ...]:
    """`layers` with `made` in place of `sources`, which may have lost rows since; what they lost, `made` loses too."""
    present = {id(layer.segment): at for at, layer in enumerate(layers)}
    lost: list[NDArray[np.int64]] = []
    rows, first_row = _rows_made(sources), 0
    for source in sources:
        was = source.alive()
        kept = np.arange(len(source.segment)) if was is None else np.nonzero(was)[0]
        at = present.get(id(source.segment))
        now = layers[at].alive() if at is not None else np.zeros(len(source.segment), bool)
        if now is not None:
            lost.append(rows[first_row + np.nonzero(~now[kept])[0]])
        first_row += len(kept)
    made = made.without_rows(np.concatenate(lost) if lost else np.empty(0, np.int64))
    replaced = {id(source.segment) for source in sources}
    position = next((at for at, layer in enumerate(layers) if id(layer.segment) in replaced), None)
    rest = [layer for layer in layers if id(layer.segment) not in replaced]
    if position is not None:
        rest.insert(position, made)
    return tuple(rest)


def _rows_made(sources: Sequence[Layer]) -> NDArray[np.int64]:
    """Which row of the merged segment each live row of the sources became, as they stand one after the other."""
    ids = []
    for source in sources:
        alive = source.alive()
        ids.append(source.segment.ids(np.arange(len(source.segment)) if alive is None else np.nonzero(alive)[0]))
    order = np.argsort(np.concatenate(ids), kind="stable")
    rows = np.empty(len(order), np.int64)
    rows[order] = np.arange(len(order))
    return rows


def _streamed(layer: Layer) -> Layer:
    rows = layer.live_rows
    if len(layer.segment) >= PLANES_BELOW_ROWS or form_for(rows, streamed=True) == form_for(rows):
        return layer
    alive = [layer.alive()]
    return Layer(segments.merged([layer.segment], alive, form=form_for(rows, streamed=True)))
