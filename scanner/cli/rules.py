"""`hashset set`: how a set is compared, what it means, and what its versions may bring."""

from __future__ import annotations

from dataclasses import replace

import click

from hashsets import hashtypes
from hashsets.types import Bounds, FrameShares, Mode, Role, Rule
from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import ROLES, hashset
from scanner.cli.output import emit_json, json_option
from scanner.cli.set_objects import set_object
from scanner.curation import Curation
from scanner.errors import UsageError

MODES = click.Choice([Mode.SHADOW.value, Mode.ACTIVE.value])


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
@click.option(
    "--types", "hash_types", multiple=True, metavar="TYPE", help="Compare only these hash types; all for every one."
)
@click.option(
    "--only", "codes", multiple=True, metavar="CODE",
    help="Match only entries so classified, by code or SCHEME:CODE; all for every one.",
)  # fmt: skip
@click.option("--agreeing", type=int, help="Least number of an entry's hash types that must agree, or all it lists.")
@click.option("--hold-matches", type=int, help="Hold a version that brings more new matches than this.")
@click.option("--hold-share", type=float, help="Hold a version that newly matches more than this share (0 to 1).")
@click.option("--hold-growth", type=float, help="Hold a version by which the set grows by more than this factor.")
@click.option("--refuse-shrink", type=float, help="Refuse a list that withdraws more than this share (0 to 1).")
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
    hash_types: tuple[str, ...],
    codes: tuple[str, ...],
    agreeing: int | None,
    hold_matches: int | None,
    hold_share: float | None,
    hold_growth: float | None,
    refuse_shrink: float | None,
    as_json: bool,
) -> None:
    """Change a set's role, mode, rule or bounds. The next re-scan compares again what the change touches.

    Mode active lets the set's present version speak at once, without the join that `approve` does first.
    """
    store = scanner.store
    known = store.hash_set(name)
    rule = _changed_rule(known.rule, radii, floors, query_share, listed_share)
    rule = replace(
        rule,
        edits=_chosen(edits, rule.edits, "none"),
        hash_types=_chosen(hash_types, rule.hash_types, "all"),
        codes=_chosen(codes, rule.codes, "all"),
        agreeing=rule.agreeing if agreeing is None else agreeing,
    )
    bounds = Bounds(
        known.bounds.matches if hold_matches is None else hold_matches,
        known.bounds.share if hold_share is None else hold_share,
        known.bounds.growth if hold_growth is None else hold_growth,
        known.bounds.shrink if refuse_shrink is None else refuse_shrink,
    )
    if rule != known.rule:
        store.set_rule(name, rule)
    if bounds != known.bounds:
        store.set_bounds(name, bounds)
    if role is not None:
        store.set_role(name, Role(role))
    if mode == Mode.SHADOW:
        store.set_mode(name, Mode.SHADOW)
    elif mode == Mode.ACTIVE and known.mode is not Mode.ACTIVE:
        Curation.of(scanner).approve_at_once(name)
    changed = store.hash_set(name)
    if as_json:
        emit_json(set_object(scanner, changed))
    else:
        click.echo("Changed: `hashward rescan` puts it in force." if changed != known else "Nothing to change.")
        if changed.rule.edits - known.rule.edits:
            click.echo("What was scanned before owes the new readings: `hashward scan --owed` makes them.")


def _chosen(said: tuple[str, ...], before: frozenset[str], nothing: str) -> frozenset[str]:
    return frozenset(said) - {nothing} if said else before


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


COMMANDS = ()
