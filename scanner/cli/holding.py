"""The `hold` group and `retain`: what must not be erased, and the erasing of what is past its date."""

from __future__ import annotations

import click

from scanner.accountability.cases import is_id
from scanner.accountability.holds import Hold, HoldKind, Holds
from scanner.accountability.retention import Retained, Retention
from scanner.api import Scanner
from scanner.cli.cases import read_ref
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, number_of, show, table
from scanner.cli.progress import bars
from scanner.retain_config import shown


@click.group(cls=Group)
def hold() -> None:
    """Holds: what retention must leave alone, and until when."""


_hold_id = click.argument("hold_id", metavar="HOLD")


def _object(each: Hold) -> dict[str, object]:
    return {
        "hold": each.id, "kind": each.kind.value, "placed": each.placed_day, "until": each.until,
        "request": each.request, "extended": each.extended_day, "receipt": each.receipt,
        "receipt_day": each.receipt_day, "ended": each.ended_day, "ended_for": each.ended_for,
        "eu_ceiling": each.ceiling, "over_eu_ceiling": each.over_ceiling, "erased": each.content_seq is None,
    }  # fmt: skip


def _print(each: Hold, as_json: bool) -> None:
    if as_json:
        emit_json(_object(each))
        return
    click.echo(f"{each.id}: {f'ended on {each.ended_day}' if each.ended_day else f'holds until {each.until}'}")
    if each.ended_day is None and each.receipt is None:
        note("It keeps what the ledger knows, and no file: have the platform preserve that, then `hold receipt`.")
    if each.over_ceiling:
        note(f"It holds past {each.ceiling}, where the EU ceiling of 12 months ends: that is for you to decide.")


@hold.command()
@click.argument("subject", metavar="SUBJECT")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in HoldKind]),
    default=HoldKind.PRESERVATION.value,
    show_default=True,
    help="90 days; or a year from a report to NCMEC.",
)
@click.option("--reported-on", metavar="DATE", help="ncmec_report: the UTC day of the report.")
@click.option("--request", help="Your own number of the request.")
@json_option
@click.pass_obj
def place(
    scanner: Scanner, subject: str, kind: str, reported_on: str | None, request: str | None, as_json: bool
) -> None:
    """Keep what a case or a report is about, or an upload whose ref stands on standard input (`-`)."""
    holds, why = Holds(scanner.ledger.db, scanner.clock), HoldKind(kind)
    if subject == "-":
        made = holds.place_on_ref(scanner.ledger.locations, read_ref(), why, request=request, reported_on=reported_on)
    elif is_id("case", subject):
        made = holds.place_on_case(subject, why, request=request, reported_on=reported_on)
    else:
        made = holds.place_on_report(subject, why, request=request, reported_on=reported_on)
    _print(made, as_json)


@hold.command()
@_hold_id
@click.option("--request", required=True, help="Your own number of the formal request.")
@json_option
@click.pass_obj
def extend(scanner: Scanner, hold_id: str, request: str, as_json: bool) -> None:
    """Extend a preservation by 90 days, once, upon a formal request."""
    _print(Holds(scanner.ledger.db, scanner.clock).extend(hold_id, request), as_json)


@hold.command()
@_hold_id
@click.argument("number")
@json_option
@click.pass_obj
def receipt(scanner: Scanner, hold_id: str, number: str, as_json: bool) -> None:
    """Put on record that the platform preserves the file itself, under a number of its own."""
    _print(Holds(scanner.ledger.db, scanner.clock).receipt(hold_id, number), as_json)


@hold.command()
@_hold_id
@json_option
@click.pass_obj
def release(scanner: Scanner, hold_id: str, as_json: bool) -> None:
    """End a hold before its time: the policy has its way from then on."""
    _print(Holds(scanner.ledger.db, scanner.clock).release(hold_id), as_json)


@hold.command("list")
@click.option("--ended", is_flag=True, help="Also those that are over.")
@json_option
@click.pass_obj
def list_(scanner: Scanner, ended: bool, as_json: bool) -> None:
    """Show the holds there are, and which of them last longer than a ceiling allows."""
    found = Holds(scanner.ledger.db, scanner.clock).listed(ended_too=ended)
    if as_json:
        emit_json([_object(each) for each in found])
        return
    rows = table("hold", "kind", "placed", "until", "platform's receipt", "")
    for each in found:
        aside = "over the EU ceiling" if each.over_ceiling else "ended" if each.ended_day else ""
        kind = each.kind.value.replace("_", " ")
        rows.add_row(each.id, kind, each.placed_day, each.until, each.receipt or "none: no file is preserved", aside)
    show(rows) if found else click.echo("Nothing is held.")


@click.command()
@click.option("--compact", is_flag=True, help="Wipe traces however large the database is: uploads wait meanwhile.")
@json_option
@click.pass_obj
def retain(scanner: Scanner, compact: bool, as_json: bool) -> None:
    """Erase what is past its date by the policy of [retain]; leave what is held, and name what conflicts."""
    with bars() as display:
        display.add("re-scan", left=scanner.behind, from_start=False)
        done = Retention.of(scanner).run(compact=compact)
    emit_json(retained_object(scanner, done)) if as_json else _print_retained(scanner, done)


def retained_object(scanner: Scanner, done: Retained) -> dict[str, object]:
    """What a run did, for programs."""
    return {
        "policy": {name: shown(days) for name, days in scanner.config.retain.classes().items()},
        "erased": {
            name: {"contents": each.contents, "places": each.places, "rows": each.rows}
            for name, each in done.erased.items()
        },
        "kept": {name: {"held": each.held, "waiting": each.waiting} for name, each in done.kept.items()},
        "holds_ended": done.holds_ended,
        "conflicts": done.conflicts,
        "traces": done.traces,
        "wal_in_use": done.wal_in_use,
    }


def _print_retained(scanner: Scanner, done: Retained) -> None:
    rows = table("class", "kept for", "erased", "held", "under way", numbers=("erased", "held", "under way"))
    for name, days in scanner.config.retain.classes().items():
        erased, kept = done.erased.get(name), done.kept.get(name)
        count = "" if erased is None else f"{erased.contents or erased.places or erased.rows:,}"
        rows.add_row(
            name,
            shown(days),
            count,
            "" if kept is None else f"{kept.held:,}",
            "" if kept is None else f"{kept.waiting:,}",
        )
    show(rows)
    if done.holds_ended:
        click.echo(f"{number_of(done.holds_ended, 'hold')} ended.")
    for conflict in done.conflicts:
        click.echo(f"CONFLICT {conflict}")
    if done.erased.get("unmatched") and done.erased["unmatched"].contents:
        note("A list that comes later is not compared with what was erased: only what is met again is.")
    if done.traces:
        note("The database is too large to be written anew beside uploads: `retain --compact` in a quiet hour does it.")
    if done.wal_in_use:
        note("Somebody still reads the -wal, which holds copies of what was erased: the next run empties it.")


COMMANDS = (hold, retain)
