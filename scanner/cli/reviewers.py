"""`case reviewer ...`: who may decide at which level."""

from __future__ import annotations

import click

from scanner.accountability.levels import Level
from scanner.accountability.reviewers import Reviewer, Roster
from scanner.api import Scanner
from scanner.cli.cases import case
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, show, table
from scanner.clock import utc_day


@case.group(cls=Group)
def reviewer() -> None:
    """Who may decide: analysts, seniors, legal, and the appeals panel, whose seats end after a year."""


def _object(each: Reviewer, day: str) -> dict[str, object]:
    return {
        "reviewer": each.name, "level": each.level.value, "since": each.since, "until": each.until,
        "in_force": each.in_force(day),
    }  # fmt: skip


@reviewer.command()
@click.argument("name")
@click.option("--level", required=True, type=click.Choice([each.value for each in Level]), help="The level.")
@json_option
@click.pass_obj
def add(scanner: Scanner, name: str, level: str, as_json: bool) -> None:
    """Let somebody decide at a level, from today on."""
    made = Roster(scanner.ledger.db, scanner.clock).add(name, Level(level))
    if as_json:
        emit_json(_object(made, utc_day(scanner.clock)))
    else:
        click.echo(f"{made.name}: {made.level.value}{f' until {made.until}' if made.until else ''}.")


@reviewer.command()
@click.argument("name")
@json_option
@click.pass_obj
def end(scanner: Scanner, name: str, as_json: bool) -> None:
    """Let somebody decide no more."""
    Roster(scanner.ledger.db, scanner.clock).end(name)
    emit_json({"ended": True}) if as_json else click.echo("Ended.")


@reviewer.command("list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """Show everybody who is or was a reviewer."""
    day = utc_day(scanner.clock)
    found = Roster(scanner.ledger.db, scanner.clock).listed()
    if as_json:
        emit_json([_object(each, day) for each in found])
        return
    rows = table("reviewer", "level", "since", "until", "")
    for each in found:
        rows.add_row(each.name, each.level.value, each.since, each.until or "", "" if each.in_force(day) else "over")
    show(rows) if found else click.echo("There is nobody: `hashward case reviewer add NAME --level analyst`.")


COMMANDS = ()
