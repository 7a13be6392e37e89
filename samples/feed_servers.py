"""Servers of hash lists on loopback that speak the real formats, and have bad days as real ones do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

XMLNS = "https://hashsharing.ncmec.org/hashsharing/v2"
DROP, CUT = "drop", "cut"  # the connection breaks before the answer, and in the middle of it


@dataclass(frozen=True)
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Server:
    """Answers on loopback. `moods` are used up, one a request: a status, DROP or CUT; then it is well.

    With 429 it asks to be left alone for `retry_after_s`.
    """

    def __init__(self) -> None:
        self.moods: list[int | str] = []
        self.retry_after_s = 7
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._take(self)

            def do_POST(self) -> None:
                server._take(self)

            def do_PUT(self) -> None:
                server._take(self)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """What a well server says."""
        raise NotImplementedError

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        self.headers.append(dict(handler.headers))
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        mood = self.moods.pop(0) if self.moods else 200
        if mood == DROP:
            handler.close_connection = True
            handler.connection.close()
            return
        reply = self.answer(handler.path, dict(handler.headers), sent)
        if isinstance(mood, int) and mood != 200:
            reply = Reply(b"busy", mood, {"Retry-After": str(self.retry_after_s)} if mood == 429 else {})
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.close_connection = True
        with suppress(OSError):  # whoever asked may have been killed
            handler.end_headers()
            handler.wfile.write(reply.body[: len(reply.body) // 2] if mood == CUT else reply.body)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


@dataclass(frozen=True)
class Record:
    """One entry or tombstone of NCMEC's, changed at `second`; `body` is its XML without its outermost element."""

    second: int
    kind: str
    body: str


def entry(second: int, kind: str, member: int, id_: str, prints: str = "", classification: str = "A1") -> Record:
    """An entry; `prints` is the XML of its fingerprints."""
    stamp = f"<timestamp>{stamped(second)}</timestamp>"
    given = f"<classification>{classification}</classification>" if classification else ""
    body = (
        f'<member id="{member}">Name</member>{stamp}<id>{escape(id_)}</id>{given}<fingerprints>{prints}</fingerprints>'
    )
    return Record(second, kind, body + "<feedback/>")


def tombstone(second: int, kind: str, member: int, id_: str) -> Record:
    """The word that an entry is no more."""
    stamp = f"<timestamp>{stamped(second)}</timestamp>"
    return Record(second, kind, f'<member id="{member}">Name</member><id>{id_}</id>{stamp}')


def stamped(second: int) -> str:
    """A time as NCMEC writes it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class NCMECServer(Server):
    """Windows that exclude their beginning and include their end; pages in the order of `records`, not of time.

    A link that comes back with other ends than it was given for jumps to the end of the list, as the real one does.
    """

    def __init__(self, page_size: int = 1000) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.page_sizes: list[int] = []
        self.votes: list[tuple[str, bytes]] = []
        self._page_size = page_size

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path.startswith("/v2/feedback/"):
            reasons = "".join(f'<reason guid="guid-{n}" name="Example Reason {n}" type="Md5"/>' for n in (1, 2))
            text = f'<availableFeedbackReasons xmlns="{XMLNS}">{reasons}</availableFeedbackReasons>'
            return Reply(text.encode())
        if path.endswith("/feedback"):
            self.votes.append((path, body))
            return Reply(f'<submissionResult xmlns="{XMLNS}"/>'.encode())
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        begin, end = asked["from"].replace(".000Z", "Z"), asked["to"].replace(".000Z", "Z")
        found = [record for record in self.records if begin < stamped(record.second) <= end]
        start = int(asked.get("start", "1")) - 1
        if "max" in asked and int(asked["max"]) != len(found):
            start = len(found)
        sizes = self.page_sizes or [self._page_size] * (len(found) // self._page_size + 1)
        stop = next((sum(sizes[:n]) for n in range(len(sizes) + 1) if sum(sizes[:n]) > start), len(found))
        return Reply(self._page(found[start:stop], begin, end, stop, len(found)).encode())

    def _page(self, records: list[Record], begin: str, end: str, stop: int, most: int) -> str:
        images = "".join(f"<{r.kind}>{r.body}</{r.kind}>" for r in records if r.kind.lower().endswith("image"))
        videos = "".join(f"<{r.kind}>{r.body}</{r.kind}>" for r in records if r.kind.lower().endswith("video"))
        paging = ""
        if stop < most:
            ends = f"from={quote(begin[:-1] + '.000Z', safe='')}&to={quote(end[:-1] + '.000Z', safe='')}"
            link = f"/v2/entries?{ends}&start={stop + 1}&size={self._page_size}&max={most}"
            paging = f"<paging><next>{escape(link)}</next></paging>"
        return (
            f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?><queryResult xmlns="{XMLNS}">'
            f'<images count="{images.count("</id>")}">{images}</images><videos count="0">{videos}</videos>{paging}'
            "</queryResult>"
        )


class StopNCIIServer(Server):
    """Records by time of change, some a page; the last page has a token too."""

    def __init__(self, page_size: int = 2) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self._page_size = page_size

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        if headers.get("x-functions-key") != "one" or headers.get("Ocp-Apim-Subscription-Key") != "two":
            return Reply(status=401)
        found = [each for each in self.records if each["lastModtimestamp"] >= int(asked["startTimestamp"])]
        start = int(asked.get("nextPageToken", "0"))
        page = found[start : start + self._page_size]
        answer = {
            "count": len(page),
            "nextPageToken": str(start + self._page_size),
            "nextSetTimestamp": max((each["lastModtimestamp"] for each in found), default=10),
            "hasMoreRecords": start + self._page_size < len(found),
            "hashRecords": page,
        }
        return Reply(json.dumps(answer).encode())


class FileServer(Server):
    """One file with an ETag."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b""
        self.etag = '"1"'

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if headers.get("If-None-Match") == self.etag:
            return Reply(status=304)
        return Reply(self.content, headers={"ETag": self.etag, "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"})


class ScriptServer(Server):
    """Replies by path, for interfaces of few words."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[str, list[dict[str, Any]]] = {}

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        queue = self.replies[urlsplit(path).path]
        return Reply(json.dumps(queue.pop(0) if len(queue) > 1 else queue[0]).encode())
