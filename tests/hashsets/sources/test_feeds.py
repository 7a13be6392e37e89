"""The other feeds: StopNCII, ThreatExchange, Tech Against Terrorism, and files at an address."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from hashsets.errors import ListError, SourceError
from hashsets.formats import Options
from hashsets.sources.http_file import HttpFile
from hashsets.sources.stopncii import StopNCII
from hashsets.sources.tcap import LIST_PATH, TCAP, TOKEN_PATH
from hashsets.sources.threat_updates import ThreatUpdates
from hashsets.sources.web import Limits, Patience, Web
from hashsets.store import Store
from hashsets.types import Classification
from samples.feed_servers import CUT, DROP, FileServer, Reply, ScriptServer, Server, StopNCIIServer
from tests.hashsets.sources.conftest import Waits, bring, listed, now

PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"


def values(store: Store) -> set[int]:
    """The values that "a" lists, as numbers."""
    uid = store.hash_set("a").uid
    return {int.from_bytes(signal.value) for entry in store.entries(uid) for signal in entry.signals}


# -- files at an address ----------------------------------------------------------------------------------------------


def digests(*numbers: int) -> bytes:
    """A plain list."""
    return "".join(f"{number:032x}\n" for number in numbers).encode()


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A file on a server."""
    server = FileServer()
    with server.running():
        yield server


def test_a_file_is_fetched_when_it_changed(store: Store, files: FileServer, patience: Patience) -> None:
    """Whole, packed or not; what it lacks is withdrawn; unchanged it is not sent."""
    web = Web(files.base, patience=patience)
    files.content = gzip.compress(digests(1, 2, 3))
    bring(store, HttpFile(web, "/list", options=Options()))
    (same,) = bring(store, HttpFile(web, "/list", options=Options()))
    assert (1, 3, 0) == (same.version, same.entries, same.withdrawn)
    assert '"1"' == files.headers[1]["If-None-Match"]

    files.content, files.etag = digests(2, 3, 4), '"2"'
    bring(store, HttpFile(web, "/list", options=Options()))
    assert {2, 3, 4} == values(store)
    files.content = digests(*range(2**127, 2**127 + 9))  # as large as a SHA-256, were it one
    bring(store, HttpFile(web, "/list", options=Options("md5")))
    assert 9 == len(values(store))  # read in another way, it is asked for again


def test_a_file_cut_short_is_tried_again_and_imports_nothing_of_itself(
    store: Store, files: FileServer, patience: Patience, waits: Waits
) -> None:
    """A transfer ends where its length says; an endless one at its limit."""
    files.content = digests(*range(1, 200))
    files.moods = [CUT, DROP]
    bring(store, HttpFile(Web(files.base, patience=patience), "/list", options=Options()))
    assert (199, 2) == (len(values(store)), len(waits.seconds))

    files.content, files.etag = digests(*range(1, 300)), '"2"'
    short = Web(files.base, patience=patience, limits=Limits(max_bytes=1000))
    with pytest.raises(SourceError, match="longer than 1000"):
        bring(store, HttpFile(short, "/list", options=Options()))
    files.content = b"<html>sign in</html>"
    with pytest.raises(ListError):
        bring(store, HttpFile(Web(files.base, patience=patience), "/list", options=Options()))
    assert 199 == len(values(store))


def test_no_redirect_is_followed_and_no_address_is_told(store: Store, patience: Patience) -> None:
    """Credentials go to the configured host alone, and no message names it."""

    class Elsewhere(Server):
        def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
            return Reply(status=302, headers={"Location": "http://example.org/"})

    server = Elsewhere()
    with server.running(), pytest.raises(SourceError, match="302") as caught:
        bring(store, HttpFile(Web(server.base, patience=patience), "/list?secret", options=Options()))
    assert "127.0.0.1" not in str(caught.value)
    with pytest.raises(SourceError, match="was not reached") as caught:
        bring(store, HttpFile(Web(server.base, patience=patience), "/list?secret", options=Options()))
    assert "127.0.0.1" not in str(caught.value)


