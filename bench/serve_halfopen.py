"""What connections that begin and never go on cost those who ask: latencies with a thousand of them and without.

Rules
- In turns, in random order, on one process: what else the machine does meets both alike. A third block of each round is
  without any too: how far two blocks of the same kind lie apart is what the machine, not the doors, is good for.
- Each request has a connection of its own, as those of others' clients have, and is known content: the shortest look.
- A door may end a connection that makes no request in time; those that it keeps are counted behind each block.
"""

from __future__ import annotations

import random
import resource
import socket
import statistics
import time
from collections.abc import Callable

import numpy as np

from bench.measure import WrongAnswer
from bench.serve_doors import Uploader, instream

BEGUN = {"http": b"POST /v1/scan HTTP/1.1\r\nHost: x\r\n", "clamd": b"zINSTREA"}
BLOCK = 400  # requests: the 99th hundredth is the fifth from the end
_LEAST_KEPT = 0.9
_MORE_FILES = 200


def measured(ports: dict[str, int], body: bytes, connections: int, rounds: int, block: int = BLOCK) -> dict[str, float]:
    """Per door: medians over the rounds of p50 and p99 in microseconds, and of what each round's p99 came to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, connections + _MORE_FILES)), hard))
    found: dict[str, float] = {"halfopen_connections": connections, "halfopen_requests": rounds * block}
    asks: dict[str, Callable[[int, bytes], float]] = {"http": _post, "clamd": instream}
    for door, ask in asks.items():
        rows = [_round(door, ports[door], ask, body, connections, block) for _ in range(rounds)]
        told = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        for name, hundredths in told.items():
            for share, column in zip((50, 99), hundredths.T, strict=True):
                found[f"halfopen_{door}_{name}_p{share}_us"] = float(statistics.median(column)) * 1e6
        for name, column in (("ratio", "among"), ("control", "again")):
            ratios = told[column][:, 1] / told["alone"][:, 1]
            found[f"halfopen_{door}_p99_{name}"] = float(np.median(ratios))
    return found


def _round(
    door: str, port: int, ask: Callable[[int, bytes], float], body: bytes, connections: int, block: int
) -> dict[str, tuple[float, float]]:
    """(p50, p99) of a block alone, of one among half-open connections, and of one alone again."""
    made = {}
    for name in random.sample(("alone", "among", "again"), 3):
        begun = _begin(port, BEGUN[door], connections if name == "among" else 0)
        try:
            for _ in range(block // 10):  # what a machine does when its load changes is not asked for
                ask(port, body)
            times = [ask(port, body) for _ in range(block)]
            kept = sum(map(_is_kept, begun))
        finally:
            for each in begun:
                each.close()
        if kept < _LEAST_KEPT * len(begun):
            raise WrongAnswer("the door ended half-open connections while it was measured among them")
        made[name] = (float(np.percentile(times, 50)), float(np.percentile(times, 99)))
        _settle(port, ask, body)
    return made


def _begin(port: int, what: bytes, count: int) -> list[socket.socket]:
    begun = []
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(what)
        begun.append(line)
    return begun


def _is_kept(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return bool(line.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _settle(port: int, ask: Callable[[int, bytes], float], body: bytes) -> None:
    """Let the door see that connections have gone, before the next block."""
    time.sleep(0.2)
    ask(port, body)


def _post(port: int, body: bytes) -> float:
    began = time.perf_counter()
    line = Uploader(port)
    line.post(body)
    took = time.perf_counter() - began
    line.close()
    return took
