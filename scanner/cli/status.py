"""`status`: how everything stands, and what could not be looked at and why."""

from __future__ import annotations

import click

from hashsets import sqlite
from hashsets.matching import kernel_name
from hashsets.types import HashSet
from scanner.api import Scanner
from scanner.cli.output import counts, emit_json, json_option, show, table
from scanner.isolation.standing import sandbox_level
from scanner.ledger import coverage, tallies
from scanner.ledger.contents import top_seq
from scanner.ledger.coverage import Met


@click.command()
@json_option
@click.pass_obj
def status(scanner: Scanner, as_json: bool) -> None:
    """Show coverage, versions, freshness, kernel, sandbox, and what could not be looked at and why."""
    standing = _standing(scanner)
    emit_json(standing) if as_json else _print(standing)


def _standing(scanner: Scanner) -> dict[str, object]:
    db = scanner.ledger.db
    outcomes = tallies.outcomes(db)
    return {
        "hash_sets": [_hash_set(scanner, each) for each in scanner.store.hash_sets()],
        "roots": [
            {"name": root.name, "suspect": root.suspect, "walks": root.walks, "completed": root.completed_walk > 0}
            for root in scanner.ledger.places.roots()
        ],
        "assets": outcomes.assets,
        "contents": tallies.contents(db),
        "outcomes": {
            "matched": outcomes.matched,
            "matched_partial": outcomes.matched_partial,
            "clear": outcomes.clear,
            "not_media": outcomes.not_media,
            "partial": dict(outcomes.partial),
            "unscannable": dict(outcomes.unscannable),
        },
        "owed": outcomes.owed,
        "matches": tallies.match_states(db),
        "reports": tallies.said(db),
        "kernel": kernel_name(),
        "sandbox": sandbox_level(),
        "sqlite": {
            "driver": sqlite.driver_name(),
            "version": sqlite.driver_version(),
            "several_processes": sqlite.multi_process_safe(),
        },
    }


def _hash_set(scanner: Scanner, each: HashSet) -> dict[str, object]:
    db = scanner.ledger.db
    target = Met(each.rule_revision, each.version)
    top = top_seq(db)
    current = sum(i.seq_hi - i.seq_lo + 1 for i in coverage.intervals(db, each.uid) if i.met == target)
    history = scanner.store.history(each.name)
    return {
        "name": each.name,
        "role": each.role.value,
        "mode": each.mode.value,
        "enabled": each.enabled,
        "version": each.version,
        "entries": each.entries,
        "changed": history[-1].day if history else None,
        "refreshed": scanner.store.refreshed_day(each.name),
        "contents_current": current,
        "contents_behind": top - current,
    }


def _print(standing: dict[str, object]) -> None:
    sets, roots = standing["hash_sets"], standing["roots"]
    assert isinstance(sets, list)
    assert isinstance(roots, list)
    if sets:
        rows = table("hash set", "role", "mode", "version", "entries", "refreshed", "contents behind")
        for each in sets:
            mode = each["mode"] if each["enabled"] else "disabled"
            said = (each["name"], each["role"], mode, each["version"], f"{each['entries']:,}")
            rows.add_row(*map(str, said), str(each["refreshed"] or "never"), f"{each['contents_behind']:,}")
        show(rows)
    else:
        click.echo("No hash sets: `hashward hashset import NAME FILE`.")
    for root in roots:
        state = (
            f"suspect ({root['suspect']})" if root["suspect"] else "trusted" if root["completed"] else "not walked yet"
        )
        click.echo(f"root {root['name']}: {state}")
    _print_outcomes(standing)
    click.echo(f"kernel: {standing['kernel']}")
    click.echo(f"sandbox: {standing['sandbox']}")
    driver = standing["sqlite"]
    assert isinstance(driver, dict)
    shared = "several processes may share this home" if driver["several_processes"] else "one process at a time only"
    click.echo(f"SQLite {driver['version']} ({driver['driver']}): {shared}")


def _print_outcomes(standing: dict[str, object]) -> None:
    outcomes, reports, matches = standing["outcomes"], standing["reports"], standing["matches"]
    assert isinstance(outcomes, dict)
    assert isinstance(reports, dict)
    assert isinstance(matches, dict)
    click.echo(f"{standing['assets']:,} files and uploads, {standing['contents']:,} contents")
    click.echo(
        f"  matched {outcomes['matched']:,}, clear {outcomes['clear']:,}, not media {outcomes['not_media']:,},"
        f" owed a look {standing['owed']:,}"
    )
    if outcomes["partial"]:
        click.echo(f"  seen in part: {counts(outcomes['partial'])}")
    if outcomes["unscannable"]:
        click.echo(f"  could not look: {counts(outcomes['unscannable'])}")
    click.echo(f"matches: {counts(matches) or 'none'}")
    click.echo(
        f"reports: {reports['pending']:,} pending, {reports['sealed']:,} sealed;"
        f" batches owed to a sink: {reports['batches_owed']:,}"
    )


COMMANDS = (status,)
