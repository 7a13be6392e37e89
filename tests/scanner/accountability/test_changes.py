"""What has changed is on record: sets, settings, software, each once, whoever notices it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from hashsets.types import Bounds, Mode, Role, Rule
from scanner.accountability import changes
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import LogFile
from scanner.api import Scanner
from scanner.config import Config, Home, ScanConfig, SinkConfig, parse
from scanner.ledger.speech import Mute, put_mute
from scanner.settings import SinkKind
from tests.scanner.fakes import Site, sha256_entry


class Watched:
    """A home whose changes are noted."""

    def __init__(self, home: Path) -> None:
        self.site = Site(home)
        self.audit = AuditLog(self.site.ledger.db, LogFile(home), self.site.clock)
        LogFile(home).begin(Entry("0" * 32, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {}), lambda key: None)
        self.site.list_entries("listed", sha256_entry(b"1"), sha256_entry(b"2"))
        self.note()
        self.audit.drain()
        self._seen = len(list(self.audit.lines()))

    def note(self, config: Config | None = None, software: str = "1") -> int:
        """A command begins or ends."""
        db, clock = self.site.ledger.db, self.site.clock
        return changes.note(db, clock, config or Config.defaults(), self.site.store, software)

    def news(self) -> list[tuple[str, dict[str, Any]]]:
        """The lines since it was last asked."""
        self.audit.drain()
        lines = list(self.audit.lines())[self._seen :]
        self._seen += len(lines)
        return [(line.event, dict(line.particulars)) for line in lines]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A home with a set of two entries, all of it on record."""
    made = Watched(tmp_path)
    yield made
    made.site.close()


def test_what_is_as_it_was_told_is_not_told_again(watched: Watched) -> None:
    """However often commands begin and end."""
    assert [0, 0, 0] == [watched.note() for _ in range(3)]
    assert [] == watched.news()


def _muted(site: Site) -> None:
    uid = site.hash_set("listed").uid
    with site.ledger.db.write():
        put_mute(site.ledger.db, uid, Mute("ref", "2100-02-01", "a reason nobody else reads", site.day))


CHANGES: list[tuple[str, Callable[[Site], object], set[str]]] = [
    ("radius", lambda site: site.store.set_rule("listed", Rule({"pdq": 20})), {"rule", "rule_revision"}),
    ("rule", lambda site: site.store.set_rule("listed", Rule(agreeing=2)), {"rule", "rule_revision"}),
    ("role", lambda site: site.store.set_role("listed", Role.CANARY), {"role", "rule_revision"}),
    ("mode", lambda site: site.store.set_mode("listed", Mode.RETIRED), {"mode"}),
    ("switch", lambda site: site.store.set_enabled("listed", False), {"enabled"}),
    ("bounds", lambda site: site.store.set_bounds("listed", Bounds(matches=5)), {"bounds"}),
    ("version", lambda site: site.list_entries("listed", sha256_entry(b"3")), {"version", "entries", "root"}),
    ("mute", _muted, {"muted"}),
]


@pytest.mark.parametrize(("what", "change", "names"), CHANGES, ids=[each[0] for each in CHANGES])
def test_every_change_of_a_set_is_one_line(
    watched: Watched, what: str, change: Callable[[Site], object], names: set[str]
) -> None:
    """It says how the set stands and what of that is new."""
    change(watched.site)
    watched.note()

    ((event, said),) = watched.news()
    assert Event.SET_CHANGED == event
    assert ("changed", "listed", names) == (said["what"], said["set"], set(said["changed"].split()))
    assert 0 == watched.note()


def test_sets_that_come_and_go_are_told(watched: Watched) -> None:
    """By name and uid; one that is made anew under its old name is another."""
    old = watched.site.hash_set("listed").uid.hex()
    watched.site.store.remove("listed")
    watched.site.list_entries("listed", sha256_entry(b"1"))
    watched.note()

    told = {(event, said["uid"]) for event, said in watched.news()}
    assert {(Event.SET_REMOVED, old), (Event.SET_CHANGED, watched.site.hash_set("listed").uid.hex())} == told


def test_a_change_that_a_kill_cut_off_from_its_record_is_told_by_whoever_comes_next(watched: Watched) -> None:
    """Nobody noted it at the time; a later command of another kind does."""
    watched.site.store.set_enabled("listed", False)
    watched.note(software="2")

    assert [(Event.SET_CHANGED, "enabled"), (Event.SOFTWARE_CHANGED, None)] == sorted(
        (event, said.get("changed")) for event, said in watched.news()
    )


def test_a_process_begun_before_a_change_of_the_configuration_takes_nothing_back(tmp_path: Path) -> None:
    """It says once with what it began; a daemon that goes on with that is no second change."""
    with Scanner(tmp_path, Config.defaults()) as daemon:
        daemon.account()
        changed = dataclasses.replace(Config.defaults(), scan=ScanConfig(exclude=(b"/own/**",)))
        with Scanner(tmp_path, changed) as command:
            command.account()
            daemon.account()
            daemon.store.create("listed")
            daemon.account()
            lines = command.ledger.db.execute("SELECT event, particulars FROM audit_due ORDER BY id").fetchall()
    sections = [json.loads(said)["section"] for event, said in lines if event == Event.CONFIG_CHANGED]
    assert ["scan"] == sections
    assert Event.SET_CHANGED == lines[-1][0]


