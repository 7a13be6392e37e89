"""The parent's side of the zygote and of one worker: sockets, process ids and what they are told.

The zygote is exec'd, not forked from us, so it carries none of our threads, descriptors or environment. It ends with
its control socket, which the kernel closes however we end; no process outlives that. (PDEATHSIG would not do here: it
fires when the thread that started the zygote ends, not the process.)
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import subprocess
import threading
import time
from dataclasses import dataclass

from scanner.errors import IsolationError
from scanner.isolation import memory
from scanner.isolation.confinement import Sandbox
from scanner.isolation.records import LONGEST_BYTES
from scanner.isolation.starting import start_clean
from scanner.isolation.worker import CONFINED, task
from scanner.isolation.zygote import CANNOT, MOST_FIRST_BYTES, READY, Settings
from scanner.types import InMemory, Resume

# Imports the zygote without the package's front door, which brings the ledger and the network clients with it: what is
# not loaded cannot be turned against us, and starts are four times faster.
_BOOT = """
import sys, types
front = types.ModuleType("scanner")
front.__path__ = [sys.argv[1]]
sys.modules["scanner"] = front
from scanner.isolation.zygote import main
sys.exit(main(sys.argv[2:]))
"""
_SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "OFF"}
START_S = 60.0  # a cold import on a loaded machine; a warm one takes under a second
REPLY_S = 60.0  # one that is gone is known at once, by its socket: this is for a machine that stands still
_MOST_RINGS = 4096  # silenced at once


class ZygoteLost(Exception):
    """The zygote ended or does not answer; a new one is to be started."""


@dataclass(slots=True)
class Worker:
    """One worker process, idle or at work for exactly one caller."""

    pid: int
    channel: socket.socket
    bell: io.FileIO
    files: int = 0
    scratch: int = -1

    def holding(self, content: InMemory) -> int:
        """The descriptor, this object's own, of a file that holds what lies in memory. Raises OSError.

        It is the same for each content of this worker, and for no other's: to take new pages from the system for every
        upload costs more than to copy it. So it holds the last one until the next comes, `empty`, or the worker's end.
        """
        if self.scratch < 0:
            self.scratch = os.memfd_create("scratch", os.MFD_CLOEXEC)
        content.write_to(self.scratch)
        return self.scratch

    def empty(self) -> None:
        """Hold the last content no longer. For who has the worker to himself, and it is at nothing."""
        if self.scratch >= 0:
            os.ftruncate(self.scratch, 0)

    def give(self, fd: int, resume: Resume | None = None, within_s: float | None = None) -> None:
        """Hand over the descriptor of a content, to be looked at from `resume`. Raises OSError when it is gone."""
        socket.send_fds(self.channel, [task(os.fstat(fd).st_size, resume, within_s)], [fd])

    def silenced(self) -> bool:
        """Silence the bell that rang; False where it rang because its worker let go of it, or ended."""
        return self.bell.read(_MOST_RINGS) != b""

    def said(self) -> bytes | None:
        """The next record that was told; None where there is none, b"" when the worker is gone."""
        try:
            return self.channel.recv(LONGEST_BYTES + 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Give the descriptors back; the worker ends by it."""
        self.channel.close()
        self.bell.close()
        if self.scratch >= 0:
            os.close(self.scratch)
            self.scratch = -1

    def cpu_s(self) -> float:
        """CPU time the process has used. Raises OSError when it is gone."""
        return time.clock_gettime((~self.pid << 3) | 2)  # the kernel's clock id of another process


class Zygote:
    """A running zygote. Commands are serialised; safe to call from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = start_clean(
                _BOOT, theirs.fileno(), settings.encode(), environment=_SINGLE_THREADED | memory.ENVIRONMENT
            )
        first = self._control.recv(MOST_FIRST_BYTES) if self._readable(START_S) else b""
        if len(first) != READY.size:
            self.close()
            raise IsolationError(_why_not(first))
        self.sandbox = Sandbox(*READY.unpack(first))

    def fork(self) -> Worker:
        """A fresh worker. Raises ZygoteLost."""
        with self._lock:
            try:
                self._control.send(b"fork")
                self._await()
                message, fds, _, _ = socket.recv_fds(self._control, 64, 2)
            except OSError as error:
                raise ZygoteLost from error
        if len(fds) != 2 or not message.isdigit():
            raise ZygoteLost
        worker = Worker(int(message), socket.socket(fileno=fds[0]), io.FileIO(fds[1]))
        if not _readable(worker.channel, REPLY_S) or worker.channel.recv(64) != CONFINED:
            self.end(worker)
            raise ZygoteLost  # a worker that is not confined is never given a file
        return worker

    def end(self, worker: Worker) -> None:
        """Have `worker` killed and reaped, without waiting for it. Where the zygote is lost it is dead already."""
        with self._lock, contextlib.suppress(OSError):
            worker.close()
            self._control.send(b"kill %d" % worker.pid)

    def forbidden_calls(self) -> int:
        """How many ended workers had made a system call that none may make. Raises ZygoteLost."""
        with self._lock:
            try:
                self._control.send(b"count")
                self._await()
                answer = self._control.recv(64)
            except OSError as error:
                raise ZygoteLost from error
        if not answer.isdigit():
            raise ZygoteLost
        return int(answer)

    def close(self) -> None:
        """End the zygote and with it every worker."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._process.kill()
        self._process.wait()

    def _await(self) -> None:
        if not self._readable(REPLY_S):
            raise ZygoteLost

    def _readable(self, timeout_s: float) -> bool:
        return _readable(self._control, timeout_s)


def _why_not(first: bytes) -> str:
    """What to do about a zygote that did not become ready; `first` is what it said instead, before any file."""
    if first.startswith(CANNOT):
        names = first.removeprefix(CANNOT).decode()
        return f"no file was looked at: this installation cannot decode its own samples of {names}; reinstall hashward"
    return (
        "worker processes cannot be started; `python -c 'import scanner.isolation.warming'` names a library that is"
        " missing or broken"
    )


def _readable(channel: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
