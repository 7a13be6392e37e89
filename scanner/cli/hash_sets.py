"""The `hashset` group: what is listed."""

from __future__ import annotations

from dataclasses import replace

import click

from hashsets import hashtypes
from hashsets.indexes import Indexes
from hashsets.types import FrameShares, HashSet, Mode, Role, Rule
from scanner.api import Scanner
from scanner.cli.groups import Group, set_name
from scanner.cli.output import emit_json, json_option, number_of, show, table
from scanner.cli.progress import bars
from scanner.errors import UsageError

ROLES = click.Choice([role.value for role in Role])
MODES = click.Choice([mode.value for mode in Mode])


@click.group(cls=Group)
def hashset() -> None:
    """Hash sets: what is listed, version by version."""


def _object(each: HashSet) -> dict[str, object]:
    return {
        "name": each.name,
        "uid": each.uid.hex(),
        "source": each.source,
        "role": each.role.value,
        "mode": each.mode.value,
        "enabled": each.enabled,
        "version": each.version,
        "entries": each.entries,
        "radius_bits": dict(each.rule.radius_bits),
        "quality_floor": dict(each.rule.quality_floor),
        "frame_shares": {"query": each.rule.frame_shares.query, "listed": each.rule.frame_shares.listed},
        "edits": sorted(each.rule.edits),
    }


@hashset.command(name="list")
@json_option
@click.pass_obj
def list_(scanner: Scanner, as_json: bool) -> None:
    """List the hash sets."""
    sets = scanner.store.hash_sets()
    if as_json:
        emit_json([_object(each) for each in sets])
        return
    rows = table("name", "role", "mode", "version", "entries", numbers=("version", "entries"))
    for each in sets:
        mode = each.mode.value if each.enabled else "disabled"
        rows.add_row(each.name, each.role.value, mode, str(each.version), f"{each.entries:,}")
    show(rows) if sets else click.echo("No hash sets: `hashward hashset import NAME FILE`.")


@hashset.command(name="show")
@set_name
@json_option
@click.pass_obj
def show_(scanner: Scanner, name: str, as_json: bool) -> None:
    """Show one set: role, mode, version, and the rule by which it is compared."""
    each = scanner.store.hash_set(name)
    if as_json:
        emit_json(_object(each))
        return
    click.echo(f"{each.name}: {number_of(each.entries, 'entry', 'entries')} at version {each.version}")
    click.echo(f"  role {each.role.value}, mode {each.mode.value}, {'enabled' if each.enabled else 'disabled'}")
    for type_name in hashtypes.names():
        known = hashtypes.get(type_name)
        if known.comparison == "exact":
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


@hashset.command(name="history")
@set_name
@json_option
@click.pass_obj
def history(scanner: Scanner, name: str, as_json: bool) -> None:
    """Show a set's versions: when each came and what it changed."""
    versions = scanner.store.history(name)
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
                }
                for v in versions
            ]
        )
        return
    rows = table(
        "version", "day", "added", "changed", "withdrawn", "list", numbers=("version", "added", "changed", "withdrawn")
    )
    for v in versions:
        kind = "complete" if v.complete else "addition"
        rows.add_row(str(v.version), v.day, f"{v.added:,}", f"{v.changed:,}", f"{v.withdrawn:,}", kind)
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


@hashset.command(name="set")
@set_name
@click.option("--role", type=ROLES, help="What a match means.")
@click.option("--mode", type=MODES, help="Whether matches may be reported, or are only recorded.")
@click.option("--radius", "radii", multiple=True, metavar="TYPE=BITS", help="Greatest distance for a hash type.")
@click.option("--floor", "floors", multiple=True, metavar="TYPE=QUALITY", help="Least quality of our own hash.")
@click.option("--query-share", type=float, help="Least share (0 to 1) of our frames that must match listed frames.")
@click.option(
    "--undo", "edits", multiple=True, metavar="EDIT",
    help="Also match copies edited so: trimmed (bars round them), uncropped (a margin cut off); none for neither.",
)  # fmt: skip
@click.option("--listed-share", type=float, help="Least share (0 to 1) of listed frames that must match ours.")
@json_option
@click.pass_obj
def set_(
    scanner: Scanner,
    name: str,
    role: str | None,
    mode: str | None,
    radii: tuple[str, ...],
    floors: tuple[str, ...],
    query_share: float | None,
    listed_share: float | None,
    edits: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change a set's role, mode or rule. The next re-scan compares again what the change touches."""
    store = scanner.store
    known = store.hash_set(name)
    rule = _changed_rule(known.rule, radii, floors, query_share, listed_share)
    if edits:
        rule = replace(rule, edits=frozenset(edits) - {"none"})
    if rule != known.rule:
        store.set_rule(name, rule)
    if role is not None:
        store.set_role(name, Role(role))
    if mode is not None:
        store.set_mode(name, Mode(mode))
    changed = store.hash_set(name)
    if as_json:
        emit_json(_object(changed))
    else:
        click.echo("Changed: `hashward rescan` puts it in force." if changed != known else "Nothing to change.")
        if changed.rule.edits - known.rule.edits:
            click.echo("What was scanned before owes the new readings: `hashward scan --owed` makes them.")


def _changed_rule(
    rule: Rule, radii: tuple[str, ...], floors: tuple[str, ...], query: float | None, listed: float | None
) -> Rule:
    for share in (query, listed):
        if share is not None and not 0 <= share <= 1:
            raise UsageError("A share is a number from 0 to 1.")
    shares = FrameShares(
        rule.frame_shares.query if query is None else query, rule.frame_shares.listed if listed is None else listed
    )
    return replace(
        rule,
        radius_bits=rule.radius_bits | dict(_radius(text) for text in radii),
        quality_floor=rule.quality_floor | dict(_floor(text) for text in floors),
        frame_shares=shares,
    )


def _radius(text: str) -> tuple[str, int]:
    type_name, bits = _pair(text)
    known = hashtypes.get(type_name)
    # Past a quarter of the bits everything begins to look like everything. What a plug-in's distance means, it knows.
    most = known.bits // 4 if known.comparison == "hamming" else known.most_radius
    if not 0 <= bits <= most or known.comparison == "exact" or not known.matchable:
        raise UsageError("--radius takes TYPE=BITS: a perceptual hash type and 0 to a quarter of its bits.")
    return known.name, bits


def _floor(text: str) -> tuple[str, int]:
    type_name, quality = _pair(text)
    known = hashtypes.get(type_name)
    if not known.has_quality or not 0 <= quality <= 100:
        raise UsageError("--floor takes TYPE=QUALITY: a hash type that has a quality, and 0 to 100.")
    return known.name, quality


def _pair(text: str) -> tuple[str, int]:
    type_name, _, number = text.partition("=")
    if not (number.isascii() and number.isdigit() and len(number) <= 3):
        raise UsageError("--radius and --floor take a hash type, '=' and a whole number.")
    return type_name, int(number)


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
    emit_json(_object(scanner.store.hash_set(name))) if as_json else click.echo(story)


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
