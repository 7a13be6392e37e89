"""Sources on their schedules: when they are asked again, and how they stand in one word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashsets.errors import CredentialsRefused, HashsetsError, ListError, ShrinkRefused, SourceError, StoreError
from hashsets.errors import Unreachable as NotReached
from hashsets.store import Store
from hashsets.store.standings import SourceStanding
from hashsets.types import Bounds
from samples.feed_servers import FileServer
from scanner import Scanner
from scanner.config import Config
from scanner.errors import ConfigError
from scanner.schedules import JITTER, SourceState, bring_up, due_ns, problem_of, source_duties, state_of
from scanner.settings import SourceKind
from scanner.source_config import SourceConfig
from tests.scanner.fakes import DAY_NS, MovableClock

MINUTE = 60 * 10**9
START = 100 * DAY_NS
FEED = SourceConfig("feed", SourceKind.HTTP, url="http://127.0.0.1/list")


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (CredentialsRefused(""), "credentials"),
        (ConfigError(""), "credentials"),
        (NotReached(""), "unreachable"),
        (SourceError(""), "refused"),
        (ListError(""), "refused"),
        (ShrinkRefused(""), "refused"),
        (StoreError(""), "failed"),
    ],
)
def test_each_trouble_has_its_word(error: Exception, word: str) -> None:
    """Closed words: what is wrong, and so who must mend it."""
    assert word == problem_of(error)


def test_a_source_is_in_one_state_at_a_time() -> None:
    """A week without news comes first: a mirror that is frozen answers well, and one that is away is frozen too."""
    asked = SourceStanding(START, START, START)
    week = 7 * DAY_NS

    assert SourceState.NEW == state_of(FEED, SourceStanding(), START)
    assert SourceState.NEW == state_of(FEED, SourceStanding(tried_ns=START), START)
    assert SourceState.OK == state_of(FEED, asked, START + 60 * MINUTE)
    assert SourceState.LATE == state_of(FEED, asked, START + 126 * MINUTE)
    assert SourceState.STALE == state_of(FEED, replace(asked, tried_ns=START + week), START + week + 1)
    assert SourceState.UNREACHABLE == state_of(FEED, replace(asked, problem="unreachable"), START + week)
    assert SourceState.STALE == state_of(FEED, replace(asked, problem="unreachable"), START + week + 1)
    assert SourceState.OK == state_of(replace(FEED, every_minutes=0, stale_days=0), asked, START + 90 * DAY_NS)


def test_what_may_pass_is_tried_again_soon_and_the_rest_in_its_time() -> None:
    """Never less often than the schedule; credentials never more often than each quarter of an hour."""
    well = SourceStanding(START, START, START)
    waits = [(due_ns(FEED, replace(well, problem="unreachable", failures=n)) - START) // MINUTE for n in (1, 2, 3, 9)]
    drawn = {due_ns(FEED, replace(well, tried_ns=START + n)) - START - n for n in range(100)}

    assert 0 == due_ns(FEED, SourceStanding())
    assert [1, 2, 4, 60] == waits
    assert 60 * MINUTE * (1 - JITTER) <= min(drawn) < max(drawn) <= 60 * MINUTE
    assert 60 * MINUTE * (1 - JITTER) <= due_ns(FEED, replace(well, problem="refused", failures=1)) - START
    often = replace(FEED, every_minutes=1)
    assert 15 * MINUTE == due_ns(often, replace(well, problem="credentials", failures=1)) - START


class Home:
    """A home with one source at a server."""

    def __init__(self, folder: Path) -> None:
        self.server = FileServer()
        self.server.content = f"{1:032x}\n".encode()
        self.clock = MovableClock(START)
        self.config = SourceConfig("feed", SourceKind.HTTP, url=f"{self.server.base}/list", every_minutes=10)
        self.scanner = Scanner(folder / "home", Config(sources=(self.config,)), self.clock)
        (self.duty,) = source_duties(self.scanner)

    def go(self) -> str | None:
        """Do the duty if it is due; what it said."""
        return self.duty.work(lambda: None) if self.duty.due_in_s() <= 0 else "not due"

    @property
    def state(self) -> str:
        """How the source stands."""
        return state_of(self.config, self.scanner.store.standings.of("feed"), self.clock.now_ns()).value


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Running."""
    made = Home(tmp_path)
    with made.server.running(), made.scanner:
        yield made


