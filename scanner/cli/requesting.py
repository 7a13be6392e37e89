"""The `request` group: the register of authorities' requests."""

from __future__ import annotations

import sys

import click

from scanner.accountability import request_form
from scanner.accountability.request_rules import Checked, Weight
from scanner.accountability.request_words import Data, Request
from scanner.accountability.requests import Decision, Entry, RequestOutcome, Requests, Why
from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, number_of, show, table
from scanner.errors import UsageError

_MAX_LETTERS = 2000


@click.group(cls=Group)
def request() -> None:
    """Requests of authorities: checked, recorded, decided by people, counted. Discloses nothing."""


def _register(scanner: Scanner) -> Requests:
    return Requests(scanner.ledger.db, scanner.clock, scanner.config.requests)


def _form(file: str) -> Request:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(request_form.MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                content = stream.read(request_form.MAX_BYTES + 1)
    except (OSError, ValueError):
        raise UsageError("There is no form to be read at that path.") from None
    return request_form.parse(content)


def _note_home(scanner: Scanner) -> None:
    """Without a country of its own every request is a foreign one: whoever begins is told."""
    if not scanner.config.requests.home:
        note("No country is named in requests.home, so every request counts as foreign.")


def _checked_object(checked: Checked) -> dict[str, object]:
    return {
        "answer": checked.answer.value,
        "data": sorted(checked.data),
        "findings": [{"code": f.code, "weight": f.weight.value, "field": f.field or None} for f in checked.findings],
    }


def _say_findings(findings: list[tuple[str, str, str]]) -> None:
    words = {
        Weight.REFUSE.value: "refuse",
        Weight.ASK_AGAIN.value: "ask again",
        Weight.IN_PART.value: "in part",
        Weight.NOTE.value: "note",
    }
    for code, weight, field in findings:
        click.echo(f"  {words[weight]}: {code.replace('_', ' ')}{f' ({field})' if field else ''}")


def _object(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "received": entry.received,
        "recorded": entry.recorded,
        "ask": entry.ask.value,
        "category": entry.category,
        "jurisdiction": entry.jurisdiction or None,
        "answer": entry.answer.value,
        "findings": [
            {"code": code, "weight": weight, "field": field or None} for code, weight, field in entry.findings
        ],
        "outcome": None if entry.outcome is None else entry.outcome.value,
        "decided": entry.decided,
        "notice": {"due": entry.notice_due, "why": entry.notice_why, "told": entry.told},
    }


@request.command(name="template")
@json_option
def template(as_json: bool) -> None:
    """Print the empty form of a request, each field explained."""
    if as_json:
        emit_json([{"field": f.name, "meaning": f.meaning, "may_be": f.may_be} for f in request_form.FORM])
    else:
        click.echo(request_form.template())


@request.command(name="check")
@click.argument("file")
@json_option
@click.pass_obj
def check(scanner: Scanner, file: str, as_json: bool) -> None:
    """Check a filled form (`-`: standard input) and record nothing."""
    checked = _register(scanner).check(_form(file))
    if as_json:
        emit_json(_checked_object(checked))
        return
    click.echo(f"The check says: {checked.answer.value.replace('_', ' ')}.")
    _note_home(scanner)
    _say_findings([(f.code, f.weight.value, f.field) for f in checked.findings])


@request.command(name="add")
@click.argument("file")
@json_option
@click.pass_obj
def add(scanner: Scanner, file: str, as_json: bool) -> None:
    """Record a filled form (`-`: standard input), valid or not: every request that came is counted."""
    entry = _register(scanner).add(_form(file))
    scanner.audit.drain()
    if as_json:
        emit_json(_object(entry))
        return
    click.echo(f"Recorded as {entry.id}. The check says: {entry.answer.value.replace('_', ' ')}.")
    _note_home(scanner)
    _say_findings(list(entry.findings))
    click.echo(f"A person decides: `hashward request outcome {entry.id} ...`.")


@request.command(name="outcome")
@click.argument("request_id", metavar="ID")
@click.argument("outcome", type=click.Choice([each.value for each in RequestOutcome]))
@click.option(
    "--reason", required=True, type=click.Choice([each.value for each in Why]), help="Why, in a word that is counted."
)
@click.option("--by", required=True, help="Who decided.")
@click.option("--because", default="", help="Why, in your own words; kept here, under retention.")
@click.option(
    "--data",
    "data",
    multiple=True,
    type=click.Choice([each.value for each in Data]),
    help="A class of data that was given.",
)
@click.option("--against-check", is_flag=True, help="Granted although the check says otherwise; that is published.")
@json_option
@click.pass_obj
def outcome(
    scanner: Scanner,
    request_id: str,
    outcome: str,
    reason: str,
    by: str,
    because: str,
    data: tuple[str, ...],
    against_check: bool,
    as_json: bool,
) -> None:
    """Note what people decided of a request; it discloses nothing by itself."""
    for text in (by, because):
        if len(text) > _MAX_LETTERS or not text.isprintable() or (text is by and not text.strip()):
            raise UsageError(
                "Who decided, and why, are printable texts of at most 2,000 letters; who may not be empty."
            )
    given = frozenset(Data(word) for word in data)
    decision = Decision(RequestOutcome(outcome), Why(reason), given, by, because, against_check)
    entry = _register(scanner).decide(request_id, decision)
    scanner.audit.drain()
    if as_json:
        emit_json(_object(entry))
        return
    click.echo(f"Noted. {_about_notice(entry)}")


def _about_notice(entry: Entry) -> str:
    why = (entry.notice_why or "").replace("_", " ")
    if entry.notice_due is None:
        return f"Nobody is to be told ({why})."
    return f"The person affected is to be told by {entry.notice_due} ({why}): then `request notified {entry.id}`."


@request.command(name="notified")
@click.argument("request_id", metavar="ID")
@json_option
@click.pass_obj
def notified(scanner: Scanner, request_id: str, as_json: bool) -> None:
    """Note that the person affected by a request was told of it."""
    entry = _register(scanner).notified(request_id)
    scanner.audit.drain()
    emit_json(_object(entry)) if as_json else click.echo("Noted.")


@request.command(name="list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """List every request: what it was, and what became of it; no names."""
    entries = _register(scanner).listed()
    if as_json:
        emit_json([_object(entry) for entry in entries])
        return
    rows = table("id", "received", "from", "category", "check", "outcome", "notice")
    for each in entries:
        told = "told" if each.told else each.notice_due or "-"
        state = "open" if each.outcome is None else each.outcome.value
        rows.add_row(each.id, each.received, each.jurisdiction or "?", each.category, each.answer.value, state, told)
    show(rows) if entries else click.echo("No request is on record: `hashward request template` prints the form.")


@request.command(name="show")
@click.argument("request_id", metavar="ID")
@json_option
@click.pass_obj
def show_(scanner: Scanner, request_id: str, as_json: bool) -> None:
    """Show one request whole, with the particulars that people gave."""
    entry = _register(scanner).entry(request_id)
    said = None if entry.request is None else request_form.written(entry.request)
    if as_json:
        emit_json(_object(entry) | {"particulars": said})
        return
    click.echo(f"{entry.id}: {entry.category}, received {entry.received}, check: {entry.answer.value}")
    _say_findings(list(entry.findings))
    for name, value in (said or {}).items():
        click.echo(f"  {name}: {', '.join(value) if isinstance(value, list) else value}")
    if said is None:
        click.echo("  What it said was erased, as retention has it.")
    if entry.outcome is not None:
        click.echo(f"Decided {entry.decided}: {entry.outcome.value}. {_about_notice(entry)}")


@request.command(name="due")
@click.option("--days", type=click.IntRange(0, 366), default=14, help="What falls due within so many days; else 14.")
@json_option
@click.pass_obj
def due(scanner: Scanner, days: int, as_json: bool) -> None:
    """Show what falls due: people to tell, answers that are owed, holds that end."""
    found = _register(scanner).due(days)
    if as_json:
        emit_json([{"day": day, "id": id_, "what": what} for day, id_, what in found])
        return
    for day, id_, what in found:
        click.echo(f"{day}  {id_}  {what}")
    if not found:
        note(f"Nothing falls due within {number_of(days, 'day')}.")


COMMANDS = (request,)
