"""The command itself: its common options and its groups."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Any

import click

from hashsets.errors import HashsetsError
from scanner.api import Scanner
from scanner.cli import (
    acting,
    auditing,
    brokering,
    cases,
    curating,
    forgetting,
    hash_sets,
    hashing,
    holding,
    importing,
    locating,
    looking_up,
    noticing,
    opening,
    publishing,
    refreshing,
    registering,
    reporting,
    requesting,
    resolving,
    reviewers,
    roots,
    rules,
    scanning,
    selftest,
    serving,
    status,
    storing,
    tokens,
    transparency,
    voting,
    watching,
)
from scanner.cli.border import error_border, reader_may_go
from scanner.cli.groups import Group
from scanner.cli.output import note
from scanner.config import Home, load
from scanner.errors import AuditError, LedgerError, UsageError
from scanner.hardening import harden


class _Command(Group):
    """The outermost group, inside the error border: also what click itself refuses becomes one sentence."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **extra: Any) -> Any:
        """Run the command and exit."""
        extra["prog_name"] = "hashward"  # also for `python -m scanner`
        extra["standalone_mode"] = False
        if args is None:  # else whoever called us in their own process decides
            harden()
        with error_border():
            sys.exit(super().main(args, *positional, **extra))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with reader_may_go():
            return super().invoke(ctx)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", metavar="DIR", help="Where the databases are; else HASHWARD_HOME, else the state folder.")
@click.option("--config", metavar="FILE", help="The configuration; else HASHWARD_CONFIG, else config.toml in the home.")
@click.version_option(importlib.metadata.version("hashward"), prog_name="hashward")
@click.pass_context
def main(context: click.Context, home: str | None, config: str | None) -> None:
    """Find known abuse material by comparing hashes, on your own machines; tell nothing but anonymous matches."""
    place = Home.locate(home)
    scanner = context.obj = context.with_resource(Scanner(place, load(place, config)))
    context.call_on_close(lambda: _account(scanner))


def _account(scanner: Scanner) -> None:
    """Have on record what the command has changed. What cannot be written now is owed, and the next command does it."""
    if not scanner.is_open:
        return
    with contextlib.suppress(HashsetsError, UsageError, LedgerError, OSError):  # the command has said it, if it matters
        try:
            scanner.account()
        except AuditError as error:
            note(f"hashward: {error}")


for module in (
    scanning,
    hashing,
    looking_up,
    noticing,
    publishing,
    hash_sets,
    rules,
    curating,
    importing,
    refreshing,
    resolving,
    roots,
    reporting,
    requesting,
    auditing,
    brokering,
    opening,
    cases,
    reviewers,
    registering,
    holding,
    acting,
    forgetting,
    status,
    selftest,
    serving,
    storing,
    locating,
    tokens,
    transparency,
    voting,
    watching,
):
    for command in module.COMMANDS:
        main.add_command(command)
