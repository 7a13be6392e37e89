"""A refresh killed anywhere leaves the old version or the new one, whole; and the next refresh needs no help."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashsets.store import Store, merging
from hashsets.types import Delta, Entry, Signal, entry_key, entry_key_of_ref
from tests.statements import die_at

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

DAY = "2026-01-01"


def bare(number: int) -> Entry:
    """An entry of one md5."""
    known = Signal("md5", number.to_bytes(16))
    return Entry(entry_key(known), (known,))


def named(ref: str, *numbers: int) -> Entry:
    """An entry of several."""
    return Entry(entry_key_of_ref(ref), tuple(Signal("md5", n.to_bytes(16)) for n in numbers), ref=ref)


OLD = (*map(bare, range(1, 30)), named("changed", 100, 101), named("gone", 102))
NEW = (*map(bare, range(10, 40)), named("changed", 101, 103), named("fresh", 104))


def run_in_child(home: Path, work: Callable[[Store], None], kill_at: int | None) -> tuple[int, int]:
    """Run `work` on a store opened in a fork that kills itself at the n-th statement; its status, and the count."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            count = _counting(home, work, kill_at)
            os.write(write_end, str(count).encode())
            os._exit(0)
        except BaseException:
            os._exit(99)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(text or 0)


def _counting(home: Path, work: Callable[[Store], None], kill_at: int | None) -> int:
    merging.GROUP_OPERATIONS = 12  # several groups, so that a kill can fall between two
    merging.CHUNK_ROWS = 5
    store = Store.open(home)
    store.close()
    counted = die_at(kill_at)
    with Store.open(home) as store:
        work(store)
    return counted["statements"]


def state(store: Store) -> dict[bytes, frozenset[bytes]]:
    """What is in force."""
    entries = store.entries(store.hash_set("a").uid)
    return {entry.key: frozenset(signal.value for signal in entry.signals) for entry in entries}


def expected(entries: tuple[Entry, ...]) -> dict[bytes, frozenset[bytes]]:
    """What these entries are when in force."""
    return {entry.key: frozenset(signal.value for signal in entry.signals) for entry in entries}


def replace_all(store: Store) -> None:
    """A complete refresh in two pages."""
    store.stage("a", Delta(NEW[:20]))
    store.stage("a", Delta(NEW[20:]))
    store.activate("a", complete=True, checkpoint=b"new", day=DAY)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Fresh homes whose set lists OLD at version 1."""
    made = 0

    def make() -> Path:
        nonlocal made
        made += 1
        home = tmp_path / f"home{made}"
        with Store.open(home) as store:
            store.create("a")
            store.stage("a", Delta(OLD))
            store.activate("a", complete=True, checkpoint=b"old", day=DAY)
        return home

    return make


def _moments(count: int, most: int) -> list[int]:
    step = max(1, count // most)
    return sorted({*range(1, count + 1, step), *range(max(1, count - 6), count + 1)})


@pytest.mark.parametrize("abandoned", [False, True], ids=["first try", "after an abandoned one"])
def test_a_kill_at_any_statement_of_a_refresh_leaves_old_or_new(homes: Callable[[], Path], abandoned: bool) -> None:
    """Staging, merging, activation, and the discarding of what an earlier crash left."""

    def prepare_home() -> Path:
        home = homes()
        if abandoned:
            with Store.open(home) as store:
                store.stage("a", Delta((bare(500), named("changed", 7)), removed=(bare(1).key,)))
                store.prepare("a", complete=True)
        return home

    status, count = run_in_child(prepare_home(), replace_all, None)
    assert 0 == status
    for moment in _moments(count, 25):
        home = prepare_home()
        status, _ = run_in_child(home, replace_all, moment)
        assert -signal.SIGKILL == status
        with Store.open(home) as store:
            version = store.hash_set("a").version
            assert expected(OLD if version == 1 else NEW) == state(store)
            assert (b"old" if version == 1 else b"new") == store.checkpoint("a")
            assert [] == store.verify("a")
            replace_all(store)
            assert 2 == store.hash_set("a").version
            assert expected(NEW) == state(store)
            assert [] == store.verify("a")
            assert expected(OLD).keys() == {entry.key for entry in store.entries(store.hash_set("a").uid, 1)}


def test_a_kill_at_any_statement_of_a_removal_leaves_no_row_for_ever(homes: Callable[[], Path]) -> None:
    """Once the set is gone its uid is told, and the rows go at the latest with the next refresh of any set."""

    def remove(store: Store) -> None:
        store.remove("a")

    status, count = run_in_child(homes(), remove, None)
    assert 0 == status
    for moment in _moments(count, 12):
        home = homes()
        run_in_child(home, remove, moment)
        with Store.open(home) as store:
            names = [known.name for known in store.hash_sets()]
            assert (names == []) == bool(store.removed())
            if names:
                assert expected(OLD) == state(store)
                continue
            store.create("b")
            store.stage("b", Delta((bare(1),)))
            with store.read() as connection:
                assert 0 == connection.execute("SELECT COUNT(*) FROM entry").fetchone()[0]
                assert 0 == connection.execute("SELECT COUNT(*) FROM signal").fetchone()[0]


def test_a_kill_at_any_statement_of_a_purge_changes_nothing_in_force(homes: Callable[[], Path]) -> None:
    """Purging is safe to repeat."""

    def purge(store: Store) -> None:
        store.purge_withdrawn(store.hash_set("a").uid, 2)

    def prepare_home() -> Path:
        home = homes()
        with Store.open(home) as store:
            replace_all(store)
        return home

    _, count = run_in_child(prepare_home(), purge, None)
    for moment in _moments(count, 10):
        home = prepare_home()
        run_in_child(home, purge, moment)
        with Store.open(home) as store:
            assert expected(NEW) == state(store)
            assert [] == store.verify("a")
            purge(store)
            assert [] == store.verify("a")
            with store.read() as connection:
                assert len(NEW) == connection.execute("SELECT COUNT(*) FROM entry").fetchone()[0]
