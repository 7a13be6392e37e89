"""`case open` and `case find`: who looks behind a report, on record before anything is told."""

from __future__ import annotations

import sys

import click

from scanner.accountability.opening import MOST_SOUGHT, Basis, Found, Opened, Openings, Sought
from scanner.api import MAX_REF_BYTES, Scanner
from scanner.cli.cases import case
from scanner.cli.output import emit_json, json_option, note, place_text
from scanner.errors import UsageError

_by = click.option("--by", required=True, metavar="NAME", help="Who looks: a-z, 0-9, `.`, `_` and `-`.")


@case.command(name="open")
@click.argument("id_", metavar="REPORT|CASE")
@click.option("--basis", type=click.Choice([each.value for each in Basis]), required=True, help="On what ground.")
@click.option("--because", required=True, metavar="TEXT", help="Why, in words. It stays in the audit log for good.")
@_by
@json_option
@click.pass_obj
def open_(scanner: Scanner, id_: str, basis: str, because: str, by: str, as_json: bool) -> None:
    """Tell where that is which a report, or a case, is about: the path, or the platform's own ref.

    The audit log has it, on disk, before anything is printed; without the log nothing is.
    """
    opened = Openings(scanner.ledger.db, scanner.ledger.locations, scanner.audit, scanner.clock).open(
        id_, Basis(basis), because, by
    )
    emit_json(_opened_object(opened)) if as_json else _print_opened(opened)


def _opened_object(opened: Opened) -> dict[str, object]:
    places = [
        {
            "kind": "upload" if each.is_upload else "file",
            "where": None if each.where is None else each.where.decode("utf-8", "surrogateescape"),
            "present": each.present,
        }
        for each in opened.places
    ]
    sha256 = None if opened.sha256 is None else opened.sha256.hex()
    return {"case": opened.case.id, "places": places, "sha256": sha256, "audit_line": opened.line}


def _print_opened(opened: Opened) -> None:
    for each in opened.places:
        click.echo(f"{place_text(each.where)}{'' if each.present else '   (no longer there)'}")
    if opened.sha256 is not None:
        click.echo(f"sha256 {opened.sha256.hex()}")
    note(f"Case {opened.case.id}. On record in line {opened.line:,} of the audit log.")


@case.command(name="find")
@_by
@click.option(
    "--as", "kind", type=click.Choice([each.value for each in Sought]), help="What they are; else their look says."
)
@click.option("--null", "-z", is_flag=True, help="Values end in a NUL byte, not in a newline.")
@json_option
@click.pass_obj
def find(scanner: Scanner, by: str, kind: str | None, null: bool, as_json: bool) -> None:
    """Tell whether reports, refs or digests (MD5, SHA-1, SHA-256) are known, and under which reports and cases.

    They are read from standard input, one a line, and neither printed nor recorded; no path or ref is told. That
    somebody looked is in the audit log. With --json one object a line, in the order of the values.
    """
    values = _values(b"\0" if null else b"\n")
    wanted = None if kind is None else Sought(kind)
    openings = Openings(scanner.ledger.db, scanner.ledger.locations, scanner.audit, scanner.clock)
    for number, found in enumerate(openings.find(values, by, wanted), 1):
        emit_json(_found_object(found)) if as_json else click.echo(f"{number}: {_sentence(found)}")


def _values(end: bytes) -> list[bytes]:
    """The values on standard input. Raises UsageError."""
    most = MOST_SOUGHT * (MAX_REF_BYTES + 1)
    content = sys.stdin.buffer.read(most + 1)
    values = [value.rstrip(b"\r") if end == b"\n" else value for value in content.split(end)]
    values = [value for value in values if value]
    if not values:
        raise UsageError("There is nothing on standard input: values are read from there, one a line.")
    if len(content) > most or len(values) > MOST_SOUGHT or any(len(value) > MAX_REF_BYTES for value in values):
        raise UsageError(f"At most {MOST_SOUGHT:,} values of at most {MAX_REF_BYTES} bytes are looked for at once.")
    return values


def _found_object(found: Found) -> dict[str, object]:
    return {
        "kind": found.kind.value,
        "known": found.known,
        "reports": list(found.reports),
        "cases": list(found.cases),
    }


def _sentence(found: Found) -> str:
    if not found.known:
        return f"{found.kind.value} not known"
    reports = ", ".join(found.reports) or "none sealed"
    return f"{found.kind.value} known; reports: {reports}; cases: {', '.join(found.cases) or 'none'}"


COMMANDS = ()
