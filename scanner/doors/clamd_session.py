"""One clamd connection from its first command to its end.

Rules
- A connection never ends without a complete reply to what was asked, in the framing it was asked in: clients take an
  empty or cut reply for OK.
- One command a connection, unless it asks for a session; there commands are answered side by side, numbered.
- Whoever is still sending when the last word is said gets time to read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from scanner.doors import clamd_fildes
from scanner.doors import clamd_replies as replies
from scanner.doors.answers import OverLimit, Undecided, Verdict, undecidable
from scanner.doors.clamd_paths import MULTISCAN_LANES, PathScan
from scanner.doors.clamd_wire import WITH_PATH, Command, Decoder, Framing, LineTooLong
from scanner.doors.lines import Line
from scanner.doors.outside import Unanswered, let_go
from scanner.doors.rates import Pace
from scanner.doors.room import Seat
from scanner.doors.rules import DoorRules
from scanner.types import Reason

if TYPE_CHECKING:
    from scanner.doors.intake import Intake, Upload

Lines = AsyncGenerator[bytes, None]

# Replies outstanding in one session: more wait until one is said, so that a client cannot pile up work.
SESSION_LANES: Final = 8
_IN_SESSION: Final = frozenset((b"SCAN", b"INSTREAM", b"FILDES", b"PING", b"VERSION", b"VERSIONCOMMANDS", b"STATS"))
_NAMING_SHARE: Final = 0.2  # of a deadline: the path of a descriptor is told in microseconds
_LINGER_S: Final = 1.0  # for who has sent more than was read, and may not have read our reply yet


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take: clamd's defaults (CommandReadTimeout, ReadTimeout), and for reading a refusal."""

    command_s: float = 30.0
    read_s: float = 120.0
    send_s: float = 30.0
    drain_s: float = 10.0


USUAL_PATIENCE: Final = Patience()


@dataclass(slots=True)
class Load:
    """What the connections of one listener are doing, for STATS."""

    live: int = 0
    most: int = 0
    judging: int = 0


class _Closing(Exception):
    """The connection ends with these words."""

    def __init__(self, *words: bytes, linger_s: float = _LINGER_S) -> None:
        super().__init__()
        self.words = words
        self.linger_s = linger_s


