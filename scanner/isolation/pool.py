"""A pool of killable worker processes that implements Fingerprinter.

Rules
- A content costs at most its CPU budget plus `GRACE_S`, with wall time as a backstop; then its worker is killed and the
  signals told so far are kept: partial(timeout), or digests_only(timeout).
- A crash (a signal, a closed channel, a bad record) is replayed once, alone, in a fresh worker; then its reason stands.
- Records are read when the worker rings, and at every look at a silent one: what it told counts whatever became of it.
- Workers are replaced after `FILES_PER_WORKER` files and after every anomaly, so that what one content did to a worker
  reaches few others. A lost zygote is replaced too: the pool heals by itself.
"""

from __future__ import annotations

import contextlib
import queue
import select
import threading
import time
from dataclasses import replace
from types import TracebackType

from hashsets.types import Signal
from scanner.errors import IsolationError
from scanner.fingerprint import Limits, Options, go_on, gone_by, usable, wanted, with_recipes
from scanner.isolation.confinement import Sandbox
from scanner.isolation.handle import Worker, Zygote, ZygoteLost
from scanner.isolation.records import BadRecord, EndRecord, MediaRecord, MemberRecord, parse
from scanner.isolation.worker import ANSWER
from scanner.isolation.zygote import Settings
from scanner.types import (
    Extent,
    Fingerprint,
    Looked,
    MediaKind,
    Reason,
    Resume,
    Source,
    Stop,
    Stopped,
    digests_only,
    never,
    partial,
)

FILES_PER_WORKER = 100
GRACE_S = 0.4  # for the worker to notice its own budget and end in good order; killed, it ends within half a second
LEAST_WITHIN_S = 0.05  # however long the wait for a worker was
MOST_UNREAD = 1000  # records read at once: more than a socket holds of the shortest
LOOK_S = 0.25  # how often a silent worker is looked at; when its time can be up, just then


class WorkerPool:
    """Decodes in `workers` processes. Safe to call from several threads; a context manager."""

    def __init__(
        self,
        workers: int,
        limits: Limits | None = None,
        options: Options | None = None,
        *,
        files_per_worker: int = FILES_PER_WORKER,
        allow_unsandboxed: bool = False,
        answer: str = ANSWER,
    ) -> None:
        if workers < 1:
            raise IsolationError("at least one worker is needed")
        self._limits = limits or Limits()
        self._options = options or Options()
        self._settings = Settings(self._options, self._limits, answer)
        self._files_per_worker = files_per_worker
        self._heal = threading.Lock()
        self._closed = False
        self._forbidden_calls = 0
        self._zygote = Zygote(self._settings)
        if not (self.sandbox.complete or allow_unsandboxed):
            self._zygote.close()
            raise IsolationError("this kernel lacks Landlock or seccomp; --allow-unsandboxed decodes without them")
        # LIFO: the worker used last has its memory in the caches. None is a place whose worker is yet to be forked.
        self._places: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._places.put(None)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sandbox(self) -> Sandbox:
        """What confines the workers."""
        return self._zygote.sandbox

    @property
    def forbidden_calls(self) -> int:
        """Workers that the sandbox ended for a system call no decoder makes: an attack, or a list too short."""
        with self._heal:
            return self._forbidden_calls + _forbidden_calls(self._zygote)

    def close(self) -> None:
        """End every process of the pool. Calls under way end as crashes."""
        with self._heal:
            if not self._closed:
                self._forbidden_calls += _forbidden_calls(self._zygote)
            self._closed = True
            self._zygote.close()
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._places.get_nowait())
        for worker in idle:
            if worker is not None:
                worker.close()
            self._places.put(None)  # whoever waits, or comes later, learns that the pool is closed

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        """Decode a content, waiting for a free worker; of `within_s` the waiting takes its part.

        Raises IsolationError once closed, OSError where there is no room for what lies in memory, and Stopped within
        `LOOK_S` of `stop` being true.
        """
        since = usable(resume, self._options, self._limits)
        until = None if within_s is None else time.monotonic() + within_s
        first = self._attempt(source, since, stop, until, fresh=False)
        if first.looked.reason is not Reason.CRASH:
            return first
        second = self._attempt(source, since, stop, until, fresh=True)
        if second.looked.reason is Reason.CRASH and len(first.signals) > len(second.signals):
            return first
        return second

    def tidy(self) -> None:
        """Have idle workers hold nothing of what they were given last. For who calls now and then."""
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._places.get_nowait())
        for worker in reversed(idle):
            try:
                if worker is not None:
                    worker.empty()
            finally:
                self._places.put(worker)

    def wanted(self, media: MediaKind) -> frozenset[str]:
        """The recipes that a look at a content of this kind goes by."""
        return wanted(media, self._options)

    def _attempt(
        self, source: Source, since: Resume | None, stop: Stop, until: float | None, *, fresh: bool
    ) -> Fingerprint:
        """One content through one worker; `fresh` insists on one that has met no other file, and on ending it after."""
        try:
            place = self._places.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
        except queue.Empty:
            return Fingerprint(MediaKind.OTHER, digests_only(Reason.TIMEOUT), (), since, since)
        kept: Worker | None = None
        try:
            if place is not None and fresh:
                self._end(place)
                place = None
            worker = kept = place or self._fork()
            fd = source if isinstance(source, int) else worker.holding(source)
            kept = None
            within_s = None if until is None else max(LEAST_WITHIN_S, until - time.monotonic())
            limits = self._limits if within_s is None else replace(self._limits, within_s=within_s)
            task = _Task(worker, fd, limits, since)
            looked = task.run(stop)
            if task.sound and not fresh and worker.files < self._files_per_worker:
                kept = worker
            else:
                self._end(worker)
            if looked is None:
                raise Stopped
            signals = with_recipes(task.kind, task.signals, self._options, task.members)
            resume = go_on(since, task.latest, looked, self._options, limits)
            made = gone_by(task.kind, self._options, task.members)
            return Fingerprint(task.kind, looked, signals, since, resume, made)
        finally:
            self._places.put(kept)

    def _fork(self) -> Worker:
        """A new worker, from a new zygote if the old one is gone."""
        for _ in range(3):
            zygote = self._zygote
            try:
                return zygote.fork()
            except ZygoteLost:
                self._replace(zygote)
        raise IsolationError(
            "worker processes end as soon as they start; is memory short, or limits.memory_mb too low?"
        )

    def _replace(self, lost: Zygote) -> None:
        with self._heal:
            if self._closed:
                raise IsolationError("the worker pool is closed")
            if self._zygote is lost:
                self._forbidden_calls += _forbidden_calls(lost)
                lost.close()
                self._zygote = Zygote(self._settings)

    def _end(self, worker: Worker) -> None:
        """Kill a worker."""
        self._zygote.end(worker)


