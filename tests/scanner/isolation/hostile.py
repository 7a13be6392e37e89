"""A worker in the hands of whoever made the file: the content's first word says what it does.

Loaded by name in the worker process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time

from hashsets.types import Signal
from scanner.fingerprint import Limits, MediaFile, Options
from scanner.isolation import records
from scanner.isolation.channel import Channel
from scanner.isolation.worker import answer as honest
from scanner.types import WHOLE, MediaKind, Resume

MANY = 5000  # records, several times what a socket holds
GOOD = records.pack_signal(Signal("pdq", bytes(range(32)), quality=100))


def answer(channel: Channel, file: MediaFile, options: Options, limits: Limits, resume: Resume | None) -> None:
    """Do what the content says, or what an honest worker does."""
    word = file.at(0, 64).split(b" ")[0].decode("ascii", "replace")
    deed = DEEDS.get(word)
    if deed is None:
        honest(channel, file, options, limits, resume)
        return
    channel.send(GOOD if word != "BEYOND" else records.pack_signal(Signal("pdq", bytes(32), quality=_beyond(file))))
    deed(channel)
    channel.send(records.pack_end(MediaKind.IMAGE, WHOLE))
    if word == "SILENCE":
        time.sleep(600)


def _beyond(file: MediaFile) -> int:
    """How much of 100 bytes lies behind the content: of others, who had the file before."""
    return len(os.pread(file._fd, 100, file.size_bytes))


def _segfault(channel: Channel) -> None:
    ctypes.string_at(0)


def _spin(channel: Channel) -> None:
    while True:
        pass


def _spin_as(kind: MediaKind):  # type: ignore[no-untyped-def]
    def spin(channel: Channel) -> None:
        channel.send(records.pack_media(kind, 1000))
        _spin(channel)

    return spin


def _sleep(channel: Channel) -> None:
    time.sleep(600)


def _allocate(channel: Channel) -> None:
    bytearray(64 << 30)


def _fork(channel: Channel) -> None:
    if os.fork() == 0:
        time.sleep(600)
    os.abort()


def _flood(channel: Channel) -> None:
    while True:
        channel.send(GOOD)


def _unhang(channel: Channel) -> None:
    os.close(channel.filenos()[1])
    _sleep(channel)


def _lie(datagram: bytes):  # type: ignore[no-untyped-def]
    return lambda channel: channel.send(datagram)


DEEDS = {
    "SEGFAULT": _segfault,
    "ABORT": lambda channel: os.abort(),
    "EXIT": lambda channel: os._exit(0),
    "SPIN": _spin,
    "SPIN_ANIMATION": _spin_as(MediaKind.ANIMATION),
    "SPIN_VIDEO": _spin_as(MediaKind.VIDEO),
    "SLEEP": _sleep,
    "ALLOCATE": _allocate,
    "FORK": _fork,
    "FLOOD": _flood,
    "STOP": lambda channel: os.kill(os.getpid(), signal.SIGSTOP),
    "SHORT": _lie(GOOD[:-1]),
    "LONG": _lie(GOOD + b"\0"),
    "HUGE": _lie(GOOD * 1000),
    "EMPTY": _lie(b""),
    "TYPE": _lie(b"\xee" + GOOD[1:]),
    "HASHTYPE": _lie(GOOD[:1] + b"\xee" + GOOD[2:]),
    "QUALITY": _lie(GOOD[:3] + b"\x65" + GOOD[4:]),
    "VALUE": _lie(GOOD[:4] + b"\x08" + GOOD[5:]),
    "DURATION": _lie(struct.pack("<BBBBB3x32sIIQ", 1, 2, 0, 0, 0, b"", 2**32 - 1, 2**32 - 1, 2**63)),
    "UNHANG": _unhang,
    "RING": lambda channel: [channel.ring() for _ in range(100_000)],
    "BEYOND": lambda channel: None,
    "SILENCE": lambda channel: None,
    "MUCH": lambda channel: [channel.send(GOOD) for _ in range(MANY)],
    "CROWD": lambda channel: [channel.send(GOOD) for _ in range(200)],
}
