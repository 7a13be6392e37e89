"""How far what leaves can be linked back, by the strongest reader there can be: a measured bound for each form of sink.

The adversary holds the list, every report or count, and a full access log: of each upload the second, the account and
the kind of media, but not what it was (who has that needs no report). Matches come at 0.5 a day.
The figures of the page "What leaves this machine" are those that the long proof here writes down.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hashsets.types import Classification, EntryHit
from scanner.counts import CountBody, CountRule
from scanner.ledger import Ledger, counting
from scanner.reports import ReportBody, anonymise
from scanner.types import MediaKind, Trigger
from tests.proofs import RUNS, record

A_DAY, K, FIRST = 0.5, 10, date(2026, 1, 1)
KINDS, SHARES = (MediaKind.IMAGE, MediaKind.VIDEO), (0.8, 0.2)
VOLUMES = (10, 100, 1000, 10_000)
PAGE = Path(__file__).resolve().parents[3] / "scanner" / "accountability" / "pages" / "what-leaves.md"


@dataclass(frozen=True)
class Matched:
    """One upload that matched: what is said of it, and what only the log knows."""

    body: ReportBody
    account: int


def year(seed: int, accounts: int, days: int) -> list[Matched]:
    """Matched uploads. Every third listed thing is uploaded again by the same account some days later."""
    drawn, found, busy = random.Random(seed), [], activity(accounts).tolist()
    for day in range(days):
        for _ in range(int(drawn.random() < A_DAY)):
            (account,), entry = drawn.choices(range(accounts), busy), drawn.randrange(10**9)
            (kind,) = drawn.choices(KINDS, SHARES)
            found.append(matched(day, account, entry, kind))
            if drawn.random() < 1 / 3:
                found.append(matched(day + drawn.randrange(1, 30), account, entry, kind))
    return found


def activity(accounts: int) -> NDArray[np.float64]:
    """The share of all uploads that each account makes: some make a hundred times as many as others."""
    weights = 1 / np.arange(1, accounts + 1)
    return weights / weights.sum()


def matched(day: int, account: int, entry: int, kind: MediaKind) -> Matched:
    """An upload of that day and what is said of it."""
    mark = (Classification("scheme", "ab"[entry % 2]),)
    hit = EntryHit(1, b"u" * 16, b"k", f"r{entry}", mark, 1 + entry % 3, ("pdq", "sha256")[entry % 2], 0, frozenset())
    said = (FIRST + timedelta(days=day)).isoformat()
    return Matched(anonymise(hit, hash_set="set", media=kind, trigger=Trigger.UPLOAD, day=said), account)


def guessed(found: list[Matched], volume: int, accounts: int, seed: int) -> dict[str, float]:
    """The share of reports whose upload, and whose account, the best guess names; over all reports.

    The upload: any of that day and kind, as all are alike. The account: whoever uploaded that kind on every day on
    which the entry was reported, the busiest of them first.
    """
    log = np.random.default_rng(seed)
    days: dict[tuple[str, str], Counter[int]] = {}
    for each in found:
        key = (each.body.day, each.body.media.value)
        if key not in days:
            of_kind = log.binomial(volume, SHARES[each.body.media.value == "video"])
            days[key] = Counter(log.choice(accounts, of_kind, p=activity(accounts)).tolist())
        days[key][each.account] += 1
    upload = float(np.mean([1 / days[each.body.day, each.body.media.value].total() for each in found]))
    by_ref: dict[str, list[Matched]] = {}
    for each in found:
        by_ref.setdefault(each.body.ref, []).append(each)
    named = {1: [0, 0], 2: [0, 0]}
    for same in by_ref.values():
        logs = [days[each.body.day, each.body.media.value] for each in same]
        there = set.intersection(*(set(each) for each in logs))
        best = max(sorted(there), key=lambda account: sum(each[account] for each in logs))
        named[len(same)][0] += best == same[0].account
        named[len(same)][1] += 1
    once, again = (right / max(of, 1) for right, of in named.values())
    return {"upload": upload, "account": once, "account_of_two": again}


def counted(found: list[Matched], folder: Path, days: int) -> list[CountBody]:
    """What a sink of counts is told of the same uploads."""
    rules, told = {"set": CountRule(K)}, []
    by_day: dict[str, list[ReportBody]] = {}
    for each in found:
        by_day.setdefault(each.body.day, []).append(each.body)
    with Ledger.open(folder).db as db:
        for day in range(days):
            today = (FIRST + timedelta(days=day)).isoformat()
            with db.write(durable=False):
                counting.begin(db, rules, [], today)
                counting.note(db, by_day.get(today, []))
                told += counting.tell(db, rules, (FIRST + timedelta(days=day + 1)).isoformat())
    return told


def test_a_count_is_linked_with_a_chance_of_at_most_one_in_k(tmp_path: Path) -> None:
    """Even who knows which uploads matched cannot tell which of them one of a count is: at most 1/k."""
    found = year(1, accounts=200, days=365)
    told = counted(found, tmp_path, 365)

    assert told
    assert max(1 / body.count for body in told) <= 1 / K
    assert all(body.k == K for body in told)
    assert "ref" not in json.dumps([body.hash_set for body in told])


def test_a_report_is_linked_the_better_the_fewer_uploads_there_are() -> None:
    """One in the uploads of its day and kind; a second report of one entry narrows the accounts further."""
    found = year(1, accounts=200, days=365)
    chances = [guessed(found, volume, 200, 1) for volume in VOLUMES]

    assert [each["upload"] for each in chances] == sorted((each["upload"] for each in chances), reverse=True)
    assert chances[0]["upload"] > 1 / K > chances[-1]["upload"]
    assert chances[0]["account_of_two"] > chances[0]["account"]


@pytest.mark.prove
def test_the_bounds_that_the_page_states(tmp_path: Path) -> None:
    """Ten years of matches, measured and written down."""
    found = year(7, accounts=1000, days=3650)
    for volume in VOLUMES:
        chances = {name: round(chance, 4) for name, chance in guessed(found, volume, 1000, 7).items()}
        record("linking", f"reports at {volume} uploads a day", reports=len(found), **chances)
    told = counted(found, tmp_path, 3650)
    worst = max(1 / body.count for body in told)
    record("linking", "counts", k=K, counts=len(told), told=sum(body.count for body in told), worst=round(worst, 4))

    assert worst <= 1 / K


def test_the_page_states_what_was_measured() -> None:
    """Every chance in the page's table is one of the newest recorded run."""
    runs = sorted(RUNS.glob("*/linking.json"))
    if not runs:
        pytest.skip("no run of the long proof is recorded; `make prove` writes one")
    proofs = json.loads(runs[-1].read_text())["proofs"]
    page = PAGE.read_text(encoding="utf-8")

    for volume in VOLUMES:
        chances = proofs[f"reports at {volume} uploads a day"]
        row = " | ".join(f"{100 * chances[name]:.1f} %" for name in ("upload", "account", "account_of_two"))
        assert f"| {volume:,} | {row} |" in page
    assert f"{100 * proofs['counts']['worst']:.1f} %" in page
