"""What the command groups share: whole sentences in their help, and names of sets and roots checked at the door."""

from __future__ import annotations

import click

from hashsets.limits import is_set_name
from scanner.errors import UsageError


class Group(click.Group):
    """A group that lists its commands with their whole first sentence, which click would cut to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        shown = sorted((name, command) for name, command in self.commands.items() if not command.hidden)
        with formatter.section("Commands"):
            formatter.write_dl([(name, (command.help or "").strip().splitlines()[0]) for name, command in shown])


def _is_set_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse what no set can be called, among it what is no UTF-8."""
    if not is_set_name(value):
        raise UsageError("A hash set's name is 1 to 64 printable characters, with no blank at its ends.")
    return value


def _is_root_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse what no root can be called: names and paths are told apart by '/'."""
    if not is_set_name(value) or "/" in value:
        raise UsageError("A root's name is 1 to 64 printable characters without '/', with no blank at its ends.")
    return value


def _allow(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.obj.allow_unsandboxed = value


set_name = click.argument("name", callback=_is_set_name)
root_name = click.argument("name", callback=_is_root_name)
allow_unsandboxed = click.option(
    "--allow-unsandboxed",
    is_flag=True,
    expose_value=False,
    callback=_allow,
    help="Decode even where the kernel cannot confine the decoders: for files you trust.",
)
