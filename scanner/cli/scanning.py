"""`scan` and `rescan`."""

from __future__ import annotations

import time

import click

from scanner.accountability.opening import told
from scanner.api import Scanner, ScanSummary
from scanner.cli.groups import allow_unsandboxed
from scanner.cli.output import counts, emit_json, json_option, number_of, place_text
from scanner.cli.progress import bars
from scanner.cli.set_objects import warn_of_held
from scanner.ledger import tallies
from scanner.ledger.tallies import Outcomes
from scanner.rescan import RescanSummary

EXIT_MATCH, EXIT_COULD_NOT_LOOK, EXIT_HELD = 1, 3, 11


class _Scan(click.Command):
    """`scan`, unless clamscan's callers speak: their words are clamscan's, and not click's to understand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave everything beside --clamscan to `scanner.cli.clamscan`, as long as nobody asks for help."""
        ours = args[: args.index("--")] if "--" in args else args
        if "--clamscan" not in ours or {"-h", "--help"} & set(ours):
            return super().parse_args(ctx, args)
        at = args.index("--clamscan")
        ctx.meta["clamscan"] = args[:at] + args[at + 1 :]
        return super().parse_args(ctx, ["--clamscan"])


@click.command(cls=_Scan)
@click.argument("path", nargs=-1)
@click.option(
    "--clamscan",
    is_flag=True,
    help="Take clamscan's options, print its lines and end in its codes 0, 1, 2; PATH may be - for standard input.",
)
@click.option(
    "--owed", is_flag=True, help="Look again at everything owed a look, or a hash type, however often it was tried."
)
@click.option("--show-paths", is_flag=True, help="Print the local paths of matched files. They are for you alone.")
@allow_unsandboxed
@json_option
@click.pass_context
def scan(
    context: click.Context, path: tuple[str, ...], clamscan: bool, owed: bool, show_paths: bool, as_json: bool
) -> None:
    """Walk files, folders or roots; hash, match and record.

    PATH is a file, a folder or the name of a root; without any, all roots are walked. Unchanged files are not opened,
    known contents not decoded. Exit 1: a match. 3: no match, but something could not be looked at whole. 0: neither.
    With --json, --show-paths prints to standard error.
    """
    scanner: Scanner = context.obj
    if clamscan:
        from scanner.cli.clamscan import run

        raise SystemExit(run(scanner, context.meta["clamscan"]))
    with bars() as display:
        files = display.add("files")
        compared = display.add("re-scan", left=scanner.behind, from_start=False)
        summary = scanner.scan(path, owed=owed, progress=files, rescanned=compared)
    if as_json:
        emit_json(_scan_object(summary, sum(each.in_force for each in scanner.store.hash_sets())))
    else:
        _print_scan(summary)
    if show_paths:
        _print_paths(scanner, summary, to_stderr=as_json)
    warn_of_held(scanner)
    if not as_json:
        _print_next(scanner, summary, show_paths=show_paths)
    if summary.outcomes.matched:
        raise SystemExit(EXIT_MATCH)
    if summary.could_not_look:
        raise SystemExit(EXIT_COULD_NOT_LOOK)


