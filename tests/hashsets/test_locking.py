"""The writer lock: had in the order of asking, by threads and by processes, and given up only where nothing moves."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hashsets.errors import StoreError
from hashsets.locking import WriterLock, _ThreadLine, be_present, is_present

WAITING = 8
ENOUGH_S = 100.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What the lock is beside."""
    return tmp_path / "some.db"


class Asker(threading.Thread):
    """Has the lock once, says so, and keeps it until told to let go."""

    def __init__(self, lock: WriterLock, wait_s: float = ENOUGH_S, order: list[str] | None = None) -> None:
        super().__init__(daemon=True)
        self._lock, self._wait_s, self._order = lock, wait_s, order
        self.has, self.let_go = threading.Event(), threading.Event()
        self.error = ""
        self.start()

    def run(self) -> None:
        try:
            with self._lock.held(self._wait_s):
                if self._order is not None:
                    self._order.append(self.name)
                self.has.set()
                self.let_go.wait(ENOUGH_S)
        except StoreError as error:
            self.error = str(error)

    def end(self) -> None:
        """Let go, or never have it."""
        self.let_go.set()
        self.join(ENOUGH_S)


def until(true: Callable[[], bool]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + ENOUGH_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def lined_up(path: Path) -> int:
    """How many stand in the line between processes, as the kernel tells it."""
    inode = f":{path.with_name(path.name + '-turn').stat().st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return sum(inode in line and "OFDLCK" in line for line in lines)


def test_processes_have_the_lock_in_the_order_of_asking(path: Path) -> None:
    """Nobody is overtaken, and one that lets go and asks again at once comes after all who waited."""
    locks = [WriterLock(path) for _ in range(WAITING + 1)]  # an open file each, as a process has
    order: list[str] = []
    holder = Asker(locks[0])
    holder.has.wait(ENOUGH_S)
    waiting = []
    for number, lock in enumerate(locks[1:], 1):
        waiting.append(Asker(lock, order=order))
        until(lambda number=number: lined_up(path) == number)  # type: ignore[misc]
    holder.let_go.set()
    holder.join(ENOUGH_S)
    again = Asker(locks[0], order=order)
    until(lambda: again.has.is_set() or lined_up(path) == WAITING)
    for one in (*waiting, again):
        one.let_go.set()
    for one in (*waiting, again):
        one.join(ENOUGH_S)
    for lock in locks:
        lock.close()

    assert [one.name for one in (*waiting, again)] == order


def test_threads_have_the_lock_in_the_order_of_asking(path: Path) -> None:
    """The threads of one process wait in a line of their own."""
    with closing(WriterLock(path)) as lock:
        order: list[str] = []
        holder = Asker(lock)
        holder.has.wait(ENOUGH_S)
        waiting = []
        for number in range(1, WAITING + 1):
            waiting.append(Asker(lock, order=order))
            until(lambda number=number: len(lock._threads._waiting) == number)  # type: ignore[misc]
        for one in (holder, *waiting):
            one.let_go.set()
        for one in (holder, *waiting):
            one.join(ENOUGH_S)

        assert [one.name for one in waiting] == order


def test_a_killed_process_leaves_the_line(path: Path) -> None:
    """Whoever dies waiting, or holding, is waited for no longer."""
    program = (
        "import sys, pathlib; from hashsets.locking import WriterLock\n"
        "with WriterLock(pathlib.Path(sys.argv[1])).held(100): print('has', flush=True); sys.stdin.read()"
    )

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    with closing(WriterLock(path)) as lock, start() as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "has\n"
        with start() as waiter:
            until(lambda: lined_up(path) == 1)
            last = Asker(lock)
            until(lambda: lined_up(path) == 2)
            waiter.kill()
        until(lambda: lined_up(path) == 1)
        assert not last.has.is_set()
        holder.kill()
        assert last.has.wait(ENOUGH_S)
        last.end()

        assert last.error == ""


class Clock:
    """A clock that is set by hand and counts who looks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Let time pass, and whoever waits see it."""
        self.now += seconds
        seen = self.looks
        until(lambda: self.looks > seen + 2)


def test_a_line_that_moves_is_waited_for_and_one_that_is_stuck_is_not(path: Path) -> None:
    """The minute begins anew with each that moves on: it is for one holder, not for all who were there before."""
    clock = Clock()
    first, second, third = [WriterLock(path) for _ in range(3)]
    patient = WriterLock(path, clock=clock)
    holders = [Asker(first)]
    holders[0].has.wait(ENOUGH_S)
    for number, lock in enumerate((second, third), 1):
        holders.append(Asker(lock))
        until(lambda number=number: lined_up(path) == number)  # type: ignore[misc]
    asker = Asker(patient, wait_s=60)
    until(lambda: lined_up(path) == 3)
    for now, following in itertools.pairwise(holders):
        clock.pass_s(50)
        now.end()
        assert following.has.wait(ENOUGH_S)
        clock.pass_s(0)
    clock.pass_s(50)
    assert asker.is_alive()
    clock.now += 11
    asker.join(ENOUGH_S)
    holders[-1].end()
    for lock in (first, second, third, patient):
        lock.close()

    assert "too long" in asker.error


class Moving(int):
    """A count of moves that has changed whenever one looks, the first times."""

    looks = 0

    def __eq__(self, other: object) -> bool:
        Moving.looks += 1
        return Moving.looks > 3

    __hash__ = int.__hash__


def test_a_thread_waits_as_long_as_the_one_before_it_gets_on() -> None:
    """One that stands behind another of its process gives up when that one is stuck, not before."""
    line = _ThreadLine()
    assert line.enter(0)
    line._moves = Moving()

    assert not line.enter(0.01)
    assert Moving.looks == 4


def test_without_waiting_the_lock_is_had_or_not(path: Path) -> None:
    """Zero seconds: had where it is free, refused where it is held."""
    with closing(WriterLock(path)) as one, closing(WriterLock(path)) as other:
        with one.held(0), pytest.raises(StoreError), other.held(0):
            pass
        with other.held(0):
            pass


def test_a_file_system_without_locks_is_told_of(path: Path) -> None:
    """A descriptor that cannot be locked is an error of ours."""
    lock = WriterLock(path)
    lock.close()
    read_only = os.open(path.with_name(path.name + "-turn"), os.O_RDONLY)
    lock._line = read_only
    with pytest.raises(StoreError, match="no locks"), lock.held():
        pass
    os.close(read_only)


def test_who_asks_whether_somebody_is_at_work_is_in_nobodys_way(tmp_path: Path) -> None:
    """Several may be at work, or one alone; who asks holds nothing, before, meanwhile and after."""
    path = tmp_path / "lock"
    assert not is_present(path)
    first, second = be_present(path), be_present(path)
    assert None not in (first, second)
    assert is_present(path)
    assert be_present(path, alone=True) is None
    for each in (first, second):
        os.close(each or 0)
    assert not is_present(path)
    alone = be_present(path, alone=True)
    assert alone is not None
    assert is_present(path)
    assert be_present(path) is None
    os.close(alone)
    assert not is_present(path)
