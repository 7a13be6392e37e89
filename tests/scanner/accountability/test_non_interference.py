"""Two places that hold the same contents say the same, byte for byte, whatever else is different; and where that ends.

A pair is one world told twice: the same contents are listed, found, uploaded and withdrawn on the same UTC days, in two
homes that differ in all that a report may not say. What differs between the homes is drawn anew for every pair.
"""

from __future__ import annotations

import os
import platform
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from hashsets.types import Bounds, Entry, Mode
from scanner import delivery
from scanner.config import Config, SinkConfig, SinkKind
from scanner.ledger import Place
from scanner.ledger.assets import UPLOADS
from scanner.settings import SinkForm
from scanner.types import MediaKind, Trigger
from tests.proofs import record
from tests.scanner.fakes import DAY_NS, Site, entry_of, fake_media, pdq, sha256_entry

SETS = ("A", "B")
PAIRS, FULL, AT_A_HOME = 50, 500, 50


@dataclass(frozen=True)
class World:
    """What both homes have in common: contents found in storage, contents uploaded, and how the lists change."""

    stored: tuple[bytes, ...]
    uploaded: tuple[bytes, ...]
    listed: dict[str, tuple[Entry, ...]]
    late: dict[str, tuple[Entry, ...]]
    withdrawn: tuple[Entry, ...]


def world(number: int) -> World:
    """The world of that number: some of its contents are listed, by digest or by likeness, before or after."""
    drawn = random.Random(f"world {number}")
    contents = [
        fake_media(
            pdq(drawn.randrange(10**6), drawn.randrange(3)),
            kind=drawn.choice([MediaKind.IMAGE, MediaKind.VIDEO]),
            comment=f"{number} {index}",
        )
        for index in range(drawn.randrange(3, 6))
    ]
    entries = [sha256_entry(each, f"w{number}-{index}") for index, each in enumerate(contents[:-1])]
    likeness = fake_media(pdq(number + 10**7, drawn.randrange(9)), comment=f"{number} near")
    near = entry_of(pdq(number + 10**7), ref=f"w{number}-near")
    half = len(entries) // 2
    stored = [*drawn.choices(contents, k=drawn.randrange(2, 5)), likeness]
    return World(
        tuple(stored),
        tuple(drawn.choices(contents, k=drawn.randrange(1, 4))),
        {"A": (*entries[:half], near), "B": tuple(entries[1:])},
        {"A": tuple(entries[half:])} if number % 2 else {},
        tuple(entries[:1]) if number % 5 == 0 else (),
    )


@dataclass
class Home:
    """One of the two: a site of its own and all that is drawn for it."""

    folder: Path
    drawn: random.Random
    sealed: bool
    site: Site = field(init=False)

    def __post_init__(self) -> None:
        self.site = Site(self.folder / "home", least_tail=10**6, sealed=self.sealed)
        for name in SETS:
            self.site.store.create(name, mode=Mode.ACTIVE)
            self.site.store.set_bounds(name, Bounds(matches=10**9, share=1.0, growth=10**6, shrink=1.0))
        both = frozenset(SETS)
        sinks = [
            SinkConfig("all", SinkKind.JSONL, path=self.folder / "all", hash_sets=both),
            SinkConfig("one", SinkKind.JSONL, path=self.folder / "one", hash_sets=frozenset({"B"})),
            SinkConfig(
                "counts", SinkKind.JSONL, path=self.folder / "counts", hash_sets=both, form=SinkForm.COUNTS, k=2
            ),
        ]
        self.config = Config(sinks=tuple(sinks))

    def name(self) -> str:
        """A name that nobody else has."""
        return f"{self.drawn.randrange(2**60):x}" + self.drawn.choice(["", " ", ".jpg", "\u00e9", "'", "\n"])

    def live(self, world: World, seed: int) -> dict[str, bytes]:
        """One day in this home and the sealing in the night after it; what left, by sink and file."""
        with self.elsewhere():
            self.later()
            for name, entries in world.listed.items():
                self.site.list_entries(name, *entries)
            acts = [self.store, self.upload]
            self.drawn.shuffle(acts)
            for act in acts:
                act(world)
            self.later()
            for name, entries in world.late.items():
                self.site.list_entries(name, *entries)
            if world.late:
                self.site.rescan()
            told = self.night(seed)
            if world.withdrawn:
                self.site.list_entries("A", removed=[entry.key for entry in world.withdrawn])
                self.site.rescan()
                told |= self.night(seed + 1)
            return told

    def store(self, world: World) -> None:
        """The contents lie in folders, under names, with owners and times of this home; so many look at once."""
        root = self.folder / self.name().strip()
        for content in self.drawn.sample(world.stored, len(world.stored)):
            below = root / self.name() / self.name() if self.drawn.random() < 0.5 else root
            below.mkdir(parents=True, exist_ok=True)
            path = below / self.name()
            path.write_bytes(content)
            os.utime(path, ns=(self.drawn.randrange(2**60), self.drawn.randrange(2**60)))
            if os.geteuid() == 0:
                os.chown(path, self.drawn.randrange(1000, 2000), self.drawn.randrange(1000, 2000))
        self.site.lanes = self.drawn.randrange(1, 5)
        self.later()
        self.site.scan(root)

    def upload(self, world: World) -> None:
        """The uploads come in any order, under refs of this home."""
        for content in self.drawn.sample(world.uploaded, len(world.uploaded)):
            self.later()
            path = self.folder / "upload.tmp"
            path.write_bytes(content)
            with path.open("rb") as file:
                self.site.pipeline.scan_one(file.fileno(), Place(UPLOADS, self.name().encode()), Trigger.UPLOAD)

    def later(self) -> None:
        """Some of the day passes, and never the rest of it."""
        left = DAY_NS - self.site.clock.now_ns() % DAY_NS
        self.site.clock.move(self.drawn.random() * left / DAY_NS / 2)

    def night(self, seed: int) -> dict[str, bytes]:
        """The day ends; what is sealed and delivered some time in the next one."""
        left = DAY_NS - self.site.clock.now_ns() % DAY_NS
        self.site.clock.move((left + 1) / DAY_NS)
        day = self.site.day
        self.later()
        assert day == self.site.day
        delivery.seal(self.site.ledger, self.config, self.site.clock, random.Random(seed), day)
        delivery.deliver(self.site.ledger, self.config, self.site.clock)
        said = {}
        for sink in self.config.sinks:
            assert sink.path is not None
            for file in sink.path.glob("*") if sink.path.exists() else ():
                said[f"{sink.name} {file.name}"] = file.read_bytes()
                file.unlink()
        return said

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """On a host of another name."""
        host = self.name().strip()
        uname = os.uname_result(("Linux", host, "1", "1", "x"))
        with ExitStack() as stack:
            for module, call in ((socket, "gethostname"), (socket, "getfqdn"), (platform, "node")):
                stack.enter_context(mock.patch.object(module, call, return_value=host))
            stack.enter_context(mock.patch.object(os, "uname", return_value=uname))
            yield


