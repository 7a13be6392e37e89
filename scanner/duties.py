"""What the daemon does: keep matches up with the hash sets, walk the roots in their cycle, seal and deliver reports.

Each duty is whole in itself and safe beside the others and beside any other process on the same home.
"""

from __future__ import annotations

from collections.abc import Callable

from scanner.accountability import duties as accountability
from scanner.api import Scanner
from scanner.clock import utc_day
from scanner.schedules import source_duties
from scanner.settings import Seal
from scanner.watch import Duty

Checkpoint = Callable[[], None]

RESCAN_ANYWAY_S = 3600.0  # what no catalogue number tells of: a restored database, a re-scan that was cut short
REPORTS_EVERY_S = 30.0
UPLOADS_EVERY_S = 10.0  # serve itself does so sooner
ACTIONS_EVERY_S = 2.0
ACCOUNTS_EVERY_S, ACCOUNTS_ANYWAY_S = 5.0, 60.0  # while something may be owed; else
RETRY_ROOT_S = 600.0  # a root that was suspect or away when its turn came


def duties(scanner: Scanner) -> list[Duty]:
    """Every duty of one home."""
    acting = [acts(scanner)] if scanner.config.actions.configured else []
    usual = [_keep_up(scanner), _uploads(scanner), _walk(scanner), _reports(scanner), accounts(scanner)]
    return [*usual, *acting, *accountability.duties(scanner), *source_duties(scanner)]


def _keep_up(scanner: Scanner) -> Duty:
    """Matches follow the hash sets within seconds of any change in any process."""
    done_ns, caught_up_at = 0, -1

    def due_in_s() -> float:
        if scanner.store.catalogue() != caught_up_at:
            return 0.0
        return RESCAN_ANYWAY_S - (scanner.clock.now_ns() - done_ns) / 10**9

    def work(checkpoint: Checkpoint) -> str | None:
        nonlocal done_ns, caught_up_at
        catalogue = scanner.store.catalogue()
        summary = scanner.rescan(lambda contents: checkpoint())
        done_ns, caught_up_at = scanner.clock.now_ns(), catalogue
        change = summary.change
        if not summary.contents and not summary.held:
            return None
        held = "".join(
            f"; version {each.version:,} of {name} is held, see `hashward status`"
            for name, each in sorted(summary.held.items())
        )
        compared = f"{summary.contents:,} contents compared"
        return f"{compared}, {change.added:,} matches added, {change.withdrawn:,} withdrawn{held}"

    return Duty("re-scan", due_in_s, work)


def _uploads(scanner: Scanner) -> Duty:
    """What `serve` accepted or spooled is settled, also where a kill has left nobody else to do it."""
    looked_ns = 0

    def due_in_s() -> float:
        waiting = scanner.ledger.uploads.accepted(1) or scanner.ledger.uploads.spooled()
        return UPLOADS_EVERY_S - (scanner.clock.now_ns() - looked_ns) / 10**9 if waiting else UPLOADS_EVERY_S

    def work(checkpoint: Checkpoint) -> str | None:
        nonlocal looked_ns
        looked_ns = scanner.clock.now_ns()
        settled = scanner.settle_uploads()
        return f"{settled:,} uploads settled" if settled else None

    return Duty("uploads", due_in_s, work)


