"""`python -m bench serve`: what the doors cost, by a real process and real connections.

Rules
- Known content: 1 KB by clamd's protocol, one connection each, in turns with ClamAV's own daemon over a list of two
  lines, where it is installed. Wall time of the client, as a platform sees it; the ratio is theirs over ours.
- New content: CPU time of the serving process and all below it for 3 Mpx JPEGs that differ in their last bytes, over
  what their fingerprints alone (three digests and PDQ by a worker pool, as `bench fingerprints` has it) cost, in turns.
- Every answer is judged: a wrong one ends the measurement.
- Listed against unlisted under `accept`: the share of pairs in which the listed one took longer (0.5: nothing to tell).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import pictures, report
from bench.measure import WrongAnswer
from scanner.fingerprint import Options
from scanner.hashing import digest_fd
from scanner.isolation.pool import WorkerPool

START_S = 100.0
SIZE = (2048, 1536)  # 3 Mpx
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Serving:
    """A serving process: its id, and the ports of its listeners by name."""

    pid: int
    ports: dict[str, int]

    def cpu_s(self) -> float:
        """CPU time of it and of all processes below it, those that ended included."""
        return _family_s(self.pid)


def _family_s(pid: int) -> float:
    return sum(_cpu_s(each) for each in _family(pid))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _family(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        below = []
    return [pid, *(each for child in below for each in _family(int(child)))]


@contextlib.contextmanager
def serving(home: Path, workers: int) -> Iterator[Serving]:
    """hashward serve on loopback: http, clamd, and http that accepts."""
    listener = '[[serve.listener]]\nname = "{}"\nkind = "{}"\naddress = "127.0.0.1:0"\ndeadline_seconds = 60\n{}\n'
    home.mkdir(parents=True, exist_ok=True)
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
def clamd(folder: Path, listed: bytes) -> Iterator[int | None]:
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
            yield port
        finally:
            process.terminate()


def _await(port: int) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise WrongAnswer("clamd did not start")


def instream(port: int, body: bytes) -> float:
    """One INSTREAM on a connection of its own; the seconds it took. Raises WrongAnswer unless the reply is OK."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"zINSTREAM\0" + struct.pack(">I", len(body)) + body + bytes(4))
        reply = b""
        while piece := line.recv(4096):
            reply += piece
    took = time.perf_counter() - began
    if reply != b"stream: OK\0":
        raise WrongAnswer("an unlisted content was not answered OK")
    return took


def known(ours: int, theirs: int | None, rounds: int, block: int = 60) -> dict[str, float]:
    """Known content of 1 KB: blocks in turns; medians in microseconds, and the ratio where there is a peer."""
    body = b"known content " * 73
    instream(ours, body)
    times: dict[int, list[float]] = {port: [] for port in (ours, theirs) if port is not None}
    for _ in range(rounds):
        for port, taken in times.items():
            taken += [instream(port, body) for _ in range(block)]
    medians = {port: statistics.median(taken) * 1e6 for port, taken in times.items()}
    found = {"known_ours_us": medians[ours]}
    if theirs is not None:
        found |= {"known_clamd_us": medians[theirs], "known_ratio": medians[theirs] / medians[ours]}
    return found


def _distinct(count: int, first: int = 0) -> list[bytes]:
    """As many 3 Mpx JPEGs, equal but for what follows their end: each is a content of its own."""
    whole = pictures.kept(1, SIZE, "jpeg", grain=16).read_bytes()
    return [whole + number.to_bytes(8, "big") for number in range(first, first + count)]


def new(door: Serving, rounds: int, turn: int = 20, lanes: int = 4) -> dict[str, float]:
    """New 3 Mpx JPEGs over http in turns with their fingerprints alone; CPU per file, and files a second."""
    ours, alone, rates = [], [], []
    with (
        WorkerPool(2, options=Options()) as pool,
        ThreadPoolExecutor(lanes) as askers,
        httpx.Client(timeout=100) as client,
    ):
        for number in range(rounds + 1):
            bodies = _distinct(turn, number * turn)
            before, began = door.cpu_s(), time.perf_counter()
            list(askers.map(lambda body: _upload(client, door.ports["http"], body), bodies))
            took, spent = time.perf_counter() - began, door.cpu_s() - before
            spent_alone = _fingerprints(pool, bodies, askers)
            if number:  # one turn before it counts
                ours.append(spent / turn)
                alone.append(spent_alone / turn)
                rates.append(turn / took)
    return {
        "new_ms": statistics.median(ours) * 1e3,
        "fingerprint_ms": statistics.median(alone) * 1e3,
        "new_ratio": statistics.median(ours) / statistics.median(alone),
        "files_per_second": statistics.median(rates),
    }


