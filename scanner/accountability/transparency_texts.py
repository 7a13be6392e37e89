"""What a transparency report says in words: what follows from the software and the configuration, and what is not said.

Texts are the operator's own where only the operator knows; nothing is claimed on their behalf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scanner.config import Config
from scanner.retain_config import RetainConfig, shown
from scanner.transparency_config import TransparencyConfig

_MISSING: Final = "The operator has not stated this."


@dataclass(frozen=True, slots=True)
class Texts:
    """The paragraphs of each heading."""

    data: tuple[str, ...]
    ground: tuple[str, ...]
    transfers: tuple[str, ...]
    identified: tuple[str, ...]
    complaints: tuple[str, ...]
    errors: tuple[str, ...]
    measures: tuple[str, ...]
    retention: tuple[str, ...]
    organisations: tuple[str, ...]
    automated: tuple[str, ...]
    requests: tuple[str, ...]


def of(config: Config) -> Texts:
    """The texts of a report under this configuration."""
    said = config.transparency
    services = f"Services scanned: {', '.join(said.services)}." if said.services else "Services scanned: not stated."
    return Texts(
        data=(
            services,
            "Images, videos and the pictures inside archives and documents are hashed on the operator's own machines"
            " and compared with lists of known material. No text, message or metadata is processed, and nothing is"
            " looked at for solicitation. Looked at and flagged are counted apart.",
        ),
        ground=(said.ground or _MISSING,),
        transfers=(said.transfers or _MISSING,),
        identified=(
            "Known material only: new material and solicitation are not looked for, so nothing is reported of them."
            " Accounts are not known to the scanner. A flagged item is a lead until a person has looked at it.",
        ),
        complaints=("A complaint decided for the user withdraws what was reported and restores the item's standing.",),
        errors=(
            "Technologies are the hash types that lists give: cryptographic digests find equal bytes, perceptual ones"
            " likenesses. With review of only a part, B1/A1 understates errors; B1/C1 and C1/A1 stand beside it.",
        ),
        measures=_measures(config),
        retention=_safeguards(said),
        organisations=_organisations(config),
        automated=(
            "Items are found by hash comparison alone; no classifier is used. Figures are those of headings 5 and 6.",
        ),
        requests=(
            "Each request on one legal basis is one, however many items of one account it names; two bases are two."
            " Every request counts, also when it was challenged or refused or must be kept quiet; a revised request is"
            " a new one. Outcomes are those at the period's end.",
        ),
    )


def _measures(config: Config) -> tuple[str, ...]:
    reviewed = config.actions.configured and config.actions.near is not None
    return (
        "A new list, and a version of one that would flag unusually much, reports nothing until a person approves it."
        " Near matches need a likeness within a list's own bounds; digests of empty files and pictures without enough"
        " detail match nothing. Material known to be good is suppressed by digest.",
        "Near matches are handed to people for review by the operator's own system."
        if reviewed
        else "Whether people review matches before anything follows is the operator's arrangement and not stated here.",
        "Two people decide each case that is reviewed; whoever decided hears no appeal against it.",
    )


def _safeguards(said: TransparencyConfig) -> tuple[str, ...]:
    return (
        "Reports that leave hold no name, path, account, address, size, time or hash of the item, under random ids and"
        " in random order. Which file a report is about is known to the operator's ledger alone; reading that is"
        " recorded in a chained audit log. Counts in this report that are small are withheld.",
        *said.safeguards,
    )


def _organisations(config: Config) -> tuple[str, ...]:
    named = config.transparency.organisations
    sinks = len(config.sinks)
    told = (
        "No receiver of reports or counts is configured: nothing leaves by itself."
        if not sinks
        else f"Receivers of anonymous reports or counts that are configured: {sinks}."
    )
    return (f"Shared with: {', '.join(named)}." if named else f"Shared with: {_MISSING}", told)


def retention_in_force(retain: RetainConfig) -> Iterator[tuple[str, str]]:
    """What is kept, and how long."""
    names = {
        "unmatched": "hashes of contents that match nothing",
        "matched": "hashes and locations of contents that matched",
        "gone": "traces of contents that are gone",
        "reports": "reports that were sealed",
        "cases": "names and references in cases",
        "requests": "what people wrote in requests of authorities",
    }
    for name, days in retain.classes().items():
        yield names.get(name, name), shown(days)
