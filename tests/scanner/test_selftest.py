"""The self-test: it must fail where the chain is broken, or it proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hashsets.store import Store
from hashsets.types import Delta, Entry
from scanner import selftest
from scanner.api import Scanner
from scanner.config import Config, FingerprintConfig, Home, LimitsConfig, ScanConfig
from tests.scanner.fakes import sha256_entry

DAY = "2026-01-31"


def run(home: Path, config: Config | None = None) -> dict[str, bool]:
    """Every step and whether it passed."""
    with Scanner(Home(home), config or Config.defaults()) as scanner:
        return {step.story: step.passed for step in selftest.run(scanner)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The hash sets of a home, with one set of two entries."""
    with Store.open(tmp_path / "home") as opened:
        opened.create("set")
        opened.stage("set", Delta(added=(sha256_entry(b"one"), sha256_entry(b"two"))))
        opened.activate("set", complete=True, checkpoint=None, day=DAY)
        yield opened


def test_a_healthy_installation_passes_and_keeps_nothing_of_it(tmp_path: Path, store: Store) -> None:
    """Every step holds, and neither the canary set nor the planted files enter the real home."""
    steps = run(tmp_path / "home")

    assert list(steps.values()) == [True] * 4
    assert ["set"] == [each.name for each in store.hash_sets()]
    with Scanner(Home(tmp_path / "home"), Config.defaults()) as scanner:
        assert [] == scanner.ledger.places.roots()


@pytest.mark.parametrize(
    ("config", "broken"),
    [
        (ScanConfig(exclude=(b"*.ppm",)), "planted pictures"),
        (ScanConfig(include=(b"*-1.ppm",)), "edited copy"),
        (ScanConfig(exclude=(b"*.mkv",)), "a video that show it"),
        (ScanConfig(exclude=(b"*.gif",)), "an animation and a video that"),
        (ScanConfig(exclude=(b"*-1.ppm",)), "sealed batch"),
    ],
)
def test_a_chain_that_misses_something_fails(config: ScanConfig, broken: str, tmp_path: Path) -> None:
    """What is planted and not found is told by the step that missed it."""
    steps = run(tmp_path / "home", replace(Config.defaults(), scan=config))

    assert [False] == [passed for story, passed in steps.items() if broken in story]


class Forgetful:
    """A store whose index has lost an entry that its rows still hold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def entries(self, uid: bytes) -> Iterator[Entry]:
        """What the rows say."""
        yield from self._store.entries(uid)
        yield sha256_entry(hashlib.sha256(b"lost").digest())


def test_an_index_that_lost_an_entry_fails(tmp_path: Path, store: Store) -> None:
    """Entries of every enabled set are asked of the index in force."""
    with Scanner(Home(tmp_path / "home"), Config.defaults()) as scanner:
        scanner.__dict__["store"] = Forgetful(store)
        steps = {step.story: step.passed for step in selftest.run(scanner)}
        scanner.__dict__.pop("store")

    assert [False] == [passed for story, passed in steps.items() if "of set set" in story]


def test_the_real_limits_and_settings_are_the_ones_tried(tmp_path: Path) -> None:
    """More hash types and other limits do not upset it: it runs with what this installation says."""
    config = replace(
        Config.defaults(),
        fingerprint=FingerprintConfig("all8", ("phash", "dhash")),
        limits=LimitsConfig(image_seconds=5.0),
    )

    assert all(run(tmp_path / "home", config).values())