class ClamdSession:
    """One connection."""

    def __init__(
        self, line: Line, intake: Intake, rules: DoorRules, load: Load, patience: Patience, seat: Seat
    ) -> None:
        self._line = line
        self._seat = seat
        self._intake = intake
        self._rules = rules
        self._load = load
        self._patience = patience
        self._clock = asyncio.get_running_loop().time
        self._decoder = Decoder()
        self._framing = Framing.OLD
        self._number: int | None = None  # of the command in hand; None outside a session
        self._saying = asyncio.Lock()
        self._replies: set[asyncio.Task[None]] = set()
        seat.busy = lambda: bool(self._replies)
        self._uploads: set[Upload] = set()
        self._fds: set[int] = set()
        self._fault: BaseException | None = None  # of a reply in a session
        self._owed: tuple[Framing, int] | None = None  # how that reply would have been said

    async def run(self) -> None:
        """Serve it to its end; the socket is closed in any case."""
        linger_s = 0.0
        is_answered = False
        self._load.live += 1
        try:
            try:
                await self._serve()
            except _Closing as closing:
                linger_s = closing.linger_s
                await self._settle()
                for words in closing.words:
                    await self._say(words, self._framing, self._number)
            is_answered = self._fault is None
        finally:
            await self._give_up()
            with contextlib.closing(self._line):
                self._load.live -= 1
                if not is_answered:  # stopping, at fault or sent away for another: silence would be read as OK
                    if self._decoder.position == 0:
                        self._framing = self._decoder.framing
                    if self._owed is not None:
                        self._framing, self._number = self._owed
                    within_s = _LINGER_S if self._seat.sent_away else self._patience.send_s
                    await self._say(replies.NO_ANSWER, self._framing, self._number, within_s)
                if (linger_s or not is_answered or self._more_may_come()) and not self._seat.sent_away:
                    self._seat.awaits_request()  # whoever needs the place more may have it
                    await self._line.drain(linger_s or _LINGER_S)
        if self._fault is not None:
            raise self._fault

    def _more_may_come(self) -> bool:
        return bool(self._decoder.waiting) or self._decoder.more_may_come or self._line.has_more()

    async def _serve(self) -> None:
        command = await self._command(self._patience.command_s)
        if command is None:
            return
        if command.word == b"IDSESSION":
            await self._session()
        else:
            await self._reply(await self._begin(command), command.framing, None)

    async def _session(self) -> None:
        for number in itertools.count(1):
            self._number = None
            command = await self._command(self._patience.read_s)
            if command is None or command.word == b"END":
                await self._settle()
                return
            self._number = number
            if command.framing is Framing.OLD:
                raise _Closing(replies.NEEDS_PREFIX, replies.NOT_PROCESSED)
            if command.word not in _IN_SESSION:
                raise _Closing(replies.NOT_IN_SESSION)
            lines = await self._begin(command)
            while len(self._replies) >= SESSION_LANES:
                await asyncio.wait(self._replies, return_when=asyncio.FIRST_COMPLETED)
            reply = asyncio.create_task(self._reply(lines, command.framing, number))
            self._replies.add(reply)
            reply.add_done_callback(partial(self._replied, command.framing, number))

    # -- what a command is, and what comes with it -------------------------------------------------------------------

    async def _command(self, within_s: float) -> Command | None:
        """The next command; None where the client has none. A client that sends it byte by byte has the same time."""
        until = self._clock() + within_s
        ended = False
        self._seat.awaits_request()
        while True:
            try:
                command = self._decoder.command(at_end=ended)
            except LineTooLong:
                self._framing = self._decoder.framing
                raise _Closing(replies.UNKNOWN) from None
            if command is not None:
                self._seat.is_served()
                self._framing = command.framing
                return command
            if ended:
                self._framing = self._decoder.framing
                if self._decoder.waiting:
                    raise _Closing(replies.UNKNOWN)
                return None
            ended = not await self._more(until - self._clock())

    async def _more(self, within_s: float) -> bool:
        try:
            received = await self._line.receive(max(within_s, 0))
        except TimeoutError:
            if self._decoder.position == 0:
                self._framing = self._decoder.framing
            raise _Closing(replies.TIMED_OUT) from None
        self._decoder.feed(received)
        return bool(received)

    async def _more_of_it(self, within_s: float) -> bool:
        """`_more` of what belongs to a command."""
        self._seat.awaits_body()
        try:
            return await self._more(within_s)
        finally:
            self._seat.is_served()

    async def _begin(self, command: Command) -> Lines:
        """Receive what belongs to the command; the lines of its reply come from what is returned."""
        if command.word == b"INSTREAM":
            return self._stream_lines(await self._stream())
        if command.word == b"FILDES":
            return self._descriptor_lines(await self._descriptor())
        if command.word in WITH_PATH:
            stops = command.word in (b"SCAN", b"ALLMATCHSCAN")
            lanes = MULTISCAN_LANES if command.word == b"MULTISCAN" else 1
            scan = PathScan(self._intake, self._rules, command.argument)
            return scan.lines(stops_at_first=stops, lanes=lanes)
        return self._simple_lines(command.word)

    async def _stream(self) -> Upload:
        upload = self._intake.begin(self._rules)
        self._uploads.add(upload)
        pace, taken = Pace(self._patience.read_s, self._rules.receive_s, self._clock), 0
        while True:
            piece = self._decoder.piece(self._rules.max_bytes - taken)
            try:
                if piece.data:
                    taken += len(piece.data)
                    await upload.write(piece.data)
            except OverLimit:
                await self._over(upload)
            if piece.over:
                await self._over(upload)
            if piece.ended:
                return upload
            try:
                came = await self._more_of_it(pace.left_s(taken))
            except _Closing as closing:
                verdict = await self._cut(upload)
                raise _Closing(verdict if verdict.endswith(b"FOUND") else closing.words[0]) from None
            if not came:
                raise _Closing(await self._cut(upload))

    async def _over(self, upload: Upload) -> None:
        """More than the listener takes: said at once, and the client given time to read it while it still sends."""
        verdict = await self._cut(upload)
        raise _Closing(
            verdict if verdict.endswith(b"FOUND") else replies.OVER_LIMIT,
            linger_s=self._patience.drain_s,
        )

    async def _cut(self, upload: Upload) -> bytes:
        """What can be said of a stream of which the end is missing: never OK."""
        self._uploads.discard(upload)
        answer = await upload.finish(cut=True)
        if answer.verdict is not Verdict.MATCHED:  # nothing at all may have come: that is no empty file here
            answer = undecidable(Undecided.CUT)
        return b"stream: " + replies.verdict(answer, self._rules)

    async def _descriptor(self) -> int:
        """The descriptor that comes with the byte behind the command."""
        at = self._decoder.position
        if self._line.has_fds(0) and not self._line.has_fds(at):
            raise _Closing(replies.STRAY_DESCRIPTOR, replies.NOT_PROCESSED)
        while self._line.takes_fds and not self._decoder.waiting:
            if not await self._more_of_it(self._patience.command_s):
                break
        self._decoder.skip_byte()
        fd = self._line.take_fd(at)
        if fd is None:
            raise _Closing(replies.NO_DESCRIPTOR)
        self._fds.add(fd)
        return fd

    # -- what is said to it ------------------------------------------------------------------------------------------

    async def _stream_lines(self, upload: Upload) -> Lines:
        answer = await upload.finish()
        self._uploads.discard(upload)
        yield b"stream: " + replies.verdict(answer, self._rules)

    async def _descriptor_lines(self, fd: int) -> Lines:
        try:
            yield b"fd[%d]: " % fd + await self._judged_descriptor(fd)
        finally:
            self._fds.discard(fd)
            let_go(fd)

    async def _judged_descriptor(self, fd: int) -> bytes:
        intake, within_s = self._intake, self._rules.deadline_s
        is_local = intake.outside.is_local(fd)
        try:
            if is_local:
                refusal = clamd_fildes.refusal(fd)
            else:
                refusal = await intake.outside.call(partial(clamd_fildes.refusal, fd), within_s, of=fd)
        except Unanswered:
            return replies.verdict(intake.unjudged(self._rules, Reason.TIMEOUT), self._rules)
        if refusal is not None:
            return refusal
        ref = None
        with contextlib.suppress(Unanswered):  # who has the path answer for ever has no ref
            of = b"" if is_local else fd
            ref = await intake.names.call(partial(clamd_fildes.ref_of, fd), within_s * _NAMING_SHARE, of=of)
        return replies.verdict(await self._intake.scan_fd(self._rules, fd, ref), self._rules)

    async def _simple_lines(self, word: bytes) -> Lines:
        ready = self._intake.ready
        if word == b"PING":
            yield b"PONG" if ready else replies.NOT_READY
        elif word in (b"VERSION", b"VERSIONCOMMANDS"):
            known = (self._intake.catalogue(), self._intake.catalogue_day()) if ready else (None, None)
            version = replies.version(*known)
            yield version if word == b"VERSION" else version + b"| COMMANDS: " + replies.COMMANDS
        elif word == b"STATS":
            load = self._load
            yield replies.stats(
                live=load.live, most=load.most, judging=load.judging, ready=ready, idle_s=self._patience.read_s
            )
        elif word in (b"", b"END"):
            yield replies.UNKNOWN
        else:  # SHUTDOWN, QUIT, RELOAD, DETSTATS: who may reach the port may not do that
            yield replies.UNAVAILABLE

    async def _reply(self, lines: Lines, framing: Framing, number: int | None) -> None:
        self._load.judging += 1
        try:
            async with contextlib.aclosing(lines):
                async for line in lines:
                    if not await self._say(line, framing, number):
                        return
        finally:
            self._load.judging -= 1

    def _replied(self, framing: Framing, number: int, reply: asyncio.Task[None]) -> None:
        """A reply of a session has ended; by a fault, so does the session, with an error in its place."""
        self._replies.discard(reply)
        fault = None if reply.cancelled() else reply.exception()
        if fault is not None and self._fault is None:
            self._fault, self._owed = fault, (framing, number)
            self._line.hear_no_more()

    async def _say(self, words: bytes, framing: Framing, number: int | None, within_s: float | None = None) -> bool:
        prefix = b"" if number is None else b"%d: " % number
        async with self._saying:
            wait_s = self._patience.send_s if within_s is None else within_s
            return await self._line.send(prefix + words + framing.terminator, wait_s)

    async def _settle(self) -> None:
        """Wait until all that was asked is answered."""
        while self._replies:
            await asyncio.wait(self._replies)

    async def _give_up(self) -> None:
        """End what is still under way: the connection is ending before its answers."""
        for reply in self._replies:
            reply.cancel()
        if self._replies:
            await asyncio.wait(self._replies)
        for upload in self._uploads:
            upload.abort()
        for fd in self._fds:
            let_go(fd)
