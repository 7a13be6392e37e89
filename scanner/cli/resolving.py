"""`hashset resolve`: deciding about entries that are listed and known good at once."""

from __future__ import annotations

import click

from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import hashset
from scanner.cli.output import emit_json, json_option, number_of, show, table
from scanner.clock import utc_day
from scanner.errors import UsageError
from scanner.ledger import matches, resolutions
from scanner.ledger.outbox import Occasion
from scanner.ledger.resolutions import Resolution
from scanner.types import Trigger

_DECISIONS = {"report": Resolution.REPORT, "known-good": Resolution.KNOWN_GOOD, "undecided": None}
_SAID = {Resolution.REPORT: "reported", Resolution.KNOWN_GOOD: "known good", None: "held"}


@hashset.command(name="resolve")
@set_name
@click.argument("ref", required=False)
@click.option("--as", "decided", type=click.Choice(list(_DECISIONS)), help="Which list is right, if any.")
@json_option
@click.pass_obj
def resolve(scanner: Scanner, name: str, ref: str | None, decided: str | None, as_json: bool) -> None:
    """Decide about entries of a set whose matches are held, as the content is known good too.

    Without REF it lists them. A decision is about the entry: it also holds for contents that are found later.
    """
    uid = scanner.store.hash_set(name).uid
    if ref is None and decided is None:
        _list(scanner, uid, as_json=as_json)
        return
    if ref is None or decided is None:
        raise UsageError("To decide, name the entry's REF and say --as report or --as known-good.")
    keys = [key for held_ref, key, _ in matches.held(scanner.ledger.db, uid) if held_ref == ref]
    if not keys:
        raise UsageError("No match with an entry of that ref is held: `hashward hashset resolve NAME` lists them.")
    occasion = Occasion(Trigger.RESCAN, utc_day(scanner.clock))
    contents = sum(scanner.ledger.resolve(uid, key, _DECISIONS[decided], occasion) for key in keys)
    if as_json:
        emit_json({"hash_set": name, "ref": ref, "decided": decided, "contents": contents})
    else:
        click.echo(f"{number_of(contents, 'content')}: {_SAID[_DECISIONS[decided]]}.")


def _list(scanner: Scanner, uid: bytes, *, as_json: bool) -> None:
    db = scanner.ledger.db
    held = [(ref, contents, resolutions.of(db, uid, key)) for ref, key, contents in matches.held(db, uid)]
    if as_json:
        emit_json([{"ref": ref, "contents": contents, "decided": decided} for ref, contents, decided in held])
        return
    rows = table("entry", "contents", "matches are", numbers=("contents",))
    for ref, contents, decided in held:
        rows.add_row(ref, f"{contents:,}", _SAID[decided])
    show(rows) if held else click.echo("Nothing is held.")


COMMANDS = ()
