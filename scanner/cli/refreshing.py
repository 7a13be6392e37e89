"""`hashset refresh`: sets brought up to the sources that the configuration names for them."""

from __future__ import annotations

import click

from hashsets.errors import HashsetsError
from scanner.api import Scanner
from scanner.cli.hash_sets import hashset
from scanner.cli.importing import print_summary, summary_object, tell_of_shadow
from scanner.cli.output import emit_json, json_option
from scanner.cli.progress import bars
from scanner.config import SourceConfig
from scanner.errors import ConfigError, UsageError
from scanner.schedules import bring_up


@hashset.command(name="refresh")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--allow-shrink", is_flag=True, help="Withdraw even more than a fifth of the set and 100 entries.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@json_option
@click.pass_obj
def refresh_(scanner: Scanner, names: tuple[str, ...], allow_shrink: bool, dry_run: bool, as_json: bool) -> None:
    """Bring sets up to their sources: those named, or all that have one.

    A source that fails leaves its set as it was; the others are brought up all the same, and the exit code is of the
    first that failed.
    """
    failed: Exception | None = None
    for config in _chosen(scanner, names):
        try:
            with bars() as display:
                advance = display.add("records")
                summary = bring_up(scanner, config, allow_shrink=allow_shrink, dry_run=dry_run, progress=advance)
        except (HashsetsError, ConfigError) as error:
            failed = failed or error
            click.echo(f"{config.hash_set}: {error}", err=True)
            continue
        emit_json(summary_object(summary)) if as_json else print_summary(summary)
        if not dry_run and not as_json:
            tell_of_shadow(scanner, config.hash_set)
    if failed is not None:
        raise SystemExit(getattr(failed, "exit_code", 1))


def _chosen(scanner: Scanner, names: tuple[str, ...]) -> list[SourceConfig]:
    sources = {source.hash_set: source for source in scanner.config.sources}
    if not sources:
        raise UsageError("No source is configured: name one as [[source]] in the configuration.")
    if any(name not in sources for name in names):
        raise UsageError(f"A set that is named has no source; those with one: {', '.join(sorted(sources))}.")
    return [sources[name] for name in dict.fromkeys(names)] if names else list(sources.values())


COMMANDS = ()
