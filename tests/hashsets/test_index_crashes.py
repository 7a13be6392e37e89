"""Killed or failing at any call on the folder of indexes: the next to come uses what is there or makes it again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashsets import indexes
from hashsets.indexes import FOLDER_NAME
from hashsets.matching import changeable
from hashsets.snapshots import current
from hashsets.store import Store
from tests.durability.nursery import KINDS
from tests.durability.syscalls import Plan, Supervisor, hand_over, supported
from tests.hashsets.test_indexes import EVERYTHING, found_by, on_disk, put, truth

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

SPREAD = 15


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a home whose set lists a hundred entries that have no index yet."""
    if not supported():
        pytest.skip("this kernel, architecture or container does not hand system calls to a supervisor")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        with Store.open(Path(folder) / "prepared") as store:
            store.create("a")
            put(store, *range(100))
        yield Path(folder)


def work(home: Path) -> None:
    """An index built in parts, changed, merged, and built anew after a purge; each time it answers as it should."""
    indexes.BUILD_BYTES = 1_300
    changeable.MERGE_AT_ONCE_ROWS = 0
    with Store.open(home) as store:
        uid = store.hash_set("a").uid
        stays = on_disk(store)
        right(store, stays)
        put(store, 100, 101, removed=(3, 4))
        right(store, stays)
        put(store, 102, removed=(5,))
        stays.keep_up(uid)
        right(store, stays)
        put(store, 103, removed=(6,))
        store.purge_withdrawn(uid, 4)
        right(store, stays)


def right(store: Store, used: indexes.Indexes) -> None:
    """What is found is what is there, by comparing everything."""
    assert truth(store, EVERYTHING) == found_by(current(store, indexes=used), EVERYTHING)


def tried(base: Path, plan: Plan) -> tuple[int, dict[str, int]]:
    """The work on a fresh copy of the home, in a child under a plan for the folder of indexes; its status, and what it
    asked of that folder."""
    home = base / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(base / "prepared", home)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            hand_over(theirs, KINDS)
            work(home)
            os._exit(0)
        except BaseException:
            os._exit(99)
    theirs.close()
    supervisor = Supervisor(child, ours, [str(home / FOLDER_NAME)], plan)
    supervisor.watch()
    ours.close()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), dict(supervisor.counted)


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers of 1..count, one of each stretch of the same length."""
    draw = random.Random(count)
    most = min(count, most)
    return [draw.randrange(count * at // most, count * (at + 1) // most) + 1 for at in range(most)]


def goes_on(base: Path) -> None:
    """Whoever comes next answers rightly, from an index that is whole, and what was left behind goes."""
    with Store.open(base / "home") as store:
        used = on_disk(store)
        right(store, used)
        assert {} == used.in_memory
        uid = store.hash_set("a").uid
        assert [] == used.verify(uid)
        put(store, 110, removed=(10,))
        used.keep_up(uid)
        right(store, used)
        right(store, on_disk(store))
        folder = base / "home" / FOLDER_NAME / uid.hex()
        named = {name for view in used.current().views[0].values() for layer in view.layers
                 for name in (layer.name, layer.withdrawn_name) if name}  # fmt: skip
        there = {path.name for path in folder.iterdir()}
        assert named == {name for name in there if name.endswith((".segment", ".withdrawn"))}
        assert [] == [name for name in there if name.startswith(".")]


def killed(base: Path, number: int) -> None:
    """One trial."""
    status, _ = tried(base, Plan("any", number, number, "kill"))
    assert status == -signal.SIGKILL
    goes_on(base)


def failing(base: Path, fault: str, first: int, last: int) -> None:
    """One trial: no call but right answers all the same."""
    status, _ = tried(base, Plan("any", first, last, fault))
    assert status == 0
    goes_on(base)


def test_killed_at_any_call(base: Path) -> None:
    """A spread over all that is asked of the folder: opens, writes, syncs, renames, unlinks."""
    status, counted = tried(base, Plan())
    assert status == 0
    assert counted["rename"] > 10
    assert counted["sync"] > 20
    goes_on(base)
    for number in spread(counted["any"], SPREAD):
        killed(base, number)


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_failing_calls_cost_no_answer(base: Path, fault: str) -> None:
    """Once, or from some call on for ever: the set is read into memory."""
    _, counted = tried(base, Plan())
    for number in spread(counted["any"], SPREAD // 3):
        failing(base, fault, number, number)
        failing(base, fault, number, 10**9)


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_every_single_call(base: Path, proof: Callable[..., None]) -> None:
    """The same at each."""
    _, counted = tried(base, Plan())
    for number in range(1, counted["any"] + 1):
        killed(base, number)
        for fault in ("ENOSPC", "EIO"):
            failing(base, fault, number, number)
            failing(base, fault, number, 10**9)
    proof("durability", "indexes of lists: killed or failing at every call", calls=counted["any"], wrong=0)
