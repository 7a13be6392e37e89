"""S3's events against moto: a store and a queue of this machine, asked with botocore as anybody would."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("botocore", reason="botocore is not installed: `make test` installs it")
pytest.importorskip("moto", reason="moto is not installed: `make test` installs it")

from scanner.doors.answers import Undecided, undecidable
from scanner.doors.rules import DoorRules
from scanner.doors.s3_events import QueueListener, S3Events
from scanner.doors.s3_objects import Objects, client_of
from scanner.s3_config import S3Config
from scanner.types import Reason
from tests.scanner.doors.faces import Face
from tests.scanner.doors.fakes import FakeIntake

LISTED = b"a listed picture"
RULES = DoorRules("s3")
WAIT_S = 60.0


@dataclass
class Store:
    """A bucket with a queue of its events, as its owner sees it."""

    config: S3Config
    s3: Any
    sqs: Any

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.s3.put_object(Bucket="uploads", Key=key, Body=content)

    def delete(self, key: str) -> None:
        """Delete one."""
        self.s3.delete_object(Bucket="uploads", Key=key)

    def messages(self) -> list[bytes]:
        """What waits in the queue, taken out."""
        taken = []
        while found := self.sqs.receive_message(QueueUrl=self.config.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for each in found:
                self.sqs.delete_message(QueueUrl=self.config.queue_url, ReceiptHandle=each["ReceiptHandle"])
                taken.append(each["Body"].encode())
        return taken


@pytest.fixture
def store(moto: str, tmp_path: Path) -> Iterator[Store]:
    """A bucket of its own, whose events go to a queue."""
    (tmp_path / "keys").write_text("AKIDTESTKEY\nSKSECRETKEY\n")
    config = S3Config(endpoint=moto, keys_file=tmp_path / "keys", buckets=("uploads",))
    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST"), timeout=WAIT_S).close()
    s3, sqs = client_of(config, "s3", moto), client_of(config, "sqs", moto)
    s3.create_bucket(Bucket="uploads")
    s3.create_bucket(Bucket="private")
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": events}]}
    s3.put_bucket_notification_configuration(Bucket="uploads", NotificationConfiguration=wanted)
    made = Store(replace(config, queue_url=url), s3, sqs)
    made.messages()  # the set-up message
    yield made
    s3.close()
    sqs.close()


def settle(store: Store, intake: FakeIntake, *bodies: bytes, rules: DoorRules = RULES) -> list[bool]:
    """Deal with messages."""
    fake: Any = intake
    events = S3Events(Objects(store.config, fake), fake, rules)

    async def all_of_them() -> list[bool]:
        return [await events.settle(body) for body in bodies]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("key", ["plain.png", "a b/ü+x.png", "100%.png", "a%2Fb", "-"])
def test_what_is_put_is_judged_under_its_ref_and_what_is_deleted_forgotten(store: Store, key: str) -> None:
    """Whatever its key is called."""
    intake = FakeIntake(LISTED)
    store.put(key, LISTED)
    came = settle(store, intake, *store.messages())
    held = dict(intake.refs)
    store.delete(key)
    went = settle(store, intake, *store.messages())

    assert ([True], [True]) == (came, went)
    assert {f"uploads/{key}".encode(): LISTED} == held
    assert {} == intake.refs
    assert [("s3", "matched")] == intake.counted


def test_a_raw_key_that_decodes_to_another_object_is_found_by_size_and_tag(store: Store) -> None:
    """s3rver sends keys as they are."""
    intake = FakeIntake()
    store.put("a b", b"another object")
    store.put("a+b", b"this object")
    store.messages()
    etag = store.s3.head_object(Bucket="uploads", Key="a+b")["ETag"].strip('"')
    said = {"key": "a+b", "size": 11, "eTag": etag}
    body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": said}}]}

    assert [True] == settle(store, intake, json.dumps(body).encode())
    assert {b"uploads/a+b": b"this object"} == intake.refs


def test_messages_that_come_twice_and_late_do_no_harm(store: Store) -> None:
    """Created after removed: there is nothing. Removed after created anew: it is judged, not forgotten."""
    intake = FakeIntake()
    store.put("k", b"first")
    store.delete("k")
    created, removed = store.messages()
    late = settle(store, intake, removed, created, created)
    store.put("k", b"second")
    settle(store, intake, *store.messages(), removed)

    assert [True, True, True] == late
    assert {b"uploads/k": b"second"} == intake.refs


def test_what_cannot_be_judged_now_comes_again(store: Store) -> None:
    """What never can be is on record, and does not."""
    intake = FakeIntake()
    intake.answers = {b"busy": undecidable(Undecided.BUSY), b"locked": undecidable(Reason.ENCRYPTED)}
    store.put("busy", b"busy")
    store.put("locked", b"locked")

    assert [False, True] == settle(store, intake, *store.messages())


def test_shorter_than_the_event_says_is_cut(store: Store) -> None:
    """A size without a tag."""
    store.put("k", b"short")
    store.messages()
    said = {"key": "k", "size": 500}
    body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": said}}]}
    intake = FakeIntake()

    assert [False] == settle(store, intake, json.dumps(body).encode())
    assert [("s3", "cut")] == intake.counted


def test_other_buckets_and_other_hosts_are_not_asked(store: Store) -> None:
    """Whatever a message names; empty objects are nothing to judge."""
    store.s3.put_object(Bucket="private", Key="k", Body=LISTED)
    store.put("empty", b"")
    said = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "private"}, "object": {"key": "k"}}}
    intake = FakeIntake(LISTED)

    assert [False] == settle(store, intake, json.dumps({"Records": [said]}).encode())
    assert [True] == settle(store, intake, *store.messages())
    assert LISTED not in intake.seen


def test_longer_than_the_listener_takes_is_undecidable_for_good(store: Store) -> None:
    """It is not asked for again and again."""
    intake = FakeIntake()
    store.put("k", b"x" * 2_000_000)

    assert [True] == settle(store, intake, *store.messages(), rules=replace(RULES, max_bytes=1000))
    assert b"x" * 2_000_000 not in intake.seen


def test_a_store_that_is_down_is_asked_again(store: Store) -> None:
    """Nothing is lost, nothing is clear."""
    store.put("k", LISTED)
    (body,) = store.messages()
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    down = replace(store, config=replace(store.config, endpoint=nobody))

    assert [False] == settle(down, FakeIntake(), body)


def test_by_webhook_with_the_stores_own_token(store: Store, tmp_path: Path) -> None:
    """200 once it is settled, 503 where it must come again, 400 for what is no event; MinIO's probe has no body."""
    intake = FakeIntake()
    fake: Any = intake
    face = Face(tmp_path / "home", objects=Objects(store.config, fake))
    face.intake.answers = intake.answers
    store.put("k", b"fine")
    (body,) = store.messages()
    fine = face.client.post("/v1/s3", content=body, headers={"Authorization": "minio-token"})
    intake.answers[b"fine"] = undecidable(Undecided.NOT_READY)
    later = face.client.post("/v1/s3", content=body)
    probe, bad = face.client.post("/v1/s3"), face.client.post("/v1/s3", content=b"{}")
    face.ledger.close()

    assert [200, 503, 200, 400] == [each.status_code for each in (fine, later, probe, bad)]
    assert {b"uploads/k": b"fine"} == intake.refs


