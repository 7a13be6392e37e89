"""`hashset approve`, `diff`, `rollback`, `retire` and `mute`: what a person decides about versions and entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import click

from hashsets.store import Difference
from hashsets.types import HashSet
from scanner.api import Scanner
from scanner.cli.groups import set_name
from scanner.cli.hash_sets import hashset
from scanner.cli.output import emit_json, json_option, number_of, show, table
from scanner.cli.progress import bars
from scanner.cli.set_objects import set_object, waiting
from scanner.curation import Curation
from scanner.errors import UsageError

_KINDS = ("added", "withdrawn", "changed", "relabelled")


@hashset.command(name="approve")
@set_name
@click.option("--version", type=int, help="Up to which version; else the present one.")
@json_option
@click.pass_obj
def approve(scanner: Scanner, name: str, version: int | None, as_json: bool) -> None:
    """Let a set's matches be reported: of a new set, or of a version that is held.

    The set is joined with everything on record first. A set in shadow is active from then on.
    """
    with bars() as display:
        display.add("re-scan", left=scanner.behind, from_start=False)
        done = Curation.of(scanner).approve(name, version)
    if as_json:
        emit_json(
            set_object(scanner, scanner.store.hash_set(name))
            | {"approved": done.version, "new_matches": done.matches, "new_contents": done.contents}
        )
    else:
        found = f"{number_of(done.matches, 'match', 'matches')} of {number_of(done.contents, 'content')}"
        click.echo(f"Approved: version {done.version} may be reported of ({found} waited).")


@hashset.command(name="diff")
@set_name
@click.option("--from", "older", type=int, help="The earlier version; else the last that may be reported of.")
@click.option("--to", "newer", type=int, help="The later version; else the present one.")
@click.option("--entries", is_flag=True, help="Also the refs of the entries.")
@json_option
@click.pass_obj
def diff(scanner: Scanner, name: str, older: int | None, newer: int | None, entries: bool, as_json: bool) -> None:
    """Show what lies between two versions of a set: entries, by hash type and classification; no values."""
    each = scanner.store.hash_set(name)
    newer = each.version if newer is None else newer
    older = _before(scanner, each, newer) if older is None else older
    if not 0 <= older <= newer <= each.version:
        raise UsageError(
            "The versions to compare are two of the set's own, the earlier first: `hashset history` has them."
        )
    summed = _Sum(scanner.store.differences(each.uid, older, newer), keep_refs=entries)
    new, contents = waiting(scanner, each)
    if as_json:
        emit_json(
            {"hash_set": name, "from": older, "to": newer}
            | summed.object()
            | {"waiting": {"matches": new, "contents": contents}}
        )
        return
    said = ", ".join(f"{summed.kinds[kind]:,} {kind}" for kind in _KINDS)
    click.echo(f"{name}, version {older} to {newer}: {said}")
    summed.print()
    if new and newer == each.version:
        click.echo(f"{number_of(new, 'match', 'matches')} of {number_of(contents, 'content')} wait to be reported.")


def _before(scanner: Scanner, each: HashSet, newer: int) -> int:
    speech = scanner.ledger.probation.of(each.uid)
    settled = 0 if speech is None else speech.version
    return settled if 0 < settled < newer else max(newer - 1, 0)


class _Sum:
    """Differences counted by kind, hash type and classification."""

    def __init__(self, differences: Iterator[Difference], *, keep_refs: bool) -> None:
        self.kinds: Counter[str] = Counter()
        self.types: dict[str, Counter[str]] = {}
        self.codes: dict[str, Counter[str]] = {}
        self.refs: dict[str, list[str]] | None = {kind: [] for kind in _KINDS} if keep_refs else None
        for each in differences:
            self._add(each)

    def _add(self, each: Difference) -> None:
        self.kinds[each.kind] += 1
        for change, values in (("added", each.after - each.before), ("withdrawn", each.before - each.after)):
            for hash_type, _ in values:
                self.types.setdefault(hash_type, Counter())[change] += 1
        before, after = set(each.marks_before), set(each.marks_after)
        for change, marks in (("added", after - before), ("withdrawn", before - after)):
            for mark in marks:
                self.codes.setdefault(f"{mark.scheme}:{mark.code}", Counter())[change] += 1
        if self.refs is not None:
            self.refs[each.kind].append(each.ref)

    def object(self) -> dict[str, object]:
        """For programs."""
        counted: dict[str, object] = {kind: self.kinds[kind] for kind in _KINDS}
        counted["types"] = {name: _both(count) for name, count in sorted(self.types.items())}
        counted["classifications"] = {name: _both(count) for name, count in sorted(self.codes.items())}
        return counted if self.refs is None else counted | {"entries": self.refs}

    def print(self) -> None:
        """For people."""
        rows = table("", "added", "withdrawn", numbers=("added", "withdrawn"))
        for name, count in (*sorted(self.types.items()), *sorted(self.codes.items())):
            rows.add_row(name, f"{count['added']:,}", f"{count['withdrawn']:,}")
        if self.types or self.codes:
            show(rows)
        for kind, refs in (self.refs or {}).items():
            for ref in refs:
                click.echo(f"{kind} {ref}")


def _both(count: Counter[str]) -> dict[str, int]:
    return {"added": count["added"], "withdrawn": count["withdrawn"]}


@hashset.command(name="rollback")
@set_name
@click.option("--to", "to_version", type=int, required=True, help="The earlier version whose entries to list again.")
@json_option
@click.pass_obj
def rollback(scanner: Scanner, name: str, to_version: int, as_json: bool) -> None:
    """List again what an earlier version listed, as a new version, and withdraw the matches of what came since."""
    with bars() as display:
        version, differs = Curation.of(scanner).roll_back(name, to_version, display.add("entries"))
    if as_json:
        emit_json(
            set_object(scanner, scanner.store.hash_set(name))
            | {"rollback_to": to_version, "added": version.added, "withdrawn": version.withdrawn}
        )
    elif differs:
        click.echo(
            f"Version {version.version} lists what version {to_version} did: {version.added:,} added,"
            f" {version.changed:,} changed, {version.withdrawn:,} withdrawn, and their matches with them."
        )
    else:
        click.echo(f"Nothing to take back: version {version.version} lists what version {to_version} did.")


@hashset.command(name="retire")
@set_name
@json_option
@click.pass_obj
def retire(scanner: Scanner, name: str, as_json: bool) -> None:
    """Match nothing with a set any more and withdraw its matches; what it listed and its history stay.

    `disable` withdraws nothing; `remove` also deletes what was listed; `approve` brings a retired set back.
    """
    Curation.of(scanner).retire(name)
    each = scanner.store.hash_set(name)
    emit_json(set_object(scanner, each)) if as_json else click.echo("Retired: its matches are withdrawn.")


@hashset.command(name="mute")
@set_name
@click.argument("ref", required=False)
@click.option("--until", metavar="DATE", help="The last UTC day, as YYYY-MM-DD.")
@click.option("--reason", help="Why; for whoever reads it here. It does not leave.")
@click.option("--end", is_flag=True, help="Speak of the entry again now.")
@json_option
@click.pass_obj
def mute(
    scanner: Scanner, name: str, ref: str | None, until: str | None, reason: str | None, end: bool, as_json: bool
) -> None:
    """Report nothing of an entry for a time, and withdraw what was; its matches are recorded all the same.

    Without REF it lists what is muted. At the end of the last day the next re-scan speaks of it again.
    """
    if ref is None and not (until or reason or end):
        _list_mutes(scanner, name, as_json=as_json)
        return
    if ref is None or (not end and not (until and reason)) or (end and (until or reason)):
        raise UsageError("To mute, name the entry's REF, --until a day and the --reason; else REF and --end.")
    contents = 0
    if end:
        Curation.of(scanner).unmute(name, ref)
    else:
        contents = Curation.of(scanner).mute(name, ref, str(until), str(reason))
    if as_json:
        emit_json(set_object(scanner, scanner.store.hash_set(name)))
    elif end:
        click.echo("It may be reported of again.")
    else:
        click.echo(f"Muted until {until}: {number_of(contents, 'content')} match it, and nothing is reported of them.")


def _list_mutes(scanner: Scanner, name: str, *, as_json: bool) -> None:
    muted = list(scanner.ledger.probation.mutes(scanner.store.hash_set(name).uid))
    if as_json:
        emit_json([{"ref": m.ref, "until": m.until, "reason": m.reason, "day": m.day} for m in muted])
        return
    rows = table("entry", "until", "since", "reason")
    for each in muted:
        rows.add_row(each.ref, each.until, each.day, each.reason)
    show(rows) if muted else click.echo("Nothing is muted.")


COMMANDS = ()
