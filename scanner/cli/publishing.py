"""`hashset publish`: a set as a signed bundle, so that one site can feed many."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import hashset
from scanner.cli.output import emit_json, json_option, number_of
from scanner.errors import UsageError

KEYS_NAME = "bundle-keys"


@hashset.command(name="publish")
@set_name
@click.argument("folder", metavar="DIR")
@click.option("--days", type=click.IntRange(1, 365), default=7, show_default=True, help="How long it is good for.")
@json_option
@click.pass_obj
def publish_(scanner: Scanner, name: str, folder: str, days: int, as_json: bool) -> None:
    """Write a set's entries into DIR as a signed bundle, which other sites take as a source of kind bundle.

    Publish only what you may give away. Run it again before it expires, changed or not. The keys are made in the folder
    bundle-keys of the home; each bundle has its own. Carry DIR/metadata/1.root.json to subscribers by a way they trust.
    """
    from hashsets.bundles.publishing import publish

    if not folder or "\x00" in folder:
        raise UsageError("The path of the folder is empty or holds a NUL byte.")
    found = scanner.store.hash_set(name)
    now = datetime.fromtimestamp(scanner.clock.now_ns() // 10**9, UTC)
    keys = scanner.home.folder / KEYS_NAME / found.uid.hex()
    entries = scanner.store.entries(found.uid)
    done = publish(Path(os.path.abspath(folder)), keys, entries, now=now, life=timedelta(days=days))
    if as_json:
        emit_json({"version": done.version, "entries": done.entries, "changed": done.changed, "days": days})
        return
    what = "" if done.changed else ", the same list as before"
    click.echo(
        f"{name}: bundle version {done.version:,}, {number_of(done.entries, 'entry', 'entries')}{what}, good for"
        f" {number_of(days, 'day')}"
    )


COMMANDS = ()
