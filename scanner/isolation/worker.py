"""The loop of one worker: a descriptor in by SCM_RIGHTS, records out, one datagram each, until the channel closes."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable
from dataclasses import replace

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file
from scanner.isolation import memory, records
from scanner.isolation.channel import Channel
from scanner.isolation.confinement import confine, die_with_parent
from scanner.resuming import RESUME_BYTES, decode, encode
from scanner.types import MediaKind, Reason, Resume, digests_only

# A task is the content's size and, where a look is gone on with, from where; its descriptor rides along: a confined
# worker can ask nothing about a file.
_TASK = struct.Struct("=QI")  # the content's size, and the milliseconds in which the answer is awaited (0: none)
MOST_WITHIN_S = 4_000_000.0
MOST_TASK_BYTES = _TASK.size + RESUME_BYTES
# Positions are told this often while they follow each other quickly; the first and the last of a look always.
MARK_S = 0.02
CONFINED = b"confined"


class _Teller:
    """Sends each piece of the answer as it is made."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.kind = MediaKind.OTHER
        self._marked = 0.0
        self._untold: Resume | None = None

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Tell the kind."""
        self.kind = kind
        self._channel.send(records.pack_media(kind, duration_ms))

    def member(self, number: int, kind: MediaKind) -> None:
        """Tell a member's kind."""
        self._channel.send(records.pack_member(number, kind))

    def signal(self, one: Signal) -> None:
        """Tell one signal."""
        self._channel.send(records.pack_signal(one))

    def mark(self, resume: Resume) -> None:
        """Tell the position, or keep it for the end if one was told just now."""
        now = time.monotonic()
        self._untold = resume
        if now - self._marked >= MARK_S:
            self._marked = now
            self.tell_position()

    def tell_position(self) -> None:
        """Tell a position kept back."""
        if self._untold is not None:
            self._channel.send(records.pack_resume(self._untold))
            self._untold = None


def task(size_bytes: int, resume: Resume | None, within_s: float | None) -> bytes:
    """The message that goes with a descriptor."""
    within_ms = 0 if within_s is None else max(1, int(1000 * min(within_s, MOST_WITHIN_S)))
    return _TASK.pack(size_bytes, within_ms) + (b"" if resume is None else encode(resume))


def _read_task(message: bytes) -> tuple[int, float | None, Resume | None]:
    size_bytes, within_ms = _TASK.unpack(message[: _TASK.size])
    resume = decode(message[_TASK.size :]) if len(message) > _TASK.size else None
    return size_bytes, within_ms / 1000 or None, resume


Answer = Callable[[Channel, MediaFile, Options, Limits, Resume | None], None]
ANSWER = "scanner.isolation.worker:answer"


def serve(channel: Channel, options: Options, limits: Limits, answer: Answer) -> None:
    """Let `answer` deal with each task on `channel` until it closes. Called once, in a fresh fork."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when work ends
    memory.grow_in_huge_pages()
    confine(limits.memory_bytes, *channel.filenos())
    channel.send(CONFINED)
    while True:
        message, fds = channel.take(MOST_TASK_BYTES + 1)
        if len(message) not in (_TASK.size, MOST_TASK_BYTES) or len(fds) != 1:
            return
        try:
            size_bytes, within_s, resume = _read_task(message)
            these = limits if within_s is None else replace(limits, within_s=within_s)
            answer(channel, MediaFile(fds[0], size_bytes), options, these, resume)
            channel.ring()
        finally:
            os.close(fds[0])


def answer(channel: Channel, file: MediaFile, options: Options, limits: Limits, resume: Resume | None) -> None:
    """Fingerprint the content, telling each piece as it is made."""
    teller = _Teller(channel)
    try:
        looked = fingerprint_file(file, options, limits, teller, resume)
    except MemoryError:
        looked = digests_only(Reason.OVER_BUDGET)
    teller.tell_position()
    channel.send(records.pack_end(teller.kind, looked))
