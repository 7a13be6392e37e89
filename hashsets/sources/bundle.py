"""A signed bundle, at an address or in a folder: a complete list, told again only when it differs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from hashsets.bundles import METADATA
from hashsets.bundles.verifying import MOST_METADATA_BYTES, Fetch, NotThere, opened
from hashsets.errors import SourceError
from hashsets.formats import Options, Reading, read_list
from hashsets.sources.file import open_list_file, paged
from hashsets.sources.web import NotFound, Web
from hashsets.types import Delta

_CHUNK_BYTES = 256 * 1024


class BundleSource:
    """`root` is the metadata that vouches for all, carried here by hand; `most_bytes` bounds the list."""

    fragments = True

    def __init__(self, fetch: Fetch, root: bytes, *, options: Options, most_bytes: int) -> None:
        self.reading = Reading()
        self._fetch = fetch
        self._root = root
        self._options = replace(options, blocks=True)
        self._most_bytes = most_bytes

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source. An unchanged bundle moves the checkpoint: what it promised anew must not be taken back."""
        with opened(self._root, self._fetch, checkpoint, self._most_bytes) as bundle:
            if not bundle.changed:
                yield Delta(checkpoint=bundle.checkpoint())
                return
            with bundle.download().open("rb") as stream:
                yield from paged(read_list(stream, self._options, self.reading), complete=True)
            yield Delta(checkpoint=bundle.checkpoint(), complete=True)


def over_web(web: Web) -> Fetch:
    """A bundle at an address."""

    def fetch(path: str) -> Iterator[bytes]:
        try:
            if path.startswith(f"/{METADATA}/"):
                yield web.get(path, most_bytes=MOST_METADATA_BYTES).body
                return
            with tempfile.TemporaryFile() as spooled:
                web.get(path, into=cast(BinaryIO, spooled))
                spooled.seek(0)
                while part := spooled.read(_CHUNK_BYTES):
                    yield part
        except NotFound as error:
            raise NotThere(str(error)) from error

    return fetch


def in_folder(folder: Path) -> Fetch:
    """A bundle in a folder."""

    def fetch(path: str) -> Iterator[bytes]:
        place = folder / path.lstrip("/")
        if ".." in place.parts or not place.exists():
            raise NotThere("there is no such part of the bundle")
        with open_list_file(place) as file:
            try:
                while part := file.read(_CHUNK_BYTES):
                    yield part
            except OSError as error:
                raise SourceError("the bundle could not be read to its end: check the disk") from error

    return fetch
