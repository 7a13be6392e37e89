"""`hashset vote`: sent once, by hand, with a reason that is on offer; nothing of any file is in it."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from samples.feed_servers import DROP, NCMECServer, entry
from tests.command import Hashward
from tests.scanner.cli.test_refreshing import LONG_AGO, configure, feed

NAMESPACE = "{https://hashsharing.ncmec.org/hashsharing/v2}"


@pytest.fixture
def server() -> Iterator[NCMECServer]:
    """NCMEC's, with two entries."""
    server = NCMECServer()
    server.records = [
        entry(LONG_AGO, "image", 42, "image1", f"<md5>{5:032x}</md5><sha1>{6:040x}</sha1>"),
        entry(LONG_AGO, "video", 42, "v", f"<md5>{7:032x}</md5>"),
    ]
    with server.running():
        yield server


@pytest.fixture
def listed(hashward: Hashward, server: NCMECServer) -> Hashward:
    """Both in force."""
    configure(hashward, feed(server))
    assert 0 == hashward("hashset", "refresh").code
    return hashward


def test_votes_are_sent_as_the_interface_has_them(listed: Hashward, server: NCMECServer) -> None:
    """The reason by its number; which fingerprint is said where there are several."""
    up = listed("hashset", "vote", "csam", "42-v", "up")
    unsaid = listed("hashset", "vote", "csam", "42-image1", "down")
    nowhy = listed("hashset", "vote", "csam", "42-image1", "down", "--type", "sha1")
    down = listed.json("hashset", "vote", "csam", "42-image1", "down", "--type", "sha1", "--reason", "Example Reason 2")
    (first, for_it), (second, against) = server.votes

    assert (0, 2, 2) == (up.code, unsaid.code, nowhy.code)
    assert "md5, sha1" in unsaid.err
    assert "Example Reason 1; Example Reason 2" in nowhy.err
    assert ("sha1", "down", "Example Reason 2") == (down["type"], down["vote"], down["reason"])
    assert ["/v2/entries/42/v/MD5/feedback", "/v2/entries/42/image1/SHA1/feedback"] == [first, second]
    assert [f"{NAMESPACE}affirmative"] == [each.tag for each in ET.fromstring(for_it)]
    assert ["guid-2"] == [each.text for each in ET.fromstring(against).iter(f"{NAMESPACE}guid")]
    assert "application/xml; charset=utf-8" == server.headers[-1]["Content-Type"]


def test_a_vote_is_not_sent_twice_unknowingly(listed: Hashward, server: NCMECServer) -> None:
    """Not by itself when the answer was lost, nor by whoever asks again; another opinion may be told."""
    server.moods = [DROP]
    lost = listed("hashset", "vote", "csam", "42-v", "up")
    asked = len(server.requests)
    again = listed("hashset", "vote", "csam", "42-v", "up")
    meant = listed("hashset", "vote", "csam", "42-v", "up", "--again")
    taken = listed("hashset", "vote", "csam", "42-v", "up")
    other = listed("hashset", "vote", "csam", "42-v", "down", "--reason", "guid-1")

    assert (5, 2, 0, 2, 0) == (lost.code, again.code, meant.code, taken.code, other.code)
    assert "not known" in again.err
    assert "was taken" in taken.err
    assert asked + 1 == len(server.requests) - 2
    assert 2 == len(server.votes)


def test_a_vote_that_was_refused_was_not_given(listed: Hashward, server: NCMECServer) -> None:
    """It can be sent once what hindered it is mended; no secret is told."""
    server.moods = [403]
    refused = listed("hashset", "vote", "csam", "42-v", "up")
    mended = listed("hashset", "vote", "csam", "42-v", "up")

    assert (5, 0) == (refused.code, mended.code)
    assert "credentials" in refused.err


def test_only_what_is_listed_by_ncmec_can_be_voted_on(listed: Hashward, server: NCMECServer, folder: Path) -> None:
    """Nothing is sent otherwise, and nothing of a scan is in what is sent."""
    listed("scan", folder)
    unknown = listed("hashset", "vote", "csam", "42-nothing", "up")
    foreign = listed("hashset", "vote", "other", "42-v", "up")
    untyped = listed("hashset", "vote", "csam", "42-v", "up", "--type", "pdq")
    listed("hashset", "vote", "csam", "42-v", "up")
    digests = [hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()]

    assert (2, 2, 2) == (unknown.code, foreign.code, untyped.code)
    assert not any(word in repr((server.votes, server.headers)) for word in [*digests, "one.ppm", str(folder)])


def test_arachnid_shield_is_refused_as_a_source_and_says_why(hashward: Hashward) -> None:
    """It answers look-ups; asking would tell it our hashes."""
    configure(hashward, '[[source]]\nhash_set = "a"\nkind = "arachnid"\n')
    done = hashward("hashset", "refresh")

    assert 2 == done.code
    assert "gives no list" in done.err