def test_software_is_told_by_its_version(watched: Watched) -> None:
    """From which to which."""
    watched.note(software="2")

    assert [(Event.SOFTWARE_CHANGED, {"from": "1", "to": "2"})] == watched.news()


def test_a_root_hash_stands_for_a_version_and_tells_nothing_of_it(watched: Watched, tmp_path: Path) -> None:
    """The same for the same list in one home; another for another list, and in another home."""
    site = watched.site
    uid, salt = site.hash_set("listed").uid, changes._salt(site.ledger.db)
    first = changes.root_of(site.ledger.db, uid, 1)
    site.list_entries("listed", sha256_entry(b"3"))
    watched.note()
    second = changes.root_of(site.ledger.db, uid, 2)
    site.list_entries("listed", removed=[sha256_entry(b"3").key])
    watched.note()

    assert first == changes.root_of(site.ledger.db, uid, 3) == site.store.root_hash(site.store.stamp(uid), salt)
    assert first != second
    other = Watched(tmp_path / "other")
    assert first != changes.root_of(other.site.ledger.db, other.site.hash_set("listed").uid, 1)
    other.site.close()


# -- configuration -----------------------------------------------------------------------------------------------------


def _other(value: Any) -> Any:
    """Another value of a kind."""
    if isinstance(value, Enum):
        return next(each for each in type(value) if each is not value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str | int | float):
        return value + type(value)(1)
    return frozenset({"x"}) if isinstance(value, frozenset) else (b"x",) if isinstance(value, tuple) else Path("x")


def _leaves() -> list[tuple[str, str]]:
    return [
        (section.name, setting.name)
        for section in dataclasses.fields(Config)
        if dataclasses.is_dataclass(table := getattr(Config.defaults(), section.name))
        for setting in dataclasses.fields(table)
    ]


def test_every_setting_that_changes_is_named(watched: Watched) -> None:
    """Each of every section, without its value."""
    for section, name in _leaves():
        config = Config.defaults()
        table = getattr(config, section)
        if (section, name) == ("serve", "listeners"):
            continue  # told one by one, as sinks are
        changed = dataclasses.replace(config, **{section: _with(table, name)})
        assert 1 == watched.note(changed), (section, name)
        ((event, said),) = watched.news()
        assert (Event.CONFIG_CHANGED, section, "changed", name) == (
            event, said["section"], said["what"], said["settings"],
        )  # fmt: skip
        watched.note()
        watched.news()


def _with(table: Any, name: str) -> Any:
    changed = object.__new__(type(table))  # whatever the checks say: here only the difference counts
    for each in dataclasses.fields(table):
        value = getattr(table, each.name)
        object.__setattr__(changed, each.name, _other(value) if each.name == name else value)
    return changed


def test_sinks_are_told_by_name_and_what_they_are_told_with_holds_no_value(watched: Watched) -> None:
    """Addresses, paths and names of files stay in the configuration."""
    sink = SinkConfig("police", SinkKind.HTTP, url="https://canary.example/x", token_file=Path("/canary/token"))
    config = dataclasses.replace(Config.defaults(), sinks=(sink,), scan=ScanConfig(exclude=(b"/canary/**",)))
    watched.note(config)
    changed = dataclasses.replace(config, sinks=(dataclasses.replace(sink, url="https://canary.example/y"),))
    watched.note(changed)
    watched.note()

    told = [(said["section"], said["what"], said["settings"]) for _, said in watched.news()]
    assert [
        ("scan", "changed", "exclude"), ("sink.police", "added", ""), ("sink.police", "changed", "url"),
        ("scan", "changed", "exclude"), ("sink.police", "removed", ""),
    ] == told  # fmt: skip
    assert b"canary" not in (watched.site.home / "audit.log").read_bytes()


def test_a_setting_reads_the_same_in_every_process() -> None:
    """Sets have no order of their own."""
    names = [str(number) for number in range(50)]

    assert sorted(names) == sorted(changes._plain(frozenset(names)))
    assert changes._plain(frozenset(names)) == changes._plain(frozenset(reversed(names)))


def test_the_whole_of_a_real_configuration_can_be_told(watched: Watched, tmp_path: Path) -> None:
    """Listeners, sources and sinks as they are read from a file."""
    text = b"""
        [[serve.listener]]
        kind = "clamd"
        address = "127.0.0.1:3310"
        [[source]]
        hash_set = "listed"
        kind = "file"
        path = "list.txt"
        [[sink]]
        name = "one"
        kind = "jsonl"
        hash_sets = ["b", "a"]
    """
    config = parse(text, tmp_path, Home(tmp_path))

    assert 1 == watched.note(config)
    assert ["serve.listener.clamd", "sink.one", "source.listed"] == [said["section"] for _, said in watched.news()]
