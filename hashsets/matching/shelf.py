"""A changeable index kept in a folder: one file a segment, one for what was withdrawn of it, and a list of them.

Holds one view a hash type; a change of several types is one step. Owns the list (`index.json`), the names and the order
in which files appear and go. Knows no store and no version: the caller's `state` says what the index stands for.

Rules
- The list is replaced last, in one rename: before it stands the old index, after it the new.
- Every file carries the index's random uid; the list has its own checksum. What does not fit is refused.
- One process writes a folder (the caller holds its writer lock); any number read, and `refresh` follows the writer.
- A large merge is built in a folder of its own without keeping the writer waiting, and moved in under the lock.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hashsets.errors import SegmentRefused
from hashsets.hashtypes import HashType
from hashsets.matching import changeable, container, filing, listing
from hashsets.matching.changeable import Change, Layer, View
from hashsets.matching.container import Contents
from hashsets.matching.listing import Listing, Row

_READ_ATTEMPTS = 5  # a reader may find a file gone that a merge replaced between its reading the list and opening it
_MERGING = "merging"


@dataclass(frozen=True, slots=True)
class Held:
    """What is in force at one moment: a view a hash type, and what the last change said the index stands for."""

    views: Mapping[str, View] = field(default_factory=dict)
    state: bytes = b""


class Shelf:
    """An index that outlasts the process. Made by `create` or `open`."""

    def __init__(self, hash_types: Sequence[HashType], folder: Path) -> None:
        self._types = {hash_type.name: hash_type for hash_type in hash_types}
        self._folder = folder
        self._uid = b""
        self._seen: bytes | None = None
        self._held = Held()
        self._changing = threading.RLock()

    @classmethod
    def create(cls, hash_types: Sequence[HashType], folder: Path) -> Shelf:
        """An empty index in `folder` (made 0700 if it is not there), in place of any that stands there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shelf = cls(hash_types, folder)
        shelf._uid = secrets.token_bytes(16)
        shelf._put_in_force(Held({hash_type.name: View(hash_type) for hash_type in hash_types}))
        shelf.tidy()
        return shelf

    @classmethod
    def open(cls, hash_types: Sequence[HashType], folder: Path) -> Shelf:
        """The index as its last change left it: milliseconds, whatever its size. Raises SegmentRefused."""
        shelf = cls(hash_types, folder)
        shelf.refresh()
        return shelf

    @property
    def held(self) -> Held:
        """What is in force now, as far as this process has followed."""
        return self._held

    def refresh(self) -> bool:
        """Follow what another process has changed; whether it had. What stayed is not opened again."""
        with self._changing:
            for attempt in range(_READ_ATTEMPTS):
                text = listing.read(self._folder)
                if text == self._seen:
                    return False
                try:
                    self._follow(listing.parse(text, self._types))
                except SegmentRefused:
                    if attempt == _READ_ATTEMPTS - 1 or listing.read(self._folder) == text:
                        raise
                else:
                    self._seen = text
                    return True
        raise SegmentRefused("an index changed faster than it could be read; open it again")

    def change(self, changes: Mapping[str, Change], state: bytes | None = None) -> None:
        """Change some types as one step; `state` (None: as before) goes into force with it. For the writer alone.

        Raises MatchingError (SegmentRefused for damage) and OSError, and has then changed nothing.
        """
        with self._changing:
            views = {
                name: changeable.changed(self._held.views[name], change, self._merged)
                for name, change in changes.items()
            }
            state = self._held.state if state is None else state
            self._put_in_force(Held({**self._held.views, **views}, state))

    def verify(self) -> None:
        """Read every file against its checksum. Raises SegmentRefused."""
        for name in sorted(_names(self._held)):
            container.verify(self._folder / name)

    def tidy(self) -> None:
        """Remove files the list does not name: what a crash left. For the writer alone."""
        container.discard_partials(self._folder)
        named = _names(self._held)
        for path in [*self._folder.glob("*.segment"), *self._folder.glob("*.withdrawn")]:
            if path.name not in named:
                path.unlink(missing_ok=True)

    def merge_due(self) -> bool:
        """Whether `merge` has anything to do."""
        return any(changeable.due(view.layers) is not None for view in self._held.views.values())

    def merge(self, alone: AbstractContextManager[object]) -> bool:
        """Merge the layers of one type that are due; whether there were any. `alone` is held only to put it in force.

        One process at a time calls this for a folder. Raises SegmentRefused for damage, and OSError.
        """
        # The largest first: what is merged stays mapped, and would be in memory beside it.
        views = sorted(self._held.views.items(), key=lambda item: -len(item[1]) * item[1].hash_type.size_bytes)
        for name, view in views:
            run = changeable.due(view.layers)
            if run is not None:
                return self._merge(name, view.layers[run], alone)
        return False

    def _merge(self, name: str, sources: Sequence[Layer], alone: AbstractContextManager[object]) -> bool:
        self._check(sources)
        uid, aside = self._uid, self._folder / _MERGING
        aside.mkdir(mode=0o700, exist_ok=True)
        for left in aside.iterdir():  # by one that was killed
            left.unlink()
        made = self._save(changeable.merged(sources), aside)
        assert made.name is not None
        with alone, self._changing:
            self.refresh()
            if uid != self._uid:
                return False  # the index was built anew meanwhile
            os.rename(aside / made.name, self._folder / made.name)
            view = self._held.views[name]
            merged = replace(view, layers=changeable.swapped(view.layers, sources, made))
            self._put_in_force(replace(self._held, views={**self._held.views, name: merged}))
        return True

    # -- files -------------------------------------------------------------------------------------------------------

    def _follow(self, listed: Listing) -> None:
        known: dict[str, Layer] = {}
        if listed.uid == self._uid:
            known = {str(layer.name): layer for view in self._held.views.values() for layer in view.layers}
        before, self._uid = self._uid, listed.uid
        try:
            views = {
                name: View(self._types[name], tuple(self._layer(self._types[name], row, known) for row in rows))
                for name, rows in listed.rows.items()
            }
        except BaseException:
            self._uid = before
            raise
        self._held = Held(views, listed.state)

    def _layer(self, hash_type: HashType, row: Row, known: Mapping[str, Layer]) -> Layer:
        layer = known.get(row.name)
        if layer is not None and layer.withdrawn_name == row.withdrawn_name:
            return layer
        segment = layer.segment if layer else filing.load(self._folder / row.name, hash_type, self._uid)
        if row.withdrawn_name is None:
            return Layer(segment, name=row.name)
        path = self._folder / row.withdrawn_name
        container.verify(path)
        contents = container.read(path, "withdrawn", hash_type, self._uid)
        bits, gone = contents.arrays.get("bits"), contents.numbers.get("rows")
        if bits is None or gone is None or bits.dtype != np.uint8 or bits.shape != (-(-len(segment) // 8),):
            raise SegmentRefused("a list of withdrawn rows is of another segment; build the index again")
        return Layer(segment, bits, gone, row.name, row.withdrawn_name)

    def _check(self, sources: Sequence[Layer]) -> None:
        """What is merged gets a new checksum: damage must not be carried under it. Raises SegmentRefused."""
        for layer in sources:
            for name in (layer.name, layer.withdrawn_name):
                if name is not None:
                    container.verify(self._folder / name)

    def _merged(self, layers: Sequence[Layer]) -> Layer:
        self._check(layers)
        return self._save(changeable.merged(layers), self._folder)

    def _put_in_force(self, held: Held) -> None:
        before = _names(self._held)
        views = {
            name: replace(view, layers=tuple(self._save(layer, self._folder) for layer in view.layers))
            for name, view in held.views.items()
        }
        held = replace(held, views=views)
        rows = {
            name: [Row(str(layer.name), layer.withdrawn_name) for layer in view.layers] for name, view in views.items()
        }
        self._seen = listing.write(self._folder, Listing(self._uid, held.state, rows), self._types)
        self._held = held
        for name in before - _names(held):
            with contextlib.suppress(OSError):
                os.unlink(self._folder / name)

    def _save(self, layer: Layer, folder: Path) -> Layer:
        """The layer with files for what had none; its segment mapped, so that processes share it."""
        hash_type = layer.segment.matcher.hash_type
        if layer.name is None:
            name = _new_name("segment")
            filing.save(folder / name, layer.segment, self._uid)
            layer = replace(layer, segment=filing.load(folder / name, hash_type, self._uid), name=name)
        if layer.withdrawn is not None and layer.withdrawn_name is None:
            name = _new_name("withdrawn")
            numbers, arrays = {"rows": layer.withdrawn_rows}, {"bits": layer.withdrawn}
            container.write(folder / name, Contents("withdrawn", hash_type, self._uid, numbers, arrays))
            layer = replace(layer, withdrawn_name=name)
        return layer


def _new_name(ending: str) -> str:
    return f"{secrets.token_hex(8)}.{ending}"


def _names(held: Held) -> set[str]:
    layers = [layer for view in held.views.values() for layer in view.layers]
    return {name for layer in layers for name in (layer.name, layer.withdrawn_name) if name is not None}
