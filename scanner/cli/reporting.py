"""The `reports` group: what may leave, what left, and what is owed."""

from __future__ import annotations

import json

import click

from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, number_of, show, table
from scanner.counts import counts_schema
from scanner.delivery import listeners
from scanner.errors import DeliveryError
from scanner.reports import ReportBody, canonical_json, encode_event, report_schema
from scanner.settings import SinkForm


@click.group(cls=Group)
def reports() -> None:
    """Anonymous match reports: pending, sealed, delivered."""


def _object(body: ReportBody, report_id: str | None) -> dict[str, object]:
    return {"id": report_id, "state": "pending" if report_id is None else "sealed", **json.loads(canonical_json(body))}


@reports.command(name="list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """List every report: all it says, nothing else. With --json one object a line."""
    listed = [_object(body, None) for body in scanner.ledger.sealing.pending()]
    listed += [_object(report.body, report.id) for report, _ in scanner.ledger.sealing.sealed()]
    if as_json:
        for item in listed:
            emit_json(item)
        return
    rows = table(
        "state",
        "kind",
        "hash set",
        "version",
        "ref",
        "type",
        "proximity",
        "media",
        "trigger",
        "day",
        numbers=("version",),
    )
    for item in listed:
        kind = f"{item['kind']} ({item['cause']})" if item["cause"] else item["kind"]
        said = ("hash_set", "listed_version", "ref", "hash_type", "proximity", "media", "trigger", "day")
        rows.add_row(str(item["state"]), str(kind), *(str(item[name]) for name in said))
    show(rows) if listed else click.echo("No reports.")


@reports.command(name="seal")
@json_option
@click.pass_obj
def seal(scanner: Scanner, as_json: bool) -> None:
    """Seal what is pending now: draw random ids, shuffle, and owe each sink what it may hear."""
    sealed = scanner.seal()
    owed = len(scanner.ledger.sealing.owed())
    if as_json:
        emit_json({"sealed": sealed, "batches_owed": owed})
    else:
        click.echo(f"{number_of(sealed, 'report')} sealed; {number_of(owed, 'batch', 'batches')} to deliver.")
        if sealed and not scanner.config.sinks:
            click.echo("No sink is configured, so nothing leaves this machine.")
        elif owed:
            click.echo("Next: `hashward reports deliver`.")
        elif sealed and any(sink.counts is not None for sink in scanner.config.sinks):
            click.echo("Counts are told once their period is over: `hashward reports counts` says when that is.")


@reports.command(name="deliver")
@click.option("--now", is_flag=True, help="Try every owed batch, also those waiting after a failure.")
@json_option
@click.pass_obj
def deliver(scanner: Scanner, now: bool, as_json: bool) -> None:
    """Hand sealed batches to their sinks. Exit 9 while any is still owed."""
    done = scanner.deliver(even_if_waiting=now)
    if as_json:
        emit_json({"delivered": done.delivered, "failed": done.failed, "waiting": done.waiting})
    else:
        batches = number_of(done.delivered, "batch", "batches")
        click.echo(f"{batches} delivered, {done.failed:,} not taken, {done.waiting:,} waiting.")
        if done.failed or done.waiting:
            click.echo("What was not taken stays owed. Later calls try again; `--now` does not wait.")
    if done.failed or done.waiting:
        raise SystemExit(DeliveryError.exit_code)


@reports.command(name="counts")
@json_option
@click.pass_obj
def counts(scanner: Scanner, as_json: bool) -> None:
    """List every count told to sinks of form counts: all it says, nothing else. With --json one object a line."""
    told = scanner.ledger.sealing.counts()
    if as_json:
        for sink, count in told:
            emit_json({"sink": sink, **json.loads(encode_event(count))["data"]})
        return
    rows = table("sink", "hash set", "from", "to", "kind", "version", "type", "media", "count", numbers=("count",))
    for sink, count in told:
        body = count.body
        features = (body.kind, body.listed_version, body.hash_type, body.media)
        said = ("all else", "", "", "") if body.kind is None else tuple(str(feature) for feature in features)
        rows.add_row(sink, body.hash_set, body.first_day, body.last_day, *said, f"{body.count:,}")
    show(rows) if told else click.echo("No counts were told yet.")
    for name, span in scanner.ledger.sealing.counting(listeners(scanner.config)).items():
        click.echo(
            f"{name}: counted from {span.first} to {span.last} ({span.period}); told after that, from {span.k} on."
        )


@reports.command(name="schema")
@click.option("--form", type=click.Choice([str(form) for form in SinkForm]), default="reports", help="Of what.")
@json_option
def schema(form: str, as_json: bool) -> None:
    """Print the JSON Schema of a report, or of a count."""
    printed = counts_schema() if form == SinkForm.COUNTS else report_schema()
    emit_json(printed) if as_json else click.echo(json.dumps(printed, indent=2))


COMMANDS = (reports,)