# -- stopncii ---------------------------------------------------------------------------------------------------------


def said(time: int, value: str, status: str = "Active", kind: str = "ImagePDQ", **more: Any) -> dict[str, Any]:
    """One record."""
    return {"lastModtimestamp": time, "signalType": kind, "hashValue": value, "hashStatus": status, **more}


@pytest.fixture
def stopncii() -> Iterator[StopNCIIServer]:
    """A list on a server."""
    server = StopNCIIServer()
    with server.running():
        yield server


def feed(server: StopNCIIServer, patience: Patience, days: int = 0) -> StopNCII:
    """The feed of it, some days later."""
    keys = {"x-functions-key": "one", "Ocp-Apim-Subscription-Key": "two"}
    return StopNCII(Web(server.base, headers=keys, patience=patience), now=lambda: now() + timedelta(days=days))


def test_stopncii_lists_what_is_active_and_takes_back_the_rest(
    store: Store, stopncii: StopNCIIServer, patience: Patience
) -> None:
    """By status, never by value; an unknown kind is counted, unknown words in feedback say nothing."""
    md5 = [f"{number:032x}" for number in range(9)]
    stopncii.records = [
        said(11, md5[1].upper(), kind="VideoMD5", hashRegions=["UK"], CSPFeedbacks=[{"feedbackValue": "Undefined"}]),
        said(12, md5[2], kind="VideoMD5"),
        said(13, PDQ),
        said(14, md5[3], "Received", kind="VideoMD5"),
        said(15, md5[4], kind="HologramMD9"),
    ]
    (first,) = bring(store, feed(stopncii, patience))
    assert ({1, 2, int(PDQ, 16)}, {"unknown": 1}) == (values(store), dict(first.unmatchable))
    assert {(Classification("stopncii-region", "UK"),), ()} == {each.classifications for each in listed(store).values()}

    stopncii.records = [
        said(21, md5[1], "Withdrawn", kind="VideoMD5"),
        said(22, PDQ.upper(), "Deleted"),
        said(23, md5[2], "Sleeping", kind="VideoMD5"),
        said(24, md5[3], kind="VideoMD5"),
    ]
    bring(store, feed(stopncii, patience))
    assert {3} == values(store)
    assert "startTimestamp=15" in stopncii.requests[-1]


def test_stopncii_after_a_long_silence_is_listed_anew(
    store: Store, stopncii: StopNCIIServer, patience: Patience
) -> None:
    """What was withdrawn and forgotten there is then lacking in the complete list."""
    stopncii.records = [said(11, f"{number:032x}", kind="VideoMD5") for number in (1, 2, 3)]
    bring(store, feed(stopncii, patience))
    del stopncii.records[0]
    bring(store, feed(stopncii, patience, days=29))
    assert {1, 2, 3} == values(store)
    bring(store, feed(stopncii, patience, days=29 + 31))
    assert {2, 3} == values(store)


def test_stopncii_on_a_bad_day(store: Store, stopncii: StopNCIIServer, patience: Patience, waits: Waits) -> None:
    """Statuses, broken connections; wrong keys are said to be so."""
    stopncii.records = [said(11, f"{number:032x}", kind="VideoMD5") for number in range(1, 6)]
    stopncii.moods = [503, CUT, 200, DROP, 429]
    bring(store, feed(stopncii, patience))
    assert ({1, 2, 3, 4, 5}, 4) == (values(store), len(waits.seconds))
    with pytest.raises(SourceError, match="credentials"):
        bring(store, StopNCII(Web(stopncii.base, patience=patience), now=now))


def test_json_cut_short_within_an_answer_is_asked_for_again(store: Store, patience: Patience, waits: Waits) -> None:
    """A page that says it is whole but is not is never passed over."""
    whole = {"hasMoreRecords": False, "nextSetTimestamp": 20, "hashRecords": [said(11, f"{1:032x}", kind="VideoMD5")]}
    bodies = [json.dumps(whole).encode()[:-9], json.dumps(whole).encode()]

    class Short(Server):
        def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
            return Reply(bodies.pop(0) if len(bodies) > 1 else bodies[0])

    server = Short()
    with server.running():
        bring(store, StopNCII(Web(server.base, patience=patience), now=now))
    assert ({1}, 1) == (values(store), len(waits.seconds))


