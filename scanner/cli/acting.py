"""The `actions` group: what the operator's own system was told to do, and is owed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import click

from scanner.accountability.opening import told
from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, number_of, place_text, show, table
from scanner.errors import DeliveryError
from scanner.ledger.actions import Listed


@click.group(cls=Group)
def actions() -> None:
    """Restrict, review and release: what your own system is told of matches."""


def _time(ns: int | None) -> str | None:
    return None if ns is None else f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _object(item: Listed) -> dict[str, object]:
    return {
        "id": item.id,
        "verb": item.verb.value,
        "tier": item.tier.value,
        "state": item.state,
        "attempts": item.attempts,
        "drawn": _time(item.drawn_ns),
        "delivered": _time(item.delivered_ns),
    }


def _listed(scanner: Scanner, show_paths: bool) -> Iterable[tuple[Listed, bytes | None]]:
    """Every action, with what it is about where that was asked for: then it is on record before any is printed."""
    if not show_paths:
        return ((item, None) for item in scanner.ledger.actions.listed())
    items = list(scanner.ledger.actions.listed())
    ids = [item.asset_id for item in items]
    return zip(items, told(scanner.audit, scanner.ledger, "actions list --show-paths", ids), strict=True)


@actions.command(name="list")
@click.option("--show-paths", is_flag=True, help="Print the refs and paths they are about. They are for you alone.")
@json_option
@click.pass_obj
def list_(scanner: Scanner, show_paths: bool, as_json: bool) -> None:
    """List every action: owed, delivered, or dropped as no longer true. With --json one object a line."""
    rows = table("id", "verb", "tier", "state", "attempts", "drawn", "delivered", *(["about"] * show_paths))
    listed = 0
    for item, place in _listed(scanner, show_paths):
        listed += 1
        said = _object(item)
        if show_paths:
            said["about"] = place_text(place)
        if as_json:
            emit_json(said)
        else:
            rows.add_row(*("" if each is None else str(each) for each in said.values()))
    if not as_json:
        show(rows) if listed else click.echo("No actions.")


@actions.command(name="deliver")
@click.option("--now", is_flag=True, help="Try every owed action, also those waiting after a failure.")
@json_option
@click.pass_obj
def deliver(scanner: Scanner, now: bool, as_json: bool) -> None:
    """Tell your own system what is due. Exit 9 while any action is still owed."""
    done = scanner.act(even_if_waiting=now)
    if as_json:
        emit_json({"delivered": done.delivered, "failed": done.failed, "waiting": done.waiting})
    else:
        click.echo(f"{number_of(done.delivered, 'action')} taken, {done.failed:,} not taken, {done.waiting:,} waiting.")
        if done.elsewhere:
            click.echo("Another hashward process is telling them just now.")
    if done.failed or done.waiting:
        raise SystemExit(DeliveryError.exit_code)


COMMANDS = (actions,)
