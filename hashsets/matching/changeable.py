"""An index that changes without being rebuilt: immutable segments, marks on what was withdrawn, and merges.

Owns the layers and what is in force. Knows no file: `shelf.py` keeps the layers on disk.

Rules
- A change is one step: a view taken before it sees none of it, a view taken after it sees all of it.
- Ids never fall: what is added has ids at or above all before it, so layers follow each other and stay sorted.
- A merge changes no answer. It is built beside the layers it replaces; what is withdrawn meanwhile stays withdrawn.
- Small merges happen within the change; large ones wait for `merge()`, which a background thread may call.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashsets.errors import MatchingError
from hashsets.hashtypes import HashType
from hashsets.matching import segments
from hashsets.matching.reference import check_radius, check_room, check_values, no_hits
from hashsets.matching.segments import Segment
from hashsets.types import Hits

# Merging what is no more than four times as large writes a row about log4(rows) times and leaves few layers to search.
MERGE_RATIO = 4
MERGE_AT_ONCE_ROWS = 100_000  # a tenth of a second of building (bench/runs): a change may wait so long
REWRITE_SHARE = 0.25  # of a layer's rows withdrawn: then it is rewritten without them


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


@dataclass(frozen=True, slots=True)
class View:
    """What is in force at one moment: a Matcher whose listed rows are ids. It never changes.

    `state` is what the last change said the index stands for (a version, a sequence number): opaque bytes.
    """

    hash_type: HashType
    layers: tuple[Layer, ...]
    state: bytes = b""

    def __len__(self) -> int:
        return sum(layer.live_rows for layer in self.layers)

    def query(self, values: NDArray[np.uint8], radius: int, *, most_hits: int = 0) -> Hits:
        """See Matcher; `listed_rows` are ids, one hit for every row an id has within the radius."""
        parts = []
        for layer in self.layers:
            hits = layer.segment.matcher.query(values, radius, withdrawn=layer.withdrawn, most_hits=most_hits)
            if len(hits):
                parts.append(Hits(hits.query_rows, layer.segment.ids(hits.listed_rows), hits.distances))
        if not parts:
            check_values(self.hash_type, values)
            check_radius(self.hash_type, radius)
            return no_hits()
        if len(parts) == 1:
            return parts[0]
        check_room(sum(len(part) for part in parts), most_hits)
        query_rows = np.concatenate([part.query_rows for part in parts])
        order = np.argsort(query_rows, kind="stable")  # layers follow each other by id, so ids stay in order
        ids = np.concatenate([part.listed_rows for part in parts])
        return Hits(query_rows[order], ids[order], np.concatenate([part.distances for part in parts])[order])


class ChangeableIndex:
    """Values under ids, added and withdrawn while others search. One writer at a time; any number of views."""

    def __init__(self, hash_type: HashType) -> None:
        self.hash_type = hash_type
        self._view = View(hash_type, ())
        self._changing = threading.RLock()
        self._merging = threading.Lock()

    def view(self) -> View:
        """What is in force now."""
        return self._view

    def change(
        self,
        *,
        values: NDArray[np.uint8] | None = None,
        ids: NDArray[np.int64] | None = None,
        withdrawn: NDArray[np.int64] | None = None,
        state: bytes | None = None,
    ) -> None:
        """Withdraw the rows of the ids in `withdrawn`, then add `values` under `ids`, as one step.

        `state` (None: as before) goes into force with it. Ids that are not there withdraw nothing. Raises
        MatchingError, and changes nothing, for ids that fall.
        """
        with self._changing:
            layers = list(self._view.layers)
            last_id = layers[-1].segment.last_id() if layers else 0
            if withdrawn is not None:
                layers = [layer.without(_id_array(withdrawn)) for layer in layers]
            if values is not None:
                added = segments.build(self.hash_type, values, _id_array(ids))
                if layers and len(added) and added.first_id < last_id:
                    raise MatchingError("new ids must not be below those already there")
                layers += [Layer(added)] if len(added) else []
            state = self._view.state if state is None else state
            self._put_in_force(View(self.hash_type, tuple(self._merged_at_once(layers)), state))

    def merge_due(self) -> bool:
        """Whether `merge` has anything to do."""
        return _run_due(self._view.layers) is not None

    def merge(self) -> bool:
        """Merge the layers that are due, without keeping changes waiting; whether there were any."""
        with self._merging:
            before = self._view.layers
            run = _run_due(before)
            if run is None:
                return False
            sources = before[run]
            made = self._merged_layer(sources)
            with self._changing:
                view = self._view
                self._put_in_force(replace(view, layers=_swapped(view.layers, sources, made)))
            return True

    def _merged_at_once(self, layers: list[Layer]) -> list[Layer]:
        layers = [layer for layer in layers if layer.live_rows]
        run = _run_due(layers)
        # While a large merge is being built its layers stay as they are: only those it does not hold may go.
        if run is None or sum(layer.live_rows for layer in layers[run]) > MERGE_AT_ONCE_ROWS:
            return layers
        if not self._merging.acquire(blocking=False):
            return layers
        try:
            return [*layers[: run.start], self._merged_layer(layers[run]), *layers[run.stop :]]
        finally:
            self._merging.release()

    def _merged_layer(self, layers: Sequence[Layer]) -> Layer:
        return Layer(segments.merged([layer.segment for layer in layers], [layer.alive() for layer in layers]))

    def _put_in_force(self, view: View) -> None:
        self._view = view


def _id_array(ids: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if type(ids) is not np.ndarray or ids.dtype != np.int64 or ids.ndim != 1:
        raise MatchingError("ids must be an array (n,) of int64")
    return ids


def _run_due(layers: Sequence[Layer]) -> slice | None:
    """The layers to merge next: the youngest, as far back as sizes are alike; else one that is mostly withdrawn."""
    if not layers:
        return None
    start, rows = len(layers) - 1, layers[-1].live_rows
    while start > 0 and layers[start - 1].live_rows <= MERGE_RATIO * rows:
        start -= 1
        rows += layers[start].live_rows
    if start < len(layers) - 1:
        return slice(start, len(layers))
    for at, layer in enumerate(layers):
        if layer.withdrawn_rows > REWRITE_SHARE * len(layer.segment):
            return slice(at, at + 1)
    return None


def _swapped(layers: tuple[Layer, ...], sources: Sequence[Layer], made: Layer) -> tuple[Layer, ...]:
    """`layers` with `made` in place of `sources`, which may have lost rows since; what they lost, `made` loses too."""
    present = {id(layer.segment): at for at, layer in enumerate(layers)}
    lost, first_row = [], 0
    for source in sources:
        was = source.alive()
        kept = np.arange(len(source.segment)) if was is None else np.nonzero(was)[0]
        at = present.get(id(source.segment))
        now = layers[at].alive() if at is not None else np.zeros(len(source.segment), bool)
        if now is not None:
            lost.append(first_row + np.nonzero(~now[kept])[0])
        first_row += len(kept)
    made = made.without_rows(np.concatenate(lost) if lost else np.empty(0, np.int64))
    replaced = {id(source.segment) for source in sources}
    position = next((at for at, layer in enumerate(layers) if id(layer.segment) in replaced), None)
    rest = [layer for layer in layers if id(layer.segment) not in replaced]
    if position is not None:
        rest.insert(position, made)
    return tuple(rest)
