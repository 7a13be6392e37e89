"""NCMEC's feed: windows, pages in no order, tombstones, kills, and what is kept of an entry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from hashsets.errors import SourceError
from hashsets.sources.ncmec import NCMEC
from hashsets.sources.ncmec_xml import Selection
from hashsets.sources.web import Patience, Web
from hashsets.store import Store
from hashsets.types import Classification, Signal
from samples.feed_servers import CUT, DROP, NCMECServer, Reply, Server, entry, tombstone
from tests.hashsets.sources.conftest import EPOCH, Waits, bring, listed, now

MD5 = "<md5>{0:032x}</md5>"
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"


class Killed(BaseException):
    """The process ends here, without a word to anybody."""


@pytest.fixture
def server() -> Iterator[NCMECServer]:
    """An empty list."""
    server = NCMECServer()
    with server.running():
        yield server


def source(
    server: NCMECServer,
    patience: Patience,
    *,
    members: frozenset[str] = frozenset(),
    later_s: int = 0,
    most: int = 10**6,
) -> NCMEC:
    """The feed of it, some seconds later."""
    web = Web(server.base, basic=("user", "secret"), patience=patience)
    selection = Selection("industry-csam", members)
    return NCMEC(web, selection, now=lambda: now() + timedelta(seconds=later_s), most_entries=most)


def four_pages(server: NCMECServer) -> None:
    """The scenario of the public client's own tests: updates and tombstones across pages, in no order of time."""
    then = EPOCH - 1000
    both = "<md5>{0:032x}</md5><sha1>{0:040x}</sha1><pdna>a1a1</pdna>"
    server.page_sizes = [4, 1, 2, 2]
    server.records = [
        entry(then, "image", 42, "image1", both.format(1) + f"<pdq>{PDQ.upper()}</pdq>"),
        tombstone(then + 9, "deletedImage", 43, "image4"),
        entry(then, "video", 42, "video1", both.format(2) + '<tmk-pdqf rel="self" href="/x"/>'),
        tombstone(then + 19, "deletedVideo", 42, "video4"),
        entry(then + 5, "image", 42, "image10", MD5.format(3)),
        entry(then + 7, "image", 101, "willdelete", MD5.format(4)),
        entry(then + 8, "image", 101, "willupdate", MD5.format(5), "A1"),
        entry(then - 90, "image", 101, "willupdate", MD5.format(6), "A2"),
        tombstone(then - 80, "deletedImage", 101, "willdelete"),
    ]


def check_four_pages(store: Store) -> None:
    """What four pages leave."""
    found = listed(store)

    assert {"42-image1", "42-video1", "42-image10", "101-willupdate"} == set(found)
    assert (Signal("md5", (6).to_bytes(16)),) == found["101-willupdate"].signals
    assert (Classification("ncmec-industry-csam", "A2"),) == found["101-willupdate"].classifications
    assert {"md5", "sha1", "pdq"} == {signal.hash_type for signal in found["42-image1"].signals}
    assert {"md5", "sha1"} == {signal.hash_type for signal in found["42-video1"].signals}
    assert b"2017-10-25T02:53:15Z" in (store.checkpoint("a") or b"")
    assert b"link" not in (store.checkpoint("a") or b"")


def test_four_pages_leave_what_they_say_last(store: Store, server: NCMECServer, patience: Patience) -> None:
    """Later pages win, whatever their times; a tombstone of an entry never seen is no error; the next run asks anew."""
    four_pages(server)
    (done,) = bring(store, source(server, patience))
    check_four_pages(store)
    (same,) = bring(store, source(server, patience, later_s=100))

    assert 0 == same.changed + same.added + same.withdrawn
    assert {"photodna": 2, "tmk_pdqf": 1} == dict(done.unmatchable)
    assert 5 == len(server.requests) == len(server.headers)
    assert all(header["Authorization"].startswith("Basic ") for header in server.headers)
    assert "/v2/entries?from=2017-10-25T02%3A53%3A15Z&to=2017-10-25T02%3A54%3A55Z" == server.requests[4]
    assert "start=5" in server.requests[1]
    assert "2017-10-25T02%3A53%3A15.000Z" in server.requests[1]  # as the server wrote it, unescaped once


