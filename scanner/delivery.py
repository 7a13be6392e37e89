"""Sealing what is pending, and handing sealed batches to sinks: at least once on the wire, once by id.

A batch that was not taken stays owed and is tried again after a growing pause; a receiver that is down loses nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from scanner.clock import Clock, utc_day
from scanner.config import Config, SinkConfig, SinkKind
from scanner.errors import DeliveryError
from scanner.ledger import Ledger
from scanner.ledger.outbox import Owed
from scanner.ledger.sealing import Listener
from scanner.reports import RandomSource
from scanner.sinks import HttpSink, JsonLinesSink, Sink, backoff_seconds
from scanner.sinks.http import Endpoint

LONGEST_WAIT_NS = 86_400 * 10**9  # what a receiver may ask for at most, see backoff_seconds


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one round of deliveries did. `waiting` batches are owed to a sink not due yet, or no longer configured."""

    delivered: int = 0
    failed: int = 0
    waiting: int = 0


def listeners(config: Config) -> list[Listener]:
    """The sinks as sealing sees them."""
    return [Listener(sink.name, sink.hash_sets, config.report.source, sink.counts) for sink in config.sinks]


def make_sink(config: SinkConfig) -> Sink:
    """The sink a configuration names."""
    if config.kind is SinkKind.JSONL:
        assert config.path is not None
        return JsonLinesSink(config.name, config.hash_sets, config.path)
    assert config.url is not None
    endpoint = Endpoint(
        config.url,
        token_file=config.token_file,
        ca_file=config.ca_file,
        timeout_seconds=config.timeout_seconds,
        use_environment=config.use_environment_proxies,
    )
    return HttpSink(config.name, config.hash_sets, endpoint)


def seal(ledger: Ledger, config: Config, clock: Clock, rng: RandomSource, before: str | None = None) -> int:
    """Seal what is pending now, or what of it is of a day before; how many reports that were."""
    return ledger.sealing.seal(rng, listeners(config), utc_day(clock), before)


def deliver(ledger: Ledger, config: Config, clock: Clock, *, even_if_waiting: bool = False) -> Delivered:
    """Hand every batch that is due to its sink. Never raises for a sink: what is not taken stays owed."""
    sinks: Mapping[str, Sink] = {sink.name: make_sink(sink) for sink in config.sinks}
    delivered = failed = waiting = 0
    for owed in ledger.sealing.owed():
        sink = sinks.get(owed.sink)
        if sink is None or (_not_due(owed, clock) and not even_if_waiting):
            waiting += 1
        elif _hand_over(ledger, sink, owed, clock):
            delivered += 1
        else:
            failed += 1
    return Delivered(delivered, failed, waiting)


def _not_due(owed: Owed, clock: Clock) -> bool:
    """Whether the batch is to wait. No wait is longer than a day: one that seems so was set under a clock ahead."""
    return 0 < owed.next_try_ns - clock.now_ns() <= LONGEST_WAIT_NS


def _hand_over(ledger: Ledger, sink: Sink, owed: Owed, clock: Clock) -> bool:
    try:
        sink.deliver(owed.batch)
    except DeliveryError as error:
        pause = backoff_seconds(owed.attempts + 1, random.SystemRandom(), retry_after_seconds=error.retry_after_seconds)
        ledger.sealing.failed(
            owed,
            next_try_ns=clock.now_ns() + int(pause * 10**9),
            refused=not error.retryable,
            why=error.why.value,
        )
        return False
    ledger.sealing.delivered(owed, utc_day(clock))
    return True
