"""NCMEC's Hash Sharing API, version 2: the changes of a window of time, page by page.

Rules
- A window excludes its beginning and includes its end; its end is fixed before its first page, five seconds ago or
  earlier. Times are whole seconds of UTC. The checkpoint moves to the end with the last page, the one without `next`.
- A `next` link is good only with the window that produced it, and for twelve hours: both are kept with it.
- Entries come in no order of time. They are applied as they arrive; the last word on an entry stands, whole.
- A window of very many entries is narrowed first, down to one second; what is then still long is told in pieces, from
  link to link.
- Where other members or another environment are asked for than before, all is told anew; what it lacks is withdrawn.
- An entry whose fingerprints all are of kinds that we do not compare takes what it said before away.

Source: NCMEC's documentation of the API; facebook/ThreatExchange issues 1105, 1118, 1679, 1731, 1744.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

from hashsets.errors import SourceError
from hashsets.formats import Reading
from hashsets.sources.base import Page
from hashsets.sources.ncmec_xml import Answer, Selection, parse_answer
from hashsets.sources.web import Web
from hashsets.types import Delta

ENVIRONMENTS = {
    "industry-csam": "https://report.cybertip.org/hashsharing",
    "industry-exploitative": "https://report.cybertip.org/exploitative-hashsharing",
    "law-enforcement-csam": "https://lesp.ncmec.org/csam-hashsharing",
    "npo-csam": "https://hashsharing.ncmec.org/npo",
    "npo-exploitative": "https://hashsharing.ncmec.org/exploitative",
    "npo-generative-ai-csam": "https://hashsharing.ncmec.org/generative-ai-csam",
    "npo-generative-ai-exploitative": "https://hashsharing.ncmec.org/generative-ai-exploitative",
    "test-industry-csam": "https://exttest.cybertip.org/hashsharing",
    "test-industry-exploitative": "https://exttest.cybertip.org/exploitative-hashsharing",
    "test-law-enforcement-csam": "https://betalesp.ncmec.org/csam-hashsharing",
    "test-npo-csam": "https://hashsharing-test.ncmec.org/npo",
    "test-npo-exploitative": "https://hashsharing-test.ncmec.org/exploitative",
    "test-npo-generative-ai-csam": "https://hashsharing-test.ncmec.org/generative-ai-csam",
    "test-npo-generative-ai-exploitative": "https://hashsharing-test.ncmec.org/generative-ai-exploitative",
}

SETTLING = timedelta(seconds=5)  # now minus this is the latest end of a window: the public client's
LINK_LIFE = timedelta(hours=12)
# A window of more is narrowed, the public client's bound; after as many, what was told is put in force.
MOST_ENTRIES = 100_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_MOST_PAGES_WITHOUT_ENTRIES = 100  # of one window: links that lead nowhere


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the list was told: all up to `done`, and of the window after it the pages before `link`."""

    done: datetime
    end: datetime | None = None
    link: str | None = None
    linked: datetime | None = None

    def encode(self, asked: str) -> bytes:
        """The checkpoint; `asked` says of what."""
        written = {"done": _text(self.done), "asked": asked}
        if self.end is not None and self.link is not None and self.linked is not None:
            written |= {"end": _text(self.end), "link": self.link, "linked": _text(self.linked)}
        return json.dumps(written).encode()

    @classmethod
    def decode(cls, checkpoint: bytes | None, now: datetime, asked: str) -> tuple[_Place, bool]:
        """Where to go on, and whether all is to be told anew, as something else was asked for until now.

        A link too old is forgotten, and its window told again.
        """
        if checkpoint is None:
            return cls(_BEGINNING), False
        try:
            written = json.loads(checkpoint)
            if written["asked"] != asked:
                return cls(_BEGINNING), True
            place = cls(_time(written["done"]))
            if "link" in written and abs(now - _time(written["linked"])) < LINK_LIFE:
                place = cls(place.done, _time(written["end"]), str(written["link"]), _time(written["linked"]))
        except (ValueError, KeyError, TypeError):
            raise SourceError("the checkpoint is not one of this source: was the hash set another's before?") from None
        return place, False


class NCMEC:
    """One environment, as one list. `now` is the time, in UTC."""

    fragments = False

    def __init__(
        self, web: Web, selection: Selection, *, now: Callable[[], datetime], most_entries: int = MOST_ENTRIES
    ) -> None:
        self.reading = Reading()
        self.more = False
        self._web = web
        self._selection = selection
        self._now = now
        self._most_entries = most_entries
        self._asked = " ".join((selection.environment, *sorted(selection.members)))

    def pages(self, checkpoint: bytes | None) -> Iterator[Delta]:
        """See Source."""
        now = self._now()
        last = (now - SETTLING).replace(microsecond=0)
        place, anew = _Place.decode(checkpoint, now, self._asked)
        most = float("inf") if anew else self._most_entries  # a complete list cannot be in force in pieces
        width = last - place.done
        told = 0
        self.more = False
        while place.link is not None or place.done < last:
            if told >= most:
                self.more = True
                return
            if place.link is None:
                end, first = self._first_page(place.done, min(last, place.done + width))
                width = end - place.done
            else:
                assert place.end is not None
                try:
                    end, first = place.end, self._page(place.link)
                except SourceError:  # a link may be forgotten there: the window is told again
                    place = _Place(place.done)
                    continue
            before = told
            for delta, count, reached in self._window(first, place.done, end, complete=anew):
                yield delta
                told, place = told + count, reached
                if place.link is not None and told - before >= most:
                    self.more = True
                    return
            width = max(_SECOND, width * 2 if told - before < 2000 else width)

    def _first_page(self, begin: datetime, end: datetime) -> tuple[datetime, Answer]:
        """The first page of the widest window from `begin` on that is not too long, and the window's end."""
        while True:
            path = f"/v2/entries?from={_quoted(begin)}&to={_quoted(end)}"
            answer = self._page(path)
            if _left(answer.link) <= self._most_entries or end - begin <= _SECOND:
                return end, answer
            end = begin + max(_SECOND, timedelta(seconds=(end - begin) // _SECOND // 4))

    def _window(
        self, answer: Answer, done: datetime, end: datetime, *, complete: bool
    ) -> Iterator[tuple[Delta, int, _Place]]:
        """Each page of a window as a delta, with how many entries it told and how far that is."""
        idle = 0
        seen: set[str] = set()
        while True:
            page = Page()
            for update in answer.updates:
                page.take(update)
            link = answer.link
            idle = 0 if answer.entries else idle + 1
            if link is not None and (link in seen or idle > _MOST_PAGES_WITHOUT_ENTRIES):
                raise SourceError("the source's pages lead round in a circle: try again later")
            place = _Place(end) if link is None else _Place(done, end, link, self._now())
            yield page.delta(complete=complete, checkpoint=place.encode(self._asked)), answer.entries, place
            if link is None:
                return
            seen.add(link)
            answer = self._page(link)

    def _page(self, path: str) -> Answer:
        return parse_answer(self._web.get(path).body, self._selection, self.reading)


def _left(link: str | None) -> int:
    """How many entries a first page's `next` link says are still to come."""
    if link is None:
        return 0
    asked = parse_qs(urlsplit(link).query)
    numbers = [asked.get(name, ["0"])[0] for name in ("max", "start")]
    most, start = (int(text) if re.fullmatch(r"[0-9]{1,12}", text) else 0 for text in numbers)
    return max(0, most - start)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime(_FORMAT)


def _time(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)


def _quoted(time: datetime) -> str:
    return quote(_text(time), safe="")
