"""A list at an address: fetched whole when it changed, told by its ETag or its time.

The answer is taken to the end before it is read: a transfer cut short is tried again, and imports nothing. It waits in
a file without a name, so that a list of gigabytes, or a database, is read as if it had been local.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, cast

from hashsets.errors import SourceError
from hashsets.formats import Options, Reading, read_list
from hashsets.sources.file import paged
from hashsets.sources.web import Answer, Web
from hashsets.types import Delta

# What is remembered of an answer, and how it is asked for again. RFC 9110, sections 8.8 and 13.1.
_VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
_MOST_LETTERS = 1000


class HttpFile:
    """See the module. The list is complete: what it lacks is withdrawn, unless `complete` is False."""

    fragments = True

    def __init__(self, web: Web, path: str, *, options: Options, complete: bool = True) -> None:
        self.reading = Reading()
        self._web = web
        self._path = path
        self._options = replace(options, blocks=True)
        self._complete = complete
        chosen = sorted((options.categories or {}).items())
        self._asked = json.dumps([path, options.type_name, options.categories is None, chosen, complete])

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source. An unchanged list has no page."""
        with tempfile.TemporaryFile() as spooled:
            stream = cast(BinaryIO, spooled)
            answer = self._web.get(self._path, headers=_conditions(checkpoint, self._asked), into=stream)
            if answer.status == 304:
                return
            stream.seek(0)
            try:
                yield from paged(read_list(stream, self._options, self.reading), complete=self._complete)
            except OSError as error:
                raise SourceError("the list could not be kept while it was read: check the disk") from error
            yield Delta(checkpoint=_remembered(answer, self._asked), complete=self._complete)


def _conditions(checkpoint: bytes | None, asked: str) -> dict[str, str]:
    """Headers that ask for a changed list alone; none where it was read in another way before."""
    if checkpoint is None:
        return {}
    try:
        known = json.loads(checkpoint)
    except ValueError:
        return {}
    found = known if isinstance(known, dict) and known.get("asked") == asked else {}
    return {header: found[name] for name, header in _VALIDATORS.items() if isinstance(found.get(name), str)}


def _remembered(answer: Answer, asked: str) -> bytes:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    kept = {name: headers[name] for name in _VALIDATORS if name in headers and len(headers[name]) <= _MOST_LETTERS}
    return json.dumps(kept | {"asked": asked}, sort_keys=True).encode()
