"""The `locations` group: whether the ledger can be read for paths and refs, and sealing it against that."""

from __future__ import annotations

import click

from scanner import storage
from scanner.accountability import sealed_locations
from scanner.accountability.sealed_locations import Standing
from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, number_of
from scanner.cli.progress import bars
from scanner.errors import UsageError

_SAID = {
    Standing.READABLE: "Paths and refs stand in ledger.db as they are: whoever can read the file can read them.",
    Standing.UNFINISHED: "Sealing has not come to its end: `hashward locations seal` goes on.",
    Standing.SEALED: "Paths and refs are sealed: the broker alone opens them, and notes first that it does.",
}


@click.group(cls=Group)
def locations() -> None:
    """Paths and refs in the ledger: sealed, so that only the broker opens them, on record."""


@locations.command(name="show")
@json_option
@click.pass_obj
def show(scanner: Scanner, as_json: bool) -> None:
    """Say whether paths and refs can be read from the ledger."""
    standing = sealed_locations.standing(scanner.ledger.db)
    emit_json({"locations": standing.value}) if as_json else click.echo(_SAID[standing])


@locations.command(name="seal")
@json_option
@click.pass_obj
def seal(scanner: Scanner, as_json: bool) -> None:
    """Seal every path and ref in the ledger, now and from now on; there is no way back.

    Needs a broker ([broker]), and that nothing else uses the home meanwhile. The folders of roots stay readable.
    """
    if scanner.config.broker.socket is None:
        raise UsageError("Sealed locations need a broker, under another user, that opens them: set [broker] socket.")
    with storage.alone(scanner.home):
        keys, before = scanner.keeper.location_keys(), sealed_locations.standing(scanner.ledger.db)
        with bars() as shown:
            sealed = sealed_locations.seal(scanner.ledger.db, keys, scanner.clock, shown.add("sealing"))
        scanner.account()
        scanner.close()
    if as_json:
        emit_json({"locations": Standing.SEALED.value, "sealed": sealed})
        return
    if before is Standing.SEALED:
        click.echo("Sealed already.")
    else:
        click.echo(f"{number_of(sealed, 'place')} sealed, and whatever comes from now on.")
    note("Keep a copy of location.key, of the broker's home, with your secrets, apart from backups of ledger.db:")
    note("without it no case can be opened, and nothing be walked.")


COMMANDS = (locations,)