def test_a_source_is_asked_in_its_time_and_says_what_came_of_it(home: Home) -> None:
    """Nothing where nothing is new."""
    first, soon = home.go(), home.go()
    home.clock.move(10 / 1440)
    same = home.go()
    home.server.content, home.server.etag = f"{1:032x}\n{2:032x}\n".encode(), '"2"'
    home.clock.move(10 / 1440)

    assert ("version 1: 1 added, 0 changed, 0 withdrawn", "not due", None) == (first, soon, same)
    assert "version 2: 1 added, 0 changed, 0 withdrawn" == home.go()
    assert "ok" == home.state


def test_a_source_in_trouble_leaves_its_set_serving_and_is_well_again_by_itself(home: Home) -> None:
    """Refused credentials, a list that is none, silence: each in its word, the old version in force throughout."""
    home.go()
    states = []
    for mood, content in ((403, b""), (200, b"no list at all\n")):
        home.server.moods, home.server.content, home.server.etag = [mood], content, f'"{mood}x"'
        home.clock.move(0.02)
        said = home.go()
        states.append(home.state)
        assert said is not None
        assert "stays in force" in said
        assert 1 == home.scanner.store.hash_set("feed").entries
    home.clock.move(7.1)
    silent = home.state
    home.server.content, home.server.etag = f"{3:032x}\n".encode(), '"3"'
    home.go()

    assert ["credentials", "refused", "stale", "ok"] == [*states, silent, home.state]
    assert (0, None) == tuple(getattr(home.scanner.store.standings.of("feed"), n) for n in ("failures", "failure"))


def test_bounds_that_the_configuration_says_hold_from_the_first_version_on(home: Home) -> None:
    """At every refresh again; those of which it says nothing are left to `hashset set`."""
    store, said = home.scanner.store, replace(home.config, hold_matches=7, refuse_shrink=0.0)
    bring_up(home.scanner, said)
    first = store.hash_set("feed").bounds
    store.set_bounds("feed", Bounds(matches=9, share=0.5))
    home.server.content, home.server.etag = "".join(f"{n:032x}\n" for n in range(2, 200)).encode(), '"2"'
    bring_up(home.scanner, said)
    second = store.hash_set("feed").bounds
    store.set_bounds("feed", replace(second, shrink=1.0))
    home.server.content, home.server.etag = f"{2:032x}\n".encode(), '"3"'
    with pytest.raises(ShrinkRefused):
        bring_up(home.scanner, said)

    assert Bounds(matches=7, shrink=0.0) == first
    assert Bounds(matches=7, share=0.5, shrink=0.0) == second


def test_a_frozen_mirror_is_told_from_a_living_one(home: Home) -> None:
    """It answers without fault, each time the same."""
    home.go()
    for _ in range(8):
        home.clock.move(1)
        home.go()

    assert "stale" == home.state
    assert 1 == home.scanner.store.hash_set("feed").entries


def test_standing_outlives_the_process_and_needs_no_set(tmp_path: Path) -> None:
    """A first refresh that fails leaves no set, but its failure."""
    source = SourceConfig("own", SourceKind.FILE, path=tmp_path / "absent")
    made = Scanner(tmp_path / "home", Config(sources=(source,)), MovableClock(START))
    with made as scanner, pytest.raises(HashsetsError):
        bring_up(scanner, source)
    with Store.open(tmp_path / "home") as store:
        known = store.standings.of("own")

    assert (START, None, 1, "refused") == (known.tried_ns, known.succeeded_ns, known.failures, known.problem)
    assert str(tmp_path) not in (known.failure or "")


def test_a_local_list_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    """By schedule; a hand that asks has it read. One written a moment ago is not trusted to show its next change."""
    path = tmp_path / "list"
    path.write_text(f"{1:032x}\n")
    clock = MovableClock()
    source = SourceConfig("own", SourceKind.FILE, path=path)
    read: list[int] = []
    with Scanner(tmp_path / "home", Config(sources=(source,)), clock) as scanner:

        def went(*, scheduled: bool) -> int:
            read.clear()
            bring_up(scanner, source, scheduled=scheduled, progress=read.append)
            return sum(read)

        first, again, by_hand = went(scheduled=True), went(scheduled=True), went(scheduled=False)
        path.write_text(f"{2:032x}\n{3:032x}\n")
        changed = went(scheduled=True)
        clock.move(-80 * 365)  # the file is of the future: anything may still happen to it
        path.write_text(f"{2:032x}\n{3:032x}\n{4:032x}\n")
        young = went(scheduled=True), went(scheduled=True)

    assert (1, 0, 1, 2, (3, 3)) == (first, again, by_hand, changed, young)
