"""What a process counts, for Prometheus: counters of the doors, gauges of how a home stands, as one text.

Owns the registry and every metric's name and labels; knows no door, database or file. `serve` mounts `render` at
/metrics, `watch` writes it to a file or offers it on loopback.

Rules
- Label sets are closed: verdicts, reasons and states come from the lists here or of our own types, listeners, sinks and
  hash sets from the configuration. Whatever else is handed in counts as `other`, so that nothing a stranger says
  becomes a label: no name of a file, path, ref or hash.
- Nothing here may fail a scan: a reading that cannot be taken leaves its gauges out, and `hashward_readable` is 0.

Source: https://prometheus.io/docs/practices/naming/ and .../instrumentation/.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scanner.types import Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
VERDICTS = frozenset({"clear", "matched", "undecidable", "accepted"})
# What makes an upload undecidable: a look's reasons, and a door's own.
_OF_DOORS = {"cut", "over_limit", "busy", "not_ready", "refused", "empty"}
REASONS = frozenset({reason.value for reason in Reason} | _OF_DOORS)
OTHER, NONE = "other", "none"
# Uploads are answered in milliseconds to seconds; a door's deadline is seldom over a minute.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """One gauge as it stands: `hashward_<name>`, and its values by the values of its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    values: tuple[tuple[tuple[str, ...], float], ...]


class Metrics:
    """The metrics of one process. Safe to use from several threads.

    `listeners` are the configured doors by name; `readings` tells how the home stands, at each `render`.
    """

    def __init__(self, listeners: Collection[str] = (), readings: Callable[[], Iterable[Reading]] = lambda: ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # they would tell to the millisecond when a verdict first occurred
        self.registry = CollectorRegistry(auto_describe=False)
        self._listeners = frozenset(listeners)
        self._answers = Counter(
            "hashward_answers", "Uploads answered.", ["listener", "verdict", "reason"], registry=self.registry
        )
        self._seconds = Histogram(
            "hashward_answer_seconds", "From an upload's first byte to its answer.", ["listener"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._bytes = Counter(
            "hashward_received_bytes", "Bytes of uploads received.", ["listener"], registry=self.registry
        )
        self._unlocatable = Counter(
            "hashward_unlocatable", "Matched uploads that came without a ref: found again by digest alone.",
            ["listener"], registry=self.registry,
        )  # fmt: skip
        self.registry.register(_Standing(readings))

    def answered(
        self, listener: str, verdict: str, reason: str | None = None, *, seconds: float | None = None, bytes_: int = 0
    ) -> None:
        """Count one upload's answer; `seconds` from its first byte."""
        door = self._door(listener)
        why = NONE if reason is None else _closed(reason, REASONS)
        self._answers.labels(door, _closed(verdict, VERDICTS), why).inc()
        self._bytes.labels(door).inc(max(bytes_, 0))
        if seconds is not None:
            self._seconds.labels(door).observe(max(seconds, 0.0))

    def unlocatable(self, listener: str) -> None:
        """Count a matched upload that came without a ref."""
        self._unlocatable.labels(self._door(listener)).inc()

    def render(self) -> bytes:
        """All of it, in the text form of Prometheus (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def write(self, path: Path) -> None:
        """Replace a file that node_exporter's textfile collector reads: whole or as it was. Raises OSError."""
        text = self.render()
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(partial, flags, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # read by another user, whatever our umask
            file.write(text)
        os.replace(partial, path)

    def _door(self, listener: str) -> str:
        return _closed(listener, self._listeners)


def offer(metrics: Metrics, port: int) -> None:
    """Answer GET /metrics on loopback, from threads of its own, for as long as the process lives. Raises OSError."""
    start_http_server(port, "127.0.0.1", metrics.registry)


class _Standing(Collector):
    """The gauges, read anew each time."""

    def __init__(self, readings: Callable[[], Iterable[Reading]]) -> None:
        self._readings = readings

    def describe(self) -> Iterator[Metric]:
        """Nothing: reading is left to the first `render`."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        try:
            readings, readable = tuple(self._readings()), 1.0
        except Exception:  # a database that cannot be read must be told as such, by what can still be told
            readings, readable = (), 0.0
        yield GaugeMetricFamily("hashward_readable", "1 where the databases could be read for this.", value=readable)
        for reading in readings:
            family = GaugeMetricFamily(f"hashward_{reading.name}", reading.meaning, labels=reading.labels)
            for labels, value in reading.values:
                family.add_metric(labels, value)
            yield family


def _closed(value: str, known: frozenset[str]) -> str:
    return value if value in known else OTHER
