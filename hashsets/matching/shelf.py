"""A changeable index kept in a folder: one file a segment, one for what was withdrawn of it, and a list of them.

Owns the list (`index.json`), the names and the order in which files appear and go. Knows no store and no version: the
caller's `state` says what the index stands for.

Rules
- The list is replaced last, in one rename: before it stands the old index, after it the new.
- Every file carries the index's random uid; the list has its own checksum. What does not fit is refused.
- One process writes a folder (the caller holds its writer lock); any number read, and `refresh` follows the writer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hashsets.errors import SegmentRefused
from hashsets.hashtypes import HashType
from hashsets.matching import container, segments
from hashsets.matching.changeable import ChangeableIndex, Layer, View
from hashsets.matching.container import Contents

LIST_NAME = "index.json"
REVISION = 1
_MAX_LIST_BYTES = 1 << 20
_READ_ATTEMPTS = 5  # a reader may find a file gone that a merge replaced between its reading the list and opening it


class Shelf(ChangeableIndex):
    """A `ChangeableIndex` that outlasts the process. Made by `create` or `open`."""

    def __init__(self, hash_type: HashType, folder: Path, uid: bytes) -> None:
        super().__init__(hash_type)
        self._folder = folder
        self._uid = uid
        self._next_number = 1
        self._seen = b""

    @classmethod
    def create(cls, hash_type: HashType, folder: Path) -> Shelf:
        """An empty index in `folder` (made 0700 if it is not there), in place of any that stands there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shelf = cls(hash_type, folder, secrets.token_bytes(16))
        shelf._put_in_force(shelf.view())
        shelf.tidy()
        return shelf

    @classmethod
    def open(cls, hash_type: HashType, folder: Path) -> Shelf:
        """The index as its last change left it: milliseconds, whatever its size. Raises SegmentRefused."""
        shelf = cls(hash_type, folder, b"")
        shelf.refresh()
        return shelf

    def refresh(self) -> bool:
        """Follow what another process has changed; whether it had. What stayed is not opened again."""
        with self._changing:
            for attempt in range(_READ_ATTEMPTS):
                text = _read_list(self._folder)
                if text == self._seen:
                    return False
                try:
                    self._follow(text)
                except SegmentRefused:
                    if attempt == _READ_ATTEMPTS - 1 or _read_list(self._folder) == text:
                        raise
                else:
                    self._seen = text
                    return True
        raise SegmentRefused("an index changed faster than it could be read; open it again")

    def verify(self) -> None:
        """Read every file against its checksum. Raises SegmentRefused."""
        for layer in self.view().layers:
            for name in (layer.name, layer.withdrawn_name):
                if name is not None:
                    container.verify(self._folder / name)

    def tidy(self) -> None:
        """Remove files the list does not name: what a crash left. For the writer alone."""
        container.discard_partials(self._folder)
        held = self._names(self.view())
        for path in [*self._folder.glob("*.segment"), *self._folder.glob("*.withdrawn")]:
            if path.name not in held:
                path.unlink(missing_ok=True)

    def _follow(self, text: bytes) -> None:
        try:
            self._take(_parse(text, self.hash_type))
        except (KeyError, TypeError, ValueError) as error:
            raise SegmentRefused("the list of an index contradicts itself; build it again") from error

    def _take(self, listed: dict[str, Any]) -> None:
        uid = bytes.fromhex(listed["uid"])
        known = {layer.name: layer for layer in self.view().layers} if uid == self._uid else {}
        self._uid = uid
        layers = tuple(self._layer(row, known.get(row["file"])) for row in listed["layers"])
        self._next_number = listed["next"]
        self._view = View(self.hash_type, layers, bytes.fromhex(listed["state"]))

    def _layer(self, row: dict[str, Any], known: Layer | None) -> Layer:
        name, withdrawn_name = _plain(row["file"]), row["withdrawn"]
        if known is not None and known.withdrawn_name == withdrawn_name:
            return known
        segment = known.segment if known else segments.load(self._folder / name, self.hash_type, self._uid)
        if withdrawn_name is None:
            return Layer(segment, name=name)
        path = self._folder / _plain(withdrawn_name)
        container.verify(path)
        contents = container.read(path, "withdrawn", self.hash_type, self._uid)
        bits = contents.arrays.get("bits")
        if bits is None or bits.dtype != np.uint8 or bits.shape != (-(-len(segment) // 8),):
            raise SegmentRefused("a list of withdrawn rows is of another segment; build the index again")
        return Layer(segment, bits, contents.numbers["rows"], name, withdrawn_name)

    def _merged_layer(self, layers: Any) -> Layer:
        return self._saved(super()._merged_layer(layers))

    def _put_in_force(self, view: View) -> None:
        before = self._names(self.view())
        view = replace(view, layers=tuple(self._saved(layer) for layer in view.layers))
        text = self._list_text(view)
        _replace_file(self._folder / LIST_NAME, text)
        self._seen = text
        super()._put_in_force(view)
        for name in before - self._names(view):
            with contextlib.suppress(OSError):
                os.unlink(self._folder / name)

    def _saved(self, layer: Layer) -> Layer:
        if layer.name is None:
            name = self._new_name("segment")
            segments.save(self._folder / name, layer.segment, self._uid)
            layer = replace(layer, name=name)
        if layer.withdrawn is not None and layer.withdrawn_name is None:
            name = self._new_name("withdrawn")
            numbers, arrays = {"rows": layer.withdrawn_rows}, {"bits": layer.withdrawn}
            contents = Contents("withdrawn", self.hash_type, self._uid, numbers, arrays)
            container.write(self._folder / name, contents)
            layer = replace(layer, withdrawn_name=name)
        return layer

    def _new_name(self, ending: str) -> str:
        with self._changing:
            number = self._next_number
            self._next_number += 1
        return f"{number:08d}.{ending}"

    def _names(self, view: View) -> set[str]:
        names = {name for layer in view.layers for name in (layer.name, layer.withdrawn_name)}
        return {name for name in names if name is not None}

    def _list_text(self, view: View) -> bytes:
        rows = [{"file": layer.name, "withdrawn": layer.withdrawn_name} for layer in view.layers]
        body = {
            "format": REVISION,
            "uid": self._uid.hex(),
            "hash_type": self.hash_type.name,
            "type_revision": self.hash_type.revision,
            "state": view.state.hex(),
            "next": self._next_number,
            "layers": rows,
        }
        text = json.dumps(body, sort_keys=True).encode("ascii")
        return hashlib.sha256(text).hexdigest().encode("ascii") + b"\n" + text + b"\n"


def _replace_file(path: Path, text: bytes) -> None:
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    container.sync_folder(path.parent)


def _read_list(folder: Path) -> bytes:
    try:
        with open(folder / LIST_NAME, "rb") as file:
            return file.read(_MAX_LIST_BYTES)
    except OSError as error:
        raise SegmentRefused("there is no index in this folder; build it") from error


def _parse(text: bytes, hash_type: HashType) -> dict[str, Any]:
    checksum, _, body = text.partition(b"\n")
    if hashlib.sha256(body.rstrip(b"\n")).hexdigest().encode("ascii") != checksum:
        raise SegmentRefused("the list of an index is torn or not ours; build it again")
    listed: dict[str, Any] = json.loads(body)
    expected = {"format": REVISION, "hash_type": hash_type.name, "type_revision": hash_type.revision}
    if any(listed.get(name) != value for name, value in expected.items()):
        raise SegmentRefused("an index is of another format or hash type; build it again")
    return listed


def _plain(name: str) -> str:
    if not re.fullmatch(r"[0-9]{8,}\.(segment|withdrawn)", name):
        raise SegmentRefused("an index names a file that is none of its own; build it again")
    return name
