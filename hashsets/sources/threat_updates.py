"""Meta ThreatExchange: the `threat_updates` of a privacy group.

Rules
- The token goes in the address, so no address is ever told or logged, and a `next` link is followed on its host alone.
- Deletions are kept there for 90 days: after 85 without a run everything is asked for again, as the complete list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

from hashsets.errors import SourceError
from hashsets.formats import Reading
from hashsets.formats.threatexchange import update_of
from hashsets.sources.base import Page
from hashsets.sources.web import Web
from hashsets.types import Delta

BASE = "https://graph.facebook.com"
_VERSION = "/v21.0"
_LIFE = timedelta(days=85)
_SETTLING_S = 5
_FIELDS = "id,indicator,type,last_updated,should_delete,descriptors{id,tags,status}"


class ThreatUpdates:
    """See the module. `token` is APPID|SECRET; `now` is the time, in UTC."""

    fragments = False

    def __init__(self, web: Web, group: str, token: str, *, now: Callable[[], datetime], host: str = BASE) -> None:
        self.reading = Reading()
        self._web = web
        self._group = group
        self._token = token
        self._now = now
        self._host = urlsplit(host).netloc

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        stop = int(self._now().timestamp()) - _SETTLING_S
        start, same = _begin(checkpoint, self._group)
        complete = not same or (start > 0 and stop - start > _LIFE.total_seconds())
        path: str | None = (
            f"{_VERSION}/{quote(self._group, safe='')}/threat_updates/?access_token={quote(self._token, safe='')}"
            f"&start_time={0 if complete else start}&stop_time={stop}&limit=500&fields={quote(_FIELDS, safe=',')}"
        )
        seen: set[str] = set()
        while path is not None:
            if path in seen:
                raise SourceError("the source's pages lead round in a circle: try again later")
            seen.add(path)
            answer = self._web.get_json(path)
            records = answer.get("data")
            if not isinstance(records, list):
                raise SourceError("the source's answer is not ThreatExchange's: check its address")
            page = Page()
            for record in records:
                self.reading.records += 1
                update = update_of(record if isinstance(record, dict) else {}, self.reading.records, self.reading)
                if update is not None:
                    page.take(update)
            path = self._next(answer.get("paging"))
            reached = None if path is not None else json.dumps({"from": stop, "group": self._group}).encode()
            yield page.delta(complete=complete, checkpoint=reached)

    def _next(self, paging: object) -> str | None:
        link = paging.get("next") if isinstance(paging, dict) else None
        if link is None:
            return None
        parts = urlsplit(link) if isinstance(link, str) else urlsplit("")
        if parts.netloc != self._host or not parts.path.startswith("/"):
            raise SourceError("the source names a page that is not on its own host")
        return f"{parts.path}?{parts.query}"


def _begin(checkpoint: bytes | None, group: str) -> tuple[int, bool]:
    """Where to begin, and whether it is the group that was asked for before."""
    if checkpoint is None:
        return 0, True
    try:
        reached = json.loads(checkpoint)
        return int(reached["from"]), reached["group"] == group
    except (ValueError, KeyError, TypeError):
        raise SourceError("the checkpoint is not one of this source: was the hash set another's before?") from None
