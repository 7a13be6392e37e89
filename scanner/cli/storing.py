"""The `storage` group: how the databases lie on the disk, and under which key."""

from __future__ import annotations

from pathlib import Path

import click

from scanner import storage as at_rest
from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option
from scanner.config import StorageConfig, key_of
from scanner.errors import UsageError


@click.group(cls=Group)
def storage() -> None:
    """Encryption of both databases on the disk, under the key that [storage] names."""


@storage.command(name="show")
@json_option
@click.pass_obj
def show(scanner: Scanner, as_json: bool) -> None:
    """Say which databases are encrypted, and what else in the home is not."""
    standing = at_rest.standing(scanner.home)
    clear = {name: what for name, what in at_rest.IN_THE_CLEAR if (scanner.home.folder / name).exists()}
    if as_json:
        emit_json({"key": scanner.key is not None, "databases": standing, "in_the_clear": clear})
        return
    for name, state in standing.items():
        click.echo(f"{name}: {state}")
    click.echo("A key is configured." if scanner.key is not None else "No key is configured ([storage]).")
    if clear:
        click.echo("Not encrypted by that key, so put the home on an encrypted file system:")
        for name, what in clear.items():
            click.echo(f"  {name}: {what}")


@storage.command(name="encrypt")
@click.option("--from", "old_file", metavar="FILE", help="The key they are under so far, where it is to be replaced.")
@json_option
@click.pass_obj
def encrypt(scanner: Scanner, old_file: str | None, as_json: bool) -> None:
    """Put both databases under the configured key; nothing else may use the home meanwhile."""
    if scanner.key is None:
        raise UsageError("No key is configured: `openssl rand -hex 32` makes one, storage.key_file names its file.")
    old = None if old_file is None else key_of(StorageConfig(key_file=Path(old_file)), scanner.home)
    _told(at_rest.put_under(scanner.home, scanner.key, old), "encrypted", as_json)
    if not as_json:
        click.echo("Keep a copy of the key elsewhere: without it the databases are lost.")


@storage.command(name="decrypt")
@json_option
@click.pass_obj
def decrypt(scanner: Scanner, as_json: bool) -> None:
    """Put both databases under no key; take [storage] out of the configuration afterwards."""
    if scanner.key is None:
        raise UsageError("No key is configured: leave [storage] as it is until the databases are decrypted.")
    _told(at_rest.put_under(scanner.home, None, scanner.key), "decrypted", as_json)
    if not as_json:
        click.echo("Now take the key out of the configuration.")


def _told(changed: list[str], how: str, as_json: bool) -> None:
    if as_json:
        emit_json({how: changed})
    else:
        click.echo(f"{how}: {', '.join(changed)}." if changed else "Nothing was to be done.")


COMMANDS = (storage,)
