"""Sources on their schedules: when each is to be asked, how it stands in one word, and one refresh of one of them.

The daemon and `hashset refresh` call the same `bring_up`, so both leave the same standing behind.

Rules
- A source in trouble never stops the set that it fed from serving: the old version stays in force.
- Trouble that may pass is tried again soon and then less often, never less often than the schedule; credentials and
  lists that were refused wait for the schedule, as asking again mends neither and may lock an account.
- A source that had no news for `stale_days` is `stale`, whatever it answers: a frozen mirror answers too. Source: The
  Update Framework's list of attacks, "indefinite freeze".
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from hashsets.errors import CredentialsRefused, HashsetsError, ListError, SourceError, Unreachable
from hashsets.refresh import RefreshSummary, import_list, refresh
from hashsets.sources import Source, has_more
from hashsets.store.standings import SourceStanding
from scanner.api import Scanner
from scanner.clock import utc_day
from scanner.config import SourceConfig, secret_of
from scanner.errors import ConfigError
from scanner.feeds import make_source
from scanner.watch import Duty

_SECOND, _MINUTE, _DAY = 10**9, 60 * 10**9, 86_400 * 10**9
FIRST_RETRY_NS = _MINUTE
CREDENTIALS_RETRY_NS = 15 * _MINUTE  # accounts lock after some wrong attempts
JITTER = 0.1  # of an interval, always earlier: many sites must not ask in one second
GRACE_NS = 5 * _MINUTE  # beside two intervals, before silence of our own making is told
_SHORTEST_SLEEP_S = 0.5


class SourceState(StrEnum):
    """How a source stands, in one word. `failed` is trouble of our own: a disk, a database, another refresh."""

    OK = "ok"
    NEW = "new"
    LATE = "late"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    CREDENTIALS = "credentials"
    STALE = "stale"
    FAILED = "failed"


def problem_of(error: Exception) -> SourceState:
    """What is wrong, by the error of a refresh."""
    if isinstance(error, (CredentialsRefused, ConfigError)):
        return SourceState.CREDENTIALS
    if isinstance(error, Unreachable):
        return SourceState.UNREACHABLE
    return SourceState.REFUSED if isinstance(error, (ListError, SourceError)) else SourceState.FAILED


def state_of(config: SourceConfig, standing: SourceStanding, now_ns: int) -> SourceState:
    """One word for all. Silence comes first: whoever reads only this must not miss it."""
    if standing.changed_ns is not None and 0 < config.stale_days * _DAY < now_ns - standing.changed_ns:
        return SourceState.STALE
    if standing.problem is not None:
        return SourceState(standing.problem)
    if standing.tried_ns is None or standing.succeeded_ns is None:
        return SourceState.NEW
    overdue = standing.tried_ns + 2 * _interval_ns(config) + GRACE_NS < now_ns
    return SourceState.LATE if config.every_minutes and overdue else SourceState.OK


def due_ns(config: SourceConfig, standing: SourceStanding) -> int:
    """When it is to be asked again."""
    if standing.tried_ns is None:
        return 0
    interval = _interval_ns(config)
    if standing.problem in (SourceState.UNREACHABLE, SourceState.FAILED):
        return standing.tried_ns + min(interval, FIRST_RETRY_NS << min(max(standing.failures - 1, 0), 20))
    if standing.problem == SourceState.CREDENTIALS:
        return standing.tried_ns + max(interval, CREDENTIALS_RETRY_NS)
    drawn = zlib.crc32(f"{config.hash_set}{standing.tried_ns}".encode()) / 2**32
    return standing.tried_ns + int(interval * (1 - JITTER * drawn))


def _interval_ns(config: SourceConfig) -> int:
    return int(config.every_minutes * _MINUTE)


def bring_up(
    scanner: Scanner,
    config: SourceConfig,
    *,
    allow_shrink: bool = False,
    dry_run: bool = False,
    scheduled: bool = False,
    progress: Callable[[int], None] = lambda records: None,
    sleep: Callable[[float], None] = time.sleep,
) -> RefreshSummary:
    """One set brought up to its source, until that has told all; how the source stands is written down.

    `scheduled`: a local list that has not changed is not read again. Raises HashsetsError, ConfigError.
    """

    def step(source: Source) -> RefreshSummary:
        return import_list(
            scanner.store, config.hash_set, source, day=utc_day(scanner.clock), role=config.role,
            allow_shrink=allow_shrink, dry_run=dry_run, progress=progress,
        )  # fmt: skip

    if dry_run:
        return step(make_source(config, lambda: secret_of(config), scanner.clock, sleep=sleep))
    standings = scanner.store.standings
    standings.begin(config.hash_set, scanner.clock.now_ns())
    try:
        _bind(scanner, config)
        source = make_source(config, lambda: secret_of(config), scanner.clock, scheduled=scheduled, sleep=sleep)
        summary = step(source)
        _bind(scanner, config)  # a set that this has created
        while has_more(source):
            more = refresh(
                scanner.store, config.hash_set, source, day=utc_day(scanner.clock), allow_shrink=allow_shrink,
                progress=progress,
            )  # fmt: skip
            summary = _together(summary, more)
    except (HashsetsError, ConfigError) as error:
        standings.failed(config.hash_set, problem_of(error).value, str(error))
        raise
    news = bool(summary.added or summary.changed or summary.withdrawn)
    standings.succeeded(config.hash_set, scanner.clock.now_ns(), news=news)
    return summary


def _bind(scanner: Scanner, config: SourceConfig) -> None:
    """Give the set the bounds that the configuration says; those of which it says nothing stay as they are."""
    for known in scanner.store.hash_sets():
        if known.name == config.hash_set and known.bounds != config.bounds(known.bounds):
            scanner.store.set_bounds(known.name, config.bounds(known.bounds))


def _together(first: RefreshSummary, then: RefreshSummary) -> RefreshSummary:
    return replace(
        then, added=first.added + then.added, changed=first.changed + then.changed,
        withdrawn=first.withdrawn + then.withdrawn, unsaid=first.unsaid + then.unsaid,
    )  # fmt: skip


def source_duties(scanner: Scanner) -> list[Duty]:
    """A duty for each source that has a schedule."""
    return [_duty(scanner, config) for config in scanner.config.sources if config.every_minutes]


def _duty(scanner: Scanner, config: SourceConfig) -> Duty:
    def due_in_s() -> float:
        now = scanner.clock.now_ns()
        standing = scanner.store.standings.of(config.hash_set)
        if standing.tried_ns is not None and standing.tried_ns > now + _MINUTE:
            return 0.0  # set under a clock that was ahead
        return (due_ns(config, standing) - now) / _SECOND

    def work(checkpoint: Callable[[], None]) -> str | None:
        def sleep(seconds: float) -> None:
            ends = time.monotonic() + seconds
            while (left := ends - time.monotonic()) > 0:
                checkpoint()
                time.sleep(min(left, _SHORTEST_SLEEP_S))

        try:
            summary = bring_up(scanner, config, scheduled=True, progress=lambda records: checkpoint(), sleep=sleep)
        except (HashsetsError, ConfigError) as error:
            return f"{problem_of(error)}: {error}; what was listed before stays in force"
        if not (summary.added or summary.changed or summary.withdrawn):
            return None
        return (
            f"version {summary.version:,}: {summary.added:,} added, {summary.changed:,} changed,"
            f" {summary.withdrawn:,} withdrawn"
        )

    return Duty(f"source {config.hash_set}", due_in_s, work)
