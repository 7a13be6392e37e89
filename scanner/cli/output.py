"""How commands speak: results on standard output, everything else on standard error, one border for errors.

Rules
- `--json` prints one JSON document, or one object a line for streams. Nothing else then goes to standard output.
- Progress bars go to standard error on a terminal and vanish when it is none.
- No message repeats a path, a file name or a value: logs are kept longer than files.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hashsets.errors import HashsetsError
from scanner.errors import ScannerError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")


def emit_json(value: object) -> None:
    """Print one JSON document on one line; names that are no UTF-8 keep their bytes as surrogate escapes."""
    click.echo(json.dumps(value, ensure_ascii=True, separators=(", ", ": ")))


def counts(counter: dict[str, int]) -> str:
    """Reasons with their counts, most frequent first: "undecodable 12, timeout 1"."""
    return ", ".join(
        f"{name} {number:,}" for name, number in sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    )


def table(*headings: str) -> Table:
    """An unframed table."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading)
    return made


def show(renderable: Any) -> None:
    """Print a table on standard output, as wide as it needs to be where nobody looks."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(renderable)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="progress.data.speed")


@contextlib.contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, for as long as the block runs; silent where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(done: int) -> None:
            bar.advance(task, done)

        yield advance


@contextlib.contextmanager
def error_border() -> Iterator[None]:
    """Turn every error into one sentence and its exit code; nothing a user does ends in a traceback."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    except (HashsetsError, ScannerError) as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Stopped. What was finished is recorded; the same command goes on from there.", 130)
    except BrokenPipeError:
        # Whoever read us has gone. Point standard output elsewhere so that the flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except MemoryError:
        _fail("There is not enough memory for this.", 1)
    except OSError as error:
        _fail(f"The system refused an operation ({os.strerror(error.errno or 0)}).", 1)
    except Exception as error:  # the outermost border: a traceback could show a path or a value
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__} in {os.path.basename(place.filename)}:{place.lineno}"
        _fail(f"This is a fault of hashward ({fault}); please report it. What was finished is recorded.", 70)


def _as_interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> None:
    click.echo(f"hashward: {message}", err=True)
    sys.exit(code)