def _forbidden_calls(zygote: Zygote) -> int:
    try:
        return zygote.forbidden_calls()
    except ZygoteLost:  # with what it counted
        return 0


class _Task:
    """One content at one worker."""

    def __init__(self, worker: Worker, fd: int, limits: Limits, since: Resume | None) -> None:
        self._worker = worker
        self._fd = fd
        self._limits = limits
        self._since = since
        self._cpu_s = limits.cpu_s(moving=False, duration_ms=None, resume=since)
        self.latest: Resume | None = None
        self.kind = MediaKind.OTHER
        self.members: dict[int, MediaKind] = {}
        self.signals: list[Signal] = []
        self.sound = False

    def run(self, stop: Stop) -> Looked | None:
        """Give the file, take records until the end, a deadline or an anomaly; None: stopped."""
        try:
            self._worker.files += 1
            started = self._worker.cpu_s()
            self._worker.give(self._fd, self._since, self._limits.within_s)
            return self._listen(started, stop)
        except (OSError, BadRecord):
            return self._cut_short(Reason.CRASH)

    def _listen(self, cpu_started: float, stop: Stop) -> Looked | None:
        poll = select.poll()
        poll.register(self._worker.bell, select.POLLIN)
        wall_started = time.monotonic()
        while not stop():
            left_s = self._left_s(cpu_started, wall_started)
            rung = left_s > 0 and poll.poll(1 + 1000 * min(LOOK_S, left_s))
            gone = rung and not self._worker.silenced()
            # Also when time is up: on a machine that stood still it may be all there is to tell, or tell of more time.
            ended = self._read()
            if ended is not None:
                return ended
            if gone:
                return self._cut_short(Reason.CRASH)
            if left_s <= 0 and self._left_s(cpu_started, wall_started) <= 0:
                return self._cut_short(Reason.TIMEOUT)
        return None

    def _read(self) -> Looked | None:
        """Take the records that wait; the outcome when the last is among them."""
        for _ in range(MOST_UNREAD):
            record = self._worker.said()
            if record is None:
                return None
            ended = self._take(record)
            if ended is not None:
                return ended
        return None

    def _left_s(self, cpu_started: float, wall_started: float) -> float:
        """For how long at least the content's time is not up; nothing, or less, once it is."""
        wall_s = time.monotonic() - wall_started
        cpu_left_s = self._cpu_s + GRACE_S - wall_s
        if cpu_left_s <= 0:  # before that there is no need to ask: CPU time of one thread cannot be more
            cpu_left_s = self._cpu_s + GRACE_S - (self._worker.cpu_s() - cpu_started)
        return min(cpu_left_s, self._cpu_s * self._limits.wall_factor + GRACE_S - wall_s)

    def _take(self, datagram: bytes) -> Looked | None:
        """Believe one record; the outcome when it is the last."""
        match parse(datagram):
            case MediaRecord(media=kind, duration_ms=duration_ms):
                self.kind = kind
                # A duration alone tells of a film inside something else.
                moving = kind in (MediaKind.ANIMATION, MediaKind.VIDEO) or duration_ms is not None
                self._cpu_s = self._limits.cpu_s(moving, duration_ms, self._since)
            case MemberRecord(number=number, media=kind):
                self.members[number] = kind
            case Resume() as position:
                self.latest = position
            case Signal() as one:
                if len(self.signals) >= self._limits.signals:
                    return self._cut_short(Reason.OVER_BUDGET)
                self.signals.append(one)
            case EndRecord(media=kind, looked=looked):
                if looked.extent is Extent.DIGESTS_ONLY and self.signals:
                    looked = partial(looked.reason or Reason.CRASH)
                self.kind = kind
                self.sound = True
                return looked
        return None

    def _cut_short(self, reason: Reason) -> Looked:
        return partial(reason) if self.signals else digests_only(reason)
