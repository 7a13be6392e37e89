"""StopNCII's hashes: intimate images that people asked to be found. Not CSAM: a policy and a set of their own.

Rules
- A record is a snapshot of (signal type, value) and replaces what was said of it before. Only `Active` is listed; any
  other status, an unknown one too, takes it away. What else in a record is unknown says nothing against it.
- `hasMoreRecords` says whether to go on, not the token. The last page's `nextSetTimestamp` begins the next run.
- After thirty days without a run everything is asked for again, and the answer is the complete list: withdrawals older
  than that may be forgotten there. Source: the public client of facebook/ThreatExchange.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from hashsets import hashtypes
from hashsets.errors import SourceError
from hashsets.formats import Reading, Reject, Removal
from hashsets.formats.plain import checked_signal
from hashsets.limits import is_classification
from hashsets.sources.base import Page
from hashsets.sources.web import Web
from hashsets.types import Classification, Delta, Entry, Shape

BASE = "https://api.stopncii.org/v1"
_BEGINNING = 10  # the public client's first startTimestamp
_LIFE = timedelta(days=30)
_TYPES = {"ImagePDQ": "pdq", "VideoMD5": "md5", "VideoTMK": "tmk", "Text": "raw_text", "URL": "url"}
_MOST_EMPTY_PAGES = 100


class StopNCII:
    """See the module. `now` is the time, in UTC."""

    fragments = False

    def __init__(self, web: Web, *, now: Callable[[], datetime], page_size: int = 800) -> None:
        self.reading = Reading()
        self._web = web
        self._now = now
        self._page_size = page_size

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        now = int(self._now().timestamp())
        start, complete = _begin(checkpoint, now)
        token: str | None = None
        empty = 0
        while True:
            path = f"/FetchHashes?startTimestamp={start}&pageSize={self._page_size}"
            answer = self._web.get_json(path + (f"&nextPageToken={quote(token, safe='')}" if token else ""))
            records, more = answer.get("hashRecords"), answer.get("hasMoreRecords")
            if not isinstance(records, list) or not isinstance(more, bool):
                raise SourceError("the source's answer is not StopNCII's: check its address")
            page = Page()
            for record in records:
                update = self._update(record)
                if update is not None:
                    page.take(update)
            if not more:
                following = answer.get("nextSetTimestamp")
                reached = {"from": following if type(following) is int else start, "at": now}
                yield page.delta(complete=complete, checkpoint=json.dumps(reached).encode())
                return
            yield page.delta(complete=complete)
            token = answer.get("nextPageToken")
            empty = 0 if records else empty + 1
            if not isinstance(token, str) or not token or empty > _MOST_EMPTY_PAGES:
                raise SourceError("the source has more records but does not say where: try again later")

    def _update(self, record: Any) -> Entry | Removal | None:
        self.reading.records += 1
        number = self.reading.records
        said = record if isinstance(record, dict) else {}
        kind, text = said.get("signalType"), said.get("hashValue")
        name = _TYPES.get(kind) if isinstance(kind, str) else None
        if name is None:
            self.reading.unmatchable["unknown"] += 1
            return None
        if not isinstance(text, str):
            self.reading.reject(Reject.NO_VALUE, number)
            return None
        signal = checked_signal(hashtypes.get(name), text.strip(), number, self.reading)
        if signal is None:
            return None
        self.reading.valid += 1
        key = b"stopncii\0" + str(kind).encode() + b"\0" + signal.value
        if said.get("hashStatus") != "Active":
            return Removal(key)
        regions = said.get("hashRegions")
        named = [text for text in regions if isinstance(text, str)] if isinstance(regions, list) else []
        marks = (Classification("stopncii-region", text) for text in sorted(set(named))[:32])
        return Entry(key, (signal,), Shape.ITEM, None, tuple(mark for mark in marks if is_classification(mark)))


def _begin(checkpoint: bytes | None, now: int) -> tuple[int, bool]:
    """Where to begin, and whether what comes is the whole list."""
    if checkpoint is None:
        return _BEGINNING, False
    try:
        reached = json.loads(checkpoint)
        start, at = int(reached["from"]), int(reached["at"])
    except (ValueError, KeyError, TypeError):
        raise SourceError("the checkpoint is not one of this source: was the hash set another's before?") from None
    late = now - at > _LIFE.total_seconds()
    return (_BEGINNING, True) if late else (start, False)
