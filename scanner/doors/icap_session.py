"""One ICAP connection: requests one after the other, each with its preview, its body and its reply.

Rules
- "Not modified" is said where the RFC lets it be said (204 allowed, or in answer to a preview that was not continued);
  else what came is given back whole.
- A preview that is not the whole body is no ground for a verdict: the rest is asked for.
- After anything that cannot be read as a request the connection ends, with a word on why.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scanner.doors import icap_replies as replies
from scanner.doors.answers import CLEAR, Answer, OverLimit, Undecided, Verdict, undecidable
from scanner.doors.icap_body import BodyLook, Plan, plan_of
from scanner.doors.icap_echo import Echo
from scanner.doors.icap_wire import (
    LAST_CHUNK,
    BadRequest,
    Chunks,
    Fields,
    IcapHead,
    behind_head,
    chunk,
    head_end,
    parse_fields,
    parse_head,
)
from scanner.doors.lines import Line
from scanner.doors.rates import Pace
from scanner.doors.room import Seat
from scanner.doors.rules import DoorRules
from scanner.types import Reason

if TYPE_CHECKING:
    from scanner.doors.intake import Intake


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take. squid keeps idle connections for a minute, and so do we."""

    idle_s: float = 60.0
    head_s: float = 30.0
    read_s: float = 60.0
    send_s: float = 60.0
    drain_s: float = 10.0


USUAL_PATIENCE: Final = Patience()
_AWAY_S: Final = 1.0  # for the last word to who is sent away
_LINGER_S: Final = 1.0  # for who has sent more than was read, and may not have read our reply yet


class _Closing(Exception):
    """The connection ends with this reply, if any; who is still sending gets time to read it."""

    def __init__(self, reply: bytes | None = None) -> None:
        super().__init__()
        self.reply = reply


class _Stalled(Exception):
    """The client sent nothing more of a body: it is silent, or gone."""

    def __init__(self, *, gone: bool) -> None:
        super().__init__()
        self.gone = gone


@dataclass(slots=True)
class _Request:
    """One request while it is served. `continued`: more was asked for than its preview."""

    head: IcapHead
    heads: dict[str, bytes]
    continued: bool = False

    @property
    def may_say_204(self) -> bool:
        return self.head.allows_204 or (self.head.preview_bytes is not None and not self.continued)


def _without_body(head: IcapHead, plan: Plan) -> Answer:
    """Of what came without a body. A request that says it has one was not shown; replies to HEAD rightly say so."""
    hidden = head.method == "REQMOD" and (plan.declared_bytes or plan.is_part)
    return undecidable(Undecided.CUT) if hidden else CLEAR


