"""Progress bars: on standard error while it is a terminal, gone when the work is done, absent everywhere else.

A bar shows how far, how fast, and the time left where the total is known, else the time passed.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

Advance = Callable[[int], None]


class _Done(ProgressColumn):
    """How many of how many."""

    def render(self, task: Task) -> Text:
        if not task.completed and task.total is None:
            return Text("")
        of = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{of}", style="progress.download")


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class _Time(ProgressColumn):
    """Time left where the total is known, else time passed."""

    def render(self, task: Task) -> Text:
        if task.total is not None and task.time_remaining is not None:
            return Text(f"{clock(task.time_remaining)} left", style="progress.remaining")
        return Text(clock(task.elapsed or 0), style="progress.elapsed")


def clock(seconds: float) -> str:
    """A duration as "0:07", "12:30" or "3:05:00"."""
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Bars:
    """The bars of one command."""

    def __init__(self, display: Progress) -> None:
        self._display = display

    def add(self, what: str, *, left: Callable[[], int] | None = None, from_start: bool = True) -> Advance:
        """A bar; call what is returned with how many more are done.

        `left` says how many are still to do, where that can be known; it is asked at each advance, so that a total that
        grows meanwhile stays right. A bar that is not shown `from_start` appears with its first advance.
        """
        task = self._display.add_task(what, total=None, visible=from_start)
        if self._display.disable:
            return lambda done: None
        if left is not None and from_start:
            self._display.update(task, total=left())

        def advance(done: int) -> None:
            if done:
                self._advance(task, done, left)

        return advance

    def _advance(self, task: TaskID, done: int, left: Callable[[], int] | None) -> None:
        self._display.update(task, advance=done, visible=True)
        if left is not None:
            self._display.update(task, total=self._display.tasks[task].completed + left())


@contextlib.contextmanager
def bars(*, beside_output: bool = False) -> Iterator[Bars]:
    """Show bars for as long as the block runs.

    `beside_output` is for commands that print results meanwhile: their bars show only where these go elsewhere.
    """
    console = Console(stderr=True)
    silent = not console.is_terminal or (beside_output and sys.stdout is not None and sys.stdout.isatty())
    bar = BarColumn(bar_width=None, table_column=Column(min_width=8, max_width=40, ratio=1))
    columns = (TextColumn("{task.description}"), bar, *(kind(Column(no_wrap=True)) for kind in (_Done, _Rate, _Time)))
    with Progress(*columns, console=console, transient=True, disable=silent, expand=False) as display:
        yield Bars(display)
