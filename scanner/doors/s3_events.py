"""The S3 door: events of objects by webhook (MinIO, RustFS, Ceph), or from a queue (SQS).

    POST /v1/s3, /v1/s3/{token}     a message of events; MinIO's auth_token comes in the Authorization header

Rules
- An object that came is fetched and judged; its ref is bucket/key, with /version where there is one. What matches is
  acted on by `[actions]` with that ref: the object lies in the bucket already, and stays readable until somebody acts.
- An object that went is forgotten, unless it is there again by the time we look.
- What could not be judged and may be later is asked for again: 503 to a webhook, a message left in its queue. So is
  what a long message holds beyond what can be judged in the listener's time; what was settled is not done again then.
- Never for ever over one object's bytes: MinIO sends nothing else until an event is taken. What is cut in the store is
  cut, and one that takes too long or ends our workers is tried MOST_TRIES times; the ledger has it as owed.
- Messages come more than once and in any order: each is judged by what the store holds now. Events of one object are
  dealt with in their order, others side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hashsets.errors import HashsetsError
from scanner.doors import s3_records
from scanner.doors.answers import PASSING_REASONS, Undecided
from scanner.doors.http_bodies import pieces
from scanner.doors.http_requests import HttpDoor, Refused, Reply, raw_header, saying
from scanner.doors.intake import Intake
from scanner.doors.rules import DoorRules
from scanner.doors.s3_objects import Gone, Objects, Unreadable, client_of
from scanner.doors.s3_records import BadMessage, Event
from scanner.errors import ScannerError
from scanner.s3_config import S3Config
from scanner.types import Reason

PAUSE_S: Final = 10.0  # before a queue that could not be asked is asked again
HELD_S: Final = 20  # how long a queue holds an empty answer back (the most SQS allows)
MOST_TRIES: Final = 10  # thrice as many as there are looks (MAX_LOOKS), as some only find one under way
_BY_ITS_BYTES: Final = frozenset(map(str, (Reason.CRASH, Reason.FAULT, Reason.OVER_BUDGET, Reason.TIMEOUT)))
OBJECTS_AT_ONCE: Final = 8  # of one message: enough for every worker of a small machine, and few for a store
_REMEMBERED: Final = 64  # messages of which some is settled and some is not
_TRIED: Final = 1024  # objects whose tries are counted


class S3Events:
    """What events come to."""

    def __init__(self, objects: Objects, intake: Intake, rules: DoorRules) -> None:
        self._objects = objects
        self._intake = intake
        self._rules = rules
        self._settled: dict[bytes, set[Event]] = {}  # by a message's digest
        self._tries: dict[Event, int] = {}

    async def settle(self, body: bytes) -> bool:
        """Deal with a message; False where it must come again. Raises BadMessage."""
        events = s3_records.parse(body)
        of_object: dict[tuple[str, str], list[Event]] = {}
        for event in events:
            of_object.setdefault((event.bucket, event.keys[0]), []).append(event)
        free, message = asyncio.Semaphore(OBJECTS_AT_ONCE), hashlib.sha256(body).digest()
        done = self._settled.pop(message, set())
        work = [asyncio.create_task(self._in_order(each, done, free)) for each in of_object.values()]
        try:
            if work:
                await asyncio.wait(work, timeout=self._rules.deadline_s)
            settled = all(task.done() and task.result() for task in work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if not settled:
            self._settled[message] = done
            if len(self._settled) > _REMEMBERED:
                del self._settled[next(iter(self._settled))]
        return settled

    async def _in_order(self, events: Sequence[Event], done: set[Event], free: asyncio.Semaphore) -> bool:
        async with free:
            for event in events:
                if event in done:
                    continue
                if not await (self._came(event) if event.came else self._went(event)):
                    return False
                done.add(event)
        return True

    async def _came(self, event: Event) -> bool:
        for key in event.keys:
            ref = s3_records.ref_of(event.bucket, key, event.version)
            with contextlib.suppress(Gone):
                answer, whole = await self._objects.judge(
                    self._rules, event.bucket, key, ref=ref, version=event.version, size=event.size, etag=event.etag
                )
                if answer.reason == Undecided.CUT:
                    return whole
                return answer.reason not in PASSING_REASONS or (whole and self._is_tried_out(event, answer.reason))
        return True

    def _is_tried_out(self, event: Event, reason: str | None) -> bool:
        if reason not in _BY_ITS_BYTES:
            return False
        tries = self._tries.pop(event, 0) + 1
        if tries >= MOST_TRIES:
            return True
        self._tries[event] = tries
        if len(self._tries) > _TRIED:
            del self._tries[next(iter(self._tries))]
        return False

    async def _went(self, event: Event) -> bool:
        if not self._objects.may_ask(event.bucket):
            return True
        try:
            if await self._objects.holds(event.bucket, event.keys, event.version):
                return await self._came(Event(True, event.bucket, event.keys, version=event.version))
        except Unreadable:
            return False
        for key in event.keys:
            ref = s3_records.ref_of(event.bucket, key, event.version)
            if ref is not None and await self._intake.forget(ref):
                break
        return True


def s3(door: HttpDoor) -> list[Route]:
    """The routes."""
    events = None if door.objects is None else S3Events(door.objects, door.intake, door.rules)

    async def webhook(request: Request) -> Response:
        shown = raw_header(request, b"authorization") or b""
        bare = shown.decode("ascii", "replace") if b" " not in shown.strip() else None
        door.admit(request, "scan", request.path_params.get("token") or bare)
        if events is None:
            raise Refused(403, "no store is configured here: [s3] says which buckets may be asked for")
        body = bytearray()
        async for piece in pieces(request.receive):
            body += piece
            if len(body) > s3_records.MAX_MESSAGE_BYTES:
                raise Refused(413, "a message is no longer than this")
        try:
            settled = not body or await events.settle(bytes(body))  # MinIO looks whether anybody is there
        except BadMessage as error:
            raise Refused(400, str(error)) from None
        if not settled:
            raise Refused(503, "some of this cannot be judged now", {"Retry-After": "10"})
        return Reply({"settled": True})

    return [Route(path, saying("detail", webhook), methods=["POST"]) for path in ("/v1/s3", "/v1/s3/{token}")]


class QueueListener:
    """Takes events from an SQS queue. A message leaves it once it is settled; one that is none of S3's leaves too."""

    def __init__(self, config: S3Config, events: S3Events, say: Callable[[str], None]) -> None:
        self._url = config.queue_url
        self._client = client_of(config, "sqs", _endpoint(config.queue_url or ""))
        self._events = events
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Future[list[dict[str, Any]]] | None = None
        self._draining = False

    async def start(self) -> None:
        """Begin to take messages."""
        self._task = asyncio.create_task(self._run())

    async def drain(self, within_s: float) -> None:
        """Take no more; what is in hand is settled, if it is in time: else it comes again."""
        self._draining = True
        if self._task is not None:
            if self._asking is not None:  # nothing is in hand; what the queue still gives comes again
                self._task.cancel()
            await asyncio.wait((self._task,), timeout=within_s)
            self._task.cancel()
            await asyncio.wait((self._task,))

    def describe(self) -> str:
        """For people."""
        return "events from a queue"

    async def _run(self) -> None:
        while not self._draining:
            try:
                for message in await self._received():
                    await self._settle(message)
            except Unreadable:
                self._say("the queue of events cannot be asked; it is tried again")
                await asyncio.sleep(PAUSE_S)

    async def _settle(self, message: dict[str, Any]) -> None:
        try:
            settled = await self._events.settle(message["Body"].encode("utf-8", "surrogateescape"))
        except BadMessage:
            self._say("a message of the queue holds no events of S3; it was dropped")
            settled = True
        except (HashsetsError, ScannerError, OSError):
            self._say("events of the queue cannot be recorded now; they come again")
            settled = False
        if settled:
            await asyncio.to_thread(self._delete, message["ReceiptHandle"])

    async def _received(self) -> list[dict[str, Any]]:
        """The next messages, asked for in a thread that nobody waits for: the queue may hold its answer back."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[dict[str, Any]]] = loop.create_future()
        self._asking = answer

        def ask() -> None:
            try:
                found: list[dict[str, Any]] | Unreadable = self._receive()
            except Unreadable as error:
                found = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_answered, answer, found)

        threading.Thread(target=ask, name="queue", daemon=True).start()
        try:
            return await answer
        finally:
            self._asking = None

    def _receive(self) -> list[dict[str, Any]]:
        said = self._ask("receive_message", MaxNumberOfMessages=10, WaitTimeSeconds=HELD_S)
        messages: list[dict[str, Any]] = said.get("Messages", [])
        return messages

    def _delete(self, handle: str) -> None:
        self._ask("delete_message", ReceiptHandle=handle)

    def _ask(self, what: str, **how: object) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            said: dict[str, Any] = getattr(self._client, what)(QueueUrl=self._url, **how)
        except (BotoCoreError, ClientError):
            raise Unreadable from None
        return said


def _answered(answer: asyncio.Future[list[dict[str, Any]]], found: list[dict[str, Any]] | Unreadable) -> None:
    if answer.done():  # given up
        return
    if isinstance(found, Unreadable):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _endpoint(queue_url: str) -> str:
    """The service a queue lies with: its URL without the path."""
    scheme, _, rest = queue_url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
