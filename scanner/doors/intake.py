"""The intake: one for all listeners of a process. A body comes in by any protocol, and an `Answer` goes out.

Rules
- Within the listener's deadline there is an answer, if only that there is none (timeout); the look goes on without it.
- Work in hand is bounded: past the bound the answer is `busy`, at once. What cannot be judged at all is not looked at.
- Runs in one asyncio loop. Digests and looks are made in lanes (threads), commits in the recorder's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from scanner.clock import Clock
from scanner.doors.answers import Answer, OverLimit, Undecided, Verdict, undecidable
from scanner.doors.bodies import Body, Memory
from scanner.doors.catching_up import CatchingUp
from scanner.doors.files import OpenFile
from scanner.doors.judging import Job, Judge, Tell
from scanner.doors.lanes import Lanes
from scanner.doors.outside import NAMING_THREADS, Outside
from scanner.doors.rates import Rate
from scanner.doors.reading_in import read_in
from scanner.doors.recording import Recorder
from scanner.doors.rules import DoorRules, checked_ref
from scanner.doors.spooling import Spool
from scanner.ledger.ledger import Ledger
from scanner.metrics import Metrics
from scanner.pipeline import Pipeline, SetsInForce
from scanner.types import Digests, Fingerprint, Reason

_FORGET_S: Final = 30.0  # what is forgotten while it is on its way to an answer is there well before that


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the intake takes at once. `lanes` are threads that look; each waits for a worker process."""

    in_hand: int = 256
    lanes: int = 4
    spool_bytes: int = 10 * 2**30