class IcapSession:
    """One connection."""

    def __init__(
        self, line: Line, intake: Intake, rules: DoorRules, spool: Path, patience: Patience, most: int, seat: Seat
    ) -> None:
        self._line = line
        self._seat = seat
        self._intake = intake
        self._rules = rules
        self._spool = spool
        self._patience = patience
        self._most = most
        self._clock = asyncio.get_running_loop().time
        self._buffer = bytearray()
        self._in_hand = False  # a request was begun, and nothing of a reply was said

    async def run(self) -> None:
        """Serve it to its end; the socket is closed in any case."""
        lingers = False
        try:
            while await self._exchange():
                pass
        except _Closing as closing:
            self._in_hand = False
            lingers = closing.reply is not None
            if closing.reply is not None:
                await self._line.send(closing.reply, self._patience.send_s)
        finally:
            with contextlib.closing(self._line):
                if self._in_hand or (self._seat.sent_away and self._buffer):  # or we are stopping, or at fault
                    within_s = _AWAY_S if self._seat.sent_away else self._patience.send_s
                    await self._line.send(replies.status(503, self._tag(), close=True), within_s)
                if (lingers or self._in_hand or self._line.has_more()) and not self._seat.sent_away:
                    self._seat.awaits_request()  # whoever needs the place more may have it
                    await self._line.drain(self._patience.drain_s if lingers else _LINGER_S)

    # -- one exchange ------------------------------------------------------------------------------------------------

    async def _exchange(self) -> bool:
        """One request and its reply; whether the connection goes on."""
        raw = await self._head()
        if raw is None:
            return False
        self._in_hand = True
        try:
            head = parse_head(raw)
            methods = replies.SERVICES.get(head.service)
            if methods is None:
                raise BadRequest(404)
            if head.method != "OPTIONS" and head.method not in methods:
                raise BadRequest(405)
            request = _Request(head, await self._http_heads(head))
            if not self._intake.ready:
                raise BadRequest(503)
            if head.method == "OPTIONS":
                await self._options(head)
            else:
                await self._modify(request)
        except BadRequest as refused:
            raise _Closing(replies.status(refused.status, self._tag(), close=True)) from None
        except _Stalled as stalled:
            raise _Closing(None if stalled.gone else replies.status(408, self._tag(), close=True)) from None
        return not head.closes

    async def _head(self) -> bytes | None:
        """The next ICAP head; None where the client has none."""
        until = self._clock() + self._patience.idle_s
        self._seat.awaits_request()
        while True:
            while bytes(self._buffer[:1]) in (b"\r", b"\n"):  # between requests, as HTTP servers pass over
                del self._buffer[0]
            try:
                end = head_end(self._buffer)
            except BadRequest:
                raise _Closing(replies.status(400, self._tag(), close=True)) from None
            if end >= 0:
                self._seat.is_served()
                return self._taken(end)
            begun = bool(self._buffer)
            try:
                received = await self._line.receive(max(0.0, until - self._clock()))
            except TimeoutError:
                raise _Closing(replies.status(408, self._tag(), close=True) if begun else None) from None
            if not received:
                raise _Closing(replies.status(400, self._tag(), close=True) if begun else None)
            if not begun:
                until = self._clock() + self._patience.head_s
            self._buffer += received

    async def _http_heads(self, head: IcapHead) -> dict[str, bytes]:
        until = self._clock() + self._patience.head_s
        while len(self._buffer) < head.sections.bytes:
            await self._more(until - self._clock())
        heads = {name: self._taken(length) for name, length in head.sections.heads}
        if any(behind_head(each) for each in heads.values()):
            raise BadRequest(400)  # a body where nobody looks for one
        return heads

    async def _options(self, head: IcapHead) -> None:
        if head.sections.has_body:
            chunks, pace, taken = Chunks(), self._pace(), 0
            while not chunks.ended:
                taken += len(await self._fed(chunks, pace, taken))
                if taken > self._rules.max_bytes:
                    raise BadRequest(400)
            self._buffer[:0] = chunks.rest()
        reply = replies.options(head.service, self._tag(), self._most, close=head.closes)
        await self._say(reply)

    async def _modify(self, request: _Request) -> None:
        head, sections = request.head, request.head.sections
        plan = self._plan(request)
        echo = None if head.allows_204 else Echo(self._spool)
        try:
            answer = await self._look(request, plan, echo) if sections.has_body else _without_body(head, plan)
            close = head.closes
            if not replies.passes(answer, self._rules):
                await self._say(replies.refusal(answer, self._rules, self._tag(), close=close))
            elif request.may_say_204:
                await self._say(replies.status(204, self._tag(), close=close))
            else:
                assert echo is not None
                await self._echo(request, echo)
        finally:
            if echo is not None:
                echo.close()

    def _plan(self, request: _Request) -> Plan:
        kind = "req-hdr" if request.head.method == "REQMOD" else "res-hdr"
        line, _, block = request.heads.get(kind, b"").partition(b"\n")
        status = line.split()[1:2] if kind == "res-hdr" else []
        code = int(status[0]) if status and status[0].isdigit() and len(status[0]) == 3 else None
        fields = parse_fields(block) if block else Fields()
        return plan_of(fields, request.head.fields.last("hashward-ref"), code)

    # -- the body ----------------------------------------------------------------------------------------------------

    async def _look(self, request: _Request, plan: Plan, echo: Echo | None) -> Answer:
        """Receive the body, preview and all; the answer on it."""
        look = BodyLook(self._intake, self._rules, plan)
        try:
            try:
                await self._receive(request, look, echo)
            except _Stalled as stalled:
                answer = await look.finish(cut=True)
                if answer.verdict is Verdict.MATCHED or self._rules.on_undecidable == "found" or stalled.gone:
                    raise _Closing(replies.refusal(answer, self._rules, self._tag(), close=True)) from None
                raise
            except OverLimit:
                answer = await look.finish(cut=True)
                if answer.verdict is not Verdict.MATCHED:
                    answer = undecidable(Undecided.OVER_LIMIT)
                raise _Closing(replies.refusal(answer, self._rules, self._tag(), close=True)) from None
            except OSError:  # no room to keep it for giving it back
                refused = undecidable(Reason.IO)
                raise _Closing(replies.refusal(refused, self._rules, self._tag(), close=True)) from None
            return await look.finish()
        finally:
            look.abort()

    async def _receive(self, request: _Request, look: BodyLook, echo: Echo | None) -> None:
        pace, taken = self._pace(), 0
        previewing = request.head.preview_bytes is not None
        chunks = Chunks()
        while True:
            data = await self._fed(chunks, pace, taken)
            taken += len(data)
            if data:
                if previewing and taken > (request.head.preview_bytes or 0):
                    raise BadRequest(400)
                if echo is not None:
                    await echo.write(data)
                await look.write(data)
            if not chunks.ended:
                continue
            self._buffer[:0] = chunks.rest()
            if not previewing or chunks.ieof:
                return
            previewing, request.continued, chunks = False, True, Chunks()
            await self._say(replies.CONTINUE)

    def _pace(self) -> Pace:
        return Pace(self._patience.read_s, self._rules.receive_s, self._clock)

    async def _fed(self, chunks: Chunks, pace: Pace, taken: int) -> bytes:
        """Feed what there is, waiting for more where there is nothing."""
        if not self._buffer:
            await self._more(pace.left_s(taken))
        return chunks.feed(self._taken(len(self._buffer)))

    async def _echo(self, request: _Request, echo: Echo) -> None:
        sections = request.head.sections
        await self._say(replies.echo_head(request.heads, sections, self._tag(), close=request.head.closes))
        if sections.has_body:
            async with contextlib.aclosing(echo.pieces()) as pieces:
                async for piece in pieces:
                    await self._say(chunk(piece))
            await self._say(LAST_CHUNK)

    # -- bytes -------------------------------------------------------------------------------------------------------

    async def _more(self, within_s: float) -> None:
        self._seat.awaits_body()
        try:
            received = await self._line.receive(max(0.0, within_s))
        except TimeoutError:
            raise _Stalled(gone=False) from None
        finally:
            self._seat.is_served()
        if not received:
            raise _Stalled(gone=True)
        self._buffer += received

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _say(self, reply: bytes) -> None:
        self._in_hand = reply is replies.CONTINUE
        if not await self._line.send(reply, self._patience.send_s):
            raise _Closing

    def _tag(self) -> str:
        return replies.istag(self._intake.catalogue() if self._intake.ready else 0)
