"""How a hash set stands, for programs and in words: what `list`, `show`, `history` and `status` say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from hashsets.types import HashSet, Mode, Role
from scanner.api import Scanner
from scanner.cli.output import note, number_of
from scanner.ledger import matches

MOST_SHOWN = 5  # entries that match most
MOST_LISTED = 100  # the same, for programs

_REASONS = {
    "matches": "more new matches than it may bring",
    "share": "a larger share of the contents newly matched than it may bring",
    "growth": "more growth than it may bring",
}


def mode_of(scanner: Scanner, each: HashSet) -> str:
    """The mode in a word or two."""
    if not each.enabled:
        return "disabled"
    return f"{each.mode.value}, version held" if scanner.ledger.probation.held(each) else each.mode.value


def waiting(scanner: Scanner, each: HashSet) -> tuple[int, int]:
    """How many matches wait for a person's word or the end of a join, and of how many contents."""
    if each.role is Role.KNOWN_GOOD or each.mode is Mode.RETIRED:
        return 0, 0
    probation = scanner.ledger.probation
    return probation.would_bring(each.uid) if each.mode is Mode.SHADOW else probation.brought(each.uid)


def held_line(scanner: Scanner, each: HashSet) -> str | None:
    """What is held, why, and what to do about it."""
    held = scanner.ledger.probation.held(each)
    if held is None:
        return None
    why = " and ".join(_REASONS[reason] for reason in held.reasons)
    speech = scanner.ledger.probation.of(each.uid)
    back = f", `rollback --to {speech.version}` takes it back" if speech is not None and speech.version else ""
    return (
        f"version {held.version} is held since {held.day}: {why} ({number_of(held.matches, 'match', 'matches')} of"
        f" {number_of(held.contents, 'content')}). Nothing of it leaves: `hashward hashset diff` shows it,"
        f" `approve` lets it{back}"
    )


def warn_of_held(scanner: Scanner) -> bool:
    """Say on standard error which versions are held; whether any is."""
    lines = [(each.name, held_line(scanner, each)) for each in scanner.store.hash_sets()]
    for name, line in lines:
        if line is not None:
            note(f"{name}: {line}.")
    return any(line is not None for _, line in lines)


def set_object(scanner: Scanner, each: HashSet) -> dict[str, object]:
    """A hash set for programs."""
    speech = scanner.ledger.probation.of(each.uid)
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
        "types": sorted(each.rule.hash_types),
        "only": sorted(each.rule.codes),
        "agreeing": each.rule.agreeing,
        "bounds": asdict(each.bounds),
        "settled_version": 0 if speech is None else speech.version,
        **speech_object(scanner, each),
    }


def speech_object(scanner: Scanner, each: HashSet) -> dict[str, object]:
    """What of a set does not leave, and why."""
    held = scanner.ledger.probation.held(each)
    new, contents = waiting(scanner, each)
    return {
        "held": None if held is None else asdict(held),
        "waiting": {"matches": new, "contents": contents},
        "muted": [asdict(mute) for mute in scanner.ledger.probation.mutes(each.uid)],
    }


def top_entries(scanner: Scanner, each: HashSet) -> list[dict[str, object]]:
    """The entries that match most contents."""
    found = matches.top_firing(scanner.ledger.db, each.uid, MOST_LISTED)
    return [{"ref": ref, "contents": contents} for ref, contents in found]


def version_standing(scanner: Scanner, each: HashSet) -> Callable[[int], str]:
    """How each version of a set stands: `speaks`, `held`, `waits` (it is not joined yet), `shadow`, `retired`."""
    speech = scanner.ledger.probation.of(each.uid)
    held = scanner.ledger.probation.held(each)

    def standing(version: int) -> str:
        if each.mode is not Mode.ACTIVE:
            return each.mode.value
        if speech is not None and version <= speech.version:
            return "speaks"
        return "held" if held is not None and version <= held.version else "waits"

    return standing