def _fingerprints(pool: WorkerPool, bodies: Sequence[bytes], askers: ThreadPoolExecutor) -> float:
    """CPU seconds for these files' digests and PDQ, by a pool of workers: nothing received, compared or recorded."""

    def one(body: bytes) -> None:
        fd = os.memfd_create("body", os.MFD_CLOEXEC)
        try:
            os.write(fd, body)
            digest_fd(fd)
            if not pool.fingerprint(fd).signals:
                raise WrongAnswer("a picture gave no signal")
        finally:
            os.close(fd)

    before = _family_s(os.getpid())
    list(askers.map(one, bodies))
    return _family_s(os.getpid()) - before


def _upload(client: httpx.Client, port: int, body: bytes, ref: str | None = None) -> str:
    headers = {} if ref is None else {"Hashward-Ref": ref}
    reply = client.post(f"http://127.0.0.1:{port}/v1/scan", content=body, headers=headers)
    verdict = str(reply.json()["verdict"])
    if verdict not in ("clear", "accepted"):
        raise WrongAnswer(f"a new picture was answered {verdict}")
    return verdict


def telling(port: int, listed: Sequence[bytes], unlisted: Sequence[bytes]) -> dict[str, float]:
    """How well the time of an answer under `accept` tells listed from unlisted: the area under the ROC curve."""
    times: tuple[list[float], list[float]] = ([], [])
    with httpx.Client(timeout=100) as client:
        for at, pair in enumerate(zip(listed, unlisted, strict=True)):
            for which in (0, 1) if at % 2 else (1, 0):
                began = time.perf_counter()
                _upload(client, port, pair[which], ref=f"{at}-{which}")
                times[which].append(time.perf_counter() - began)
    above = sum((a > b) + (a == b) / 2 for a in times[0] for b in times[1])
    return {"auc": above / len(times[0]) / len(times[1]), "pairs": len(times[0])}


def run(
    rounds: int = 5, pairs: int = 300, say: Callable[[str], None] = lambda text: None, turn: int = 20
) -> dict[str, float]:
    """Every figure."""
    with tempfile.TemporaryDirectory(prefix="hashward-bench-") as folder:
        home = Path(folder) / "home"
        listed, unlisted = ([b"%d of %s" % (at, kind) for at in range(pairs)] for kind in (b"listed", b"none"))
        lines = "".join(f"sha256 {hashlib.sha256(each).hexdigest()}\n" for each in listed)
        (Path(folder) / "list.txt").write_text(lines)
        command = [sys.executable, "-m", "scanner", "--home", str(home), "hashset", "import", "set"]
        subprocess.run([*command, f"{folder}/list.txt"], check=True, capture_output=True)
        with serving(home, workers=2) as door, clamd(Path(folder), listed[0]) as theirs:
            found = known(door.ports["clamd"], theirs, rounds, 3 * turn)
            say("known content: done")
            found |= new(door, rounds, turn)
            say("new content: done")
            return found | telling(door.ports["accepting"], listed, unlisted)


def record(found: dict[str, float], arguments: Sequence[str]) -> str:
    """Write figures beside the other runs; the run's name."""
    folder, facts = report.new_run(arguments)
    (folder / "serve.json").write_text(json.dumps({"facts": facts, "figures": found}, indent=1) + "\n")
    rows = "\n".join(f"| {name} | {value:g} |" for name, value in found.items())
    (folder / "README.md").write_text(
        "\n".join([*report.headed(facts), "", "| figure | value |", "|---|---|", rows, ""])
    )
    return folder.name
