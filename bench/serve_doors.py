"""The processes that `python -m bench serve` asks, ours and ClamAV's, what they spend, and clients that spend little.

A client shares the machine with what it measures: these are bare sockets, and what is sent is made before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.fingerprints import below, family_cpu_s
from bench.measure import WrongAnswer

START_S = 300.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A serving process: its id, and the ports of its listeners by name."""

    pid: int
    ports: dict[str, int]

    def cpu_s(self) -> tuple[float, float]:
        """CPU time of itself, and of all processes below it, those that ended included."""
        own = time.clock_gettime((~self.pid << 3) | 2)  # the kernel's clock id of another process
        return own, family_cpu_s(self.pid) - own

    def resident_mib(self) -> float:
        """Memory that it and all below it hold for themselves, mapped files left out."""
        return sum(map(_anonymous_mib, [self.pid, *below(self.pid)]))


def _anonymous_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")) / 1024
    return 0.0


def go_ahead(*pids: int) -> None:
    """Have the kernel run the sessions of these processes and of all below them before those of others: for root.

    Raises OSError where the kernel keeps no groups of sessions (sched(7), "The autogroup feature") or we may not.
    """
    for pid in {each for first in pids for each in (first, *below(first))}:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            Path(f"/proc/{pid}/autogroup").write_text("-20")


@contextlib.contextmanager
def serving(home: Path, workers: int) -> Iterator[Serving]:
    """hashward serve on loopback: http, clamd, and http that accepts."""
    listener = '[[serve.listener]]\nname = "{}"\nkind = "{}"\naddress = "127.0.0.1:0"\ndeadline_seconds = 60\n{}\n'
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f"[scan]\nworkers = {workers}\n"
        + listener.format("http", "http", "")
        + listener.format("clamd", "clamd", "")
        + listener.format("accepting", "http", 'on_match = "accept"')
    )
    command = [sys.executable, "-m", "scanner", "--home", str(home), "serve", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "serving":
                    break
            else:
                raise WrongAnswer("serve did not start")
            threading.Thread(target=process.stdout.read, daemon=True).start()
            ports = {each["name"]: int(each["address"].rpartition(":")[2]) for each in event["listeners"]}
            yield Serving(process.pid, ports)
        finally:
            process.terminate()
            process.wait(START_S)


@contextlib.contextmanager
def clamd(folder: Path, listed: bytes) -> Iterator[Serving | None]:
    """ClamAV's daemon over a list of two lines; None where it is not installed."""
    program = shutil.which("clamd")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("db", "t"):
        (folder / name).mkdir()
    lines = [f"{hashlib.sha256(each).hexdigest()}:{len(each)}:Listed\n" for each in (listed, b"other")]
    (folder / "db" / "list.hsb").write_text("".join(lines))
    (folder / "c.conf").write_text(
        f"TCPSocket {port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {folder}/db\nTemporaryDirectory {folder}/t\n"
        f"Foreground yes\nUser {os.environ.get('USER', 'root')}\n"
    )
    with subprocess.Popen([program, "-c", str(folder / "c.conf")], stdout=subprocess.DEVNULL) as process:
        try:
            _await(port)
            yield Serving(process.pid, {"clamd": port})
        finally:
            process.terminate()


def _await(port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise WrongAnswer("clamd did not start")


def instream(port: int, body: bytes, wanted: bytes = b"OK\0") -> float:
    """One INSTREAM on a connection of its own; the seconds it took. Raises WrongAnswer for another reply."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"zINSTREAM\0" + struct.pack(">I", len(body)) + body + bytes(4))
        reply = b""
        while piece := line.recv(4096):
            reply += piece
    took = time.perf_counter() - began
    if not (reply.startswith(b"stream: ") and reply.endswith(wanted)):
        raise WrongAnswer("a content was answered otherwise than it should be")
    return took


class Uploader:
    """One kept connection of an uploading platform."""

    def __init__(self, port: int, wanted: bytes = b'"clear"') -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wanted = wanted

    def post(self, body: bytes, ref: str | None = None) -> float:
        """Upload; seconds from the first byte to the reply's last. Raises WrongAnswer for another verdict."""
        named = "" if ref is None else f"Hashward-Ref: {ref}\r\n"
        head = f"POST /v1/scan HTTP/1.1\r\nHost: x\r\n{named}Content-Length: {len(body)}\r\n\r\n".encode()
        began = time.perf_counter()
        self._socket.sendall(head, socket.MSG_MORE)
        self._socket.sendall(body)
        reply = b""
        while not reply.endswith(b"}"):
            piece = self._socket.recv(4096)
            if not piece:
                raise WrongAnswer("a connection ended before its reply")
            reply += piece
        took = time.perf_counter() - began
        if self._wanted not in reply:
            raise WrongAnswer("a new content was answered otherwise than it should be")
        return took

    def close(self) -> None:
        """End the connection."""
        self._socket.close()
