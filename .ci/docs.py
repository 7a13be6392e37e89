"""Rewrites the made parts of README.md, between their markers, from the code: the commands and the configuration table.

    .venv/bin/python .ci/docs.py            rewrite README.md
    .venv/bin/python .ci/docs.py --check    say whether it is up to date: exit 1 if not

Rules
- The command reference comes from the click tree of `scanner.cli.main`, the table from `scanner.config.SETTINGS`
  (each with `name`, `kind.text`, `default` and `meaning`). Neither is ever written by hand.
- Everything outside the markers is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

README = Path(__file__).resolve().parents[1] / "README.md"
COMMANDS, SETTINGS = "commands", "settings"


class DocsError(Exception):
    """The README or the code lacks what the reference is made from."""


def commands(command: click.Command, path: str = "hashward") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it, in alphabetical order below its group."""
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            if not child.hidden:
                yield from commands(child, f"{path} {name}")
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command


def first_line(command: click.Command) -> str:
    """What a command says of itself in one line."""
    lines = (command.help or "").strip().splitlines()
    if not lines:
        raise DocsError("a command has no help")
    return lines[0]


def usage(path: str, command: click.Command) -> str:
    """The words that call a command, followed by its arguments."""
    arguments = [parameter.make_metavar(click.Context(command)) for parameter in arguments_of(command)]
    return " ".join([path, *arguments])


def arguments_of(command: click.Command) -> list[click.Argument]:
    """The positional arguments, in order."""
    return [parameter for parameter in command.params if isinstance(parameter, click.Argument)]


def option_rows(command: click.Command) -> Iterator[tuple[str, str]]:
    """Each shown option with what it does."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(click.Context(command))
            if record is None or not record[1]:
                raise DocsError(f"an option has no help: {parameter.opts[0]}")
            yield record


def command_reference(root: click.Command) -> str:
    """A table of all commands, then the options of each."""
    found = list(commands(root))
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `{_cell(usage(path, command))}` | {_cell(first_line(command))} |" for path, command in found]
    for path, command in [("hashward", root), *found]:
        rows = list(option_rows(command))
        if rows:
            lines += ["", f"`{path}`:", ""]
            lines += [f"- `{flags}`: {help_text}" for flags, help_text in rows]
    return "\n".join(lines)


def settings_table() -> str:
    """Every setting of the configuration file with its default and meaning."""
    from scanner import config

    lines = ["| setting | what it may be | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {_cell(one.kind.text)} | {_cell(one.default)} | {_cell(one.meaning)} |"
        for one in config.SETTINGS
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def between(text: str, part: str) -> tuple[str, str, str]:
    """What stands before, inside and after a part's markers (each marker stays with its outside)."""
    begin, end = f"<!-- {part}: made by `make docs` -->\n", f"<!-- end of {part} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise DocsError(f"README.md needs the lines {begin.strip()} and {end}, once each")
    before, rest = text.split(begin)
    inside, after = rest.split(end)
    return before + begin, inside, end + after


def rewritten(text: str) -> str:
    """README's text with both made parts as the code has them now."""
    from scanner.cli import main

    for part, made in ((COMMANDS, command_reference(main)), (SETTINGS, settings_table())):
        before, _, after = between(text, part)
        text = f"{before}\n{made}\n\n{after}"
    return text


def run(arguments: list[str]) -> int:
    """Rewrite README.md, or with --check only compare."""
    try:
        old = README.read_text(encoding="utf-8")
        new = rewritten(old)
    except (DocsError, FileNotFoundError) as exc:
        message = str(exc) if isinstance(exc, DocsError) else "There is no README.md to rewrite."
        print(message, file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        if old != new:
            print("README.md is behind the code: run `make docs`.", file=sys.stderr)
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