def _scan_object(summary: ScanSummary, sets: int) -> dict[str, object]:
    walked, outcomes = summary.walked, summary.outcomes
    return {
        "assets": outcomes.assets,
        "contents": summary.contents,
        "scanned": walked.scanned,
        "skipped": walked.skipped,
        "hash_sets_in_force": sets,
        "matched": outcomes.matched,
        "matched_partial": outcomes.matched_partial,
        "held": outcomes.held,
        "clear": outcomes.clear,
        "suppressed": outcomes.suppressed,
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
    click.echo(
        f"{number_of(outcomes.assets, 'file')} in {summary.seconds:.1f} s: {walked.scanned:,} read,"
        f" {walked.skipped:,} unchanged and not opened."
    )
    known_good = f"{outcomes.suppressed:,} near a listed one, but known good" if outcomes.suppressed else ""
    lines = [
        ("matched", outcomes.matched, _of_matched(outcomes)),
        (
            "clear",
            outcomes.clear,
            known_good,
        ),
        ("not media", outcomes.not_media, ""),
        ("seen in part", outcomes.partial.total(), counts(outcomes.partial)),
        ("could not look", outcomes.unscannable.total(), counts(outcomes.unscannable)),
    ]
    width = max(len(f"{number:,}") for _, number, _ in lines)
    for name, number, remark in lines:
        if number or name in ("matched", "clear"):
            click.echo(f"  {name:<14} {number:>{width},}" + (f"  ({remark})" if remark else ""))
    if outcomes.owed:
        click.echo(f"  {'owed a look':<14} {outcomes.owed:>{width},}  (scans try again; `scan --owed` always does)")
    if walked.ignored:
        click.echo(f"passed by: {counts(walked.ignored)}")
    if walked.unlisted:
        click.echo(f"folders not entered: {counts(walked.unlisted)}")
    if walked.missing or walked.moved:
        click.echo(f"moved {walked.moved:,}, not found this time {walked.missing:,}")
    for name, why in summary.suspect.items():
        click.echo(f"root {name} is suspect ({why}): nothing there is closed until `hashward root accept {name}`")
    if summary.matches_added or summary.matches_withdrawn:
        click.echo(f"matches added {summary.matches_added:,}, withdrawn {summary.matches_withdrawn:,}")


def _of_matched(outcomes: Outcomes) -> str:
    remarks = []
    if outcomes.matched_partial:
        remarks.append(f"{outcomes.matched_partial:,} seen in part only")
    if outcomes.held:
        remarks.append(f"{outcomes.held:,} held: known good too, so not reported (`hashset resolve` decides)")
    return "; ".join(remarks)


def _print_next(scanner: Scanner, summary: ScanSummary, *, show_paths: bool) -> None:
    if not any(each.in_force and each.entries for each in scanner.store.hash_sets()):
        click.echo("Compared with nothing, as no hash set is in force: `hashward hashset import`,")
        click.echo("then `hashward rescan` compares what was read now without opening it again.")
    elif summary.outcomes.matched and not show_paths:
        click.echo("Next: `hashward reports list`; with `--show-paths` a scan names the files.")


def _print_paths(scanner: Scanner, summary: ScanSummary, *, to_stderr: bool) -> None:
    for where in told(scanner.audit, scanner.ledger, "scan --show-paths", summary.matched_assets):
        click.echo(place_text(where), err=to_stderr)


@click.command()
@json_option
@click.pass_obj
def rescan(scanner: Scanner, as_json: bool) -> None:
    """Bring every content up to every set's version and rule, from stored signals; opens no file.

    Exit 11: a version of a set is held, as it would bring too much at once.
    """
    started = time.monotonic()
    with bars() as display:
        summary = scanner.rescan(display.add("re-scan", left=scanner.behind))
    seconds = time.monotonic() - started
    if as_json:
        holding = tallies.holding(scanner.ledger.db, summary.change.contents)
        emit_json(_rescan_object(summary, holding, scanner.opened_files, seconds))
    else:
        compared = number_of(summary.contents, "content")
        click.echo(f"{compared} compared in {seconds:.1f} s, {scanner.opened_files:,} files opened.")
        click.echo(
            f"  {len(summary.change.contents):,} newly matched;"
            f" matches added {summary.change.added:,}, withdrawn {summary.change.withdrawn:,}"
        )
    if warn_of_held(scanner):
        raise SystemExit(EXIT_HELD)


def _rescan_object(summary: RescanSummary, holding: int, opened_files: int, seconds: float) -> dict[str, object]:
    """`assets` hold what is newly matched. What a scan says of looking is nothing here: no file is looked at."""
    return {
        "assets": holding,
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
