"""Tech Against Terrorism's hash list (TCAP, version 2). Terrorist content, not CSAM: a policy and a set of their own.

A token is asked for with user name and password, and again only when it is refused. There are no windows of time: a
page's `checkpoint` is where the next begins. Published pages differ on paths, so both are settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from hashsets import hashtypes
from hashsets.errors import SourceError
from hashsets.formats import Reading, Reject, Removal
from hashsets.formats.plain import checked_signal
from hashsets.limits import is_classification
from hashsets.sources.base import Page
from hashsets.sources.web import Web
from hashsets.types import Classification, Delta, Entry, Shape, entry_key_of_ref

BASE = "https://app.terrorismanalytics.org"
TOKEN_PATH = "/token-auth/tcap/"
LIST_PATH = "/api/hash-list/v2/all"


class TCAP:
    """See the module."""

    fragments = False

    def __init__(self, web: Web, username: str, password: str) -> None:
        self.reading = Reading()
        self._web = web
        self._fields = {"username": username, "password": password}

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        headers = {"Authorization": f"Bearer {self._token()}"}
        after = "" if checkpoint is None else checkpoint.decode(errors="replace")
        seen = {after}
        while True:
            path = f"{LIST_PATH}?order=asc&limit=1000" + (f"&after={quote(after, safe='')}" if after else "")
            answer = self._web.get_json(path, headers=headers)
            records, reached = answer.get("results"), answer.get("checkpoint")
            if not isinstance(records, list):
                raise SourceError("the source's answer is not TCAP's: check its address")
            page = Page()
            for record in records:
                update = self._update(record if isinstance(record, dict) else {})
                if update is not None:
                    page.take(update)
            known = reached if isinstance(reached, str) and reached else after
            yield page.delta(checkpoint=known.encode() if known else None)
            if answer.get("next") is None:
                return
            if known in seen:
                raise SourceError("the source's pages lead round in a circle: try again later")
            seen.add(known)
            after = known

    def _token(self) -> str:
        try:
            answer = json.loads(self._web.post(TOKEN_PATH, self._fields).body)
        except ValueError:
            answer = None
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SourceError("the source gave no token: check its credentials")
        return token

    def _update(self, record: dict[str, Any]) -> Entry | Removal | None:
        self.reading.records += 1
        number = self.reading.records
        id_, kind, text = record.get("id"), record.get("algorithm"), record.get("hash_digest")
        if type(id_) is not int:
            self.reading.reject(Reject.BAD_REF, number)
            return None
        key = entry_key_of_ref(str(id_))
        if record.get("deleted") is True:
            self.reading.valid += 1
            return Removal(key)
        hash_type = hashtypes.find(kind) if isinstance(kind, str) else None
        if hash_type is None:
            self.reading.reject(Reject.UNKNOWN_TYPE, number)
            return Removal(key)
        signal = checked_signal(hash_type, text.strip() if isinstance(text, str) else "", number, self.reading)
        if signal is None:
            return Removal(key)
        self.reading.valid += 1
        mark = Classification("tcap-ideology", str(record.get("ideology") or "none"))
        return Entry(key, (signal,), Shape.ITEM, str(id_), (mark,) if is_classification(mark) else ())