def test_a_feed_in_another_language_is_refused(store: Store, stopncii: StopNCIIServer, patience: Patience) -> None:
    """One broken record is counted; over a hundred, and a twentieth of all, refuse the change and leave the set."""
    stopncii.records = [said(11, f"{1:032x}", kind="VideoMD5"), said(12, "short", kind="VideoMD5")]
    (done,) = bring(store, feed(stopncii, patience))
    assert {"not_a_value": 1} == dict(done.rejected)
    stopncii.records = [said(20 + number, f"{number:031x}", kind="VideoMD5") for number in range(101)]
    with pytest.raises(ListError, match="101 of 101"):
        bring(store, feed(stopncii, patience))
    assert {1} == values(store)


# -- threatexchange, tcap ---------------------------------------------------------------------------------------------


@pytest.fixture
def script() -> Iterator[ScriptServer]:
    """A server that says what it is told to."""
    server = ScriptServer()
    with server.running():
        yield server


def test_threatexchange_goes_from_page_to_page_and_withdraws(
    store: Store, script: ScriptServer, patience: Patience
) -> None:
    """By absolute links on its own host; a link elsewhere ends the run."""
    path = "/v21.0/77/threat_updates/"
    update = {"id": "1", "type": "HASH_MD5", "indicator": f"{1:032x}", "descriptors": []}
    link = f"{script.base}/second?access_token=x"
    gone = {"id": "1", "should_delete": True, "type": "HASH_MD5", "indicator": f"{1:032x}"}
    script.replies = {
        path: [{"data": [update], "paging": {"next": link}}, {"data": [gone]}],
        "/second": [{"data": [update | {"id": "2", "indicator": f"{2:032x}"}], "paging": {}}],
    }

    def again() -> ThreatUpdates:
        return ThreatUpdates(Web(script.base, patience=patience), "77", "1|s", now=now, host=script.base)

    bring(store, again())
    assert {"1", "2"} == set(listed(store))
    bring(store, again())
    assert {"2"} == set(listed(store))
    assert f"start_time={int(now().timestamp()) - 5}" in script.requests[-1]
    script.replies = {path: [{"data": [], "paging": {"next": "https://example.org/x"}}]}
    with pytest.raises(SourceError, match="own host"):
        bring(store, again())


def test_tcap_is_told_from_checkpoint_to_checkpoint(store: Store, script: ScriptServer, patience: Patience) -> None:
    """One token a run; `deleted` withdraws; the last checkpoint is where the next run begins."""
    row = {"id": 1, "hash_digest": f"{1:032X}", "algorithm": "MD5", "ideology": "far-right", "deleted": False}
    other = row | {"id": 2, "hash_digest": "ab" * 64, "algorithm": "SHA512"}
    third = row | {"id": 3, "hash_digest": f"{3:064x}", "algorithm": "SHA256"}
    script.replies = {
        TOKEN_PATH: [{"token": "jwt", "user": {}}],
        LIST_PATH: [
            {"results": [row, other], "checkpoint": "1.0,2", "next": "more"},
            {"results": [third], "checkpoint": "2.0,3", "next": None},
            {"results": [row | {"deleted": True}], "checkpoint": "3.0,1", "next": None},
        ],
    }
    (first,) = bring(store, TCAP(Web(script.base, patience=patience), "u", "p"))
    assert ({"1", "3"}, {"sha512": 1}) == (set(listed(store)), dict(first.unmatchable))
    bring(store, TCAP(Web(script.base, patience=patience), "u", "p"))
    assert {"3"} == set(listed(store))
    assert "after=2.0%2C3" in script.requests[-1]
    assert "Bearer jwt" == script.headers[-1]["Authorization"]
