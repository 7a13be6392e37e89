"""What the daemon does, and when: the duties over a real home, with a clock to move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scanner import Scanner, health
from scanner.accountability.requests import Requests
from scanner.action_config import ActionsConfig
from scanner.config import Config, ReportConfig, ScanConfig, WatchConfig
from scanner.curation import Curation
from scanner.duties import duties, sealable_before
from scanner.gauges import Gauges
from scanner.ledger.uploads import Arrival
from scanner.settings import Seal
from scanner.types import WHOLE, Digests, Fingerprint, MediaKind
from scanner.watch import Duty
from tests.scanner.accountability.test_requests import request_of
from tests.scanner.fakes import MovableClock, Site, entry_of, fake_media, pdq, sha256, sha256_entry


class Home:
    """A scanner over a fake site, its duties by name, and what its clock says."""

    def __init__(self, folder: Path, seal: Seal = Seal.DAILY, actions: ActionsConfig | None = None) -> None:
        self.site = Site(folder / "home")
        config = Config(scan=ScanConfig(workers=1), report=ReportConfig(seal=seal), watch=WatchConfig(walk_hours=24))
        config = replace(config, actions=actions or ActionsConfig())
        self.clock: MovableClock = self.site.clock
        self.scanner = Scanner(folder / "home", config, self.clock)
        for name in ("store", "ledger", "pipeline"):
            self.scanner.__dict__[name] = getattr(self.site, name)
        self.media = folder / "media"
        self.media.mkdir()
        self.duties: dict[str, Duty] = {duty.name: duty for duty in duties(self.scanner)}

    def do(self, name: str) -> str | None:
        """Do a duty once if it is due; what it said."""
        duty = self.duties[name]
        return duty.work(lambda: None) if duty.due_in_s() <= 0 else "not due"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with one picture in one root."""
    made = Home(tmp_path)
    (made.media / "picture").write_bytes(fake_media(pdq(1)))
    made.site.ledger.places.add_root(bytes(made.media))
    yield made
    made.site.__exit__(None, None, None)


def test_a_root_is_walked_in_its_cycle(home: Home) -> None:
    """At once where it never was, then again when its last completed walk is old enough."""
    first, soon = home.do("walk"), home.do("walk")
    home.clock.move(0.99)
    almost = home.do("walk")
    home.clock.move(0.02)

    assert first is not None
    assert "1 files, 1 of them read" in first
    assert ["not due", "not due"] == [soon, almost]
    assert "1 files, 0 of them read" in str(home.do("walk"))


def test_a_root_that_is_away_is_tried_again_soon_and_keeps_no_other_waiting(home: Home, tmp_path: Path) -> None:
    """Every ten minutes, not every second and not once a day."""
    other = tmp_path / "other"
    other.mkdir()
    home.media.rename(tmp_path / "away")
    home.site.ledger.places.add_root(bytes(other))
    done = [home.do("walk"), home.do("walk"), home.do("walk")]
    (tmp_path / "away").rename(home.media)
    home.clock.move(11 / 1440)

    assert 1 == sum("suspect" in str(said) for said in done)
    assert "not due" == done[2]
    assert "1 files" in str(home.do("walk"))


def test_what_falls_due_is_said_once_a_day(home: Home) -> None:
    """From the day on which it does."""
    register = Requests(home.site.ledger.db, home.clock, home.scanner.config.requests)
    before = home.do("reminders")
    register.add(request_of(home.site))  # to be answered within 14 days
    home.clock.move(13)
    almost = home.do("reminders")
    home.clock.move(1)

    assert [None, None, "1 due by now: see `hashward request due`"] == [before, almost, home.do("reminders")]
    assert "not due" == home.do("reminders")
    assert 0 < home.duties["reminders"].due_in_s() <= 86_400


def test_matches_follow_the_hash_sets(home: Home) -> None:
    """Once a catalogue number has moved, and not before."""
    home.do("walk")
    home.do("re-scan")
    idle = home.do("re-scan")
    home.site.list_entries("A", entry_of(pdq(1), ref="e"))

    assert "not due" == idle
    assert "1 contents compared, 1 matches added, 0 withdrawn" == home.do("re-scan")
    assert "not due" == home.do("re-scan")


