"""What the daemon does for accountability: retention, reminders, and what decisions owe the known-good set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from scanner.accountability import vouching
from scanner.accountability.requests import Requests
from scanner.accountability.retention import Retained, Retention
from scanner.clock import utc_day
from scanner.watch import Duty

if TYPE_CHECKING:
    from scanner.api import Scanner

# Where nothing that matches nothing is kept, it goes within minutes, not at night.
NONE_EVERY: Final = timedelta(minutes=10)
VOUCHING_EVERY_S: Final = 10.0
_DAY_NS: Final = 86_400 * 10**9


def duties(scanner: Scanner) -> list[Duty]:
    """Every duty of accountability."""
    known_good = scanner.config.cases.known_good
    return [_retain(scanner), _remind(scanner), *([] if known_good is None else [_vouch(scanner, known_good)])]


def _retain(scanner: Scanner) -> Duty:
    """What is past its date is erased: from the configured hour on, once a day, and when the daemon starts after it."""
    policy = scanner.config.retain
    done: datetime | None = None

    def now() -> datetime:
        return datetime.fromtimestamp(scanner.clock.now_ns() / 10**9, UTC)

    def due_in_s() -> float:
        if policy.unmatched == 0:
            return 0.0 if done is None else (done + NONE_EVERY - now()).total_seconds()
        turn = now().replace(hour=policy.hour, minute=0, second=0, microsecond=0)
        if done is not None and done >= turn:
            turn += timedelta(days=1)
        return (turn - now()).total_seconds()

    def work(checkpoint: Callable[[], None]) -> str | None:
        nonlocal done
        begun = now()
        summary = Retention.of(scanner).run(checkpoint)
        done = begun
        return _line(summary)

    return Duty("retention", due_in_s, work)


def _line(done: Retained) -> str | None:
    total = done.total()
    if not (total.rows or done.holds_ended or done.conflicts):
        return None
    named = f", {len(done.conflicts):,} conflicts: see `hashward retain`" if done.conflicts else ""
    return (
        f"{total.contents:,} contents, {total.places:,} places and {total.rows:,} rows erased,"
        f" {done.holds_ended:,} holds ended{named}"
    )


def _remind(scanner: Scanner) -> Duty:
    """What falls due towards people and authorities is said once a day, and when the daemon starts."""
    said: str | None = None

    def due_in_s() -> float:
        if said != utc_day(scanner.clock):
            return 0.0
        return (_DAY_NS - scanner.clock.now_ns() % _DAY_NS) / 10**9

    def work(_checkpoint: Callable[[], None]) -> str | None:
        nonlocal said
        said = utc_day(scanner.clock)
        due = Requests(scanner.ledger.db, scanner.clock, scanner.config.requests).due()
        return f"{len(due):,} due by now: see `hashward request due`" if due else None

    return Duty("reminders", due_in_s, work)


def _vouch(scanner: Scanner, name: str) -> Duty:
    """What was decided over HTTP, or before a kill, joins the known-good set within seconds."""
    looked_ns = 0

    def due_in_s() -> float:
        return VOUCHING_EVERY_S - (scanner.clock.now_ns() - looked_ns) / 10**9

    def work(_checkpoint: Callable[[], None]) -> str | None:
        nonlocal looked_ns
        looked_ns = scanner.clock.now_ns()
        joined = vouching.join(scanner.store, scanner.ledger, scanner.clock, name, scanner.rescan)
        return f"{joined:,} digests moved in the known-good set" if joined else None

    return Duty("known good", due_in_s, work)
