"""`token ...`: who may ask the http door for what."""

from __future__ import annotations

import re

import click

from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, show, table
from scanner.clock import utc_day
from scanner.errors import UsageError
from scanner.ledger.tokens import SCOPES

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HOUR_NS = 3600 * 10**9
_USUAL_SCOPES = ("scan", "forget")


def _is_token_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise UsageError("A token's name is 1 to 64 of a-z, 0-9, - and _.")
    return value


_name = click.argument("name", callback=_is_token_name)


@click.group(cls=Group)
def token() -> None:
    """Make and take back the tokens that callers of the http door show."""


@token.command()
@_name
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it allows; else scan and forget."
)
@json_option
@click.pass_obj
def add(scanner: Scanner, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token and print it: it is kept hashed, and never shown again."""
    made = scanner.ledger.tokens.add(name, scopes or _USUAL_SCOPES, utc_day(scanner.clock))
    _print(made, as_json)


@token.command()
@_name
@click.option("--overlap", "hours", type=click.FloatRange(0, 8784), default=24.0, help="Hours the old one still works.")
@json_option
@click.pass_obj
def rotate(scanner: Scanner, name: str, hours: float, as_json: bool) -> None:
    """Make another token of that name and print it; the old one ends after the overlap."""
    ends_ns = scanner.clock.now_ns() + int(hours * _HOUR_NS)
    _print(scanner.ledger.tokens.rotate(name, utc_day(scanner.clock), ends_ns), as_json)


@token.command()
@_name
@json_option
@click.pass_obj
def remove(scanner: Scanner, name: str, as_json: bool) -> None:
    """Take back every token of that name, at once."""
    scanner.ledger.tokens.remove(name)
    if as_json:
        emit_json({"removed": True})


@token.command("list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """Show the tokens there are, without what they are."""
    now_ns = scanner.clock.now_ns()
    shown = [
        {
            "name": each.name,
            "scopes": " ".join(sorted(each.scopes)),
            "made": each.made_day,
            "state": "in force" if each.ends_ns is None else "ends" if each.ends_ns > now_ns else "over",
        }
        for each in scanner.ledger.tokens.listed()
    ]
    if as_json:
        emit_json(shown)
        return
    rows = table("name", "scopes", "made", "state")
    for each in shown:
        rows.add_row(each["name"], each["scopes"], each["made"], each["state"])
    show(rows)


def _print(made: str, as_json: bool) -> None:
    if as_json:
        emit_json({"token": made})
        return
    click.echo(made)
    note("It is shown this once: put it where its user keeps secrets.")


COMMANDS = (token,)
