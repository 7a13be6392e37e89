"""`hashset import`: one list file into one set."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from hashsets.formats import Options
from hashsets.refresh import RefreshSummary, import_list, is_complete
from hashsets.sources import Source
from hashsets.sources.file import FileSource, open_list_file
from hashsets.types import Mode, Role, Rule
from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import ROLES, hashset
from scanner.cli.output import counts, emit_json, json_option, number_of
from scanner.cli.progress import Advance, Bars, bars
from scanner.clock import utc_day
from scanner.curation import Curation
from scanner.errors import UsageError
from scanner.feeds import chosen_categories
from scanner.isolation.databases import read_database
from scanner.rehearsal import Rehearsal, rehearsing


@hashset.command(name="import")
@set_name
@click.argument("file")
@click.option("--type", "type_name", help="The hash type of a bare list's values.")
@click.option(
    "--category", "categories", multiple=True, metavar="CODE[=AS]",
    help="Take records of this category (VICS), under another code if one is given; all for every one.",
)  # fmt: skip
@click.option("--role", type=ROLES, default=Role.ALERT.value, help="What a match means; of a set this creates.")
@click.option("--add", is_flag=True, help="The list adds to what is listed.")
@click.option("--complete", is_flag=True, help="The list is the whole set: what it lacks is withdrawn.")
@click.option("--allow-shrink", is_flag=True, help="Withdraw even more than a fifth of the set and 100 entries.")
@click.option("--approve", is_flag=True, help="Let its matches be reported at once, without looking at them first.")
@click.option("--dry-run", is_flag=True, help="Say what would change and what it matches, and change nothing.")
@json_option
@click.pass_obj
def import_(
    scanner: Scanner,
    name: str,
    file: str,
    type_name: str | None,
    categories: tuple[str, ...],
    role: str,
    add: bool,
    complete: bool,
    allow_shrink: bool,
    approve: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import a list into a set, which is created if there is none of that name.

    A new set is in shadow: it matches, and nothing of that is reported until `hashset approve`.
    FILE is a list file, or `-` for standard input. The format is recognised by content. A refused list changes nothing.
    """
    known = {each.name: each for each in scanner.store.hash_sets()}.get(name)
    if known is not None and known.role != role and role != Role.ALERT.value:
        raise UsageError("The set has another role: `hashward hashset set NAME --role` changes it.")
    whole = is_complete(known, add=add, complete=complete)
    with contextlib.ExitStack() as held:
        stream, display = held.enter_context(_opened(file)), held.enter_context(bars())
        options = Options(type_name, chosen_categories(categories), read_database)
        source: Source = FileSource(stream, complete=whole, options=options)
        tried: Rehearsal | None = None
        if dry_run:
            set_role, rule = (Role(role), Rule()) if known is None else (known.role, known.rule)
            scanner.home.create()
            source = tried = held.enter_context(rehearsing(source, scanner.home.folder, set_role, rule, scanner.key))
        summary = import_list(
            scanner.store,
            name,
            source,
            day=utc_day(scanner.clock),
            role=Role(role),
            allow_shrink=allow_shrink,
            dry_run=dry_run,
            progress=_import_bar(display, stream),
        )
        would = None if tried is None else tried.would_match(scanner.ledger, utc_day(scanner.clock))
    if approve and not dry_run:
        Curation.of(scanner).approve_at_once(name)
    if as_json:
        emit_json(summary_object(summary) | ({} if would is None else {"would_match": asdict(would)}))
    else:
        print_summary(summary)
        if would is not None:
            click.echo(f"  its entries match {would.contents:,} of {number_of(would.of, 'content')} held")
    if not dry_run and not as_json:
        tell_of_shadow(scanner, name)


def tell_of_shadow(scanner: Scanner, name: str) -> None:
    """Say that nothing of a set is reported, and what to do about it."""
    if scanner.store.hash_set(name).mode is Mode.SHADOW:
        click.echo(f"In shadow: matches are recorded and none is reported until `hashward hashset approve {name}`.")


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        if sys.stdin is None:
            raise UsageError("Standard input is closed: there is no list to read.")
        yield sys.stdin.buffer
        return
    if not file or "\x00" in file:
        raise UsageError("The path of the list is empty or holds a NUL byte.")
    with open_list_file(Path(file)) as stream:
        yield stream


def _import_bar(display: Bars, stream: BinaryIO) -> Advance:
    """Progress of an import: over the list's size where it is a file, over its records where it comes by a pipe.

    Once the list is read it is compared with what was listed before, and put in force.
    """
    described = os.fstat(stream.fileno())
    if not stat.S_ISREG(described.st_mode):
        return display.add("records")
    total = described.st_size // 1024
    done = 0
    advance = display.add("KiB read", left=lambda: total - done)

    def page_read(_records: int) -> None:
        nonlocal done
        before, done = done, min(os.lseek(stream.fileno(), 0, os.SEEK_CUR) // 1024, total)
        advance(done - before)
        if before < done == total:
            display.add("compare")

    return page_read


def summary_object(summary: RefreshSummary) -> dict[str, object]:
    """A summary for programs."""
    return {
        "hash_set": summary.hash_set,
        "version": summary.version,
        "entries": summary.entries,
        "added": summary.added,
        "changed": summary.changed,
        "withdrawn": summary.withdrawn,
        "unchanged": summary.unchanged,
        "rejected": dict(summary.rejected),
        "first_line": dict(summary.first_line),
        "unmatchable": dict(summary.unmatchable),
        "filtered": dict(summary.filtered),
        "unknown_columns": summary.unknown_columns,
        "unsaid": summary.unsaid,
        "dry_run": summary.dry_run,
    }


def print_summary(summary: RefreshSummary) -> None:
    """A summary for people."""
    changes = bool(summary.added or summary.changed or summary.withdrawn)
    version = f"would be version {summary.version + changes}" if summary.dry_run else f"version {summary.version}"
    click.echo(
        f"{summary.hash_set}: {version}, {number_of(summary.entries, 'entry', 'entries')}"
        f" ({summary.added:,} added, {summary.changed:,} changed, {summary.withdrawn:,} withdrawn,"
        f" {summary.unchanged:,} unchanged)"
    )
    for reason, number in sorted(summary.rejected.items()):
        click.echo(f"  refused {number:,}: {reason}, first in line {summary.first_line[reason]:,}")
    if summary.unmatchable:
        click.echo(f"  of types that cannot be compared here: {counts(dict(summary.unmatchable))}")
    if summary.filtered:
        click.echo(f"  of categories not chosen: {counts(dict(summary.filtered))}")
    if summary.unknown_columns:
        click.echo(f"  columns not known and not used: {summary.unknown_columns}")
    if summary.unsaid:
        click.echo(
            f"  with a ref or class that may not leave in a report, so that a random ref or none does:"
            f" {number_of(summary.unsaid, 'entry', 'entries')}"
        )
    if changes and not summary.dry_run:
        click.echo("Next: `hashward rescan` compares what was scanned before with the change.")


COMMANDS = ()
