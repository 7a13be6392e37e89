"""The process workers are forked from: single-threaded, codecs warm, and never touching a stranger's file itself.

Started by `handle.Zygote` with two arguments: the descriptor of its end of a SOCK_SEQPACKET pair, and its settings as
JSON. It ends when that socket closes, and its workers die with it. Commands, one datagram each:
- `fork`: answers the worker's process id, with the parent's ends of its socket and its bell by SCM_RIGHTS
- `kill PID`: ends a worker forked here; no answer
- `count`: answers how many workers ended by a forbidden system call, once all that were to end are gone

While nothing is asked it forks a spare, confined and waiting, and reaps the dead: so a crash costs its caller neither a
fork nor a funeral.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import struct
import warnings
from dataclasses import asdict, astuple, dataclass
from typing import cast

from scanner.fingerprint import Limits, Options, Orientations
from scanner.isolation import image, memory
from scanner.isolation.channel import Channel
from scanner.isolation.confinement import available, no_core_dumps, prepare
from scanner.isolation.warming import warm
from scanner.isolation.worker import ANSWER, Answer, serve

# The first thing said: what the kernel offers of the sandbox; or the names of what this installation cannot decode.
READY = struct.Struct("=I?")
CANNOT = b"cannot "
MOST_FIRST_BYTES = 4096
REAP_MS = 5  # a killed worker takes a few milliseconds to give its memory back


@dataclass(frozen=True, slots=True)
class Settings:
    """What every worker of a pool is to do. `answer` names the function, "module:name", that deals with one task."""

    options: Options
    limits: Limits
    answer: str = ANSWER

    def encode(self) -> str:
        """The text handed over on the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Settings:
        """The inverse of `encode`."""
        settings = json.loads(text)
        options = settings["options"]
        options["orientations"] = Orientations(options["orientations"])
        options["hash_types"] = tuple(options["hash_types"])
        options["edits"] = tuple(options["edits"])
        return cls(Options(**options), Limits(**settings["limits"]), settings["answer"])

    def resolve(self) -> Answer:
        """The function that `answer` names."""
        module, _, name = self.answer.partition(":")
        return cast(Answer, getattr(importlib.import_module(module), name))


class _Zygote:
    """Forks on command and reaps what it forked."""

    def __init__(self, control: socket.socket, settings: Settings, answer: Answer) -> None:
        self._control = control
        self._settings = settings
        self._answer = answer
        self._children: set[int] = set()
        self._dying: set[int] = set()
        self._spare: tuple[int, socket.socket, int] | None = None
        self._forbidden_calls = 0

    def run(self) -> None:
        """Obey until the control socket closes."""
        self._control.send(READY.pack(*astuple(available())))
        while command := self._next():
            word, _, argument = command.partition(b" ")
            if word == b"fork":
                self._give()
            elif word == b"kill":
                self._kill(int(argument))
            elif word == b"count":
                self._reap(os.WEXITED)
                self._control.send(str(self._forbidden_calls).encode())

    def _next(self) -> bytes:
        """The next command; b"" when whoever gives them is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while not poll.poll(REAP_MS if self._dying else 0):
            self._reap(os.WEXITED | os.WNOHANG)
            if self._spare is None:
                self._spare = self._fork()
            elif not self._dying:
                break
        return self._control.recv(64)

    def _give(self) -> None:
        """Hand out the spare, or a worker forked now."""
        pid, records, bell = self._spare or self._fork()
        self._spare = None
        socket.send_fds(self._control, [str(pid).encode()], [records.fileno(), bell])
        records.close()
        os.close(bell)

    def _fork(self) -> tuple[int, socket.socket, int]:
        """A new worker, and the parent's ends of its socket and its bell."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        heard, rung = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pid = os.fork()
        if pid == 0:
            self._become_worker(Channel(theirs, rung), ours)
        theirs.close()
        os.close(rung)
        self._children.add(pid)
        return pid, ours, heard

    def _become_worker(self, channel: Channel, ours: socket.socket) -> None:
        """In the child: keep the standard streams and the channel, serve, and leave without clean-up."""
        status = 1
        try:
            ours.close()
            self._control.close()
            serve(channel, self._settings.options, self._settings.limits, self._answer)
            status = 0
        finally:
            os._exit(status)

    def _kill(self, pid: int) -> None:
        """Only children not yet reaped are signalled, so a reused process id is never hit."""
        if pid in self._children:
            self._children.remove(pid)
            self._dying.add(pid)
            os.kill(pid, signal.SIGKILL)

    def _reap(self, options: int) -> None:
        for pid in list(self._dying):
            ended = os.waitid(os.P_PID, pid, options)
            if ended is not None:
                self._dying.remove(pid)
                self._forbidden_calls += ended.si_status == signal.SIGSYS and ended.si_code != os.CLD_EXITED


def main(arguments: list[str]) -> int:
    """Warm up, then obey."""
    no_core_dumps()
    os.umask(0o077)
    warnings.simplefilter("ignore")  # what decoders find odd in a file, said to nobody
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings.decode(arguments[1])
    answer = settings.resolve()
    memory.warming_up()
    control = socket.socket(fileno=int(arguments[0]))
    cannot = warm(settings.options)
    if cannot:
        control.send(CANNOT + ", ".join(cannot).encode()[: MOST_FIRST_BYTES - len(CANNOT)])
        return 1
    zygote = _Zygote(control, settings, answer)
    prepare()
    memory.settle()
    image.share()
    assert len(os.listdir("/proc/self/task")) == 1, "a warmed-up codec started a thread: forking would not be safe"
    zygote.run()
    return 0
