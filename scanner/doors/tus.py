"""The tus door: tusd's hooks on an http listener. Routes of `HttpDoor`, as `http_faces` has them.

    POST /v1/tus, /v1/tus/{token}     hooks: pre-create, pre-finish, post-finish, post-terminate
    GET  /v1/tus/uploads/{id}         whether the application may keep an upload: 200, or 404

Rules
- Judged at pre-finish: plain uploads and those put together of parts (`IsFinal`), never a part alone.
- What cannot be judged is refused with 422 too, unless the listener lets it pass: after an error clients find every
  byte in place and report success.
- A refusal does not delete: the bytes stay with the server. So the id is remembered, and refused again whenever asked.
- An answer comes within tusd's own 15 seconds.
- A hook that says an upload is gone has forgotten what this listener brought under that id, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hashsets.errors import HashsetsError
from scanner.clock import utc_day
from scanner.doors import tus_hooks
from scanner.doors.answers import Answer, Undecided, Verdict, undecidable
from scanner.doors.http_bodies import pieces
from scanner.doors.http_requests import HttpDoor, Refused, Reply, saying
from scanner.doors.rules import MAX_REF_BYTES
from scanner.doors.s3_objects import Gone
from scanner.doors.storages import judge_file
from scanner.doors.tus_hooks import BadHook, Hook, InBucket, InFile
from scanner.errors import ScannerError
from scanner.types import Reason

DEADLINE_S: Final = 12.0
BLOCKED, TOO_LARGE, LATER = 422, 413, 503


class TusDoor:
    """What hooks come to."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door
        self._rules = replace(door.rules, deadline_s=min(door.rules.deadline_s, DEADLINE_S))

    async def reply(self, hook: Hook) -> bytes:
        """What tusd is told. Raises StoreError."""
        match hook.type:
            case "pre-create":
                return self._before(hook)
            case "pre-finish":
                return tus_hooks.CONTINUE if hook.is_part else await self._at_the_end(hook)
            case "post-terminate":
                await self._forget(hook.id)
        return tus_hooks.CONTINUE

    def _before(self, hook: Hook) -> bytes:
        if hook.size is not None and hook.size > self._rules.max_bytes:
            return tus_hooks.refused(TOO_LARGE, "Policy.TooLarge", before=True)
        if not self._door.intake.ready and self._rules.on_undecidable != "ok":
            return tus_hooks.refused(LATER, undecidable(Undecided.NOT_READY).name, before=True)
        return tus_hooks.CONTINUE

    async def _at_the_end(self, hook: Hook) -> bytes:
        ref = hook.id if 0 < len(hook.id) <= MAX_REF_BYTES else None
        refusals = self._door.refusals
        try:
            if ref is not None and await asyncio.to_thread(refusals.holds, ref):
                return tus_hooks.refused(BLOCKED, "Policy.Refused", before=False)
        except (HashsetsError, ScannerError):
            return tus_hooks.refused(BLOCKED, undecidable(Reason.IO).name, before=False)
        if ref is not None:
            # What cannot be noted cannot be recorded either: the judgement will say so.
            with contextlib.suppress(HashsetsError, ScannerError):
                day = utc_day(self._door.clock)
                await asyncio.to_thread(refusals.bring, ref, self._rules.name, day)
        answer = await self._judge(hook, ref)
        if self._door.decide(answer) == "allow":
            return tus_hooks.CONTINUE
        if ref is not None:
            # What cannot be remembered is refused all the same: an error now would be a success at the next try.
            with contextlib.suppress(HashsetsError, ScannerError):
                await asyncio.to_thread(refusals.remember, ref, utc_day(self._door.clock))
        return tus_hooks.refused(BLOCKED, answer.name, before=False)

    async def _judge(self, hook: Hook, ref: bytes | None) -> Answer:
        if hook.size == 0 and hook.storage is None:
            return Answer(Verdict.CLEAR)
        match hook.storage:
            case InFile(path):
                return await judge_file(self._door.intake, self._rules, path, ref, hook.size)
            case InBucket(bucket, key) if self._door.objects is not None:
                try:
                    return (await self._door.objects.judge(self._rules, bucket, key, ref=ref, size=hook.size))[0]
                except Gone:  # the server says that it is there
                    return undecidable(Reason.IO)
        return undecidable(Reason.UNOPENED)

    async def _forget(self, ref: bytes) -> None:
        """What another door brought, or none of them, is not this one's to have forgotten."""
        if await asyncio.to_thread(self._door.refusals.is_of, ref, self._rules.name):
            await self._door.intake.forget(ref)
            await asyncio.to_thread(self._door.refusals.forget, ref)


def tus(door: HttpDoor) -> list[Route]:
    """The routes."""
    hooks = TusDoor(door)

    async def hook(request: Request) -> Response:
        door.admit(request, "scan", request.path_params.get("token"))
        body = bytearray()
        async for piece in pieces(request.receive):
            body += piece
            if len(body) > tus_hooks.MAX_HOOK_BYTES:
                raise Refused(413, "a hook is no longer than this")
        try:
            reply = await hooks.reply(tus_hooks.parse(bytes(body)))
        except BadHook as error:
            raise Refused(400, str(error)) from None
        return Response(reply, media_type="application/json")

    async def upload(request: Request) -> Response:
        door.admit(request, "scan")
        ref = request.path_params["id"].encode("utf-8", "surrogateescape")
        if not await asyncio.to_thread(door.refusals.may_be_kept, ref):
            raise Refused(404, "no upload of that id may be kept")
        return Reply({"verdict": "clear"})

    routes = [Route(path, saying("detail", hook), methods=["POST"]) for path in ("/v1/tus", "/v1/tus/{token}")]
    return [*routes, Route("/v1/tus/uploads/{id:path}", saying("detail", upload), methods=["GET"])]
