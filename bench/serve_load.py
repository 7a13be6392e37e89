"""Open-loop load on the doors: uploads arrive when they are due, whether earlier ones are answered or not.

Rules
- Latency counts from when an upload was due, so that waiting for a free connection is part of it (no coordinated
  omission). Arrivals are a Poisson process, drawn from a seed.
- The rate is a share of what the same doors answered just before, closed loop, from the same client on the same
  machine: what the client spends is part of the load either way.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bench.serve_doors import Uploader

CONNECTIONS = 64
SHARE = 0.75
_LANES = 4  # closed loop: two uploads in the workers, two on their way there


def capacity(port: int, bodies: Sequence[bytes]) -> float:
    """Uploads answered a second when the next is sent as soon as one is answered."""
    lines = [Uploader(port) for _ in range(_LANES)]
    began = time.perf_counter()
    with ThreadPoolExecutor(_LANES) as lanes:
        list(lanes.map(lambda at: [lines[at].post(body) for body in bodies[at::_LANES]], range(_LANES)))
    took = time.perf_counter() - began
    for line in lines:
        line.close()
    return len(bodies) / took


def latencies(port: int, body: Callable[[int], bytes], count: int, rate: float, seed: int) -> list[float]:
    """Seconds from when each upload was due to its answer, `rate` of them due a second."""
    due = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count)).tolist()
    waiting: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()
    told: list[float] = []
    faults: list[BaseException] = []

    def serve_one() -> None:
        line = Uploader(port)
        try:
            while (item := waiting.get()) is not None:
                line.post(item[1])
                told.append(time.perf_counter() - item[0])
        except BaseException as error:
            faults.append(error)
        finally:
            line.close()

    threads = [threading.Thread(target=serve_one) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for number, at in enumerate(due):
        made = body(number)
        time.sleep(max(0.0, began + at - time.perf_counter()))
        waiting.put((began + at, made))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return told


def measured(port: int, body: Callable[[int], bytes], seconds: float, seed: int = 1) -> dict[str, float]:
    """Latencies at `SHARE` of the capacity that was found just before."""
    first = max(8, int(seconds * 5))
    found = capacity(port, [body(number) for number in range(first)])
    rate = SHARE * found
    count = max(8, int(seconds * rate))
    told = np.array(latencies(port, lambda number: body(first + number), count, rate, seed)) * 1e3
    p50, p99 = (float(np.percentile(told, share)) for share in (50, 99))
    return {
        "load_capacity_per_second": found,
        "load_rate_per_second": rate,
        "load_uploads": count,
        "load_p50_ms": p50,
        "load_p99_ms": p99,
        "load_p99_over_p50": p99 / p50,
    }
