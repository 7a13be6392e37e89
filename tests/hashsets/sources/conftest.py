"""A store, and sources over servers on loopback that wait for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hashsets.errors import NoSuchSet
from hashsets.refresh import RefreshSummary, import_list, refresh
from hashsets.sources import Source, has_more
from hashsets.sources.web import Patience
from hashsets.store import Store
from hashsets.types import Entry

DAY = "2026-01-01"
EPOCH = 1_508_900_000  # the time it is: 2017-10-25


class Waits:
    """Waiting, written down."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    """How long was waited."""
    return Waits()


@pytest.fixture
def patience(waits: Waits) -> Patience:
    """Waits for nothing."""
    return Patience(sleep=waits, draw=lambda: 0.5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "home") as opened:
        yield opened


def now() -> datetime:
    """The time it is."""
    return datetime.fromtimestamp(EPOCH, UTC)


def bring(
    store: Store, source: Source, *, progress: Callable[[int], None] = lambda records: None
) -> list[RefreshSummary]:
    """Refresh the set "a" from its source until that has told all."""
    try:
        store.hash_set("a")
        done = [refresh(store, "a", source, day=DAY, progress=progress)]
    except NoSuchSet:
        done = [import_list(store, "a", source, day=DAY, progress=progress)]
    while has_more(source):
        done.append(refresh(store, "a", source, day=DAY, progress=progress))
    return done


def listed(store: Store) -> dict[str, Entry]:
    """What "a" lists, by ref."""
    return {str(entry.ref): entry for entry in store.entries(store.hash_set("a").uid)}
