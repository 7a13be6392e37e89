"""`status`: how everything stands, and what could not be looked at and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from hashsets import ciphers, sqlite
from hashsets.hashtypes import PLUGINS
from hashsets.indexes import Indexes
from hashsets.matching import kernel_name
from hashsets.types import HashSet
from scanner.accountability import retention, sealed_locations
from scanner.accountability.holds import Holds
from scanner.accountability.requests import Requests
from scanner.accountability.sealed_locations import Standing
from scanner.api import Scanner
from scanner.cli import serving, watching
from scanner.cli.output import counts, emit_json, json_option, number_of, show, table
from scanner.cli.set_objects import held_line, speech_object
from scanner.clock import utc_day
from scanner.config import SinkConfig, SourceConfig
from scanner.errors import AuditError
from scanner.hashing import kernel_name as fingerprint_kernel
from scanner.hashing.digests import digests_name
from scanner.ledger import coverage, recipes, tallies
from scanner.ledger.contents import top_seq
from scanner.ledger.coverage import Met
from scanner.retain_config import shown
from scanner.schedules import SourceState, state_of


@click.command()
@json_option
@click.pass_obj
def status(scanner: Scanner, as_json: bool) -> None:
    """Show coverage, versions, freshness, kernel, sandbox, and what could not be looked at and why."""
    standing = _standing(scanner)
    emit_json(standing) if as_json else _print(standing)


def _standing(scanner: Scanner) -> dict[str, object]:
    # These bring the decoders, which most commands never need.
    from scanner.decoding.plain_jpeg import available as own_jpeg_decoder
    from scanner.isolation.standing import sandbox_level

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
            "held": outcomes.held,
            "suppressed": outcomes.suppressed,
            "clear": outcomes.clear,
            "not_media": outcomes.not_media,
            "partial": dict(outcomes.partial),
            "unscannable": dict(outcomes.unscannable),
        },
        "owed": outcomes.owed,
        "owed_recipes": dict(sorted(_owed_recipes(scanner).items())),
        "watch": watching.standing(scanner.home),
        "serve": serving.is_served(scanner.home),
        "matches": tallies.match_states(db),
        "reports": tallies.said(db),
        "actions": _actions(scanner),
        "retention": _retention(scanner),
        "due": _due(scanner),
        "audit": _audit(scanner),
        "locations": sealed_locations.standing(scanner.ledger.db).value,
        "sources": [_source(scanner, each) for each in scanner.config.sources],
        "sinks": _sinks(scanner),
        "kernel": kernel_name(),
        "fingerprint_kernel": fingerprint_kernel(),
        "digests": digests_name(),
        "jpeg_decoder": "own (avx2)" if own_jpeg_decoder() else "libjpeg",
        "plugins": {"used": sorted(PLUGINS.plugins), "refused": PLUGINS.refused},
        "sandbox": sandbox_level(),
        "sqlite": _sqlite(scanner),
    }


def _due(scanner: Scanner) -> dict[str, int]:
    """How many duties towards people and authorities are due by now, and how many within two weeks."""
    days = [day for day, _, _ in Requests(scanner.ledger.db, scanner.clock, scanner.config.requests).due(14)]
    today = utc_day(scanner.clock)
    return {"by_now": sum(day <= today for day in days), "within_14_days": len(days)}


def _audit(scanner: Scanner) -> dict[str, object]:
    """Whether there is an audit log (None: its broker does not answer), and how many lines it is owed."""
    try:
        begun: bool | None = scanner.keeper.begun
    except AuditError:
        begun = None
    return {"begun": begun, "owed": scanner.audit.owed()}


def _sqlite(scanner: Scanner) -> dict[str, object]:
    """What opens the databases, and whether they are encrypted."""
    name, version, parts = sqlite.driver_name(), sqlite.driver_version(), None
    if scanner.key is not None:
        under_key = ciphers.driver()
        name, version, parts = under_key.__name__, under_key.sqlite_version, under_key.sqlite_version_info
    safe = sqlite.multi_process_safe() if parts is None else sqlite.multi_process_safe(parts)
    return {"driver": name, "version": version, "several_processes": safe, "encrypted": scanner.key is not None}


def _owed_recipes(scanner: Scanner) -> dict[str, int]:
    from scanner.fingerprint import wanted

    options = scanner.options()
    return recipes.debts(scanner.ledger.db, lambda media: wanted(media, options))


def _hash_set(scanner: Scanner, each: HashSet) -> dict[str, object]:
    db = scanner.ledger.db
    top = top_seq(db)
    behind = coverage.count_behind(db, each.uid, Met(each.rule_revision, each.version), top)
    history = scanner.store.history(each.name)
    return {
        "name": each.name,
        "role": each.role.value,
        "mode": each.mode.value,
        "enabled": each.enabled,
        **speech_object(scanner, each),
        "alarm": held_line(scanner, each),
        "version": each.version,
        "entries": each.entries,
        "changed": history[-1].day if history else None,
        "refreshed": scanner.store.refreshed_day(each.name),
        "index": Indexes(scanner.store).standing(each.uid),
        "contents_current": top - behind,
        "contents_behind": behind,
    }


def _source(scanner: Scanner, each: SourceConfig) -> dict[str, object]:
    known = scanner.store.standings.of(each.hash_set)
    return {
        "hash_set": each.hash_set,
        "kind": each.kind.value,
        "state": state_of(each, known, scanner.clock.now_ns()).value,
        "every_minutes": each.every_minutes,
        "asked": _utc(known.tried_ns),
        "answered": _utc(known.succeeded_ns),
        "news": _utc(known.changed_ns),
        "failures": known.failures,
        "problem": known.problem,
        "failure": known.failure,
    }


def _actions(scanner: Scanner) -> dict[str, object]:
    return {"configured": scanner.config.actions.configured, **tallies.actions(scanner.ledger.db)}


def _retention(scanner: Scanner) -> dict[str, object]:
    erased = retention.standing(scanner.ledger.db)
    return {
        "policy": {name: shown(days) for name, days in scanner.config.retain.classes().items()},
        "erased_unmatched": erased.unmatched,
        "erased_matched": erased.matched,
        "last_erased": erased.last_day,
        "traces": erased.traces,
        "holds": len(Holds(scanner.ledger.db, scanner.clock).listed()),
        "conflicts": retention.Retention.of(scanner).conflicts(),
    }


def _utc(time_ns: int | None) -> str | None:
    return None if time_ns is None else datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sinks(scanner: Scanner) -> list[dict[str, object]]:
    known = {each.name for each in scanner.store.hash_sets()}
    troubles = scanner.ledger.sealing.troubles()
    return [_sink(each, known, *troubles.get(each.name, (0, None))) for each in scanner.config.sinks]


def _sink(each: SinkConfig, known: set[str], owed: int, trouble: str | None) -> dict[str, object]:
    return {
        "name": each.name,
        "kind": each.kind.value,
        "form": each.form.value,
        "hash_sets": sorted(each.hash_sets),
        "unknown_hash_sets": sorted(each.hash_sets - known),
        "owed": owed,
        "trouble": trouble,
    }


def _print(standing: dict[str, Any]) -> None:
    _print_sets(standing["hash_sets"])
    for root in standing["roots"]:
        state = "trusted" if root["completed"] else "not walked to its end yet"
        if root["suspect"]:
            state = f"suspect ({root['suspect']}): `hashward root accept {root['name']}` takes it as it is"
        _line("root", f"{root['name']}: {state}")
    _print_sources(standing["sources"])
    _print_outcomes(standing)
    _line("watch", _watched(standing["watch"], standing["serve"]))
    if standing["serve"]:
        _line("serve", "running: judges uploads, and tells your own system what [actions] ask for")
    _line("matches", counts(standing["matches"]).replace("_", " ") or "none")
    reports = standing["reports"]
    owed = number_of(reports["batches_owed"], "batch", "batches")
    _line("reports", f"{reports['pending']:,} pending, {reports['sealed']:,} sealed; {owed} owed to a sink")
    _print_actions(**standing["actions"])
    _print_retention(standing["retention"])
    due = standing["due"]
    if due["within_14_days"]:
        _line("due", f"{due['by_now']:,} by now, {due['within_14_days']:,} within 14 days: `hashward request due`")
    _print_audit(**standing["audit"])
    _line("places", _places(standing["locations"], standing["audit"]["begun"] is not None))
    _print_sinks(standing["sinks"])
    _line(
        "kernel",
        f"matching {standing['kernel']}, fingerprints {standing['fingerprint_kernel']}, "
        f"plain JPEGs {standing['jpeg_decoder']}, digests {standing['digests']}",
    )
    _print_plugins(**standing["plugins"])
    _line("sandbox", standing["sandbox"])
    driver = standing["sqlite"]
    shared = "several processes may share this home" if driver["several_processes"] else "one process at a time only"
    _line("SQLite", f"{driver['version']} ({driver['driver']}): {shared}")


def _watched(duties: dict[str, Any] | None, served: bool) -> str:
    if duties is None and served:
        return "not running: roots, re-scans, sources and reports wait for it, or for you"
    if duties is None:
        return "not running: nothing happens by itself"
    failing = [
        f"{name} has failed {each['failures']:,} times: {each['failure']}"
        for name, each in duties.items()
        if each["failures"]
    ]
    working = [name for name, each in duties.items() if each["working"]]
    return "; ".join(failing) or f"running{', busy with ' + ', '.join(working) if working else ''}"


_LOCATIONS = {
    Standing.READABLE: "to be read by whoever can read ledger.db (`hashward locations seal`)",
    Standing.UNFINISHED: "sealing has not come to its end: `hashward locations seal` goes on",
    Standing.SEALED: "sealed",
}


def _places(how: str, answered: bool) -> str:
    if how == Standing.SEALED and not answered:
        return "sealed; until the broker answers no walk can begin, and no `hashward serve`"
    return _LOCATIONS[Standing(how)]


def _print_audit(begun: bool | None, owed: int) -> None:
    waiting = f"; {number_of(owed, 'line')} owed to it" if owed else ""
    stands = {True: "kept", False: "none: `hashward audit init` begins it", None: "its broker does not answer"}
    _line("audit", stands[begun] + waiting)


def _line(name: str, said: str) -> None:
    click.echo(f"{name:<9}{said}")


def _print_sets(sets: list[dict[str, Any]]) -> None:
    if not sets:
        click.echo("No hash sets: `hashward hashset import NAME FILE`.")
        return
    numbers = ("version", "entries", "contents behind")
    rows = table("hash set", "role", "mode", "version", "entries", "refreshed", "contents behind", numbers=numbers)
    for each in sets:
        mode = each["mode"] + (", version held" if each["held"] else "") if each["enabled"] else "disabled"
        refreshed = each["refreshed"] or "never"
        sizes = (str(each["version"]), f"{each['entries']:,}", refreshed, f"{each['contents_behind']:,}")
        rows.add_row(each["name"], each["role"], mode, *sizes)
    show(rows)
    for each in sets:
        if each["alarm"]:
            _line("HELD", f"{each['name']}: {each['alarm']}")
        elif each["mode"] == "shadow" and each["enabled"] and each["version"]:
            new = number_of(each["waiting"]["matches"], "match", "matches")
            _line("shadow", f"{each['name']}: {new} recorded, none reported; `hashset approve` lets them")
        if each["muted"]:
            _line("muted", f"{each['name']}: {number_of(len(each['muted']), 'entry', 'entries')}")
    behind = [each["name"] for each in sets if each["index"] == "behind"]
    if behind:
        _line("index", f"to be made or brought up to date, by whoever needs it next: {', '.join(behind)}")
    if any(each["enabled"] and each["contents_behind"] for each in sets):
        click.echo("Next: `hashward rescan` compares what is behind.")


def _print_outcomes(standing: dict[str, Any]) -> None:
    outcomes = standing["outcomes"]
    _line("assets", f"{standing['assets']:,} files and uploads, {number_of(standing['contents'], 'content')}")
    remarks = {
        "seen in part only": outcomes["matched_partial"],
        "held, as known good too": outcomes["held"],
    }
    aside = ", ".join(f"{number:,} {what}" for what, number in remarks.items() if number)
    known_good = f" ({outcomes['suppressed']:,} near a listed one, but known good)" if outcomes["suppressed"] else ""
    _line(
        "",
        f"matched {outcomes['matched']:,}{f' ({aside})' if aside else ''}, clear {outcomes['clear']:,}{known_good},"
        f" not media {outcomes['not_media']:,}",
    )
    if outcomes["partial"]:
        _line("", f"seen in part: {counts(outcomes['partial'])}")
    if outcomes["unscannable"]:
        _line("", f"could not look: {counts(outcomes['unscannable'])}")
    if standing["owed"]:
        _line("", f"owed a look: {standing['owed']:,}")
    if standing["owed_recipes"]:
        owed = ", ".join(f"{what} in {number_of(count, 'content')}" for what, count in standing["owed_recipes"].items())
        _line("", f"not computed yet: {owed}; `hashward scan --owed` does")


def _print_plugins(used: list[str], refused: dict[str, str]) -> None:
    if used:
        _line("plug-ins", ", ".join(used))
    for name, why in refused.items():
        _line("plug-ins", f"{name} is installed and cannot be used: {why}")


def _print_actions(configured: bool, delivered: int, owed: int, failing: int, dropped: int) -> None:
    if not configured and not (delivered or owed):
        return
    said = f"{delivered:,} taken, {owed:,} owed"
    if failing:
        said += f", {failing:,} of them not taken so far"
    if dropped:
        said += f", {dropped:,} dropped as no longer true"
    _line("actions", said + ("" if configured else "; no target is configured: nothing is told"))


def _print_retention(found: dict[str, Any]) -> None:
    policy = [f"{name} {kept}" for name, kept in found["policy"].items() if kept != "forever"]
    if policy:
        _line("retain", f"{', '.join(policy)}; {number_of(found['holds'], 'hold')}")
    if found["erased_unmatched"]:
        erased = number_of(found["erased_unmatched"], "content")
        _line(
            "", f"erased that matched nothing: {erased}, last on {found['last_erased']}; later lists do not meet them"
        )
    if found["traces"]:
        _line("", "traces of what was erased are left in the database: `hashward retain --compact` wipes them")
    for conflict in found["conflicts"]:
        _line("CONFLICT", conflict)


def _print_sources(sources: list[dict[str, Any]]) -> None:
    for each in sources:
        said = f"{each['hash_set']} ({each['kind']}): {each['state']}"
        if each["state"] == SourceState.STALE:
            said += f", nothing new since {each['news']}; what it listed stays in force"
        elif each["state"] == SourceState.LATE:
            said += f", last asked {each['asked']}: is `hashward watch` running?"
        elif each["answered"]:
            said += f", last answered {each['answered']}"
        _line("source", said)
        if each["failure"]:
            _line("", f"failed {number_of(each['failures'], 'time')}: {each['failure']}")


def _print_sinks(sinks: list[dict[str, Any]]) -> None:
    for each in sinks:
        heard = ", ".join(each["hash_sets"]) or "nothing: it names no hash set"
        form = "" if each["form"] == "reports" else f", {each['form']}"
        _line("sink", f"{each['name']} ({each['kind']}{form}) hears of {heard}")
        if each["trouble"]:
            _line("", f"does not take {number_of(each['owed'], 'batch', 'batches')}: {each['trouble']}")
        if each["unknown_hash_sets"]:
            _line("", f"there is no hash set called {', '.join(each['unknown_hash_sets'])}: check the configuration")
    if not sinks:
        _line("sinks", "none: nothing leaves this machine")


COMMANDS = (status,)
