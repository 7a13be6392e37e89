"""How commands speak: results on standard output, everything else on standard error.

Rules
- `--json` prints one JSON document, or one object a line for streams. Nothing else then goes to standard output.
- What a file or a list is called was chosen by strangers: it reaches a terminal only with its control characters spelt
  out (`printable`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")


def emit_json(value: object) -> None:
    """Print one JSON document on one line; names that are no UTF-8 keep their bytes as surrogate escapes."""
    click.echo(json.dumps(value, ensure_ascii=True, separators=(", ", ": ")))


def note(message: str) -> None:
    """Tell a person something beside the result, on standard error."""
    click.echo(message, err=True)


def number_of(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 file", "2 files", "3 matches"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def counts(counter: Mapping[str, int]) -> str:
    """Reasons with their counts, most frequent first: "undecodable 12, timeout 1"."""
    return ", ".join(
        f"{name} {number:,}" for name, number in sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    )


def printable(path: bytes) -> str:
    """A path for a terminal: whatever is no printable text is spelt out as `\\x1b`."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() else _spelt_out(c) for c in text)


def place_text(where: bytes | None) -> str:
    """A path or ref for a terminal, or that nobody can open it."""
    return "(sealed under a key that the broker does not hold)" if where is None else printable(where)


def _spelt_out(character: str) -> str:
    raw = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def table(*headings: str, numbers: tuple[str, ...] = ()) -> Table:
    """An unframed table; the columns in `numbers` are set flush right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading in numbers
        made.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=right)
    return made


def show(renderable: Any) -> None:
    """Print a table on standard output: to the width of a terminal, and one row a line where there is none."""
    console = Console(highlight=False, markup=False, emoji=False, width=None if _is_terminal() else 1000)
    with console.capture() as captured:
        console.print(renderable)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()