def told_apart(folder: Path, pairs: range) -> tuple[int, int, int]:
    """How many pairs were told apart; how many reports and counts they said (each once)."""
    apart = reports = counts = 0
    for start in range(pairs.start, pairs.stop, AT_A_HOME):
        with ExitStack() as stack:
            here, there = (
                Home(folder / f"{start} {side}", random.Random(f"{start} {side}"), side == "b") for side in "ab"
            )
            stack.enter_context(here.site)
            stack.enter_context(there.site)
            for number in range(start, min(start + AT_A_HOME, pairs.stop)):
                said = here.live(world(number), 2 * number)
                apart += said != there.live(world(number), 2 * number)
                reports += sum(batch.count(b"\n") for name, batch in said.items() if "all" in name)
                counts += sum(batch.count(b"\n") for name, batch in said.items() if "counts" in name)
    return apart, reports, counts


def test_pairs_of_homes_say_the_same(tmp_path: Path) -> None:
    """Other owners, paths, names, times within the day, order, hosts, worker counts, locations sealed or not: not one
    byte is different.
    """
    apart, reports, counts = told_apart(tmp_path, range(PAIRS))

    assert 0 == apart
    assert reports > 3 * PAIRS
    assert counts > 0


@pytest.mark.prove
def test_five_hundred_pairs_of_homes_say_the_same(tmp_path: Path) -> None:
    """The same at full count."""
    apart, reports, counts = told_apart(tmp_path, range(FULL))
    record("non-interference", "pairs", pairs=FULL, told_apart=apart, reports=reports, counts=counts)

    assert 0 == apart


# -- where it ends ----------------------------------------------------------------------------------------------------


def said_by(folder: Path, live: Callable[[Site], Any]) -> list[bytes]:
    """What one home says of a life, sealed after it."""
    with Site(folder) as site:
        site.list_entries("set", *(sha256_entry(each, f"r{index}") for index, each in enumerate(CONTENTS)))
        live(site)
        config = Config(sinks=(SinkConfig("s", SinkKind.JSONL, path=folder / "said", hash_sets=frozenset({"set"})),))
        delivery.seal(site.ledger, config, site.clock, random.Random(1))
        delivery.deliver(site.ledger, config, site.clock)
        return sorted(file.read_bytes() for file in (folder / "said").iterdir())


CONTENTS = [fake_media(comment="one"), fake_media(kind=MediaKind.VIDEO, comment="two")]


def one_upload(site: Site) -> None:
    """What the others are compared with."""
    site.upload(CONTENTS[0], b"ref")


def next_day(site: Site) -> None:
    """The same a day later."""
    site.clock.move(1)
    one_upload(site)


def two_places(site: Site) -> None:
    """The same content twice."""
    one_upload(site)
    site.upload(CONTENTS[0], b"other")


def other_content(site: Site) -> None:
    """What another entry lists, of another media kind."""
    site.upload(CONTENTS[1], b"ref")


def from_storage(site: Site) -> None:
    """The same content, found on a walk."""
    folder = site.home.parent / "storage"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENTS[0])
    site.scan(folder)


@pytest.mark.parametrize("other", [next_day, two_places, other_content, from_storage], ids=lambda life: life.__name__)
def test_what_may_be_said_is_all_that_tells_homes_apart(tmp_path: Path, other: Callable[[Site], Any]) -> None:
    """The limit, by design: the day, how many places, which entry, the media kind and the trigger do show."""
    here, same, there = (
        said_by(tmp_path / name, life) for name, life in (("a", one_upload), ("b", one_upload), ("c", other))
    )

    assert here == same
    assert here != there
