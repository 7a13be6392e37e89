"""`case register` and `case export`: what was decided, without identities; and the papers of a report to NCMEC."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from scanner.accountability import register
from scanner.accountability.levels import Finding, Level, Reason
from scanner.api import Scanner
from scanner.cli.cases import case
from scanner.cli.output import emit_json, json_option, note, show, table
from scanner.errors import UsageError
from scanner.report_fields import is_day

_FORMATS = ("text", "csv", "json")


@case.command("register")
@click.option("--from", "first_day", metavar="DATE", help="The first UTC day, as YYYY-MM-DD.")
@click.option("--to", "last_day", metavar="DATE", help="The last UTC day.")
@click.option("--outcome", type=click.Choice([each.value for each in Finding]), help="Only decisions of this outcome.")
@click.option("--level", type=click.Choice([each.value for each in Level]), help="Only those of a level.")
@click.option("--reason", type=click.Choice([each.value for each in Reason]), help="Only those with a reason.")
@click.option("--hash-set", help="Only those about matches with a hash set.")
@click.option("--contested/--uncontested", default=None, help="Only those after an appeal, or without one.")
@click.option("--ids", is_flag=True, help="Also the cases' ids: for your own eyes.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_obj
def register_(
    scanner: Scanner,
    first_day: str | None,
    last_day: str | None,
    outcome: str | None,
    level: str | None,
    reason: str | None,
    hash_set: str | None,
    contested: bool | None,
    ids: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show the register of decisions and complaints: what was decided and why, never who or about whom."""
    if any(day is not None and not is_day(day) for day in (first_day, last_day)):
        raise UsageError("A day is written as YYYY-MM-DD.")
    if ids and as_csv:
        raise UsageError("CSV is for giving away: it has no ids.")
    wanted = register.Search(
        first_day, last_day, None if outcome is None else Finding(outcome), None if level is None else Level(level),
        None if reason is None else Reason(reason), hash_set, contested,
    )  # fmt: skip
    if as_csv:
        for line in register.as_csv(register.entries(scanner.ledger.db, wanted)):
            click.echo(line)
    elif ids:
        found = register.search(scanner.ledger.db, wanted)
        _print([{"case": case_id} | asdict(entry) for case_id, entry in found], as_json)
    else:
        _print([asdict(entry) for entry in register.entries(scanner.ledger.db, wanted)], as_json)


def _print(found: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        emit_json(found)
        return
    shown = ("day", "kind", "level", "outcome", "reason", "viewed_by_person", "hash_set", "hash_type", "media", "case")
    names = [name for name in shown if any(name in each for each in found)]
    rows = table(*(name.replace("_", " ") for name in names))
    for each in found:
        rows.add_row(*(_cell(each[name]) for name in names))
    show(rows) if found else click.echo("Nothing of that kind is in the register.")


def _cell(value: object) -> str:
    return "" if value in (None, False) else "yes" if value is True else str(value)


@case.command()
@click.argument("case_id", metavar="CASE")
@click.argument("folder", metavar="DIR")
@click.option(
    "--format", "form", type=click.Choice(["cybertip"]), default="cybertip", show_default=True, help="Whose form."
)
@click.option("--by", "who", required=True, help="Who takes the papers: goes into the audit log.")
@click.option("--report-id", type=click.IntRange(1, 2**63 - 1), help="The report's number, once NCMEC has given it.")
@click.option("--file-id", help="The file's id, once NCMEC has given it.")
@click.option(
    "--industry-classification",
    type=click.Choice(["A1", "A2", "B1", "B2"]),
    help="Only under NCMEC's memorandum on hash sharing.",
)
@json_option
@click.pass_obj
def export(
    scanner: Scanner,
    case_id: str,
    folder: str,
    form: str,
    who: str,
    report_id: int | None,
    file_id: str | None,
    industry_classification: str | None,
    as_json: bool,
) -> None:
    """Write the file details of a CyberTip, with a signed manifest, into DIR: for a person to complete and file.

    Nothing is sent. The hashes are those of the file as it came in. That somebody viewed the file stands there only
    where a decision says so. The audit log has it before DIR does.
    """
    from scanner.accountability import cybertip  # brings cryptography, which no other of these commands needs

    if not folder or "\x00" in folder:
        raise UsageError("The path of the folder is empty or holds a NUL byte.")
    details = cybertip.Details(report_id, file_id, industry_classification)
    done = cybertip.export(scanner, case_id, Path(os.path.abspath(folder)), details, who=who)
    if as_json:
        emit_json({"files": list(done.files), "viewed_by_person": done.viewed, "complete": done.complete})
        return
    click.echo(f"Written: {', '.join(done.files)}.")
    note("It is not a report: complete it and file it with NCMEC. Nothing was sent.")


COMMANDS = ()