def _walk(scanner: Scanner) -> Duty:
    """Every root is walked again once its last completed walk is old enough, the one that waited longest first."""
    tried_ns: dict[int, int] = {}
    every_ns = int(scanner.config.watch.walk_hours * 3600 * 10**9)

    def due() -> list[tuple[int, str]]:
        """(when it is due, name) of every root, soonest first."""
        times = []
        for root in scanner.ledger.places.roots():
            completed = 0 if root.completed_at is None else root.completed_at + every_ns
            tried = tried_ns.get(root.id)
            retry = 0 if tried is None else tried + min(every_ns, int(RETRY_ROOT_S * 10**9))
            times.append((max(completed, retry), root.name))
        return sorted(times)

    def due_in_s() -> float:
        soonest = due()
        return (soonest[0][0] - scanner.clock.now_ns()) / 10**9 if soonest else RETRY_ROOT_S

    def work(checkpoint: Checkpoint) -> str | None:
        (when, name), *_ = due() or [(scanner.clock.now_ns() + 1, "")]
        if when > scanner.clock.now_ns():  # what told that it was due has changed meanwhile
            return None
        root = next(each for each in scanner.ledger.places.roots() if each.name == name)
        tried_ns[root.id] = scanner.clock.now_ns()
        summary = scanner.scan([name], progress=lambda files: checkpoint(), rescanned=lambda contents: checkpoint())
        walked, outcomes = summary.walked, summary.outcomes
        suspect = "; the root is suspect, see `hashward status`" if summary.suspect else ""
        return (
            f"{walked.scanned + walked.skipped:,} files, {walked.scanned:,} of them read,"
            f" {outcomes.matched:,} matched, {outcomes.owed:,} owed a look{suspect}"
        )

    return Duty("walk", due_in_s, work)


def _reports(scanner: Scanner) -> Duty:
    """Reports of days that are over are sealed, and what is owed to a sink is handed over when it is due."""
    looked_ns = 0

    def due_in_s() -> float:
        return REPORTS_EVERY_S - (scanner.clock.now_ns() - looked_ns) / 10**9

    def work(checkpoint: Checkpoint) -> str | None:
        nonlocal looked_ns
        looked_ns = scanner.clock.now_ns()
        sealed = 0
        if scanner.config.report.seal is not Seal.MANUAL:
            sealed = scanner.seal(before=sealable_before(utc_day(scanner.clock), scanner.config.report.seal))
        checkpoint()
        done = scanner.deliver()
        if not (sealed or done.delivered or done.failed):
            return None
        wrong = {sink: why for sink, (_, why) in scanner.ledger.sealing.troubles().items() if why}
        who = f" ({', '.join(f'{sink}: {why}' for sink, why in sorted(wrong.items()))})" if done.failed else ""
        return f"{sealed:,} sealed, {done.delivered:,} batches delivered, {done.failed:,} not taken{who}"

    return Duty("reports", due_in_s, work)


def acts(scanner: Scanner) -> Duty:
    """The operator's own system hears within seconds of what has moved; what it did not take is told it again."""
    seen_version, looked_ns = -1, 0

    def due_in_s() -> float:
        if scanner.ledger.db.data_version() != seen_version or scanner.ledger.actions.due():
            return 0.0
        return ACTIONS_EVERY_S - (scanner.clock.now_ns() - looked_ns) / 10**9

    def work(checkpoint: Checkpoint) -> str | None:
        nonlocal seen_version, looked_ns
        seen_version, looked_ns = scanner.ledger.db.data_version(), scanner.clock.now_ns()
        done = scanner.act(checkpoint=checkpoint)
        if not (done.delivered or done.failed):
            return None
        return f"{done.delivered:,} taken, {done.failed:,} not taken, {done.waiting:,} waiting"

    return Duty("actions", due_in_s, work)


def accounts(scanner: Scanner) -> Duty:
    """What anybody has changed is on record within seconds, and what is owed to the audit log is written."""
    looked_ns, seen = 0, -1

    def due_in_s() -> float:
        news = scanner.store.data_version() != seen or scanner.audit.owed()
        every_s = ACCOUNTS_EVERY_S if news else ACCOUNTS_ANYWAY_S
        return every_s - (scanner.clock.now_ns() - looked_ns) / 10**9

    def work(checkpoint: Checkpoint) -> str | None:
        nonlocal looked_ns, seen
        looked_ns, seen = scanner.clock.now_ns(), scanner.store.data_version()
        scanner.account()
        return None

    return Duty("audit", due_in_s, work)


def sealable_before(today: str, seal: Seal) -> str:
    """The UTC day before which everything pending may be sealed: a batch of part of a period would tell the hour."""
    from datetime import date, timedelta

    day = date.fromisoformat(today)
    if seal is Seal.WEEKLY:
        day -= timedelta(days=day.weekday())
    return day.isoformat()
