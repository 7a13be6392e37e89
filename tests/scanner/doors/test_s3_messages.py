"""Long messages of S3's events: objects side by side, what is settled stays so, and nobody else's bucket is asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from scanner.doors.answers import CLEAR, Answer, Undecided, undecidable
from scanner.doors.rules import DoorRules
from scanner.doors.s3_events import MOST_TRIES, OBJECTS_AT_ONCE, S3Events
from scanner.ledger.contents import MAX_LOOKS
from scanner.types import Reason
from tests.scanner.doors.faces import Face
from tests.scanner.doors.fakes import FakeIntake
from tests.scanner.doors.houses import run

WAIT_S = 60.0


class Objects:
    """A store in memory: every object is there, and judged when `go` says so."""

    def __init__(self) -> None:
        self.judged: list[str] = []
        self.in_hand = self.most_in_hand = 0
        self.slow: set[str] = set()
        self.asked: list[str] = []
        self.said: tuple[Answer, bool] = (CLEAR, True)

    def may_ask(self, bucket: str) -> bool:
        """One bucket is configured."""
        return bucket == "uploads"

    async def judge(self, _rules: DoorRules, _bucket: str, key: str, **_more: Any) -> tuple[Answer, bool]:
        """Judge one."""
        self.in_hand += 1
        self.most_in_hand = max(self.most_in_hand, self.in_hand)
        try:
            await asyncio.sleep(0)
            if key in self.slow:
                await asyncio.Event().wait()
            self.judged.append(key)
            return self.said
        finally:
            self.in_hand -= 1

    async def holds(self, bucket: str, _keys: Any, _version: Any) -> bool:
        """Everything has gone."""
        self.asked.append(bucket)
        return False


def message(keys: list[str], name: str = "ObjectCreated:Put", bucket: str = "uploads") -> bytes:
    """One message of an event for each."""
    records = [{"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]
    return json.dumps({"Records": records}).encode()


@pytest.fixture
def objects() -> Any:
    """A store."""
    return Objects()


def test_a_thousand_objects_are_dealt_with_side_by_side_and_each_once(objects: Any) -> None:
    """So many at a time and no more."""
    intake: Any = FakeIntake()
    keys = [f"k{number}" for number in range(1000)]
    settled = run(lambda: S3Events(objects, intake, DoorRules("s3", deadline_s=WAIT_S)).settle(message(keys)))

    assert settled
    assert sorted(keys) == sorted(objects.judged)
    assert OBJECTS_AT_ONCE == objects.most_in_hand


def test_what_is_not_settled_in_time_comes_again_and_the_rest_is_not_done_twice(objects: Any) -> None:
    """A webhook gives up long before a long message is done; each try gets further."""
    intake: Any = FakeIntake()
    body = message(["a", "slow", "b"])

    async def test() -> None:
        events = S3Events(objects, intake, DoorRules("s3", deadline_s=0.2))
        objects.slow = {"slow"}
        while not await events.settle(body):
            if {"a", "b"} <= set(objects.judged):  # else the machine stood still
                objects.slow = set()
        assert ["slow"] == objects.judged[2:]
        assert await events.settle(body)  # the same message once more is another one

    run(test)

    assert 6 == len(objects.judged)


def tries(objects: Any, reason: str, *, whole: bool = True) -> int | None:
    """After how many tries an object of that answer is settled; None: not within twice the most."""
    intake: Any = FakeIntake()
    objects.said = undecidable(reason), whole

    async def test() -> int | None:
        events = S3Events(objects, intake, DoorRules("s3", deadline_s=WAIT_S))
        for number in range(2 * MOST_TRIES):
            if await events.settle(message(["k"])):
                return number + 1
        return None

    return run(test)


def test_an_objects_own_bytes_hold_nothing_up_for_ever(objects: Any) -> None:
    """MinIO sends nothing else until an event is taken: what a damaged or costly picture cannot mend is settled."""
    assert 1 == tries(objects, Undecided.CUT)
    assert MOST_TRIES == tries(objects, Reason.OVER_BUDGET) == tries(objects, Reason.CRASH)
    assert MOST_TRIES > MAX_LOOKS
    for ours in (Undecided.BUSY, Undecided.NOT_READY, Reason.IO):
        assert tries(objects, ours) is None
    assert tries(objects, Undecided.CUT, whole=False) is None
    assert tries(objects, Reason.TIMEOUT, whole=False) is None


def test_no_bucket_but_the_configured_is_asked_or_forgotten(objects: Any) -> None:
    """Whatever a message says was removed."""
    intake: Any = FakeIntake()
    intake.refs = {b"private/k": b"x", b"uploads/k": b"x"}

    async def test() -> None:
        events = S3Events(objects, intake, DoorRules("s3"))
        assert await events.settle(message(["k"], "ObjectRemoved:Delete", "private"))
        assert await events.settle(message(["k"], "ObjectRemoved:Delete"))

    run(test)

    assert ["uploads"] == objects.asked
    assert {b"private/k": b"x"} == intake.refs


def test_without_a_store_the_door_says_what_is_missing(tmp_path: Path) -> None:
    """Not as if there were no such door."""
    face = Face(tmp_path / "home")
    reply = face.client.post("/v1/s3", content=message(["k"]))
    face.ledger.close()

    assert 403 == reply.status_code
    assert "[s3]" in reply.json()["detail"]