@pytest.mark.parametrize("page", range(1, 5))
@pytest.mark.parametrize("place", ["after", "within"])
def test_a_kill_at_any_page_leads_to_the_same_end(
    store: Store, server: NCMECServer, patience: Patience, page: int, place: str
) -> None:
    """After a page was staged, or while it was on its way."""
    four_pages(server)
    server.records.append(entry(EPOCH - 500, "image", 7, "new", MD5.format(9)))
    pages = 0

    def progress(_records: int) -> None:
        nonlocal pages
        pages += 1
        if place == "after" and pages == page:
            raise Killed

    def die(_seconds: float) -> None:
        raise Killed

    server.page_sizes = [4, 1, 2, 3]
    server.moods = [200] * (page - 1) + [CUT] if place == "within" else []
    with pytest.raises(Killed):
        bring(store, source(server, Patience(sleep=die)), progress=progress)
    bring(store, source(server, patience))

    assert {"42-image1", "42-video1", "42-image10", "101-willupdate", "7-new"} == set(listed(store))
    assert (Signal("md5", (6).to_bytes(16)),) == listed(store)["101-willupdate"].signals


def test_the_local_time_zone_changes_no_request(
    store: Store, server: NCMECServer, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """East of UTC a local time written as UTC would lie in the future, and entries would never come."""
    four_pages(server)
    bring(store, source(server, patience))
    in_utc, server.requests = server.requests, []
    store.remove("a")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        bring(store, source(server, patience))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert in_utc == server.requests


def test_a_bad_day_costs_waits_and_nothing_else(
    store: Store, server: NCMECServer, patience: Patience, waits: Waits
) -> None:
    """Busy, broken and cut short: tried again, no sooner than asked; five times in a row ends the run."""
    four_pages(server)
    server.moods = [503, DROP, 200, CUT, 429, 200]
    bring(store, source(server, patience))
    check_four_pages(store)
    before = store.hash_set("a")
    server.moods = [500] * 5

    assert 4 == len(waits.seconds)
    assert 7.0 == waits.seconds[3]
    with pytest.raises(SourceError, match="answered 500 5 times"):
        bring(store, source(server, patience, later_s=100))
    server.moods = [401]
    with pytest.raises(SourceError, match="credentials"):
        bring(store, source(server, patience, later_s=100))
    assert before == store.hash_set("a")


def test_one_second_of_very_many_entries_is_told_from_link_to_link(
    store: Store, server: NCMECServer, patience: Patience
) -> None:
    """The window is narrowed to that second; then each run goes on at the link the last one kept."""
    server.records = [entry(EPOCH - 10**7, "image", 1, f"i{n}", MD5.format(n + 1)) for n in range(5000)]
    server.records.append(entry(EPOCH - 9, "video", 1, "last", MD5.format(9999)))
    done = bring(store, source(server, patience, most=2000))

    assert 5001 == store.hash_set("a").entries
    assert len(done) >= 3
    assert max(summary.added for summary in done) <= 2001


def test_a_link_is_kept_and_one_forgotten_there_costs_its_window(server: NCMECServer, patience: Patience) -> None:
    """A window is gone on with at its link, for half a day, or told again where the link is refused."""
    four_pages(server)
    (first,) = source(server, patience, most=4).pages(None)
    assert first.checkpoint is not None
    rest = list(source(server, patience).pages(first.checkpoint))
    assert "start=5" in server.requests[1]
    assert 3 == len(rest)

    server.moods, server.requests = [404], []
    assert 4 == len(list(source(server, patience).pages(first.checkpoint)))
    assert "start=" not in server.requests[1]
    server.requests = []
    assert 4 == len(list(source(server, patience, later_s=13 * 3600).pages(first.checkpoint)))
    assert "start=" not in server.requests[0]
    with pytest.raises(SourceError, match="checkpoint"):
        list(source(server, patience).pages(b"no checkpoint"))


def test_members_are_chosen_and_an_entry_replaces_itself_whole(
    store: Store, server: NCMECServer, patience: Patience
) -> None:
    """Others are counted; one entry's new fingerprints are all it has; ids are unique per member and kind only."""
    server.records = [
        entry(EPOCH - 90, "image", 42, "x", MD5.format(1)),
        entry(EPOCH - 90, "video", 42, "x", MD5.format(2)),
        entry(EPOCH - 90, "image", 43, "x", MD5.format(3)),
        entry(EPOCH - 90, "image", 42, "y", MD5.format(4)),
        entry(EPOCH - 90, "image", 42, "z", MD5.format(5)),
    ]
    (done,) = bring(store, source(server, patience, members=frozenset({"42"})))
    assert (4, {"member 43": 1}) == (done.added, dict(done.filtered))

    server.records = [
        entry(EPOCH - 6, "image", 42, "x", MD5.format(7)),
        entry(EPOCH - 6, "image", 42, "y", "<netclean>zz</netclean><odd>1</odd>", ""),
        entry(EPOCH - 6, "image", 42, "z", "<md5>short</md5>"),
    ]
    feed = source(server, patience)
    deltas = list(feed.pages(None))
    assert 1 == sum(len(delta.added) for delta in deltas)
    assert 2 == sum(len(delta.removed) for delta in deltas)
    assert {"netclean": 1, "unknown": 1} == dict(feed.reading.unmatchable)


def test_a_page_that_lists_and_takes_back_lists_nothing(store: Store, server: NCMECServer, patience: Patience) -> None:
    """And one that takes back and lists again does list: the last word stands, within a page too."""
    server.records = [
        entry(EPOCH - 90, "image", 1, "gone", MD5.format(1)),
        tombstone(EPOCH - 90, "deletedImage", 1, "gone"),
        tombstone(EPOCH - 90, "deletedImage", 1, "again"),
        entry(EPOCH - 90, "image", 1, "again", MD5.format(2)),
    ]
    bring(store, source(server, patience))
    assert {"1-again"} == set(listed(store))


def test_other_members_asked_for_are_told_anew_as_the_whole_list(
    store: Store, server: NCMECServer, patience: Patience
) -> None:
    """Nothing listed is missed that was passed over before, and what is no longer asked for goes."""
    server.records = [entry(EPOCH - 90, "image", member, "x", MD5.format(member)) for member in (1, 2, 3)]
    bring(store, source(server, patience, members=frozenset({"1", "2"})))
    bring(store, source(server, patience, members=frozenset({"2", "3"}), later_s=60, most=1))
    assert {"2-x", "3-x"} == set(listed(store))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<queryResult",
        b"<other/>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><queryResult>&b;</queryResult>',
        '<?xml version="1.0" encoding="UTF-16"?><queryResult/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="cp037"?><queryResult/>',
        b"<queryResult><images><image><id>1</id></image></images></queryResult>",
        b"<queryResult><paging/></queryResult>",
        b"<queryResult><paging><next>https://example.org/x</next></paging></queryResult>",
        b"<queryResult><paging><next>//example.org/x</next></paging></queryResult>",
        b"<queryResult><paging><next>/v2/entries?again</next></paging></queryResult>",
    ],
)
def test_answers_that_are_none_are_refused(store: Store, patience: Patience, body: bytes) -> None:
    """Declarations, other encodings, links to elsewhere and in a circle; nothing is listed."""

    class Odd(Server):
        def answer(self, path: str, headers: dict[str, str], sent: bytes) -> Reply:
            return Reply(body)

    server = Odd()
    with server.running(), pytest.raises(SourceError):
        bring(store, NCMEC(Web(server.base, patience=patience), Selection("industry-csam"), now=now))
    assert [] == store.hash_sets()
