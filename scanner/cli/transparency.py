"""`hashward transparency`: the report to publish, and the running total of what was disclosed."""

from __future__ import annotations

import click

from scanner.accountability import figures, page, printing, publishing
from scanner.accountability.document import Document
from scanner.accountability.periods import Period, last_over
from scanner.accountability.transparency import ListShown, build
from scanner.api import Scanner
from scanner.cli.output import emit_json, json_option, note
from scanner.clock import utc_day
from scanner.errors import UsageError

_FORMATS = {
    "md": printing.markdown,
    "json": printing.as_json,
    "csv": printing.as_csv,
    "html": page.page,
}


@click.command()
@click.option(
    "--from", "first", metavar="DAY", help="The first UTC day, as YYYY-MM-DD; else the last period's that is over."
)
@click.option("--to", "last", metavar="DAY", help="The last UTC day.")
@click.option("--format", "form", type=click.Choice(tuple(_FORMATS)), help="How it is written; else md.")
@click.option("--publish", is_flag=True, help="Put on record that it is published: a day is published once.")
@click.option("--statement", is_flag=True, help="Instead: upon how many requests data were ever disclosed, dated.")
@json_option
@click.pass_obj
def transparency(
    scanner: Scanner,
    first: str | None,
    last: str | None,
    form: str | None,
    publish: bool,
    statement: bool,
    as_json: bool,
) -> None:
    """Write the transparency report of a period to standard output; without --publish it is a draft."""
    if statement:
        if first or last or publish or form:
            raise UsageError("The statement is of all days up to today: it takes no period, format or --publish.")
        _state(scanner, as_json=as_json)
        return
    if as_json and form not in (None, "json"):
        raise UsageError("--json writes JSON, and --format says another: leave one out.")
    document = _document(scanner, first, last, publish=publish)
    if document.empty and scanner.config.transparency.skip_empty:
        note("There was nothing in that period, so there is no report (transparency.skip_empty).")
        return
    if publish:
        publishing.publish(scanner.ledger.db, document, scanner.clock)
        scanner.audit.drain()
    click.echo(_FORMATS["json" if as_json else form or "md"](document), nl=False)


def _document(scanner: Scanner, first: str | None, last: str | None, *, publish: bool) -> Document:
    today = utc_day(scanner.clock)
    if (first is None) != (last is None):
        raise UsageError("A period has two days: --from and --to.")
    every = scanner.config.transparency.every
    period = last_over(today, every) if first is None or last is None else Period(first, last)
    return build(scanner.ledger.db, _lists(scanner, period), scanner.config, period, today, draft=not publish)


def _lists(scanner: Scanner, period: Period) -> list[ListShown]:
    shown = []
    for each in scanner.store.hash_sets():
        versions = tuple(v.version for v in scanner.store.history(each.name) if period.first <= v.day <= period.last)
        radius = ", ".join(f"{name} within {bits} bits" for name, bits in sorted(each.rule.radius_bits.items()))
        types = ", ".join(sorted(each.rule.hash_types)) or "every hash type it lists"
        shown.append(ListShown(each.name, each.role.value, versions, f"{types}{'; ' if radius else ''}{radius}"))
    return shown


def _state(scanner: Scanner, *, as_json: bool) -> None:
    today = utc_day(scanner.clock)
    total = figures.disclosed_until(scanner.ledger.db, today)
    least, most = banded(total, scanner.config.transparency.suppress_below)
    if as_json:
        emit_json({"day": today, "requests_disclosed": {"least": least, "most": most}})
        return
    if most == 0:
        said = "no data have ever been disclosed to an authority upon its request."
    else:
        number = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        said = f"data have been disclosed to authorities upon {number} of their requests, all told."
    click.echo(f"As of {today}, {said}")


def banded(total: int, k: int) -> tuple[int, int]:
    """The band that a running total is told in: two totals told never differ by less than k, save from none."""
    if not total or k == 1:
        return total, total
    band = total // k
    return max(1, band * k), band * k + k - 1


COMMANDS = (transparency,)
