"""The `hashset` group: what is listed."""

from __future__ import annotations

import click

from hashsets import hashtypes
from hashsets.indexes import Indexes
from hashsets.types import HashSet, Mode, Role
from scanner.api import Scanner
from scanner.cli.groups import Group, set_name
from scanner.cli.output import emit_json, json_option, number_of, show, table
from scanner.cli.progress import bars
from scanner.cli.set_objects import (
    MOST_SHOWN,
    held_line,
    mode_of,
    set_object,
    top_entries,
    version_standing,
    waiting,
)
from scanner.ledger import matches

ROLES = click.Choice([role.value for role in Role])


@click.group(cls=Group)
def hashset() -> None:
    """Hash sets: what is listed, version by version."""


@hashset.command(name="list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """List the hash sets."""
    sets = scanner.store.hash_sets()
    if as_json:
        emit_json([set_object(scanner, each) for each in sets])
        return
    rows = table("name", "role", "mode", "version", "entries", numbers=("version", "entries"))
    for each in sets:
        rows.add_row(each.name, each.role.value, mode_of(scanner, each), str(each.version), f"{each.entries:,}")
    show(rows) if sets else click.echo("No hash sets: `hashward hashset import NAME FILE`.")


@hashset.command(name="show")
@set_name
@json_option
@click.pass_obj
def show_(scanner: Scanner, name: str, as_json: bool) -> None:
    """Show one set: role, mode, version, the rule by which it is compared, and the entries that match most."""
    each = scanner.store.hash_set(name)
    if as_json:
        emit_json(set_object(scanner, each) | {"top": top_entries(scanner, each)})
        return
    click.echo(f"{each.name}: {number_of(each.entries, 'entry', 'entries')} at version {each.version}")
    click.echo(f"  role {each.role.value}, mode {mode_of(scanner, each)}, {'enabled' if each.enabled else 'disabled'}")
    _print_standing(scanner, each)
    _print_rule(each)
    _print_top(scanner, each)


def _print_standing(scanner: Scanner, each: HashSet) -> None:
    new, contents = waiting(scanner, each)
    if each.mode is Mode.SHADOW:
        matched = f"{number_of(new, 'match', 'matches')} of {number_of(contents, 'content')} recorded"
        click.echo(f"  {matched}, nothing leaves: `hashward hashset approve` lets it")
    held = held_line(scanner, each)
    if held is not None:
        click.echo(f"  {held}")
    bounds = each.bounds
    click.echo(
        f"  a version is held past {bounds.matches:,} new matches, {bounds.share:.0%} of the contents newly matched,"
        f" or {bounds.growth:.0%} growth; refused past {bounds.shrink:.0%} withdrawn"
    )
    for mute in scanner.ledger.probation.mutes(each.uid):
        click.echo(f"  muted until {mute.until}: {mute.ref} ({mute.reason})")


def _print_top(scanner: Scanner, each: HashSet) -> None:
    for ref, contents in matches.top_firing(scanner.ledger.db, each.uid, MOST_SHOWN):
        click.echo(f"  matches most: {ref} ({number_of(contents, 'content')})")


def _print_rule(each: HashSet) -> None:
    for type_name in hashtypes.names():
        known = hashtypes.get(type_name)
        if known.comparison == "exact" or not each.rule.compares(type_name):
            continue
        radius = each.rule.radius_bits.get(type_name, known.default_radius_bits)
        floor = each.rule.quality_floor.get(type_name, known.default_quality_floor)
        unit = " bits" if known.comparison == "hamming" else " by its plug-in's distance"
        click.echo(
            f"  {type_name}: within {radius}{unit}" + (f", own quality at least {floor}" if known.has_quality else "")
        )
    shares = each.rule.frame_shares
    click.echo(f"  frames: {shares.query:.0%} of the query's and {shares.listed:.0%} of the listed frames must match")
    if each.rule.edits:
        click.echo(f"  also copies that were edited: {', '.join(sorted(each.rule.edits))}")
    if each.rule.hash_types:
        click.echo(f"  compared by {', '.join(sorted(each.rule.hash_types))} only")
    if each.rule.codes:
        click.echo(f"  only entries classified {', '.join(sorted(each.rule.codes))}")
    if each.rule.agreeing > 1:
        click.echo(f"  {each.rule.agreeing} hash types of an entry must agree, or all it lists")


@hashset.command(name="history")
@set_name
@json_option
@click.pass_obj
def history(scanner: Scanner, name: str, as_json: bool) -> None:
    """Show a set's versions: when each came, what it changed, and how it stands."""
    each = scanner.store.hash_set(name)
    versions = scanner.store.history(name)
    oldest = scanner.store.oldest_kept(each.uid)
    standing = version_standing(scanner, each)
    if as_json:
        emit_json(
            [
                {
                    "version": v.version,
                    "day": v.day,
                    "added": v.added,
                    "changed": v.changed,
                    "withdrawn": v.withdrawn,
                    "complete": v.complete,
                    "rollback_to": v.rollback_to,
                    "standing": standing(v.version),
                    "kept": v.version >= oldest,
                }
                for v in versions
            ]
        )
        return
    rows = table(
        "version", "day", "added", "changed", "withdrawn", "list", "standing",
        numbers=("version", "added", "changed", "withdrawn"),
    )  # fmt: skip
    for v in versions:
        kind = "complete" if v.complete else "addition"
        if v.rollback_to is not None:
            kind = f"back to {v.rollback_to}"
        state = standing(v.version) + ("" if v.version >= oldest else ", no longer kept")
        rows.add_row(str(v.version), v.day, f"{v.added:,}", f"{v.changed:,}", f"{v.withdrawn:,}", kind, state)
    show(rows) if versions else click.echo("No version yet.")


@hashset.command(name="verify")
@set_name
@json_option
@click.pass_obj
def verify(scanner: Scanner, name: str, as_json: bool) -> None:
    """Check a set's rows against each other, and its index file by file. Exit 6 when something is wrong."""
    with bars() as display:
        display.add("check")
        problems = scanner.store.verify(name) + Indexes(scanner.store).verify(scanner.store.hash_set(name).uid)
    if as_json:
        emit_json({"hash_set": name, "problems": problems})
    else:
        click.echo("\n".join(problems) or "Nothing wrong.")
    if problems:
        raise SystemExit(6)


@hashset.command(name="enable")
@set_name
@json_option
@click.pass_obj
def enable(scanner: Scanner, name: str, as_json: bool) -> None:
    """Let a disabled set match again; the next re-scan catches up."""
    scanner.store.set_enabled(name, True)
    _say(scanner, name, as_json, "Enabled: `hashward rescan` compares what it missed.")


@hashset.command(name="disable")
@set_name
@json_option
@click.pass_obj
def disable(scanner: Scanner, name: str, as_json: bool) -> None:
    """Stop new matches with a set; withdraws nothing."""
    scanner.store.set_enabled(name, False)
    _say(scanner, name, as_json, "Disabled: no new matches. Nothing is withdrawn.")


def _say(scanner: Scanner, name: str, as_json: bool, story: str) -> None:
    emit_json(set_object(scanner, scanner.store.hash_set(name))) if as_json else click.echo(story)


@hashset.command(name="remove")
@set_name
@json_option
@click.pass_obj
def remove(scanner: Scanner, name: str, as_json: bool) -> None:
    """Remove a set; the next re-scan withdraws its matches."""
    scanner.store.remove(name)
    Indexes(scanner.store).sweep()
    emit_json({"removed": name}) if as_json else click.echo("Removed: `hashward rescan` withdraws its matches.")


COMMANDS = (hashset,)
