"""A clock that steps a day, either way and at any moment: nothing is damaged, missed, closed or put off for ever."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from scanner import delivery
from scanner.reports import system_random
from tests.durability import work
from tests.scanner.fakes import Site, fake_media, pdq

STEPS_DAYS = (0, 1, -1, -2, 1, 0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The prepared home and tree."""
    base = tmp_path / "base"
    work.prepare(base)
    work.take_list(base, 2)
    return base


def at_day(base: Path, days: float) -> Site:
    """The home, opened while the clock stands so many days off."""
    site = Site(base / "home")
    site.clock.move(days)
    return site


def test_steps_between_scans_change_nothing(base: Path) -> None:
    """Scans at days that jump to and fro end where one scan does: same contents, matches and coverage."""
    work.scan(base)
    expected = work.end(base)
    for days in STEPS_DAYS:
        with at_day(base, days) as site:
            site.rescan()
            site.scan(base / "media")

        assert work.faults(base) == []
        assert expected == work.end(base)


def test_a_file_changed_under_a_stepping_clock_is_looked_at_again(base: Path) -> None:
    """However the clock stood when it was read: other bytes, same length and restored times."""
    path = base / "media" / "9"
    before = os.stat(path)
    for number, days in enumerate(STEPS_DAYS):
        with at_day(base, days) as site:
            site.scan(base / "media")
            path.write_bytes(fake_media(pdq(3, number), comment=str(number)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            site.clock.move(-1)
            walked = site.scan(base / "media")

            assert walked.opened_files >= 1
            assert {b"ref\x00r3"} <= {key for _, _, key, _ in site.matches()}


@pytest.mark.parametrize("step", [1, -1])
def test_one_step_closes_nothing_that_is_there(base: Path, step: float) -> None:
    """A file that is away for a moment while the clock steps is whole again when it is back, and reported once."""
    path, away = base / "media" / "2", base / "away"
    work.scan(base)
    work.seal(base)
    said = work.end(base)["said"]
    shutil.move(path, away)
    for days in (0, step, 0):
        with at_day(base, days) as site:
            site.scan(base / "media")
    shutil.move(away, path)
    work.scan(base)
    work.seal(base)

    assert work.faults(base) == []
    assert work.end(base)["said"] == said


def test_a_batch_put_off_by_a_clock_that_was_ahead_is_not_put_off_for_ever(base: Path) -> None:
    """Not taken while the clock stood a day ahead, it is tried again as soon as the clock is right."""
    work.scan(base)
    settings = work.settings(base)
    (base / "out").write_text("in the way")
    with at_day(base, 1) as site:
        delivery.seal(site.ledger, settings, site.clock, system_random())
        assert delivery.deliver(site.ledger, settings, site.clock).failed > 0
        assert delivery.deliver(site.ledger, settings, site.clock).waiting > 0
    (base / "out").unlink()
    with at_day(base, 0) as site:
        done = delivery.deliver(site.ledger, settings, site.clock)

        assert (done.failed, done.waiting) == (0, 0)
        assert done.delivered > 0
