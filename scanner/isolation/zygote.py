"""The process workers are forked from: single-threaded, codecs warm, and never touching a stranger's file itself.

Started by `handle.Zygote` with two arguments: the descriptor of its end of a SOCK_SEQPACKET pair, and its settings as
JSON. It ends when that socket closes, and its workers die with it. Commands, one datagram each:
- `fork`: answers the worker's process id, with the worker's socket by SCM_RIGHTS
- `kill PID`: ends a worker forked here and answers its wait status, once it is gone and reaped
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
from dataclasses import asdict

from scanner.fingerprint import Limits, Options, Orientations
from scanner.isolation.limits import no_core_dumps
from scanner.isolation.warming import warm
from scanner.isolation.worker import serve

READY = b"ready"


def encode_settings(options: Options, limits: Limits) -> str:
    """Options and limits as the text handed over on the command line."""
    return json.dumps({"options": asdict(options), "limits": asdict(limits)})


def decode_settings(text: str) -> tuple[Options, Limits]:
    """The inverse of `encode_settings`."""
    settings = json.loads(text)
    options = settings["options"]
    options["orientations"] = Orientations(options["orientations"])
    options["hash_types"] = tuple(options["hash_types"])
    return Options(**options), Limits(**settings["limits"])


class _Zygote:
    """Forks on command and reaps what it forked."""

    def __init__(self, control: socket.socket, options: Options, limits: Limits) -> None:
        self._control = control
        self._options = options
        self._limits = limits
        self._children: set[int] = set()

    def run(self) -> None:
        """Obey until the control socket closes."""
        self._control.send(READY)
        while command := self._control.recv(64):
            word, _, argument = command.partition(b" ")
            if word == b"fork":
                self._fork()
            elif word == b"kill":
                self._kill(int(argument))

    def _fork(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._become_worker(ours, theirs)
        theirs.close()
        self._children.add(pid)
        socket.send_fds(self._control, [str(pid).encode()], [ours.fileno()])
        ours.close()

    def _become_worker(self, ours: socket.socket, theirs: socket.socket) -> None:
        """In the child: keep the standard streams and one socket, serve, and leave without clean-up."""
        status = 1
        try:
            ours.close()
            self._control.close()
            serve(theirs, self._options, self._limits)
            status = 0
        finally:
            os._exit(status)

    def _kill(self, pid: int) -> None:
        """Only children not yet reaped are signalled, so a reused process id is never hit."""
        status = 0
        if pid in self._children:
            self._children.remove(pid)
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        self._control.send(str(status).encode())


def main(arguments: list[str]) -> int:
    """Warm up, then obey."""
    no_core_dumps()
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options, limits = decode_settings(arguments[1])
    warm(options)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages shared with every worker
    assert len(os.listdir("/proc/self/task")) == 1, "a warmed-up codec started a thread: forking would not be safe"
    _Zygote(socket.socket(fileno=int(arguments[0])), options, limits).run()
    return 0