def test_a_queue_is_read_until_told_to_stop_and_settled_messages_leave_it(store: Store) -> None:
    """What is not settled stays, and what is no event is dropped with a line that says so."""
    intake = FakeIntake(LISTED)
    intake.answers[b"busy"] = undecidable(Undecided.BUSY)
    store.put("listed", LISTED)
    store.put("busy", b"busy")
    store.sqs.send_message(QueueUrl=store.config.queue_url, MessageBody="hello")
    said: list[str] = []
    fake: Any = intake

    def left() -> str:
        """How many messages were taken and have not left."""
        name = "ApproximateNumberOfMessagesNotVisible"
        said = store.sqs.get_queue_attributes(QueueUrl=store.config.queue_url, AttributeNames=[name])
        return str(said["Attributes"][name])

    def asks() -> bool:
        return "queue" in {thread.name for thread in threading.enumerate()}

    async def run() -> str:
        listener = QueueListener(store.config, S3Events(Objects(store.config, fake), fake, RULES), said.append)
        await listener.start()
        until = time.monotonic() + WAIT_S
        while (len(intake.counted) < 2 or not said or left() != "1" or not asks()) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        await listener.drain(WAIT_S)
        stays = left()
        # The queue may hold its empty answer back for 20 s, and nobody has waited for the thread that it keeps so long.
        assert asks()
        store.sqs.send_message(QueueUrl=store.config.queue_url, MessageBody='{"Event": "s3:TestEvent"}')
        return stays

    stays = asyncio.run(run())

    assert {("s3", "matched"), ("s3", "busy")} == set(intake.counted)
    assert ["a message of the queue holds no events of S3; it was dropped"] == said
    assert "1" == stays
