"""The loop of one worker: a descriptor in by SCM_RIGHTS, records out, one datagram each, until the socket closes."""

from __future__ import annotations

import os
import signal
import socket

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options, fingerprint_file
from scanner.isolation import records
from scanner.isolation.limits import confine, die_with_parent
from scanner.types import MediaKind, Reason, digests_only

TASK = b"task"


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


def serve(channel: socket.socket, options: Options, limits: Limits) -> None:
    """Answer tasks on `channel` until it closes. Called in a fresh fork; never returns to the zygote's loop."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when work ends
    confine(limits)
    while True:
        message, fds, _, _ = socket.recv_fds(channel, 16, 1)
        if message != TASK or len(fds) != 1:
            return
        try:
            _answer(channel, fds[0], options, limits)
        finally:
            os.close(fds[0])


def _answer(channel: socket.socket, fd: int, options: Options, limits: Limits) -> None:
    teller = _Teller(channel)
    try:
        looked = fingerprint_file(MediaFile(fd), options, limits, teller)
    except MemoryError:
        looked = digests_only(Reason.OVER_BUDGET)
    channel.send(records.pack_end(teller.kind, looked))
