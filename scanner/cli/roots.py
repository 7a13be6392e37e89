"""The `root` group: where storage lies."""

from __future__ import annotations

import os

import click

from scanner.api import Scanner
from scanner.cli.groups import Group, root_name
from scanner.cli.output import emit_json, json_option, printable, show, table
from scanner.errors import UsageError
from scanner.ledger import volumes
from scanner.ledger.assets import Root


@click.group(cls=Group)
def root() -> None:
    """Configured storage locations."""


def _folder(path: str) -> bytes:
    real = os.path.realpath(os.fsencode(path)) if path and "\x00" not in path else b""
    if not os.path.isdir(real):
        raise UsageError("There is no folder at that path.")
    return real


def _object(each: Root) -> dict[str, object]:
    return {
        "name": each.name,
        "path": os.fsdecode(each.path),
        "suspect": each.suspect,
        "walks": each.walks,
        "completed": each.completed_walk > 0,
    }


@root.command(name="add")
@root_name
@click.argument("path")
@json_option
@click.pass_obj
def add(scanner: Scanner, name: str, path: str, as_json: bool) -> None:
    """Add a folder as a root under a name."""
    if name in {each.name for each in scanner.ledger.places.roots()}:
        raise UsageError("There is a root of that name already.")
    added = scanner.ledger.places.add_root(_folder(path), name)
    emit_json(_object(added)) if as_json else click.echo(f"Root {added.name} added: `hashward scan {added.name}`.")


@root.command(name="list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """List the roots and how they stand."""
    roots = scanner.ledger.places.roots()
    if as_json:
        emit_json([_object(each) for each in roots])
        return
    rows = table("name", "standing", "walks", "path", numbers=("walks",))
    for each in roots:
        standing = f"suspect ({each.suspect})" if each.suspect else "trusted" if each.completed_walk else "not walked"
        rows.add_row(each.name, standing, str(each.walks), printable(each.path))
    show(rows) if roots else click.echo("No roots yet: `hashward root add NAME PATH`.")


@root.command(name="accept")
@root_name
@json_option
@click.pass_obj
def accept(scanner: Scanner, name: str, as_json: bool) -> None:
    """Take a suspect root as it now is: from the next walk on its losses count."""
    scanner.ledger.places.accept_root(name)
    _say(scanner, name, as_json, f"Root {name} is accepted as it is; the next walk learns it anew.")


@root.command(name="move")
@root_name
@click.argument("path")
@json_option
@click.pass_obj
def move(scanner: Scanner, name: str, path: str, as_json: bool) -> None:
    """Say that a root lies elsewhere now; nothing is read again."""
    scanner.ledger.places.move_root(name, _folder(path))
    _say(scanner, name, as_json, f"Root {name} moved.")


def _say(scanner: Scanner, name: str, as_json: bool, story: str) -> None:
    emit_json(_object(scanner.ledger.places.root(name))) if as_json else click.echo(story)


@root.command(name="region")
@root_name
@click.argument("label", required=False)
@click.option("--none", "taken_back", is_flag=True, help="Take the label back.")
@json_option
@click.pass_obj
def region(scanner: Scanner, name: str, label: str | None, taken_back: bool, as_json: bool) -> None:
    """Count what a root holds under a region in transparency reports, such as EU, from now on."""
    if taken_back == (label is not None):
        raise UsageError("Name the region, or take it back with --none.")
    volumes.label_root(scanner.ledger.db, scanner.ledger.places.root(name).id, label)
    emit_json({"name": name, "region": label}) if as_json else click.echo("Noted, from now on.")


@root.command(name="remove")
@root_name
@json_option
@click.pass_obj
def remove(scanner: Scanner, name: str, as_json: bool) -> None:
    """Forget a root: its files are gone for us, nothing is sent."""
    scanner.ledger.places.remove_root(name)
    emit_json({"removed": name}) if as_json else click.echo(f"Root {name} removed.")


COMMANDS = (root,)
