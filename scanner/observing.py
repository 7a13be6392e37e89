"""What others may see of the daemon: its health file, and its metrics as a file and on loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from scanner import health
from scanner.api import Scanner
from scanner.errors import UsageError
from scanner.gauges import Gauges
from scanner.metrics import Metrics, offer
from scanner.watch import Duty

EVERY_S = 15.0  # Prometheus' usual interval


class Observer:
    """Keeps them for one home; `say` takes lines for the log."""

    def __init__(self, scanner: Scanner, say: Callable[[str], None]) -> None:
        self._scanner = scanner
        self._say = say
        self._gauges = Gauges(scanner)
        self._metrics = Metrics(readings=self._gauges)
        self._wrong: list[str] = []

    def duties(self, standing: Mapping[str, Mapping[str, object]]) -> None:
        """How the duties stand now."""
        self._gauges.duties = standing

    def serve(self) -> None:
        """Offer the metrics on loopback, where that is configured. Raises UsageError."""
        port = self._scanner.config.watch.metrics_port
        if not port:
            return
        try:
            offer(self._metrics, port)
        except OSError as error:
            raise UsageError(
                f"watch.metrics_port cannot be used ({os.strerror(error.errno or 0)}): choose another"
            ) from None

    def chores(self) -> list[Duty]:
        """The duty that writes both files."""
        looked_ns = 0
        clock = self._scanner.clock

        def due_in_s() -> float:
            return EVERY_S - (clock.now_ns() - looked_ns) / 10**9

        def work(checkpoint: Callable[[], None]) -> str | None:
            nonlocal looked_ns
            looked_ns = clock.now_ns()
            wrong = health.problems(self._scanner, self._gauges.duties)
            health.write(self._scanner.home.folder, wrong, clock.now_ns())
            if self._scanner.config.watch.metrics_file is not None:
                self._metrics.write(self._scanner.config.watch.metrics_file)
            news = [each for each in wrong if each not in self._wrong]
            self._wrong = wrong
            return f"alarm: {'; '.join(news)}" if news else None

        return [Duty("health", due_in_s, work)]