class Intake:
    """See the module. Made in the thread of the loop it is used in; `start` before, `close` after."""

    def __init__(
        self,
        sets: SetsInForce,
        ledger: Ledger,
        pipeline: Pipeline,
        clock: Clock,
        spool: Path,
        metrics: Metrics,
        bounds: Bounds | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._sets = sets
        self._ledger = ledger
        self._clock = clock
        self._folder = spool
        self._metrics = metrics
        self._bounds = bounds or Bounds()
        self._memory = Memory()
        self._lanes = Lanes(self._bounds.lanes)
        kept = Spool(spool, ledger, self._bounds.spool_bytes)
        self._catching_up = CatchingUp(pipeline, ledger, clock, kept)
        self._recorder = Recorder(pipeline, ledger, self._catching_up.accepted)
        self._judge = Judge(sets, ledger, pipeline, self._recorder, kept, self._catching_up, self._lanes)
        self._rates: dict[str, Rate] = {}
        self._in_hand, self._counting = 0, threading.Lock()
        self._refs: Counter[bytes] = Counter()  # of what is in hand
        self.outside, self.names = outside or Outside(), Outside(NAMING_THREADS)
        self._reading: set[asyncio.Task[Answer]] = set()
        self._started = False
        self._pinned_day: tuple[int, datetime] = (-1, datetime.fromtimestamp(0, UTC))

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the sets and be ready. Raises StoreError."""
        self._sets.pin()
        self._recorder.start()
        self._catching_up.start()
        self._started = True

    async def close(self, within_s: float) -> None:
        """Take no more, finish what is in hand, commit it, end."""
        self._started = False
        until = time.monotonic() + within_s
        while self._in_hand and time.monotonic() < until:
            await asyncio.sleep(0.02)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._end)

    def _end(self) -> None:
        self._catching_up.close()
        self._lanes.end()
        self._recorder.close()

    @property
    def ready(self) -> bool:
        """Whether verdicts can be given: sets loaded, workers there, ledger writable."""
        return self._started and self._recorder.works

    @property
    def in_hand(self) -> int:
        """How many bodies are on their way to an answer."""
        return self._in_hand

    @property
    def most_in_hand(self) -> int:
        """How many may be."""
        return self._bounds.in_hand

    # -- what doors ask ----------------------------------------------------------------------------------------------

    def begin(
        self, rules: DoorRules, ref: bytes | None = None, declared_bytes: int | None = None, begins_at: bool = True
    ) -> Upload:
        """Start to receive a body. `begins_at` False: it is known not to begin at the content's first byte."""
        ref = checked_ref(ref)
        body = Body(self._folder, self._memory, self._lanes)
        return Upload(self, rules, ref, body, declared_bytes, begins_at)

    async def scan_fd(self, rules: DoorRules, fd: int, ref: bytes | None) -> Answer:
        """Judge the regular file open on `fd`, which stays the caller's, offset and all. A file is no piece of one."""
        ref = checked_ref(ref)
        rules = replace(rules, whole_files=True)
        began_s = time.monotonic()
        if not self.outside.is_local(fd):
            return self._count(rules, await self._scan_outside(rules, fd, ref), began_s, 0, ref)
        file = OpenFile(fd)
        refused = self._refusal(rules, file.size_bytes)
        size = 0 if refused is not None else file.size_bytes
        if refused is not None:
            file.close()
            answer = refused
        else:
            answer = await self._answer(Job(rules, ref, file, False, began_s + rules.deadline_s))
        return self._count(rules, answer, began_s, size, ref)

    async def _scan_outside(self, rules: DoorRules, fd: int, ref: bytes | None) -> Answer:
        """The same of a file whose file system may never answer: read in before anybody looks at it."""
        if not self.ready or self._in_hand >= self._bounds.in_hand:
            return undecidable(Undecided.BUSY if self.ready else Undecided.NOT_READY)
        reading = asyncio.create_task(self._read_in(rules, os.dup(fd), ref))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        await asyncio.wait((reading,), timeout=rules.deadline_s)
        return reading.result() if reading.done() else undecidable(Reason.TIMEOUT)

    async def _read_in(self, rules: DoorRules, fd: int, ref: bytes | None) -> Answer:
        """Read a file as if it were sent, then judge it; `fd` is closed."""
        upload = self.begin(rules, ref)
        self._take_in_hand(1, ref)
        try:
            answer = await read_in(upload, self.outside, fd)
        finally:
            self._take_in_hand(-1, ref)
        return answer or await upload.judged()

    def unjudged(self, rules: DoorRules, reason: str) -> Answer:
        """The answer to what nobody could hand over."""
        return self._count(rules, undecidable(reason), time.monotonic(), 0, None)

    async def forget(self, ref: bytes) -> bool:
        """The platform no longer holds an upload: its matches close. False when it was not known.

        Also of what is on its way to an answer under that ref, which is waited for.
        """
        loop = asyncio.get_running_loop()
        let_go = self._ledger.places.forget_upload
        known = await loop.run_in_executor(self._lanes, let_go, ref)
        until = time.monotonic() + _FORGET_S
        while ref in self._refs and time.monotonic() < until:
            await asyncio.sleep(0.02)
            if ref not in self._refs:
                known |= await loop.run_in_executor(self._lanes, let_go, ref)
        return known

    async def look_up(self, hash_type: str, value: bytes) -> list[str]:
        """The names of the sets that list a value near this one by their own rules. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._lanes, self._judge.sets_listing, hash_type, value)

    def catalogue(self) -> int:
        """The number that rises whenever what is listed changes."""
        return self._sets.catalogue()

    def catalogue_day(self) -> datetime:
        """When this process first saw that number."""
        number = self.catalogue()
        if number != self._pinned_day[0]:
            self._pinned_day = number, datetime.fromtimestamp(self._clock.now_ns() // 10**9, UTC)
        return self._pinned_day[1]

    # -- one upload --------------------------------------------------------------------------------------------------

    def _refusal(self, rules: DoorRules, size_bytes: int) -> Answer | None:
        """Why a body is not judged at all."""
        if not self.ready:
            return undecidable(Undecided.NOT_READY)
        if size_bytes > rules.max_bytes:
            return undecidable(Undecided.OVER_LIMIT)
        rate = self._rates.setdefault(rules.name, Rate(rules.rate_per_s))
        if self._in_hand >= self._bounds.in_hand or not rate.allows():
            return undecidable(Undecided.BUSY)
        return None

    async def _answer(self, job: Job) -> Answer:
        """The answer to a body that is complete, within its deadline. Takes the body over."""
        content, is_new = job.content, False
        if isinstance(content, Body):
            if not content.is_short:
                return await self._elsewhere(self._hash_first, job)
            answer, is_new = self._judge.recall(job)
            if answer is not None:
                content.close()
                return answer
        return await self._elsewhere(partial(self._look, is_new=is_new), job)

    async def _elsewhere(self, work: Callable[[Job, Tell], None], job: Job) -> Answer:
        """What `work` tells in another thread, if that is in time."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Answer] = loop.create_future()
        self._take_in_hand(1, job.ref)
        self._lanes.submit(work, job, partial(_tell, told))
        late = loop.call_at(job.due_s, _set, told, undecidable(Reason.TIMEOUT))
        try:
            return await told
        finally:
            late.cancel()

    def _hash_first(self, job: Job, tell: Tell) -> None:
        """For another thread: what is known is answered there, and what is not is looked at."""
        goes_on = False
        try:
            answer, is_new = self._judge.recall(job)
            goes_on = answer is None
            if answer is not None:
                tell(answer)
        finally:
            if not goes_on:
                job.content.close()
                self._take_in_hand(-1, job.ref)
        if goes_on:
            self._look(job, tell, is_new)

    def _look(self, job: Job, tell: Tell, is_new: bool) -> None:
        # Out of hand there, as waking the loop for that costs more than a look at a small file.
        self._lanes.look(partial(self._judge.work, job, tell, partial(self._take_in_hand, -1, job.ref), is_new))

    async def _hash(self, body: Body, within_s: float) -> tuple[Digests, Fingerprint]:
        self._take_in_hand(1)
        try:
            hashed: Future[tuple[Digests, Fingerprint]] = Future()
            self._lanes.submit(self._lanes.look, partial(self._judge.hash, body, within_s, hashed))
            return await asyncio.wrap_future(hashed)
        finally:
            self._take_in_hand(-1)

    def _take_in_hand(self, more: int, ref: bytes | None = None) -> None:
        with self._counting:
            self._in_hand += more
            if ref is not None:
                self._refs[ref] += more
                if not self._refs[ref]:
                    del self._refs[ref]

    def _count(self, rules: DoorRules, answer: Answer, began_s: float, size: int, ref: bytes | None) -> Answer:
        seconds = time.monotonic() - began_s
        self._metrics.answered(rules.name, answer.verdict, answer.reason, seconds=seconds, bytes_=size)
        if ref is None and answer.verdict is Verdict.MATCHED:
            self._metrics.unlocatable(rules.name)
        return answer


class Upload:
    """One body being received. Ends with `finish` or `abort`, once."""

    def __init__(
        self,
        intake: Intake,
        rules: DoorRules,
        ref: bytes | None,
        body: Body,
        declared_bytes: int | None,
        begins_at: bool,
    ) -> None:
        self._intake = intake
        self._rules = rules
        self._ref = ref
        self._body = body
        self._declared_bytes = declared_bytes
        self._over = False
        self._cut = not begins_at
        self._lost = False
        self._handed_over = False
        self._began_s = time.monotonic()

    @property
    def received_bytes(self) -> int:
        """How much has come."""
        return self._body.size_bytes

    @property
    def sha1(self) -> bytes:
        """The digest of the whole body, after `finish`."""
        return b"" if self._body.digests is None else self._body.digests.sha1

    @property
    def sha256(self) -> bytes:
        """The digest of the whole body, after `finish`."""
        return b"" if self._body.digests is None else self._body.digests.sha256

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises OverLimit where that is more than the listener takes: the answer then stands."""
        if self._over or self._body.size_bytes + len(data) > self._rules.max_bytes:
            self._over = True
            raise OverLimit
        if not self._lost:
            try:
                await self._body.write(data)
            except OSError:  # no room for it: the rest is read and dropped, and the answer says so
                self._lost = True

    async def finish(self, *, cut: bool = False) -> Answer:
        """The answer, within the listener's deadline. `cut`: the sender went away, or it is known not to be all."""
        self._cut = self._cut or cut
        answer = await self.judged()
        return self._intake._count(self._rules, answer, self._began_s, self.received_bytes, self._ref)

    async def judged(self) -> Answer:
        """`finish`, counted nowhere."""
        intake, rules = self._intake, self._rules
        answer = intake._refusal(rules, self.received_bytes) or self._unjudgeable()
        if answer is not None:
            self._body.close()
            return answer
        short = self._declared_bytes is not None and self._declared_bytes > self.received_bytes
        self._handed_over = True
        due_s = time.monotonic() + rules.deadline_s
        return await intake._answer(Job(rules, self._ref, self._body, short or self._cut, due_s))

    def _unjudgeable(self) -> Answer | None:
        if self._over:
            return undecidable(Undecided.OVER_LIMIT)
        if not self.received_bytes:
            return undecidable(Undecided.CUT if self._cut else Undecided.EMPTY)
        return undecidable(Reason.IO) if self._lost else None

    async def hashes(self) -> tuple[Digests, Fingerprint] | Answer:
        """What is computed of the body, compared with nothing and recorded nowhere; else why it cannot be."""
        intake, rules = self._intake, self._rules
        answer = intake._refusal(rules, self.received_bytes) or self._unjudgeable()
        try:
            if answer is None and self._cut:
                answer = undecidable(Undecided.CUT)
            return answer or await intake._hash(self._body, rules.deadline_s)
        except OSError:
            return undecidable(Reason.IO)
        finally:
            self._body.close()

    def over_limit(self) -> None:
        """It is known to be longer than the listener takes."""
        self._over = True

    def cut(self) -> None:
        """It is known not to be all."""
        self._cut = True

    def abort(self) -> None:
        """Keep nothing of it. Once it is being judged that is no longer ours to end: a lane reads it, and closes it."""
        if not self._handed_over:
            self._body.close()


def _tell(told: asyncio.Future[Answer], answer: Answer) -> None:
    """From any thread."""
    with contextlib.suppress(RuntimeError):  # the loop is gone: so is whoever asked
        told.get_loop().call_soon_threadsafe(_set, told, answer)


def _set(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
