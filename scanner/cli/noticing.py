"""The `notice` command: the page for the people whose uploads are scanned."""

from __future__ import annotations

import click

from scanner.accountability import notice as page
from scanner.api import Scanner
from scanner.cli.output import emit_json, json_option


@click.command()
@json_option
@click.pass_obj
def notice(scanner: Scanner, as_json: bool) -> None:
    """Print the page "For your users", in Markdown, as the configuration and the lists in force have it.

    What the configuration leaves open stands there in brackets. It names no path, address or count.
    """
    roots = bool(scanner.ledger.places.roots())
    topics = page.topics(scanner.config, scanner.store.hash_sets(), roots=roots)
    emit_json(page.as_object(topics)) if as_json else click.echo(page.markdown(topics), nl=False)


COMMANDS = (notice,)
