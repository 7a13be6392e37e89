"""The page for the people whose uploads are scanned, made from the configuration and the lists in force.

Rules
- Every sentence follows from a setting or from what stands in the databases; nothing is promised that is not set.
- It names lists, services and whoever is told, as the operator named them; no path, address, token or count.
- Plain words, one topic a heading; what an operator has to add is named as such, never made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hashsets.types import HashSet, Mode, Role
from scanner.config import Config
from scanner.settings import SinkForm

_ADD = "*(Your operator has not said this yet: {})*"


@dataclass(frozen=True, slots=True)
class Topic:
    """A heading and what is said under it."""

    heading: str
    sentences: tuple[str, ...]


def topics(config: Config, hash_sets: Sequence[HashSet], *, roots: bool) -> list[Topic]:
    """What a user is told, in order. `roots` says whether storage is scanned beside uploads."""
    return [
        Topic("What is scanned", tuple(_scanned(config, roots=roots))),
        Topic("What it is compared with", tuple(_compared(config, hash_sets))),
        Topic("What happens when something matches", tuple(_consequences(config))),
        Topic("What leaves our machines", tuple(_leaves(config))),
        Topic("Who can look", tuple(_who_looks())),
        Topic("How long what is kept", tuple(_kept(config))),
        Topic("If you think that we are wrong", tuple(_redress(config))),
        Topic("When authorities ask", tuple(_authorities(config))),
    ]


def markdown(found: Iterable[Topic]) -> str:
    """The page."""
    lines = ["# How uploads are checked for known abuse material"]
    for topic in found:
        lines += ["", f"## {topic.heading}", ""]
        lines += [f"- {_escaped(sentence)}" for sentence in topic.sentences]
    return "\n".join(lines) + "\n"


def as_object(found: Iterable[Topic]) -> Mapping[str, Sequence[str]]:
    """The same for programs: sentences by heading."""
    return {topic.heading: topic.sentences for topic in found}


def _scanned(config: Config, *, roots: bool) -> Iterator[str]:
    services = ", ".join(config.transparency.services)
    yield f"Services: {services}." if services else _ADD.format("which services, `transparency.services`")
    yield "Images and videos, also within archives, documents and letters, are checked when they are uploaded" + (
        ", and what is stored is checked again and again." if roots else "."
    )
    yield "When a list changes, earlier uploads are compared again, from stored fingerprints; no file is opened."
    yield (
        "Of each file fingerprints are kept: digests of its bytes and, of pictures, values that describe them coarsely."
        " They are personal data, and treated so. The checking keeps no picture and no video."
    )
    if config.fingerprint.orientations == "all8":
        yield "Pictures are also compared turned and mirrored."


def _compared(config: Config, hash_sets: Sequence[HashSet]) -> Iterator[str]:
    lists = [each for each in hash_sets if each.in_force and each.role is Role.ALERT]
    yield (
        "Only fingerprints of material that an organisation has looked at and listed before are looked for. Nothing"
        " judges what a picture shows, reads messages, or guesses who people are."
    )
    for each in sorted(lists, key=lambda listed: listed.name):
        purpose = config.transparency.purpose(each.name) or _ADD.format(
            "what this list is for, `transparency.purposes`"
        )
        trial = " It is on trial: nobody is told of its matches yet." if each.mode is Mode.SHADOW else ""
        yield f"List {each.name}: {purpose}{'' if purpose.endswith(('.', '*')) else '.'}{trial}"
    if not lists:
        yield "At present no list is in force, so nothing can match."


def _consequences(config: Config) -> Iterator[str]:
    blocking = [each for each in config.serve.listeners if each.on_match == "block"]
    if blocking or not config.serve.listeners:
        yield "An upload that matches may be refused at once. What you are then shown is a code that says nothing else."
    if len(blocking) < len(config.serve.listeners):
        yield "Some uploads are taken in first and compared after that."
    if config.actions.configured:
        said = {"restrict": "is restricted", "review": "is put before a person", None: "starts nothing by itself"}
        exact, near = (
            said[None if verb is None else verb.value] for verb in (config.actions.exact, config.actions.near)
        )
        yield f"A file that is the same, byte for byte, {exact}; one that looks alike {near}."
        yield "If a list withdraws an entry, what followed from it is undone."
    yield "A match is a lead and no proof. Whether it is true is decided by people, whose decisions are on record."


def _leaves(config: Config) -> Iterator[str]:
    if not config.sinks:
        yield "Nothing: no report of any match is sent to anybody by the checking."
        return
    for sink in sorted(config.sinks, key=lambda each: each.name):
        if not sink.hash_sets:
            continue
        lists = ", ".join(sorted(sink.hash_sets))
        if sink.form is SinkForm.COUNTS:
            yield f"{sink.name} is told how many matches there were of {lists}, never a number below {sink.k}."
        else:
            yield f"{sink.name} is told that something matched {lists}, and on which day: not what, whose, or where."
    yield (
        "No report says a name, an account, an address, a file's name, its size, its fingerprints or a time finer than"
        " the day. What the law obliges us to report is reported by people, apart from this."
    )


def _who_looks() -> Iterator[str]:
    yield "The checking shows your files to nobody. Where one matched, people may have to look at it to decide."
    yield "Who finds out which file a report is about must state a reason; a log that shows any alteration records it."


def _kept(config: Config) -> Iterator[str]:
    retain = config.retain
    kept = (
        ("Fingerprints of what did not match", retain.unmatched),
        ("Fingerprints of what matched", retain.matched),
        ("Where files lay that are gone", retain.gone),
        ("Reports of which nothing stands any more", retain.reports),
        ("Names and links of decided cases", retain.cases),
        ("Particulars of authorities' requests", retain.requests),
    )
    for what, days in kept:
        yield f"{what}: {_days(days)}."
    yield "What the law orders us to keep longer is kept as long as it orders."
    if config.storage.key_file is not None or config.storage.key_credential is not None:
        yield "The databases are encrypted on the disk."


def _days(days: int | None) -> str:
    if days is None:
        return "kept without a limit"
    return "not kept" if days == 0 else f"kept for {days:,} days"


def _redress(config: Config) -> Iterator[str]:
    contact = config.transparency.contact
    yield f"Write to: {contact}." if contact else _ADD.format("where to write, `transparency.contact`")
    yield "A complaint opens the case again. Somebody looks who did not decide before; a panel hears appeals."
    yield "If we were wrong, it is undone: the match is taken back, also towards whoever was told of it."


def _authorities(config: Config) -> Iterator[str]:
    yield "The checking discloses nothing. Requests of authorities are checked against rules, recorded and counted."
    yield (
        f"You are told of a disclosure within {config.requests.notice_days} days, except where that is prohibited,"
        " where a life is at risk, or where a child was abused."
    )
    yield "Civil requests are answered too." if config.requests.civil else "Civil requests are not answered."


def _escaped(text: str) -> str:
    """Names of the operator's making stay text: no markup, no link, no line of its own."""
    return text.replace("<", "&lt;").replace("[", "\\[").replace("\n", " ")
