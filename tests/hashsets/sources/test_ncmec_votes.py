"""Votes as NCMEC's interface takes them: ids escaped, answers that are none refused."""

from __future__ import annotations

import pytest

from hashsets.errors import SourceError, UsageError
from hashsets.sources.ncmec_votes import NCMECVotes
from hashsets.sources.web import Patience, Web
from samples.feed_servers import NCMECServer, Reply, Server


def test_an_id_stays_one_part_of_the_address(patience: Patience) -> None:
    """Whatever is in it: an id from there must not lead elsewhere."""
    server = NCMECServer()
    with server.running():
        NCMECVotes(Web(server.base, patience=patience)).vote("42-a/../b?c d&e", "md5", None)

    assert ["/v2/entries/42/a%2F..%2Fb%3Fc%20d%26e/MD5/feedback"] == server.requests


@pytest.mark.parametrize("body", [b"", b"<status/>", b"<!DOCTYPE x><availableFeedbackReasons/>", b"<a>"])
def test_reasons_that_are_none_are_refused(patience: Patience, body: bytes) -> None:
    """Another language, declarations, half an answer."""

    class Strange(Server):
        def answer(self, path: str, headers: dict[str, str], sent: bytes) -> Reply:
            return Reply(body)

    server = Strange()
    with server.running(), pytest.raises(SourceError):
        NCMECVotes(Web(server.base, patience=patience)).reasons("md5")


@pytest.mark.parametrize(("ref", "kind"), [("noid", "md5"), ("x-1", "md5"), ("4-1", "phash")])
def test_what_is_no_entry_or_fingerprint_there_is_not_asked_for(patience: Patience, ref: str, kind: str) -> None:
    """Nothing is sent."""
    server = NCMECServer()
    with server.running(), pytest.raises(UsageError):
        NCMECVotes(Web(server.base, patience=patience)).vote(ref, kind, None)

    assert [] == server.requests
