"""`scan` and `rescan`."""

from __future__ import annotations

import os
import time

import click

from scanner.api import Scanner, ScanSummary
from scanner.cli.output import counts, emit_json, json_option, progress
from scanner.rescan import RescanSummary

EXIT_MATCH, EXIT_COULD_NOT_LOOK = 1, 3


@click.command()
@click.argument("path", nargs=-1)
@click.option("--owed", is_flag=True, help="Look again at everything owed a look, however often it was tried.")
@click.option("--show-paths", is_flag=True, help="Print the local paths of matched files. They are for you alone.")
@json_option
@click.pass_obj
def scan(scanner: Scanner, path: tuple[str, ...], owed: bool, show_paths: bool, as_json: bool) -> None:
    """Walk files, folders or roots; hash, match and record.

    PATH is a file, a folder or the name of a root; without any, all roots are walked. Unchanged files are not opened,
    known contents not decoded. Exit 1: a match. 3: no match, but something could not be looked at whole. 0: neither.
    """
    with progress("files") as advance, progress("re-scan") as rescanned:
        summary = scanner.scan(path, owed=owed, progress=advance, rescanned=rescanned)
    if as_json:
        emit_json(_scan_object(summary))
    else:
        _print_scan(summary)
    if show_paths:
        _print_paths(scanner, summary, to_stderr=as_json)
    if summary.outcomes.matched:
        raise SystemExit(EXIT_MATCH)
    if summary.could_not_look:
        raise SystemExit(EXIT_COULD_NOT_LOOK)


def _scan_object(summary: ScanSummary) -> dict[str, object]:
    walked, outcomes = summary.walked, summary.outcomes
    return {
        "assets": outcomes.assets,
        "contents": summary.contents,
        "scanned": walked.scanned,
        "skipped": walked.skipped,
        "matched": outcomes.matched,
        "matched_partial": outcomes.matched_partial,
        "clear": outcomes.clear,
        "not_media": outcomes.not_media,
        "partial": dict(outcomes.partial),
        "unscannable": dict(outcomes.unscannable),
        "owed": outcomes.owed,
        "ignored": dict(walked.ignored),
        "unlisted_folders": dict(walked.unlisted),
        "missing": walked.missing,
        "moved": walked.moved,
        "suspect_roots": summary.suspect,
        "opened_files": walked.opened_files,
        "matches_added": summary.matches_added,
        "matches_withdrawn": summary.matches_withdrawn,
        "seconds": round(summary.seconds, 3),
    }


def _print_scan(summary: ScanSummary) -> None:
    walked, outcomes = summary.walked, summary.outcomes
    click.echo(f"{outcomes.assets:,} files: {walked.scanned:,} read, {walked.skipped:,} unchanged and not opened.")
    click.echo(f"  matched         {outcomes.matched:,}" + _in_part(outcomes.matched_partial))
    click.echo(f"  clear           {outcomes.clear:,}")
    click.echo(f"  not media       {outcomes.not_media:,}")
    if outcomes.partial:
        click.echo(f"  seen in part    {sum(outcomes.partial.values()):,}  ({counts(outcomes.partial)})")
    if outcomes.unscannable:
        click.echo(f"  could not look  {sum(outcomes.unscannable.values()):,}  ({counts(outcomes.unscannable)})")
    if outcomes.owed:
        click.echo(f"  owed a look     {outcomes.owed:,}")
    if walked.ignored:
        click.echo(f"not files, or excluded: {counts(walked.ignored)}")
    if walked.unlisted:
        click.echo(f"folders not entered: {counts(walked.unlisted)}")
    if walked.missing or walked.moved:
        click.echo(f"moved {walked.moved:,}, not found this time {walked.missing:,}")
    for name, why in summary.suspect.items():
        click.echo(f"root {name} is suspect ({why}): nothing there is closed until `hashward root accept {name}`")
    click.echo(
        f"matches added {summary.matches_added:,}, withdrawn {summary.matches_withdrawn:,}; {summary.seconds:.1f} s"
    )


def _in_part(number: int) -> str:
    return f"  (of them seen in part {number:,})" if number else ""


def _print_paths(scanner: Scanner, summary: ScanSummary, *, to_stderr: bool) -> None:
    for asset_id in summary.matched_assets:
        click.echo(os.fsdecode(scanner.ledger.places.where(asset_id)), err=to_stderr)


@click.command()
@json_option
@click.pass_obj
def rescan(scanner: Scanner, as_json: bool) -> None:
    """Bring every content up to every set's version and rule, from stored signals; opens no file."""
    started = time.monotonic()
    with progress("contents") as advance:
        summary = scanner.rescan(advance)
    seconds = time.monotonic() - started
    if as_json:
        emit_json(_rescan_object(summary, scanner.opened_files, seconds))
    else:
        click.echo(
            f"{summary.contents:,} contents compared, {len(summary.change.contents):,} newly matched;"
            f" matches added {summary.change.added:,}, withdrawn {summary.change.withdrawn:,};"
            f" files opened {scanner.opened_files:,}; {seconds:.1f} s"
        )


def _rescan_object(summary: RescanSummary, opened_files: int, seconds: float) -> dict[str, object]:
    return {
        "assets": 0,
        "contents": summary.contents,
        "scanned": 0,
        "skipped": 0,
        "matched": len(summary.change.contents),
        "partial": {},
        "unscannable": {},
        "opened_files": opened_files,
        "matches_added": summary.change.added,
        "matches_withdrawn": summary.change.withdrawn,
        "seconds": round(seconds, 3),
    }


COMMANDS = (scan, rescan)
