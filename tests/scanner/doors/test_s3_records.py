"""What S3 and its kin say of objects, as each of them writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.doors import s3_records
from scanner.doors.s3_records import BadMessage, Event, ref_of


def message(name: str = "ObjectCreated:Put", bucket: str = "up", **found: Any) -> bytes:
    """One record."""
    said = {"key": "k", **found}
    return json.dumps({"Records": [{"eventName": name, "s3": {"bucket": {"name": bucket}, "object": said}}]}).encode()


def event(body: bytes) -> Event:
    """The one event of a message."""
    (only,) = s3_records.parse(body)
    return only


AWS = {"key": "red+flower.jpg", "size": 3, "eTag": "F1B6", "versionId": "v1", "sequencer": "1A20"}


def test_each_sources_records() -> None:
    """Moto's and AWS's form-encoded keys, s3rver's raw ones, MinIO's prefix and its own members."""
    minio = json.loads(message("s3:ObjectCreated:Put", key="a%2Fb", size=3, eTag="f1b6"))
    minio |= {"EventName": "s3:ObjectCreated:Put", "Key": "up/a/b"}

    assert Event(True, "up", ("red flower.jpg", "red+flower.jpg"), 3, "f1b6", "v1") == event(message(**AWS))
    assert ("a b/ü+x.png", "a+b%2F%C3%BC%2Bx.png") == event(message(key="a+b%2F%C3%BC%2Bx.png")).keys
    assert ("a b/ü x.png", "a b/ü+x.png") == event(message(key="a b/ü+x.png")).keys
    assert Event(True, "up", ("a/b", "a%2Fb"), 3, "f1b6") == event(json.dumps(minio).encode())
    assert Event(True, "up", ("k",)) == event(message("ObjectCreated:CompleteMultipartUpload"))


def test_what_ends_an_object_and_what_only_hides_it() -> None:
    """Behind a delete marker the versions are still held."""
    assert Event(False, "up", ("k",)) == event(message("ObjectRemoved:Delete"))
    assert Event(False, "up", ("k",)) == event(message("s3:ObjectRemoved:Delete", versionId="null"))
    assert Event(False, "up", ("k",), version="v") == event(message("LifecycleExpiration:Delete", versionId="v"))
    assert [] == s3_records.parse(message("ObjectRemoved:DeleteMarkerCreated"))
    assert [] == s3_records.parse(message("ObjectRestore:Completed"))


def test_messages_by_way_of_sns_and_set_up_messages() -> None:
    """The one is unpacked, the other says nothing."""
    assert Event(True, "up", ("k",)) == event(json.dumps({"Message": message().decode()}).encode())
    assert [] == s3_records.parse(b'{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"uploads"}')


def test_refs() -> None:
    """bucket/key and the version, or none where that is too long."""
    assert b"up/a/b" == ref_of("up", "a/b", None)
    assert b"up/a/b/v" == ref_of("up", "a/b", "v")
    assert 512 == len(ref_of("b", "k" * 510, None) or b"")
    assert ref_of("b", "k" * 511, None) is None


BAD = [
    b"", b"[]", b"{}", b"null", b'{"Records": 3}', b'{"Records": [3]}', b'{"Records": [{"eventName": 3}]}',
    message(key=3), message(key=""), message(bucket=""), b"[" * 100_000, b"\xff",
    b'{"Records": [' + b",".join([b"{}"] * 1001) + b"]}", b" " * (s3_records.MAX_MESSAGE_BYTES + 1),
    b'{"Message": 7}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_holds_no_events_is_refused(body: bytes) -> None:
    """In one way, whatever it is."""
    with pytest.raises(BadMessage):
        s3_records.parse(body)


def test_odd_sizes_tags_and_versions_are_taken_for_unsaid() -> None:
    """Only bucket and key are needed."""
    for odd in (-1, True, "3", 1.5, None, []):
        assert event(message(size=odd)).size is None
    for odd in (3, None, [], ""):
        assert (None, None) == (event(message(eTag=odd)).etag, event(message(versionId=odd)).version)


NAMES = st.sampled_from(["Records", "Message", "eventName", "s3", "bucket", "object", "name", "key", "size"])
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.just("ObjectCreated:Put")


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_parsing_ends_in_events_or_in_none(said: Any) -> None:
    """Whatever JSON comes."""
    try:
        events = s3_records.parse(json.dumps(said).encode())
    except BadMessage:
        return

    assert all(isinstance(each, Event) for each in events)
