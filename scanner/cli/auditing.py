"""The `audit` group: the record of who looked and what was changed, begun, pinned, checked and read."""

from __future__ import annotations

import secrets
import sys

import click

from scanner.accountability import keeping
from scanner.accountability.audit import Event, software, utc_second
from scanner.accountability.chain import Fault, Key, Line, Pin, Verified
from scanner.accountability.keeping import Entry
from scanner.api import Scanner
from scanner.cli.groups import Group
from scanner.cli.output import emit_json, json_option, note, number_of, printable, show, table
from scanner.errors import AuditError, UsageError

_SAID = {
    Fault.SPELLING: "is no line as hashward writes them",
    Fault.SEQUENCE: "has not the number that follows",
    Fault.CHAIN: "is not the line that stood there, or does not follow the one before",
    Fault.KEY: "was not written with its key",
    Fault.CUT: "is not where the log ended: it was cut, or the key was put back",
    Fault.KEEPER: "is the last, but audit.key is gone or damaged, so nobody can say whether that is all",
    Fault.PIN: "is not the line that was pinned, or the log ends before that",
}
_MAX_KEY_BYTES = 1000
_FIRST = ("set", "section", "report", "case", "what", "changed", "settings", "basis", "by")  # what people look for


@click.group(cls=Group)
def audit() -> None:
    """The audit log: who opened what and why, and every change of sets, settings and software."""


@audit.command()
@json_option
@click.pass_obj
def init(scanner: Scanner, as_json: bool) -> None:
    """Begin the audit log and print its verification key, once.

    The key checks the log and cannot be read back from this machine: keep it elsewhere, off it.
    """
    scanner.home.create()
    at = utc_second(scanner.clock.now_ns())
    begun = Entry(secrets.token_hex(16), at, Event.AUDIT_BEGUN, {"software": software()})

    def shown(key: str) -> None:
        emit_json({"verification_key": key}) if as_json else click.echo(key)
        sys.stdout.flush()

    scanner.keeper.begin(begun, shown)
    note("It is shown this once: keep it off this machine, for `hashward audit verify --key-file`.")
    note("Note a pin elsewhere from time to time: `hashward audit pin`.")


@audit.command()
@json_option
@click.pass_obj
def pin(scanner: Scanner, as_json: bool) -> None:
    """Print what stands for the log as it is now, to be noted elsewhere: later it shows that nothing was cut off."""
    made = keeping.pin(scanner.keeper)
    emit_json({"pin": made.text(), "line": made.seq}) if as_json else click.echo(made.text())


@audit.command()
@click.option("--pin", "pinned", metavar="PIN", help="What `audit pin` printed once.")
@click.option("--key-file", metavar="FILE", help="A file with the verification key; `-` reads standard input.")
@json_option
@click.pass_obj
def verify(scanner: Scanner, pinned: str | None, key_file: str | None, as_json: bool) -> None:
    """Check the log line by line. Exit 6 when something is wrong.

    Without the verification key, whoever had the whole machine could have written it anew; without a pin, put back an
    earlier state of it.
    """
    key = None if key_file is None else _key(key_file)
    found = keeping.verify(scanner.keeper, None if pinned is None else Pin.of_text(pinned), key)
    emit_json(_verified_object(found)) if as_json else _print_verified(found)
    if not found.sound:
        raise SystemExit(AuditError.exit_code)


def _key(key_file: str) -> Key:
    try:
        if key_file == "-":
            content = sys.stdin.buffer.read(_MAX_KEY_BYTES)
        else:
            with open(key_file, "rb") as file:
                content = file.read(_MAX_KEY_BYTES)
    except (OSError, ValueError):
        raise UsageError("The file of the verification key cannot be read.") from None
    return Key.of_text(content.decode("ascii", "replace"))


def _verified_object(found: Verified) -> dict[str, object]:
    return {
        "sound": found.sound,
        "lines": found.lines,
        "problems": [{"line": each.line, "fault": each.fault.value} for each in found.problems],
        "keys_checked": found.keyed,
        "pin_checked": found.pinned,
        "unfinished": found.unfinished,
    }


def _print_verified(found: Verified) -> None:
    for each in found.problems:
        click.echo(f"Line {each.line:,} {_SAID[each.fault]}.")
    if found.sound:
        checked = "their keys" if found.keyed else "not by their keys (--key-file)"
        click.echo(f"{number_of(found.lines, 'line')}, nothing wrong; checked: the chain, {checked}.")
    if not found.pinned:
        note("Only a pin (--pin) shows that no earlier state of log and key was put back.")
    if found.unfinished:
        note("Behind the last line stands a piece that a kill left; the next line written takes its place.")


@audit.command(name="show")
@click.option("--event", type=click.Choice([event.value for event in Event]), help="Only lines of this kind.")
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@json_option
@click.pass_obj
def show_(scanner: Scanner, event: str | None, last: int | None, as_json: bool) -> None:
    """Show the lines, oldest first. With --json one object a line. It checks nothing: `audit verify` does."""
    lines = [line for line in keeping.lines(scanner.keeper) if event is None or line.event == event]
    chosen = lines if last is None else lines[-last:]
    if as_json:
        for line in chosen:
            emit_json(_line_object(line))
        return
    rows = table("line", "when (UTC)", "user", "what", "particulars", numbers=("line",))
    for line in chosen:
        ordered = sorted(line.particulars.items(), key=lambda item: _FIRST.index(item[0]) if item[0] in _FIRST else 99)
        said = " ".join(f"{_shown(name)}={_shown(value)}" for name, value in ordered if value not in (None, ""))
        rows.add_row(str(line.seq), line.at, str(line.user), _shown(line.event), said)
    show(rows) if chosen else click.echo("No lines.")


def _line_object(line: Line) -> dict[str, object]:
    return {
        "line": line.seq,
        "at": line.at,
        "event": line.event,
        "user": line.user,
        "particulars": dict(line.particulars),
    }


def _shown(value: object) -> str:
    return printable(str(value).encode("utf-8", "surrogatepass"))


COMMANDS = (audit,)
