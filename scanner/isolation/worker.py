"""The loop of one worker: a descriptor in by SCM_RIGHTS, records out, one datagram each, until the socket closes."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file
from scanner.isolation import records
from scanner.isolation.confinement import confine, die_with_parent
from scanner.types import MediaKind, Reason, digests_only

# A task is the content's size, its descriptor riding along: a confined worker can ask nothing about a file.
TASK = struct.Struct("=Q")
CONFINED = b"confined"


class _Teller:
    """Sends each piece of the answer as it is made."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.kind = MediaKind.OTHER

    def media(self, kind: MediaKind, duration_ms: int | None) -> None:
        """Tell the kind."""
        self.kind = kind
        self._channel.send(records.pack_media(kind, duration_ms))

    def signal(self, one: Signal) -> None:
        """Tell one signal."""
        self._channel.send(records.pack_signal(one))


Answer = Callable[[socket.socket, MediaFile, Options, Limits], None]
ANSWER = "scanner.isolation.worker:answer"


def serve(channel: socket.socket, options: Options, limits: Limits, answer: Answer) -> None:
    """Let `answer` deal with each task on `channel` until it closes. Called once, in a fresh fork."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when work ends
    confine(limits.memory_bytes, channel.fileno())
    channel.send(CONFINED)
    while True:
        message, fds, _, _ = socket.recv_fds(channel, TASK.size + 1, 1)
        if len(message) != TASK.size or len(fds) != 1:
            return
        try:
            answer(channel, MediaFile(fds[0], *TASK.unpack(message)), options, limits)
        finally:
            os.close(fds[0])


def answer(channel: socket.socket, file: MediaFile, options: Options, limits: Limits) -> None:
    """Fingerprint the content, telling each piece as it is made."""
    teller = _Teller(channel)
    try:
        looked = fingerprint_file(file, options, limits, teller)
    except MemoryError:
        looked = digests_only(Reason.OVER_BUDGET)
    channel.send(records.pack_end(teller.kind, looked))