def test_a_version_that_is_held_is_told_by_log_health_and_metrics(home: Home) -> None:
    """Once in the log, and by the other two for as long as it is held."""
    contents = [fake_media(comment=str(number)) for number in range(8)]
    for number, content in enumerate(contents):
        home.site.upload(content, b"ref %d" % number)
    home.site.list_entries("A", sha256_entry(contents[0], "r0"))
    home.do("re-scan")
    before = health.problems(home.scanner, {}), held(home.scanner)
    home.site.list_entries("A", *(sha256_entry(content, "r") for content in contents[1:]))
    said = home.do("re-scan")
    during = health.problems(home.scanner, {}), held(home.scanner)
    Curation.of(home.scanner).approve("A")

    assert ([], 0.0) == before == (health.problems(home.scanner, {}), held(home.scanner))
    assert said is not None
    assert said.endswith("; version 2 of A is held, see `hashward status`")
    assert (["hash set A: version 2 held"], 1.0) == during


def held(scanner: Scanner) -> float:
    """What the metric says of set A."""
    (reading,) = (each for each in Gauges(scanner)() if each.name == "hash_set_held")
    return dict(reading.values)[("A",)]


@pytest.mark.parametrize(("seal", "day"), [(Seal.DAILY, "2026-11-22"), (Seal.WEEKLY, "2026-11-16")])
def test_only_periods_that_are_over_are_sealed(seal: Seal, day: str) -> None:
    """2026-11-22 is a Sunday."""
    assert day == sealable_before("2026-11-22", seal)


def test_reports_of_today_wait_for_the_day_to_end(home: Home) -> None:
    """A batch of a part of a day would tell the hour; with nothing to seal no sealing is noted."""
    home.site.list_entries("A", entry_of(pdq(1), ref="e"))
    home.do("walk")
    home.do("reports")
    today = len(home.site.ledger.sealing.pending()), home.site.ledger.sealing.last_sealed_day()
    home.clock.move(1)

    assert (1, None) == today
    assert "1 sealed" in str(home.do("reports"))
    assert [] == home.site.ledger.sealing.pending()


def test_manual_sealing_is_left_to_people(tmp_path: Path) -> None:
    """Nothing is sealed by itself, however old."""
    home = Home(tmp_path, Seal.MANUAL)
    (home.media / "picture").write_bytes(fake_media(pdq(1)))
    home.site.ledger.places.add_root(bytes(home.media))
    home.site.list_entries("A", entry_of(pdq(1), ref="e"))
    home.do("walk")
    home.clock.move(30)
    home.do("reports")

    assert 1 == len(home.site.ledger.sealing.pending())
    home.site.__exit__(None, None, None)


def duty_names(folder: Path) -> set[str]:
    """The duties of a home with nothing configured."""
    (folder / "other").mkdir()
    home = Home(folder / "other")
    home.site.__exit__(None, None, None)
    return set(home.duties)


def test_the_operators_system_hears_at_once_and_is_not_asked_for_nothing(tmp_path: Path) -> None:
    """Due when the ledger has moved, and every few seconds for what waits; without a target there is no such duty."""
    act = tmp_path / "act"
    act.write_text(f"#!/bin/sh\ncat >>{tmp_path}/heard\n")
    act.chmod(0o700)
    home = Home(tmp_path, actions=ActionsConfig(command=(str(act),)))
    home.site.list_entries("A", entry_of(pdq(1), ref="e"))
    home.do("actions")
    idle = home.do("actions")
    home.site.upload(fake_media(pdq(1)), b"upload")
    said = home.do("actions")
    home.site.__exit__(None, None, None)

    assert "not due" == idle
    assert "1 taken, 0 not taken, 0 waiting" == said
    assert '"ref": "upload"' in (tmp_path / "heard").read_text()
    assert "actions" not in duty_names(tmp_path)


def test_what_serve_left_is_settled(home: Home) -> None:
    """Accepted uploads are compared though nobody serves any more; where nothing waits the duty rests."""
    digests = Digests(bytes(16), bytes(20), sha256(b"upload"), 6)
    seen = Fingerprint(MediaKind.IMAGE, WHOLE, (pdq(1),))
    home.site.list_entries("set", entry_of(pdq(1), ref="listed"))
    before = home.do("uploads")
    home.site.ledger.uploads.accept([Arrival(b"ref", digests, seen)], home.site.day)

    assert ("not due", "1 uploads settled") == (before, home.do("uploads"))
    assert [("match", "listed", None)] == home.site.said()
    assert "not due" == home.do("uploads")
