"""The daemon's loop: duties are done when due, failures are retried, nothing outlives a stop."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from scanner import watch
from scanner.errors import UsageError
from scanner.watch import Duty, Watch, notify
from tests.scanner.fakes import MovableClock

WAIT_S = 60  # for things that take milliseconds on an idle machine


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(watch, "TICK_S", 0.01)
    monkeypatch.setattr(watch, "FIRST_PAUSE_S", 0.01)


class Running:
    """A Watch over some duties, in a thread; what it said and told."""

    def __init__(self, *duties: Duty) -> None:
        self.said: list[str] = []
        self.told: Mapping[str, dict[str, object]] = {}
        self.watch = Watch(duties, MovableClock(), say=self.said.append, told=self._tell)
        self.ended: list[bool] = []
        self._thread = threading.Thread(target=lambda: self.ended.append(self.watch.run()))

    def _tell(self, standing: Mapping[str, dict[str, object]]) -> None:
        self.told = standing

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_stop_may_come_at_any_line_of_the_loop() -> None:
    """As signals do, also while the loop holds a lock that would be needed to tell it."""
    running = Running()
    lines = []

    def at_each_line(frame: FrameType, what: str, _: object) -> Callable[..., Any]:
        if what == "line":
            lines.append(frame.f_lineno)
            running.watch.stop()
        return at_each_line

    def traced() -> None:
        sys.settrace(at_each_line)
        running.watch.run()

    loop = threading.Thread(target=traced, daemon=True)
    loop.start()
    loop.join(WAIT_S)
    assert not loop.is_alive()
    assert lines


def test_a_duty_that_fails_is_tried_again_and_keeps_no_other_waiting() -> None:
    """Its failure is told while it lasts, in words that repeat no argument of the error."""
    fails, others = [UsageError("The sets are busy."), OSError(28, "x", "/secret/path"), ValueError("/secret/path")], []

    def work(checkpoint: Callable[[], None]) -> str | None:
        if fails:
            raise fails.pop(0)
        return "done"

    def other(checkpoint: Callable[[], None]) -> None:
        others.append(1)

    with Running(Duty("one", lambda: 0.0, work), Duty("two", lambda: 0.0, other)) as running:
        until(lambda: "one: done" in running.said)
        until(lambda: len(others) > 3)
        until(lambda: running.told["one"]["succeeded_ns"] is not None)
    failures = [line for line in running.said if "tried again" in line]

    assert 3 == len(failures)
    assert "The sets are busy." in failures[0]
    assert "No space left" in failures[1]
    assert "ValueError in test_watch.py:" in failures[2]
    assert not any("secret" in line for line in running.said)
    assert (0, None) == (running.told["one"]["failures"], running.told["one"]["failure"])


def test_a_question_that_cannot_be_answered_is_asked_again() -> None:
    """The duty itself then says what is wrong."""
    asked = []

    def due_in_s() -> float:
        asked.append(1)
        if len(asked) == 1:
            raise OSError(5, "")
        return 3600.0

    with Running(Duty("one", due_in_s, lambda checkpoint: "looked")) as running:
        until(lambda: "one: looked" in running.said)
        until(lambda: len(asked) > 1)

    assert [True] == running.ended


def test_a_stop_is_heard_between_pieces_of_work_and_while_waiting() -> None:
    """What never ends by itself ends at its next checkpoint, and counts as no failure."""
    begun = threading.Event()

    def endless(checkpoint: Callable[[], None]) -> str | None:
        while True:
            begun.set()
            checkpoint()
            time.sleep(0.001)

    idle = Duty("idle", lambda: 3600.0, lambda checkpoint: pytest.fail("not due"))
    with Running(Duty("busy", lambda: 0.0, endless), idle) as running:
        assert begun.wait(WAIT_S)
        until(lambda: running.told["busy"]["working"])

    assert [True] == running.ended
    assert {"working": False, "failures": 0} == {name: running.told["busy"][name] for name in ("working", "failures")}
    assert [] == running.said


def test_a_duty_that_does_not_listen_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon ends all the same, and says that it was cut short."""
    monkeypatch.setattr(watch, "STOP_WITHIN_S", 0.05)
    begun, release = threading.Event(), threading.Event()

    def deaf(checkpoint: Callable[[], None]) -> None:
        begun.set()
        release.wait(WAIT_S)

    with Running(Duty("deaf", lambda: 0.0, deaf)) as running:
        assert begun.wait(WAIT_S)
    release.set()

    assert [False] == running.ended


def test_a_service_manager_is_told_where_it_asked_to_be(tmp_path: Path) -> None:
    """By datagram, as sd_notify(3) has it; a manager that is gone, or never asked, is no error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notify(str(tmp_path / "notify"), "READY=1")
        told = manager.recv(100)
    notify(str(tmp_path / "notify"), "READY=1")
    notify("", "READY=1")

    assert b"READY=1" == told
