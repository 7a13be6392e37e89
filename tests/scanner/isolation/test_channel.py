"""What a worker tells waits until it is read, and who is to read it hears of it."""

from __future__ import annotations

import io
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.isolation.channel import Channel
from scanner.isolation.handle import Worker

WAIT_MS = 60_000
MANY = 2000  # records, several times what a socket holds


@contextmanager
def both_ends() -> Iterator[tuple[Worker, Channel]]:
    """A worker as its parent has it, and the channel it would have itself."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    heard, rung = os.pipe2(os.O_NONBLOCK)
    with ours, theirs, io.FileIO(heard) as bell, io.FileIO(rung, "w"):
        yield Worker(os.getpid(), ours, bell), Channel(theirs, rung)


def rings(worker: Worker, wait_ms: int) -> bool:
    """Whether the bell rings within that time."""
    poll = select.poll()
    poll.register(worker.bell, select.POLLIN)
    return bool(poll.poll(wait_ms))


def test_a_record_waits_without_a_ring() -> None:
    """Nobody is woken for one record; it is there when the bell rings, and alone."""
    with both_ends() as (worker, channel):
        channel.send(b"told")
        assert not rings(worker, 0)
        channel.ring()
        assert rings(worker, WAIT_MS)
        assert worker.silenced()

        assert (b"told", None) == (worker.said(), worker.said())
        assert not rings(worker, 0)


def test_what_does_not_fit_rings() -> None:
    """A worker with no room left has its parent read, goes on, and loses nothing."""
    with both_ends() as (worker, channel):
        told = threading.Thread(target=lambda: [channel.send(b"%d" % n) for n in range(MANY)], daemon=True)
        told.start()
        assert rings(worker, WAIT_MS)
        worker.channel.settimeout(WAIT_MS / 1000)

        assert [b"%d" % n for n in range(MANY)] == [worker.channel.recv(64) for _ in range(MANY)]
        told.join()


def test_a_bell_can_be_rung_for_ever() -> None:
    """Rings that nobody hears hold no worker up, and are soon silenced."""
    with both_ends() as (worker, channel):
        for _ in range(100_000):
            channel.ring()
        while rings(worker, 0):
            assert worker.silenced()

        assert worker.said() is None
